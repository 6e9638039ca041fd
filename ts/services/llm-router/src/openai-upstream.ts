import { z } from "zod";
import type { OpenAiConfig } from "./config.js";
import { RouterError, type UpstreamFault } from "./error.js";
import type { Generation, UpstreamEvent } from "./generation.js";
import type { Model } from "./model.js";
import { openAiBody } from "./openai-request.js";
import { MalformedStream, ReportedError, readChatStream } from "./openai-stream.js";
import { Refreshed } from "./refreshed.js";
import type { Caller, Offer, Patience, Upstream } from "./upstream.js";

/** How long what was found of the endpoint's health counts, in milliseconds. */
const PROBE_AGE_MS = 10_000;
const PROBE_TIMEOUT_MS = 2000;
/** Most of an error's body that is read, in bytes. */
const MAX_ERROR_BYTES = 16_384;

const errorBody = z.object({
  error: z.object({ message: z.string().default(""), code: z.union([z.string(), z.number()]).nullish() }),
});

/** An endpoint that speaks OpenAI's `POST /chat/completions`. */
export class OpenAiUpstream implements Upstream {
  readonly name: string;
  readonly patience: Patience;
  readonly #config: OpenAiConfig;
  readonly #now: () => number;
  readonly #available: Refreshed<boolean>;

  constructor(options: { readonly config: OpenAiConfig; readonly now: () => number }) {
    this.#config = options.config;
    this.name = options.config.name;
    this.patience = options.config.patience;
    this.#now = options.now;
    this.#available = new Refreshed({ maxAgeMs: PROBE_AGE_MS, now: options.now });
  }

  // What it offers is a setting, so there is nothing fresher.
  async offer(): Promise<Offer> {
    const available = await this.#available.get(() => this.#answers());
    return { available, models: this.#config.models };
  }

  async *generate(model: Model, generation: Generation, from: Caller): AsyncGenerator<UpstreamEvent> {
    const body = JSON.stringify(openAiBody(model, generation, this.#config.maxTokensField));
    const response = await this.#post(model, body, from.signal);
    if (!response.ok) throw await this.#refusal(model, response);
    const type = response.headers.get("content-type") ?? "";
    if (response.body === null || !type.startsWith("text/event-stream")) {
      await response.body?.cancel();
      throw this.#failed(model, "malformed_stream", { status: response.status, detail: `content-type ${type}` });
    }
    yield { kind: "accepted" };
    try {
      yield* readChatStream(response.body);
    } catch (error) {
      if (from.signal.aborted) throw from.signal.reason;
      throw this.#failed(model, faultOf(error), { detail: String(error) }, error);
    }
  }

  // Whatever it says, it answers; only a server's own faults count as none.
  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.#config.baseUrl}/models`, {
        headers: this.#headers(),
        redirect: "error",
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      });
      await response.body?.cancel();
      return response.status < 500;
    } catch {
      return false;
    }
  }

  // A redirect would carry the key to wherever it points.
  async #post(model: Model, body: string, signal: AbortSignal): Promise<Response> {
    const limit = new AbortController();
    const giveUp = () => limit.abort(signal.reason);
    if (signal.aborted) giveUp();
    signal.addEventListener("abort", giveUp, { once: true });
    const late = this.#failed(model, "first_byte_timeout", {});
    const timer = setTimeout(() => limit.abort(late), this.#config.firstByteMs);
    try {
      return await fetch(`${this.#config.baseUrl}/chat/completions`, {
        method: "POST",
        headers: { ...this.#headers(), "content-type": "application/json", accept: "text/event-stream" },
        body,
        redirect: "error",
        signal: limit.signal,
      });
    } catch (error) {
      if (limit.signal.aborted) throw limit.signal.reason;
      throw this.#failed(model, "unreachable", { detail: String(error) }, error);
    } finally {
      // The listener stays: it is what ends the body when the caller goes. It goes with the call's signal.
      clearTimeout(timer);
    }
  }

  #headers(): Record<string, string> {
    const { key } = this.#config;
    return key === undefined ? {} : { authorization: `Bearer ${key}` };
  }

  async #refusal(model: Model, response: Response): Promise<RouterError> {
    const text = await textOf(response);
    const parsed = errorBody.safeParse(jsonOf(text));
    const { status } = response;
    if (parsed.success && parsed.data.error.code === "context_length_exceeded") {
      return new RouterError({ kind: "input_too_long", model: model.name, tokens: 0, limit: model.contextTokens });
    }
    const detail = parsed.success ? parsed.data.error.message : text.slice(0, 500);
    const retryAfterMs = retryAfter(response.headers.get("retry-after"), this.#now());
    return this.#failed(model, faultOfStatus(status), { status, retryAfterMs, detail });
  }

  #failed(
    model: Model,
    fault: UpstreamFault,
    rest: { status?: number; retryAfterMs?: number | undefined; detail?: string },
    cause?: unknown,
  ): RouterError {
    return new RouterError({ kind: "upstream", upstream: this.name, model: model.name, fault, ...rest }, cause);
  }
}

function faultOfStatus(status: number): UpstreamFault {
  if (status === 401 || status === 403) return "unauthorized";
  if (status === 404) return "model_missing";
  if (status === 429) return "rate_limited";
  return status >= 500 ? "server_error" : "rejected";
}

function faultOf(error: unknown): UpstreamFault {
  if (error instanceof MalformedStream) return "malformed_stream";
  if (error instanceof ReportedError) return "server_error";
  // BrokenStream, or the connection's own end.
  return "broken_stream";
}

async function textOf(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of response.body ?? []) {
      pieces.push(piece);
      size += piece.byteLength;
      if (size > MAX_ERROR_BYTES) break;
    }
  } catch {
    // What came says enough.
  }
  return Buffer.concat(pieces).subarray(0, MAX_ERROR_BYTES).toString("utf8");
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Milliseconds of a `Retry-After` header (RFC 9110, section 10.2.3): seconds, or a date; `undefined` for none. */
export function retryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}(\.\d+)?$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
