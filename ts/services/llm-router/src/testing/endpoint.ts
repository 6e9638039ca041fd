import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as the endpoint got it. */
export interface Seen {
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
  /** Ends when the caller has closed the connection. */
  closed: boolean;
}

/** What the endpoint does with a chat completion. */
export type Completion = (response: ServerResponse, seen: Seen) => void;

/** A real HTTP server that plays an OpenAI-compatible endpoint, well or badly. */
export class Endpoint {
  complete: Completion = (response) => chat(response, [content("hi"), finish("stop"), usage(5, 1)]);
  readonly seen: Seen[] = [];

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Endpoint> {
    const server = createServer((request, response) => {
      if (request.url === "/v1/models") {
        response.writeHead(200, { "content-type": "application/json" }).end('{"object":"list","data":[]}');
        return;
      }
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        const body = JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
        const seen: Seen = { headers: request.headers, body, closed: false };
        response.on("close", () => {
          seen.closed = true;
        });
        endpoint.seen.push(seen);
        endpoint.complete(response, seen);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const endpoint: Endpoint = new Endpoint(server, `http://127.0.0.1:${port}/v1`);
    return endpoint;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export const content = (text: string) => ({ choices: [{ index: 0, delta: { content: text }, finish_reason: null }] });
export const finish = (reason: string) => ({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
export const usage = (prompt: number, completion: number) => ({
  choices: [],
  usage: {
    prompt_tokens: prompt,
    completion_tokens: completion,
    prompt_tokens_details: { cached_tokens: 2 },
  },
});

/** Begins a stream of server-sent events. */
export function begin(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  response.flushHeaders();
}

export function send(response: ServerResponse, ...chunks: readonly object[]): void {
  for (const chunk of chunks) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
}

/** A whole stream. */
export function chat(response: ServerResponse, chunks: readonly object[]): void {
  begin(response);
  send(response, ...chunks);
  response.end("data: [DONE]\n\n");
}

/** An error as OpenAI answers it. */
export function refuse(response: ServerResponse, status: number, headers: Readonly<Record<string, string>> = {}): void {
  const body = JSON.stringify({ error: { message: `status ${status}`, type: "error", param: null, code: null } });
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}
