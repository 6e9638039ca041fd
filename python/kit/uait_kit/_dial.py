"""Calls to other services: one channel to Envoy's mesh listener, which routes by the name of the gRPC service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Coroutine, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from uait_kit._call import find_call
from uait_kit._log import log
from uait_kit._otlp import attribute
from uait_kit._trace import Span, SpanKind

if TYPE_CHECKING:
    from uait_kit._config import KitConfig
    from uait_kit._telemetry import Telemetry

__all__ = ["MeshChannel", "dial", "feed"]

_KEEPALIVE_MS = 30_000
_KEEPALIVE_TIMEOUT_MS = 10_000


def dial(config: KitConfig, telemetry: Telemetry, *, target: str | None = None) -> MeshChannel:
    """Opens the channel; it connects at the first call and again whenever the connection is lost.

    Args:
        config: Address of the mesh, TLS, default deadline, message limit.
        telemetry: Takes the client spans.
        target: host:port to dial instead of the mesh; for tests.
    """
    options = (
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # The mesh is never behind the proxy that the environment may name.
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
    address = target or config.mesh
    if config.tls is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        credentials = grpc.ssl_channel_credentials(config.tls.authorities, config.tls.key, config.tls.certificate)
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    return MeshChannel(channel, telemetry, deadline_s=config.deadline_s)


class MeshChannel(grpc.aio.Channel):
    """A channel for generated stubs that sends on what the kit knows of the work in hand.

    Each call carries identity and trace context, ends with the caller's deadline (or, for a unary call without one,
    after UAIT_DEADLINE_MS) and is cancelled with the task that made it. A `timeout` of the call itself can only
    shorten that.
    """

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry, *, deadline_s: float) -> None:
        self._channel = channel
        self._telemetry = telemetry
        self._deadline_s = deadline_s

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method; for generated stubs."""
        callable_ = self._channel.unary_unary(method, *args, **kwargs)
        return _Outgoing(callable_, method[1:], self._telemetry, default_s=self._deadline_s)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method; for generated stubs."""
        return _Outgoing(self._channel.unary_stream(method, *args, **kwargs), method[1:], self._telemetry)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method; for generated stubs."""
        callable_ = self._channel.stream_unary(method, *args, **kwargs)
        return _Outgoing(callable_, method[1:], self._telemetry, request_streaming=True)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Returns the callable of a method; for generated stubs."""
        callable_ = self._channel.stream_stream(method, *args, **kwargs)
        return _Outgoing(callable_, method[1:], self._telemetry, request_streaming=True)

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel; calls under way have `grace` seconds."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Returns the state of the connection."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the state differs from `last_observed_state`."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the mesh is connected."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()


class _Outgoing:
    """The callable of one method."""

    def __init__(
        self,
        multicallable: Any,
        name: str,
        telemetry: Telemetry,
        *,
        request_streaming: bool = False,
        default_s: float | None = None,
    ) -> None:
        self._multicallable = multicallable
        self._request_streaming = request_streaming
        self._name = name
        self._telemetry = telemetry
        self._default_s = default_s
        service, _, method = name.rpartition("/")
        self._attributes = [
            attribute("rpc.system", "grpc"),
            attribute("rpc.service", service),
            attribute("rpc.method", method),
        ]
        self._background: set[asyncio.Task[None]] = set()

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        **options: Any,
    ) -> Any:
        served = find_call()
        attributes = self._attributes.copy()
        carried: tuple[tuple[str, str | bytes], ...] = tuple(metadata)
        left_s: float | None = None
        if served is not None:
            left_s = served.time_left_s
            carried += served.identity.metadata()
            if served.identity.tenant:
                attributes.append(attribute("uait.tenant", served.identity.tenant))
        span = self._telemetry.start_span(
            self._name,
            SpanKind.SPAN_KIND_CLIENT,
            parent=None if served is None else served.span,
            attributes=attributes,
        )
        carried += tuple(span.headers().items())
        options |= {"timeout": _shortest(timeout, left_s, self._default_s), "metadata": carried}
        if self._request_streaming:
            call = self._multicallable(None, **options)
            call._cython_call = _EndedByCore(call._cython_call)
            if request is not None:
                self._keep(feed(call, request))
        else:
            call = self._multicallable(request, **options)
        call.add_done_callback(lambda done: self._keep(_end(done, span)))
        return call

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` in the background; the loop itself holds its tasks only weakly."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class _EndedByCore:
    """The inner part of a call that takes requests, whose status is what Core says of its end.

    A write fails when the server has ended the call. grpc.aio then calls the end INTERNAL, in the place of the server's
    status, whether that has come already or is still on its way (grpc/grpc#36066).
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def set_internal_error(self, error: str) -> None:
        """Leaves the status to Core, unless Core did not even take the write and need not end the call."""
        if error.startswith("Failed grpc_call_start_batch"):
            self._inner.set_internal_error(error)


async def feed(call: Any, requests: Iterable[Any] | AsyncIterable[Any]) -> None:
    """Writes `requests` to a call and half-closes it.

    grpc.aio, given the iterator itself, cancels the call when half-closing fails because the server has answered
    already, and the answer is lost.

    Args:
        call: Takes a stream of requests, made without an iterator.
        requests: Cancels the call when it raises.
    """
    try:
        if isinstance(requests, AsyncIterable):
            async for request in requests:
                await call.write(request)
        else:
            for request in requests:
                await call.write(request)
        await call.done_writing()
    except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
        return  # The server has ended the call; whoever reads its answer learns how.
    except Exception as error:
        log("error", "stream of requests failed", error=error)
        call.cancel()


async def _end(call: Any, span: Span) -> None:
    code: grpc.StatusCode = await call.code()
    span.set("rpc.grpc.status_code", code.value[0])
    span.end(failed=code is not grpc.StatusCode.OK)


def _shortest(timeout: float | None, left_s: float | None, default_s: float | None) -> float | None:
    """Returns the time a call has; the default counts only where neither caller nor call set a limit."""
    limits = [limit for limit in (timeout, left_s) if limit is not None]
    return min(limits) if limits else default_s
