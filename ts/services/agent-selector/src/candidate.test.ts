import { expect, test } from "vitest";
import { AGENTS } from "./agent.js";
import { armIdOf, candidatesOf, shuffled } from "./candidate.js";

const MODELS = [
  { name: "small", free: true },
  { name: "large", free: false },
];

function wanted(parts: { agents?: string[]; models?: string[]; skills?: string[] }) {
  return { agents: [], models: [], skills: [], maxLatency: undefined, ...parts };
}

const named = (candidates: ReturnType<typeof candidatesOf>) =>
  candidates.map(({ agent, parameters }) => `${agent}/${parameters.model}`);

test("candidates_are_every_agent_with_every_model_unless_less_is_wanted", () => {
  const of = (parts: Parameters<typeof wanted>[0], models: typeof MODELS | undefined = MODELS) =>
    named(candidatesOf({ agents: AGENTS, models, wanted: wanted(parts) }));
  expect(of({}).length).toBe(6);
  expect(of({ agents: ["direct"] })).toEqual(["direct/small", "direct/large"]);
  expect(of({ models: ["large"], skills: ["arithmetic"] })).toEqual(["reasoner/large"]);
});

test("candidates_without_a_list_of_models_are_of_those_asked_for_or_of_any", () => {
  const of = (models: string[]) =>
    named(candidatesOf({ agents: AGENTS, models: undefined, wanted: wanted({ agents: ["direct"], models }) }));
  expect(of([])).toEqual(["direct/"]);
  expect(of(["any/one"])).toEqual(["direct/any/one"]);
});

test("requirement_that_none_fulfils_is_named", () => {
  const failure = (parts: Parameters<typeof wanted>[0], models = MODELS) => {
    try {
      candidatesOf({ agents: AGENTS, models, wanted: wanted(parts) });
    } catch (error) {
      return (error as { failure?: unknown }).failure;
    }
    return undefined;
  };
  const none = (requirement: string) => ({ kind: "no_candidate", requirement });
  expect(failure({ agents: ["nobody"] })).toEqual(none("agent nobody"));
  expect(failure({ skills: ["plan", "fly"] })).toEqual(none("skills plan and fly"));
  expect(failure({ models: ["huge"] })).toEqual(none("an available model of huge"));
  expect(failure({}, [])).toEqual(none("an available model"));
});

// The same ids stand in a test of rust/services/intelligent-parameter/src/handler/arm.rs.
test("arm_ids_are_those_that_intelligent_parameter_derives", () => {
  expect(armIdOf({ model: "", prompt: "" })).toBe("6e340b9cffb37a989ca544e6bb780a2c");
  expect(armIdOf({ model: "smollm2-135m-instruct", prompt: "direct" })).toBe("b82a9e12312efee0e585c0c0594424e1");
  expect(armIdOf({ model: "m".repeat(128), prompt: "p".repeat(128) })).toBe("b7eb9d82bf2e46a4e50c7cf837295345");
});

test("shuffle_of_a_seed_is_the_same_from_any_order_and_every_place_is_as_likely", () => {
  const all = candidatesOf({ agents: AGENTS, models: MODELS, wanted: undefined });
  expect(named(shuffled([...all].reverse(), 7n))).toEqual(named(shuffled(all, 7n)));
  const first = new Map<string, number>();
  const rounds = 6000;
  for (let seed = 0; seed < rounds; seed++) {
    const name = named(shuffled(all, BigInt(seed)))[0] ?? "";
    first.set(name, (first.get(name) ?? 0) + 1);
  }
  const expected = rounds / all.length;
  const chiSquare = [...first.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // 0.999 quantile of chi-square with 5 degrees of freedom; the seeds are fixed, so that this is no matter of luck.
  expect(chiSquare).toBeLessThan(20.5);
  expect(first.size).toBe(all.length);
});
