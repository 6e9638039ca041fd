import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

/** Debian's place for it; UAIT_CHROMIUM names another. */
const EXECUTABLE = process.env["UAIT_CHROMIUM"] ?? "/usr/bin/chromium";

/** Starts a headless Chromium that talks to nobody but the pages it is given. */
export async function startChromium(): Promise<Browser> {
  if (!existsSync(EXECUTABLE))
    throw new Error(`${EXECUTABLE} is missing: install the package chromium, or set UAIT_CHROMIUM`);
  return await chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
