"""A gRPC server with everything that the mesh expects of one: health, reflection, limits, lease, drain."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from uait_kit._consume import Consumer, EventHandler
from uait_kit._dial import MeshChannel, dial
from uait_kit._events import EventLog
from uait_kit._http import HttpServer
from uait_kit._layers import Layers
from uait_kit._lease import Lease, endpoint_of
from uait_kit._load import LoadMeter
from uait_kit._log import log
from uait_kit._methods import Methods, Registrar
from uait_kit._reflection import REFLECTION_SERVICE, add_reflection
from uait_kit._status import ErrorMap
from uait_kit._telemetry import Telemetry

if TYPE_CHECKING:
    from uait_kit._config import KitConfig
    from uait_kit._trace import Span

__all__ = ["AddressInUse", "Kit", "Server", "Service"]

_HEALTH_SERVICE = "grpc.health.v1.Health"
_EVENTS_HEALTH = "events"
_MIN_CLIENT_PING_MS = 10_000
_PING_MS = 30_000
_PING_TIMEOUT_MS = 10_000
_LEASE_END_S = 2.0
_CLOSE_GRACE_S = 1.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class AddressInUse(Exception):
    """A port cannot be bound; the text names the variable, its value and why."""


@dataclass(frozen=True, slots=True)
class Service:
    """One gRPC service to serve.

    Attributes:
        add: The generated `add_…Servicer_to_server`.
        servicer: The handler. Its methods are coroutine functions, and async generators for streams of responses.
        errors: Maps the service's own errors to answers.
        tenantless: Whether calls need no tenant.
    """

    add: Callable[[Any, Any], None]
    servicer: object
    errors: ErrorMap = field(default=lambda error: None)
    tenantless: bool = False


class Kit:
    """What a service of the mesh has before it serves; build the handlers with it, then call `serve`.

    Attributes:
        config: The settings.
        telemetry: Tracer and metrics.
        mesh: Channel to the other services.
        events: The event log.
    """

    def __init__(self, config: KitConfig, *, spans: Callable[[Span], None] | None = None) -> None:
        """Makes the parts; nothing is bound or connected yet.

        Args:
            config: The settings.
            spans: Takes the ended spans instead of the collector; for tests.
        """
        self.config = config
        self.telemetry = Telemetry(config, spans=spans)
        self.mesh: MeshChannel = dial(config, self.telemetry)
        self.events = EventLog(config, self.telemetry)
        self._consumers: list[Consumer] = []

    def consume(self, area: str, handler: EventHandler) -> None:
        """Has the events of an area handled, by a durable consumer named after the service, once it serves."""
        self._consumers.append(
            Consumer(self.events, self.telemetry, area=area, durable=self.config.service, handler=handler)
        )

    async def serve(self, services: Sequence[Service]) -> Server:
        """Binds, serves and joins the balancer's endpoints.

        Raises:
            AddressInUse: A port is taken.
        """
        server = Server(self, services, self._consumers)
        await server.start()
        return server


class Server:
    """A running server; `drain` ends it gracefully.

    Attributes:
        port: The gRPC port taken.
        http_port: The HTTP port taken.
    """

    def __init__(self, kit: Kit, services: Sequence[Service], consumers: Sequence[Consumer]) -> None:
        self._kit = kit
        self._config = kit.config
        self._services = services
        self._consumers = consumers
        self._meter = LoadMeter(limit=self._config.max_inflight)
        kit.telemetry.observe_in_flight(lambda: self._meter.in_flight)
        self._health = health.aio.HealthServicer()
        self._serving = False
        self._http: HttpServer | None = None
        self._lease: Lease | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lease_task: asyncio.Task[None] | None = None
        self.port = 0
        self.http_port = 0

    @property
    def address(self) -> str:
        """host:port on which gRPC is served."""
        return _join(self._config.host, self.port)

    async def start(self) -> None:
        """Binds both ports and serves; for Kit.

        Raises:
            AddressInUse: A port is taken.
        """
        config = self._config
        self._server = grpc.aio.server(options=_server_options(config))
        names = self._add_services()
        self.port = self._bind()
        try:
            self._http = HttpServer(
                config.host, config.http_port, registry=self._kit.telemetry.registry, health=self._healthz
            )
        except OSError as error:
            await self._server.stop(None)
            raise AddressInUse(_refusal("UAIT_HTTP_PORT", config.host, config.http_port, error)) from error
        self.http_port = self._http.port
        await self._server.start()
        for name in names:
            await self._health.set(name, _SERVING)
        await self._tell_events(False)
        self._kit.events.on_change(self._tell_events)
        self._serving = True
        self._spawn(self._meter.run())
        self._spawn(self._kit.telemetry.run())
        self._spawn(self._kit.events.run())
        for consumer in self._consumers:
            self._spawn(consumer.run())
        if config.lease:
            self._lease = Lease(self._kit.mesh, self._meter, endpoint_of(config, self.port))
            self._lease_task = asyncio.get_running_loop().create_task(self._lease.run())
        log("info", "serving", grpc=self.address, http=_join(config.host, self.http_port), services=names)

    async def drain(self) -> None:
        """Ends the server: no new calls after the drain delay, calls in flight ended, telemetry flushed."""
        config = self._config
        log("info", "draining", in_flight=self._meter.in_flight)
        self._serving = False
        await self._health.enter_graceful_shutdown()
        if self._lease is not None:
            self._lease.withdraw()
        await asyncio.sleep(config.drain_delay_s)
        await self._server.stop(config.drain_timeout_s)
        await self._end_background()
        await self._kit.events.close()
        await self._kit.mesh.close(_CLOSE_GRACE_S)
        if self._http is not None:
            await asyncio.to_thread(self._http.close)
        await self._kit.telemetry.flush()
        log("info", "drained")

    async def _end_background(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for consumer in self._consumers:
            await consumer.stop(timeout_s=self._config.drain_timeout_s)
        if self._lease_task is not None:
            await asyncio.wait([self._lease_task], timeout=_LEASE_END_S)
            self._lease_task.cancel()

    def _spawn(self, background: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(background)
        task.add_done_callback(_report)
        self._tasks.append(task)

    def _add_services(self) -> list[str]:
        layers = Layers(
            telemetry=self._kit.telemetry, meter=self._meter, max_message_bytes=self._config.max_message_bytes
        )
        methods = Methods()
        names: list[str] = []
        for service in self._services:
            wrap = partial(layers.wrap, errors=service.errors, tenantless=service.tenantless)
            registrar = Registrar(methods, wrap=wrap)
            service.add(service.servicer, registrar)
            names += registrar.names
        # Generated code wants a server, of which it calls what a registrar has.
        unwrapped: Any = Registrar(methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, unwrapped)
        add_reflection(methods, (*names, _HEALTH_SERVICE))
        self._server.add_generic_rpc_handlers((methods,))
        return [*names, _HEALTH_SERVICE, REFLECTION_SERVICE]

    def _bind(self) -> int:
        config = self._config
        address = _join(config.host, config.port)
        try:
            # gRPC tells only that binding failed; the operating system tells why.
            _try_bind(config.host, config.port)
            if config.tls is None:
                return self._server.add_insecure_port(address)
            credentials = grpc.ssl_server_credentials(
                [(config.tls.key, config.tls.certificate)], config.tls.authorities, require_client_auth=True
            )
            return self._server.add_secure_port(address, credentials)
        except OSError as error:
            raise AddressInUse(_refusal("UAIT_PORT", config.host, config.port, error)) from error
        except RuntimeError as error:
            raise AddressInUse(f"UAIT_PORT={config.port}: {address} cannot be bound: {error}") from error

    async def _tell_events(self, up: bool) -> None:
        await self._health.set(_EVENTS_HEALTH, _SERVING if up else _NOT_SERVING)

    def _healthz(self) -> tuple[bool, dict[str, str]]:
        events = self._kit.events
        nats = "off" if not events.enabled else "up" if events.up else "down"
        return self._serving, {"nats": nats}


def _server_options(config: KitConfig) -> tuple[tuple[str, int], ...]:
    return (
        # Otherwise a second process binds the same port and takes every other connection.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_concurrent_streams", config.max_streams),
        ("grpc.keepalive_time_ms", _PING_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_CLIENT_PING_MS),
    )


def _try_bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen()


def _refusal(variable: str, host: str, port: int, error: OSError) -> str:
    why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound: {error.strerror}"
    return f"{variable}={port}: {_join(host, port)} {why}"


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log("error", "background task ended", error=task.exception())
