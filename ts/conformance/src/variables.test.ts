import { expect, test } from "vitest";
import { Variables } from "./variables.js";

test("names_in_every_string_of_a_value_are_replaced", () => {
  const variables = new Variables("echo-go");
  variables.set("event", "e1");
  const value = { id: "${event}", list: ["${service}-${event}", 7, null, true], nested: { plain: "$event {event}" } };
  expect(variables.substitute(value)).toEqual({
    id: "e1",
    list: ["echo-go-e1", 7, null, true],
    nested: { plain: "$event {event}" },
  });
});

test("value_that_looks_like_a_name_is_not_replaced_again", () => {
  const variables = new Variables("echo-go");
  variables.set("message", "${service}");
  expect(variables.substitute("${message}")).toBe("${service}");
});

test("unique_is_one_fresh_word_a_run", () => {
  const [first, second] = [new Variables("s"), new Variables("s")];
  expect(first.substitute("${unique}")).toMatch(/^[a-z0-9]{16}$/);
  expect(first.substitute("${unique}")).toBe(first.unique);
  expect(second.unique).not.toBe(first.unique);
});

test("name_that_no_case_has_saved_is_refused", () => {
  expect(() => new Variables("s").substitute({ id: "${event}" })).toThrow("no earlier case saved ${event}");
});
