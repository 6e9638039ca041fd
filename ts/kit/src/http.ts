import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { StartError } from "./start-error.js";

/** What a path of the HTTP port answers. */
export interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export type HttpRoute = () => Promise<HttpAnswer>;

/** Answers the requests for which the kit has no route of its own; must answer each. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** The HTTP/1 port of a process, for those who scrape and probe, and for what a service itself answers there. */
export interface HttpServer {
  readonly port: number;
  /** Takes no more requests for the service's own handler, and returns when none of them is under way. */
  idle(): Promise<void>;
  /** Cuts off the requests under way. */
  cut(): void;
  close(): Promise<void>;
}

// Longer than Envoy keeps an idle connection (30 s): Node's own 5 s would close it under a request that is on its way.
const KEEP_ALIVE_MS = 75_000;

/** Listens for GET on the paths of `routes`. @throws StartError with exit code 69 when the port is taken. */
export async function listenHttp(options: {
  readonly host: string;
  readonly port: number;
  readonly routes: Readonly<Record<string, HttpRoute>>;
  readonly handler?: HttpHandler | undefined;
}): Promise<HttpServer> {
  const { host, port, routes, handler } = options;
  const underWay = new UnderWay();
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (route === undefined && handler !== undefined) {
      if (underWay.add(response)) handler(request, response);
      else response.writeHead(503, { "content-type": "text/plain", connection: "close" }).end();
      return;
    }
    if (request.method !== "GET" || route === undefined) {
      response.writeHead(route === undefined ? 404 : 405, { "content-type": "text/plain" }).end();
      return;
    }
    route().then(
      ({ status, type, body }) => response.writeHead(status, { "content-type": type }).end(body),
      () => response.writeHead(500, { "content-type": "text/plain" }).end(),
    );
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    idle: () => underWay.none(),
    cut: () => server.closeAllConnections(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Answers that have begun and not ended. */
class UnderWay {
  #count = 0;
  #closed = false;
  readonly #waiting: (() => void)[] = [];

  /** Counts an answer. @returns false when none is taken any more */
  add(response: ServerResponse): boolean {
    if (this.#closed) return false;
    this.#count++;
    response.once("close", () => {
      this.#count--;
      if (this.#count === 0) for (const done of this.#waiting.splice(0)) done();
    });
    return true;
  }

  none(): Promise<void> {
    this.#closed = true;
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "EADDRINUSE" ? StartError.portInUse("UAIT_HTTP_PORT", host, port) : error);
    });
    server.listen(port, host, () => resolve());
  });
}
