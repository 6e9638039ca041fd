import { expect, test } from "vitest";
import { LoadMeter, type LoadSource } from "./load.js";
import { Status } from "./status.js";

function source(): LoadSource & { ms: number; micros: number } {
  return {
    ms: 0,
    micros: 0,
    now() {
      return this.ms;
    },
    cpuMicros() {
      return this.micros;
    },
    residentBytes: () => 250,
    totalBytes: 1000,
    processors: 2,
  };
}

test("load_after_a_second_is_what_happened_in_it", () => {
  const clock = source();
  const load = new LoadMeter(8, clock);
  load.inFlight = 2;
  for (const code of [Status.OK, Status.NOT_FOUND, Status.INTERNAL, Status.UNAVAILABLE]) load.ended(code);
  clock.ms = 1000;
  clock.micros = 500_000;
  load.measure();
  expect(load.utilisation).toEqual({ cpu: 0.25, memory: 0.25, application: 0.25, rps: 4, eps: 2 });
  expect(load.report).toBe(
    "TEXT cpu_utilization=0.2500, mem_utilization=0.2500, application_utilization=0.2500, rps_fractional=4.00, eps=2.00",
  );
});

test("load_of_an_idle_second_forgets_the_one_before", () => {
  const clock = source();
  const load = new LoadMeter(8, clock);
  load.ended(Status.INTERNAL);
  clock.ms = 1000;
  load.measure();
  clock.ms = 2000;
  load.measure();
  expect(load.utilisation).toMatchObject({ cpu: 0, rps: 0, eps: 0 });
});

test("load_is_never_past_one_however_late_the_measurement", () => {
  const clock = source();
  const load = new LoadMeter(1, clock);
  load.inFlight = 5;
  clock.ms = 1;
  clock.micros = 1_000_000;
  load.measure();
  expect(load.utilisation).toMatchObject({ cpu: 1, application: 1 });
});
