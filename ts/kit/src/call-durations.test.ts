import { expect, test } from "vitest";
import { CallDurations } from "./call-durations.js";
import { Status } from "./status.js";

test("durations_are_a_cumulative_histogram_by_method_and_code", () => {
  const durations = new CallDurations();
  const method = durations.method("a.B", "C");
  for (const seconds of [0.0001, 0.0005, 0.02, 31]) method.observe(Status.OK, seconds);
  method.observe(Status.NOT_FOUND, 0.3);
  const lines = durations.text().split("\n");
  expect(lines.slice(0, 2)).toEqual([
    "# HELP rpc_server_duration_seconds Time from the arrival of a call to its status.",
    "# TYPE rpc_server_duration_seconds histogram",
  ]);
  const ok = 'rpc_service="a.B",rpc_method="C",rpc_grpc_status_code="0"';
  const value = (sample: string) =>
    lines
      .find((line) => line.startsWith(`rpc_server_duration_seconds_${sample} `))
      ?.split(" ")
      .at(-1);
  expect(["0.0005", "0.01", "0.025", "30", "+Inf"].map((le) => value(`bucket{le="${le}",${ok}}`))).toEqual([
    "2",
    "2",
    "3",
    "3",
    "4",
  ]);
  expect(value(`count{${ok}}`)).toBe("4");
  expect(value(`sum{${ok}}`)).toBe(String(0.0001 + 0.0005 + 0.02 + 31));
  expect(value(`bucket{le="0.5",${ok.replace('"0"', '"5"')}}`)).toBe("1");
  expect(value(`bucket{le="0.25",${ok.replace('"0"', '"5"')}}`)).toBe("0");
  expect(lines).toHaveLength(2 + 2 * 18 + 1);
});
