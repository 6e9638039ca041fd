import type { DeepPartial, RunRequest } from "@uait/gen/uait/orchestrator/v1/orchestrator.js";
import { between, oneOf, type Random, randomOf } from "./random.js";

export const KINDS = ["arithmetic", "extraction", "classification"] as const;
export type Kind = (typeof KINDS)[number];

/** A task whose answer a verifier can tell right from wrong. */
export interface BenchTask {
  readonly name: string;
  readonly kind: Kind;
  readonly request: Pick<DeepPartial<RunRequest>, "task" | "taskType" | "output" | "verifiers">;
  /** A right answer. */
  readonly solution: string;
}

/** Tasks in turn of each kind; the same seed gives the same tasks. */
export function makeTasks(count: number, seed: number): BenchTask[] {
  const random = randomOf(seed);
  return Array.from({ length: count }, (_, index) => {
    const kind = KINDS[index % KINDS.length] ?? "arithmetic";
    return { ...MAKERS[kind](random), name: `${kind} ${Math.floor(index / KINDS.length) + 1}`, kind };
  });
}

type Made = Pick<BenchTask, "request" | "solution">;

const MAKERS: { readonly [Each in Kind]: (random: Random) => Made } = { arithmetic, extraction, classification };

function arithmetic(random: Random): Made {
  const operation = oneOf(random, ["+", "-", "*"] as const);
  const most = operation === "*" ? 12 : 99;
  const [a, b] = [between(random, 2, most), between(random, 2, most)];
  const expected = operation === "+" ? a + b : operation === "-" ? a - b : a * b;
  return {
    request: {
      task: `What is ${a} ${operation} ${b}? Answer with the number alone.`,
      taskType: "arithmetic",
      verifiers: [{ kind: { $case: "numeric", value: { expected } } }],
    },
    solution: String(expected),
  };
}

const NAMES = ["Ada", "Bruno", "Carla", "Deniz", "Elif", "Farid", "Greta", "Hugo"] as const;
const CITIES = ["Lisbon", "Oslo", "Izmir", "Kyoto", "Quito", "Lagos"] as const;
const GOODS = ["lamps", "chairs", "books", "bicycles", "kettles"] as const;

function extraction(random: Random): Made {
  const order = {
    name: oneOf(random, NAMES),
    city: oneOf(random, CITIES),
    count: between(random, 2, 40),
    goods: oneOf(random, GOODS),
  };
  const sentence = oneOf(random, [
    `${order.name} from ${order.city} ordered ${order.count} ${order.goods}.`,
    `Please send ${order.count} ${order.goods} to ${order.name} in ${order.city}.`,
    `In ${order.city}, ${order.name} is waiting for ${order.count} ${order.goods}.`,
  ]);
  const types = { name: "string", city: "string", count: "integer", goods: "string" } as const;
  const schemaOf = (property: (name: keyof typeof order) => object) =>
    JSON.stringify({
      type: "object",
      required: Object.keys(types),
      additionalProperties: false,
      properties: Object.fromEntries(
        (Object.keys(types) as (keyof typeof order)[]).map((name) => [name, property(name)]),
      ),
    });
  return {
    request: {
      task: `Write name, city, count and goods of this order as JSON. ${sentence}`,
      taskType: "extraction",
      // The form is enforced while the model writes; what stands in it is what the task asks for.
      output: { form: { $case: "jsonSchema", value: schemaOf((name) => ({ type: types[name] })) } },
      verifiers: [{ kind: { $case: "jsonSchema", value: { schema: schemaOf((name) => ({ const: order[name] })) } } }],
    },
    solution: JSON.stringify(order),
  };
}

const REVIEWS = {
  positive: [
    "I loved every minute of it.",
    "Best purchase of the year.",
    "It works perfectly and looks great.",
    "The staff went out of their way to help.",
  ],
  negative: [
    "It broke after two days.",
    "I want my money back.",
    "The food was cold and the waiter rude.",
    "What a waste of an evening.",
  ],
} as const;
const SENTIMENTS = ["positive", "negative"] as const;
const SUBJECTS = ["the film", "the kettle", "the hotel", "the new phone", "the concert", "the restaurant"] as const;

function classification(random: Random): Made {
  const sentiment = oneOf(random, SENTIMENTS);
  const review = `About ${oneOf(random, SUBJECTS)}: ${oneOf(random, REVIEWS[sentiment])}`;
  return {
    request: {
      task: `Is this review positive or negative? Answer with one word.\n${review}`,
      taskType: "classification",
      output: { form: { $case: "regex", value: "positive|negative" } },
      verifiers: [{ kind: { $case: "exact", value: { expected: [sentiment], ignoreCase: true } } }],
    },
    solution: sentiment,
  };
}
