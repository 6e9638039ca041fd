"""Answers other than OK: which code and reason, what the caller may read, and what stays in the log.

The exceptions of the kit:

    Exception
    ├── ConfigError         a variable of the environment is outside its range; the process exits with 78
    ├── AddressInUse        a port is taken; the process exits with 69
    └── StatusError         the answer to a call; raised by handlers, sent as code, message and ErrorInfo
        ├── FieldsInvalid   INVALID_ARGUMENT with the violations of each field
        └── PassedOn        the answer of another service, handed to the caller with code, message and details

A service raises errors of its own and gives `serve` the map from them to StatusError. Whatever the map does not know
is answered INTERNAL with the message "internal error"; its text goes to the log only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from uait.error.v1 import error_pb2

__all__ = [
    "CODE_OF_REASON",
    "DETAILS_KEY",
    "DOMAIN",
    "ErrorMap",
    "FieldViolation",
    "FieldsInvalid",
    "PassedOn",
    "StatusError",
    "status_of",
]

DOMAIN = "uait.dev"
DETAILS_KEY = "grpc-status-details-bin"

_Code = grpc.StatusCode

# The comment on each value of uait.error.v1.Reason names this code.
CODE_OF_REASON: Mapping[error_pb2.Reason, grpc.StatusCode] = MappingProxyType(
    {
        error_pb2.REASON_FIELD_INVALID: _Code.INVALID_ARGUMENT,
        error_pb2.REASON_PAGE_TOKEN_INVALID: _Code.INVALID_ARGUMENT,
        error_pb2.REASON_REQUEST_ID_REUSED: _Code.INVALID_ARGUMENT,
        error_pb2.REASON_EXPRESSION_INVALID: _Code.INVALID_ARGUMENT,
        error_pb2.REASON_INPUT_TOO_LONG: _Code.INVALID_ARGUMENT,
        error_pb2.REASON_MEDIA_UNSUPPORTED: _Code.INVALID_ARGUMENT,
        error_pb2.REASON_VALUE_CONFLICT: _Code.INVALID_ARGUMENT,
        error_pb2.REASON_TENANT_MISSING: _Code.UNAUTHENTICATED,
        error_pb2.REASON_KEY_INVALID: _Code.UNAUTHENTICATED,
        error_pb2.REASON_SCOPE_MISSING: _Code.PERMISSION_DENIED,
        error_pb2.REASON_RESOURCE_NOT_FOUND: _Code.NOT_FOUND,
        error_pb2.REASON_RESOURCE_EXISTS: _Code.ALREADY_EXISTS,
        error_pb2.REASON_STATE_CONFLICT: _Code.FAILED_PRECONDITION,
        error_pb2.REASON_ETAG_MISMATCH: _Code.ABORTED,
        error_pb2.REASON_SEQUENCE_EXPIRED: _Code.OUT_OF_RANGE,
        error_pb2.REASON_LEASE_EXPIRED: _Code.FAILED_PRECONDITION,
        error_pb2.REASON_NO_CANDIDATE: _Code.FAILED_PRECONDITION,
        error_pb2.REASON_OVERLOADED: _Code.RESOURCE_EXHAUSTED,
        error_pb2.REASON_BUDGET_EXHAUSTED: _Code.RESOURCE_EXHAUSTED,
        error_pb2.REASON_QUOTA_EXCEEDED: _Code.RESOURCE_EXHAUSTED,
        error_pb2.REASON_MESSAGE_TOO_LARGE: _Code.RESOURCE_EXHAUSTED,
        error_pb2.REASON_DEADLINE_EXCEEDED: _Code.DEADLINE_EXCEEDED,
        error_pb2.REASON_CANCELLED: _Code.CANCELLED,
        error_pb2.REASON_DEPENDENCY_UNAVAILABLE: _Code.UNAVAILABLE,
        error_pb2.REASON_DRAINING: _Code.UNAVAILABLE,
        error_pb2.REASON_MODEL_UNAVAILABLE: _Code.UNAVAILABLE,
        error_pb2.REASON_UPSTREAM_FAILED: _Code.UNAVAILABLE,
        error_pb2.REASON_NOT_IMPLEMENTED: _Code.UNIMPLEMENTED,
        error_pb2.REASON_INTERNAL: _Code.INTERNAL,
        error_pb2.REASON_CHECKSUM_MISMATCH: _Code.DATA_LOSS,
    }
)

# Codes of other services that are handed on, with the reason for answers that bring none (Envoy's own).
_PASSED_ON: Mapping[grpc.StatusCode, error_pb2.Reason] = MappingProxyType(
    {
        _Code.UNAVAILABLE: error_pb2.REASON_DEPENDENCY_UNAVAILABLE,
        _Code.DEADLINE_EXCEEDED: error_pb2.REASON_DEADLINE_EXCEEDED,
        _Code.CANCELLED: error_pb2.REASON_CANCELLED,
        _Code.RESOURCE_EXHAUSTED: error_pb2.REASON_OVERLOADED,
        _Code.NOT_FOUND: error_pb2.REASON_RESOURCE_NOT_FOUND,
        _Code.INVALID_ARGUMENT: error_pb2.REASON_FIELD_INVALID,
        _Code.FAILED_PRECONDITION: error_pb2.REASON_STATE_CONFLICT,
        _Code.UNAUTHENTICATED: error_pb2.REASON_KEY_INVALID,
        _Code.PERMISSION_DENIED: error_pb2.REASON_SCOPE_MISSING,
        _Code.UNIMPLEMENTED: error_pb2.REASON_NOT_IMPLEMENTED,
    }
)


class StatusError(Exception):
    """An answer other than OK.

    Attributes:
        code: gRPC code; follows from the reason.
        reason: Value of `uait.error.v1.Reason`.
        message: For the caller: what was wrong, with the limit of the value.
        metadata: Values for a program; the reason's comment in error.proto names the keys.
    """

    def __init__(
        self,
        reason: error_pb2.Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Makes the answer.

        Args:
            reason: Why; never REASON_UNSPECIFIED.
            message: For the caller.
            metadata: Values for a program.
            retry_after_s: When trying again may succeed, in seconds; sent as `google.rpc.RetryInfo`.
        """
        super().__init__(message)
        self.reason = reason
        self.code = CODE_OF_REASON[reason]
        self.message = message
        self.metadata = dict(metadata or {})
        self._retry_after_s = retry_after_s

    def details(self) -> bytes:
        """Returns the serialised `google.rpc.Status` for the trailer `grpc-status-details-bin`."""
        return _pack(self.code, self.message, [self._error_info(), *self._more_details()])

    def _error_info(self) -> Message:
        return error_details_pb2.ErrorInfo(
            reason=error_pb2.Reason.Name(self.reason).removeprefix("REASON_"), domain=DOMAIN, metadata=self.metadata
        )

    def _more_details(self) -> Sequence[Message]:
        if self._retry_after_s is None:
            return ()
        delay = Duration()
        delay.FromMilliseconds(round(self._retry_after_s * 1000))
        return (error_details_pb2.RetryInfo(retry_delay=delay),)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks its rule.

    Attributes:
        field: Path such as `behaviour.delay`, `route[1]` or `trailers["key"]`.
        description: What the value must be.
        rule: Id of the protovalidate rule, such as `string.min_len`.
    """

    field: str
    description: str
    rule: str


class FieldsInvalid(StatusError):
    """A request breaks the rules of its fields; there is at least one violation."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        super().__init__(error_pb2.REASON_FIELD_INVALID, f"invalid request: {first.field}: {first.description}")
        self.violations = tuple(violations)

    def _more_details(self) -> Sequence[Message]:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field, description=violation.description, reason=violation.rule
            )
            for violation in self.violations
        ]
        return (error_details_pb2.BadRequest(field_violations=violations),)


class PassedOn(StatusError):
    """The answer of another service, as the caller shall see it."""

    def __init__(self, reason: error_pb2.Reason, error: grpc.aio.AioRpcError) -> None:
        super().__init__(reason, error.details() or "", metadata=_dependency(reason))
        self.code = error.code()
        self._received = _received_details(error)

    def details(self) -> bytes:
        """Returns the details as they came, or own ones when none came."""
        return self._received or super().details()


ErrorMap = Callable[[Exception], StatusError | None]
"""Maps a service's errors to answers; None for an error that it does not know."""


def status_of(error: Exception, errors: ErrorMap) -> StatusError:
    """Returns the answer to an error that left a handler.

    Args:
        error: What was raised.
        errors: The service's own map.
    """
    if isinstance(error, StatusError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        reason = _PASSED_ON.get(error.code())
        if reason is not None:
            return PassedOn(reason, error)
    return errors(error) or StatusError(error_pb2.REASON_INTERNAL, "internal error")


def _dependency(reason: error_pb2.Reason) -> Mapping[str, str]:
    return {"dependency": "mesh"} if reason == error_pb2.REASON_DEPENDENCY_UNAVAILABLE else {}


def _received_details(error: grpc.aio.AioRpcError) -> bytes:
    """Returns the details of an answer if they carry an ErrorInfo; nothing otherwise, as own ones are better then."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                return b""
            info = error_details_pb2.ErrorInfo()
            if any(detail.Unpack(info) for detail in status.details):
                return value
    return b""


def _pack(code: grpc.StatusCode, message: str, details: Sequence[Message]) -> bytes:
    packed = []
    for detail in details:
        any_detail = Any()
        any_detail.Pack(detail)
        packed.append(any_detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed).SerializeToString()
