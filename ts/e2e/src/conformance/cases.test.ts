import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { withFolder } from "../harness/folder.js";
import { orderCases } from "./cases.js";

test("cases_that_keep_processors_busy_come_first_those_that_wait_last_and_none_is_lost", async () => {
  await withFolder(async (folder) => {
    const { file, count, work } = await orderCases(folder);
    const { cases } = JSON.parse(await readFile(file, "utf8")) as { cases: { name: string }[] };
    const names = cases.map(({ name }) => name);
    expect(names.slice(0, 6)).toEqual([
      "server_stream_of_ten_thousand_is_complete",
      "message_near_the_limit_passes",
      "message_over_the_limit_is_refused",
      "compressed_request_is_understood",
      "compressed_request_over_the_limit_is_refused",
      "thousand_streams_at_once",
    ]);
    expect(names.slice(work)).toEqual([
      "deadline_passed_ends_the_call",
      "deadline_passed_is_seen_by_the_server",
      "deadline_passed_ends_a_stream",
      "deadline_passed_on_a_stream_is_seen_by_the_server",
      "cancel_reaches_the_handler",
      "sigterm_under_load_cuts_off_nothing",
    ]);
    expect(new Set(names).size).toBe(count);
    expect(count).toBeGreaterThanOrEqual(40);
  });
});
