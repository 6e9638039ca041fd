"""Which handler serves which method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from uait.error.v1 import error_pb2
from uait_kit._status import DETAILS_KEY, StatusError

__all__ = ["Methods", "Registrar", "request_metadata"]

if TYPE_CHECKING:
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Metadata = Sequence[tuple[str, str | bytes]]

_metadata: ContextVar[_Metadata] = ContextVar("uait_request_metadata", default=())


def request_metadata() -> _Metadata:
    """Returns the metadata of the call that this task serves; the context's own would be converted once more."""
    return _metadata.get()


class Methods(grpc.GenericRpcHandler):
    """All methods that the process serves, as one generic handler.

    For each method that is registered with it, grpc.aio waits apart, and at every call it waits for all of them anew:
    with the twelve of an echo service that took a fifth of a call (deploy/decisions/0173).
    """

    def __init__(self) -> None:
        self._handlers: dict[str, _Handler] = {}

    def add(self, service: str, method: str, handler: _Handler) -> None:
        """Adds the handler of one method."""
        self._handlers[f"/{service}/{method}"] = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler:
        """Returns the handler of a call; of a method that nobody serves, one that says so, with a reason."""
        _metadata.set(handler_call_details.invocation_metadata)
        return self._handlers.get(handler_call_details.method) or _unknown(handler_call_details.method)


class Registrar:
    """Stands in for the server while generated code registers a service.

    Attributes:
        names: Full names of the services registered.
    """

    def __init__(self, methods: Methods, *, wrap: Callable[[str, str, _Handler], _Handler] | None = None) -> None:
        """Makes the stand-in.

        Args:
            methods: Takes the handlers.
            wrap: Takes a service, a method and its handler, and returns the handler that shall serve.
        """
        self._methods = methods
        self._wrap = wrap
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Takes nothing: registered methods are the same handlers, and known by name."""

    def add_registered_method_handlers(self, name: str, handlers: Mapping[str, _Handler]) -> None:
        """Takes the handlers of one service."""
        self.names.append(name)
        for method, handler in handlers.items():
            self._methods.add(name, method, handler if self._wrap is None else self._wrap(name, method, handler))


def _unknown(path: str) -> _Handler:
    method = path.removeprefix("/")
    error = StatusError(
        error_pb2.REASON_NOT_IMPLEMENTED, f"no method {method} is served here", metadata={"what": method}
    )

    async def answer(requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(error.code, error.message, ((DETAILS_KEY, error.details()),))

    return grpc.stream_stream_rpc_method_handler(answer)
