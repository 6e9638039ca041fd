/** Programs written against OpenAI's API are answered by the mesh's own model, and by its search. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import OpenAI from "openai";
import { beforeAll, expect, test } from "vitest";
import { askByOpenAiPython } from "../harness/openai-python.js";
import { Mesh } from "../mesh/mesh.js";

const MODEL = "smollm2-135m-instruct";
const SEARCH = "uait-orchestrator";
const INSTALL_MS = 360_000;

const execute = promisify(execFile);
const messages = [{ role: "user" as const, content: "Name three colours." }];

let mesh: Mesh;
let url: string;

beforeAll(async () => {
  mesh = await Mesh.open();
  url = `http://${mesh.edge}/v1`;
});

test("curl_gets_server_sent_events", async () => {
  const body = { model: MODEL, messages, stream: true, max_tokens: 12, temperature: 0 };
  const headers = ["-H", `authorization: Bearer ${mesh.key}`, "-H", "content-type: application/json"];
  const { stdout } = await execute("curl", [
    ...["-sS", "-N", ...headers, "-d", JSON.stringify(body)],
    `${url}/chat/completions`,
  ]);
  const events = stdout.split("\n\n").filter((event) => event.startsWith("data: "));
  expect(events.pop()).toBe("data: [DONE]");
  const chunks = events.map((event) => JSON.parse(event.replace(/^data: /, "")) as OpenAI.ChatCompletionChunk);
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "");
  expect(text.filter((piece) => piece !== "").length).toBeGreaterThan(3);
  expect(chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)).toEqual(["length"]);
});

test.each([MODEL, SEARCH])("npm_package_streams_%s", async (model) => {
  const client = new OpenAI({ baseURL: url, apiKey: mesh.key, maxRetries: 0 });
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(expect.arrayContaining([MODEL, SEARCH]));
  const stream = await client.chat.completions.create({
    ...{ model, messages, stream: true, max_tokens: 12 },
    ...(model === SEARCH ? { reasoning_effort: "low" } : {}),
  });
  const pieces: string[] = [];
  let finish: string | null | undefined;
  for await (const { choices } of stream) {
    pieces.push(choices[0]?.delta.content ?? "");
    finish = choices[0]?.finish_reason ?? finish;
  }
  expect(pieces.join("").trim()).not.toBe("");
  expect(["stop", "length"]).toContain(finish);
});

test(
  "pypi_package_streams_and_is_refused_without_a_key",
  async () => {
    const told = await askByOpenAiPython(url, MODEL, mesh.key);
    expect(told["models"]).toEqual(expect.arrayContaining([MODEL, SEARCH]));
    expect(told.whole.trim()).toMatch(/^\{/);
    expect(told.streamed.trim()).not.toBe("");
    expect(told.orchestrated.trim()).not.toBe("");
    expect(told["total"]).toBeGreaterThan(9);
    expect(told["stream_total"]).toBeGreaterThan(9);
    expect(told["refusal"]).toMatchObject({ class: "AuthenticationError", status: 401 });
  },
  INSTALL_MS,
);
