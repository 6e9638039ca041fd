"""The HTTP/1 port: /metrics for Prometheus and /healthz.

The standard library's WSGI server in threads of its own: a scrape is rare and must not wait for the event loop, nor
the event loop for it.
"""

from __future__ import annotations

import json
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from prometheus_client import CollectorRegistry

__all__ = ["Health", "HttpServer"]

_CLIENT_TIMEOUT_S = 10

Health = Callable[[], tuple[bool, dict[str, str]]]
"""Returns whether the service takes calls, and the state of each dependency."""


class HttpServer:
    """Serves from construction until `close`.

    Attributes:
        port: The port taken.
    """

    def __init__(self, host: str, port: int, *, registry: CollectorRegistry, health: Health) -> None:
        """Binds and serves.

        Args:
            host: IP address to listen on.
            port: 0 takes a free one.
            registry: The metrics.
            health: Asked at each /healthz.

        Raises:
            OSError: The port cannot be bound.
        """
        metrics: WSGIApplication = make_wsgi_app(registry)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            if path == "/metrics":
                return metrics(environ, start_response)
            if path == "/healthz":
                serving, checks = health()
                body = json.dumps({"status": "SERVING" if serving else "NOT_SERVING", "checks": checks}).encode()
                status = "200 OK" if serving else "503 Service Unavailable"
                return _reply(start_response, status, "application/json", body)
            return _reply(start_response, "404 Not Found", "text/plain", b"/metrics or /healthz\n")

        server_class = _ServerV6 if ":" in host else _Server
        self._server = make_server(host, port, app, server_class, _Handler)
        self.port: int = self._server.server_port
        self._ending, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._end.close()
        self._thread.join()
        self._server.server_close()
        self._ending.close()

    def _serve(self) -> None:
        # serve_forever looks every half second whether it shall end; this is told.
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._ending, selectors.EVENT_READ)
            while not any(key.fileobj is self._ending for key, _ in selector.select()):
                self._server.handle_request()


def _reply(start_response: StartResponse, status: str, content_type: str, body: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


class _Server(ThreadingWSGIServer):
    daemon_threads = True
    # A connection that has gone again is not waited for.
    timeout = 0

    def server_bind(self) -> None:
        # Not HTTPServer's: that one asks DNS for the name of the address.
        host, port = self.server_address[:2]
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(host), self.server_address[1]
        self.setup_environ()


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Writes no access log: scrapes are not news."""
