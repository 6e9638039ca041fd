/** A page in a real browser calls a server stream over gRPC-web, through Envoy's edge. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChromium } from "../browser/chromium.js";
import { servePage } from "../browser/serve-page.js";
import { Mesh } from "./mesh.js";

const COUNT = 8;

let mesh: Mesh;
let browser: Browser;
let page: Awaited<ReturnType<typeof servePage>>;

beforeAll(async () => {
  [mesh, browser, page] = await Promise.all([Mesh.open(), startChromium(), servePage("echo-page")]);
});

afterAll(async () => {
  await browser?.close();
  await page?.close();
});

const open = async (key: string) => {
  const tab = await browser.newPage();
  const query = new URLSearchParams({ edge: `http://${mesh.edge}`, key, count: String(COUNT) });
  await tab.goto(`${page.origin}/?${query}`);
  return tab;
};

test("page_shows_each_message_of_the_stream_as_it_arrives", async () => {
  const tab = await open(mesh.key);
  await tab.waitForFunction(() => document.querySelector("output")?.textContent !== "under way", undefined, {
    timeout: 20_000,
  });
  expect(await tab.textContent("output")).toBe("complete");
  const items = await tab.$$eval("li", (found) =>
    found.map((item) => ({ text: item.textContent, at: Number(item.dataset["at"]) })),
  );
  expect(items).toHaveLength(COUNT);
  expect(items[0]?.text).toMatch(/^0: hello from a browser, says echo-\w+ to dev$/);
  // Sent 50 ms apart: had Envoy or the browser held them back, all would have arrived at once.
  expect((items.at(-1)?.at ?? 0) - (items[0]?.at ?? 0)).toBeGreaterThan(200);
  const screenshot = process.env["UAIT_SCREENSHOT"];
  if (screenshot !== undefined) await tab.screenshot({ path: screenshot });
  await tab.close();
});

test("page_with_a_wrong_key_is_told_why", async () => {
  const tab = await open("not.a.key");
  await tab.waitForFunction(() => document.querySelector("output")?.textContent !== "under way", undefined, {
    timeout: 20_000,
  });
  expect(await tab.textContent("output")).toContain("UNAUTHENTICATED");
  await tab.close();
});
