import { describe, expect, test } from "vitest";
import { percentile, type Sample, TRAFFIC_STATS, trafficOf } from "./traffic.js";

const sample = (atMs: number, values: Record<string, number>, times: [number, number][] = []): Sample => ({
  atMs,
  values: new Map(Object.entries(values)),
  histograms: new Map([
    ["cluster.memory.upstream_rq_time", times.map(([upperBound, count]) => ({ upperBound, count }))],
  ]),
});
const GET = "cluster.memory.grpc.uait.memory.v1.MemoryService.Get";

describe("traffic", () => {
  test("figures_are_what_grew_between_two_samples", () => {
    const before = sample(0, { [`${GET}.0`]: 100, [`${GET}.14`]: 5 }, [
      [10, 100],
      [100, 0],
    ]);
    const values = {
      [`${GET}.0`]: 190,
      [`${GET}.14`]: 15,
      "cluster.memory.grpc.0": 20,
      [`${GET}.total`]: 9999,
      "cluster.memory-two.grpc.0": 9999,
    };
    const traffic = trafficOf(
      "memory",
      before,
      sample(60_000, values, [
        [10, 150],
        [100, 50],
      ]),
    );
    expect(traffic.rps).toBe(2);
    expect(traffic.errorRate).toBeCloseTo(10 / 120);
    expect(traffic.p50Ms).toBe(10);
    expect(traffic.p99Ms).toBeCloseTo(98.2);
  });

  test("what_callers_did_wrong_is_no_error", () => {
    const traffic = trafficOf(
      "memory",
      sample(0, {}),
      sample(1000, { [`${GET}.3`]: 1, [`${GET}.5`]: 1, [`${GET}.13`]: 2 }),
    );
    expect(traffic).toMatchObject({ rps: 4, errorRate: 0.5, p50Ms: undefined, p99Ms: undefined });
  });

  test("envoy_that_started_anew_counts_from_its_start", () => {
    const traffic = trafficOf("memory", sample(0, { [`${GET}.0`]: 1000 }), sample(10_000, { [`${GET}.0`]: 30 }));
    expect(traffic.rps).toBe(3);
  });

  test("one_sample_says_nothing_of_a_rate", () => {
    expect(trafficOf("memory", undefined, sample(0, { [`${GET}.0`]: 30 }))).toMatchObject({ rps: 0 });
  });
});

test.for([
  [[], 0.5, undefined],
  [[[10, 10]], 0.5, 5],
  [
    [
      [10, 0],
      [20, 10],
    ],
    1,
    20,
  ],
  [
    [
      [10, 5],
      [20, 5],
    ],
    0.75,
    15,
  ],
] as [[number, number][], number, number | undefined][])("percentile %#", ([buckets, share, expected]) => {
  const found = percentile(
    buckets.map(([upperBound, count]) => ({ upperBound, count })),
    share,
  );
  expect(found).toBe(expected);
});

test.for([
  [`${GET}.0`, true],
  ["cluster.memory.grpc.13", true],
  ["cluster.memory.upstream_rq_time", true],
  ["cluster.memory.external.upstream_rq_time", false],
  [`${GET}.request_message_count`, false],
  ["cluster.memory.upstream_rq_total", false],
  ["http.edge.rq_total", false],
] as const)("sample_has_%s: %s", ([name, wanted]) => {
  expect(new RegExp(TRAFFIC_STATS).test(name)).toBe(wanted);
});
