import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { StartError } from "./start-error.js";

/** What a path of the HTTP port answers. */
export interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export type HttpRoute = () => Promise<HttpAnswer>;

/** The HTTP/1 port of a process, for those who scrape and probe. */
export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens for GET on the paths of `routes`. @throws StartError with exit code 69 when the port is taken. */
export async function listenHttp(options: {
  readonly host: string;
  readonly port: number;
  readonly routes: Readonly<Record<string, HttpRoute>>;
}): Promise<HttpServer> {
  const { host, port, routes } = options;
  const server = createServer((request, response) => {
    const route = routes[new URL(request.url ?? "/", "http://localhost").pathname];
    if (request.method !== "GET" || route === undefined) {
      response.writeHead(route === undefined ? 404 : 405, { "content-type": "text/plain" }).end();
      return;
    }
    route().then(
      ({ status, type, body }) => response.writeHead(status, { "content-type": type }).end(body),
      () => response.writeHead(500, { "content-type": "text/plain" }).end(),
    );
  });
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "EADDRINUSE" ? StartError.portInUse("UAIT_HTTP_PORT", host, port) : error);
    });
    server.listen(port, host, () => resolve());
  });
}
