import { expect, test } from "vitest";
import { excerptOf } from "./excerpt.js";

const within = (length: number) => ({ fits: (text: string) => text.length <= length, reach: 10_000 });

test("text_that_fits_is_whole", () => {
  expect(excerptOf("one two", { around: "", ...within(7) })).toBe("one two");
});

test("text_that_does_not_fit_is_cut_at_its_end_and_says_so", () => {
  expect(excerptOf("one two three", { around: "", ...within(8) })).toBe("one two…");
});

test("excerpt_begins_with_the_part_that_matters", () => {
  expect(excerptOf("one two three four", { around: "three", ...within(8) })).toBe("…three …");
});

test("excerpt_near_the_end_takes_in_what_stands_before", () => {
  expect(excerptOf("one two three four", { around: "four", ...within(11) })).toBe("…three four");
});

test("part_that_is_not_in_the_text_leaves_the_beginning", () => {
  expect(excerptOf("one two three", { around: "seven", ...within(4) })).toBe("one…");
});

test("nothing_fits_gives_nothing", () => {
  expect(excerptOf("one", { around: "", fits: () => false, reach: 10 })).toBe("");
});

test("excerpt_is_never_cut_within_a_character", () => {
  const family = "👩‍👩‍👧‍👦";
  const text = `${family}${"é".normalize("NFD")}🎉ab${family}`;
  const characters = new Set([...new Intl.Segmenter().segment(text)].map(({ segment }) => segment));
  for (let length = 1; length <= text.length + 1; length++) {
    for (const around of ["", "🎉", "b"]) {
      for (const reach of [3, 12, 10_000]) {
        const excerpt = excerptOf(text, { around, fits: (each) => each.length <= length, reach });
        expect(excerpt.length).toBeLessThanOrEqual(length);
        const whole = [...new Intl.Segmenter().segment(excerpt.replaceAll("…", ""))];
        expect(whole.filter(({ segment }) => !characters.has(segment))).toEqual([]);
      }
    }
  }
});
