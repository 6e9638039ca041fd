import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { inRepository } from "./repository.js";

/** Far more than buf ever prints of the contracts. */
const DESCRIPTOR_BYTES = 64 * 1024 * 1024;

let contracts: Promise<Uint8Array> | undefined;

/** All contracts as a descriptor set, which buf builds once in a process. */
export function descriptorSet(): Promise<Uint8Array> {
  contracts ??= (async () => {
    const { stdout } = await promisify(execFile)(
      inRepository("ts/node_modules/.bin/buf"),
      ["build", "--as-file-descriptor-set", "-o", "-#format=bin"],
      { cwd: inRepository(), encoding: "buffer", maxBuffer: DESCRIPTOR_BYTES },
    );
    return stdout;
  })();
  return contracts;
}
