import { expect, it } from "vitest";
import { prettyLine } from "./pretty-log.js";

it("prettyLine_jsonOfTheKits_showsTimeLevelMessageAndFields", () => {
  const line =
    '{"time":"2026-11-24T08:30:36.127Z","level":"info","msg":"serving","service":"echo-ts","instance":"echo-ts-1","grpc":"127.0.0.1:8001","pid":7}';
  expect(prettyLine(line)).toBe("08:30:36.127 INFO  serving grpc=127.0.0.1:8001 pid=7");
});

it.each(["plain text", "{not json", '{"other":"json"}', ""])("prettyLine_%s_staysAsItIs", (line) => {
  expect(prettyLine(line)).toBe(line);
});
