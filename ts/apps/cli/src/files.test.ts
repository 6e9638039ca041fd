import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { place, requireSpace, verifyChecksum, writeWhole } from "./files.js";
import { run } from "./process.js";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "uait-files-"));
});

afterEach(() => rm(folder, { recursive: true }));

it("place_diskFullMidway_leavesTheOldFileAndNoPartialOne", async () => {
  const file = join(folder, "tool");
  await writeWhole(file, "old");
  const half = place(file, async (partial) => {
    await writeFile(partial, "half of it");
    // The kernel's own "no space left on device".
    await writeFile("/dev/full", "the rest");
  });
  await expect(half).rejects.toMatchObject({ reason: "DISK_FULL", remedy: expect.stringContaining("UAIT_HOME=") });
  expect(await readdir(folder)).toEqual(["tool"]);
  expect(await readFile(file, "utf8")).toBe("old");
});

it("run_programThatFindsTheDiskFull_saysSo", async () => {
  const full = run("sh", ["-c", "cat /etc/passwd > /dev/full"], { cwd: folder });
  await expect(full).rejects.toMatchObject({
    reason: "DISK_FULL",
    message: expect.stringContaining("No space left on device"),
  });
});

it("run_programThatFails_showsItsLastLines", async () => {
  const failing = run("sh", ["-c", "echo why >&2; exit 3"], { cwd: folder });
  await expect(failing).rejects.toMatchObject({
    reason: "BUILD_FAILED",
    message: expect.stringMatching(/ended with 3:\nwhy$/),
  });
});

it("run_programThatIsNotThere_isNamed", async () => {
  await expect(run("no-such-program", [], { cwd: folder })).rejects.toMatchObject({ reason: "TOOL_MISSING" });
});

it("requireSpace_moreThanThereIs_saysHowMuchIsFree", async () => {
  await expect(requireSpace(join(folder, "not/yet/there"), 2 ** 40)).rejects.toMatchObject({
    reason: "DISK_FULL",
    message: expect.stringMatching(/\d+ MiB are free, 1099511627776 MiB are needed/),
  });
});

it("verifyChecksum_otherContent_namesToolAndBothSums", async () => {
  const path = join(folder, "tool");
  await writeFile(path, "abc");
  // FIPS 180-2, appendix B.1.
  const expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  await verifyChecksum({ path, tool: "tool", expected, list: "list" });
  await writeFile(path, "abd");
  await expect(verifyChecksum({ path, tool: "tool", expected, list: "list" })).rejects.toMatchObject({
    reason: "CHECKSUM_MISMATCH",
    message: expect.stringMatching(new RegExp(`^tool: .* has sha256 [0-9a-f]{64}, but list lists ${expected}$`)),
  });
});
