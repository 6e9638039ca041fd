/** A page in a real browser streams a Run over gRPC-web, through Envoy's edge. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChromium } from "../browser/chromium.js";
import { servePage } from "../browser/serve-page.js";
import { Mesh } from "../mesh/mesh.js";

const RUN_MS = 45_000;

let mesh: Mesh;
let browser: Browser;
let page: Awaited<ReturnType<typeof servePage>>;

beforeAll(async () => {
  [mesh, browser, page] = await Promise.all([Mesh.open(), startChromium(), servePage("run-page")]);
});

afterAll(async () => {
  await browser?.close();
  await page?.close();
});

test("page_shows_a_run_as_it_grows", async () => {
  const tab = await browser.newPage();
  const query = new URLSearchParams({ edge: `http://${mesh.edge}`, key: mesh.key, task: "Name a colour." });
  await tab.goto(`${page.origin}/?${query}`);
  await tab.waitForFunction(() => document.querySelector("output")?.textContent !== "under way", undefined, {
    timeout: RUN_MS,
  });
  expect(await tab.textContent("output")).toBe("complete");
  const items = await tab.$$eval("li", (found) =>
    found.map((item) => ({ text: item.textContent ?? "", at: Number(item.dataset["at"]) })),
  );
  expect(items[0]?.text).toBe("started");
  expect(items.some(({ text }) => text.startsWith("score "))).toBe(true);
  expect(items.at(-1)?.text).toMatch(/^answer: \S/);
  // A model call lies between the first event and the last: had anybody held them back, all would have arrived at once.
  expect((items.at(-1)?.at ?? 0) - (items[0]?.at ?? 0)).toBeGreaterThan(50);
  const screenshot = process.env["UAIT_SCREENSHOT"];
  if (screenshot !== undefined) await tab.screenshot({ path: screenshot });
  await tab.close();
});
