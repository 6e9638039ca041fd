from __future__ import annotations

import re
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from uait.error.v1 import error_pb2
from uait_kit import CODE_OF_REASON, PassedOn, StatusError, status_of

_PROTO = Path(__file__).parents[3] / "proto/uait/error/v1/error.proto"
_PASSED_ON = {
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "CANCELLED",
    "RESOURCE_EXHAUSTED",
    "NOT_FOUND",
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
}


def unknown(error: Exception) -> None:
    return None


def downstream(code: grpc.StatusCode, message: str, details: bytes = b"") -> grpc.aio.AioRpcError:
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", details)) if details else grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, message)


def info_of(error: StatusError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(error.details()).details[0].Unpack(info)
    return info


def test_map_of_reasons_has_every_reason_with_the_code_that_its_comment_names() -> None:
    commented = re.findall(r"// ([A-Z_]+): [^\n]*\n\s+(REASON_\w+) = \d+;", _PROTO.read_text())
    documented = {error_pb2.Reason.Value(reason): code for code, reason in commented}
    assert set(documented) == set(error_pb2.Reason.values()) - {error_pb2.REASON_UNSPECIFIED}
    assert {reason: code.name for reason, code in CODE_OF_REASON.items()} == documented


def test_status_error_carries_reason_domain_and_metadata() -> None:
    error = StatusError(error_pb2.REASON_RESOURCE_NOT_FOUND, "gone", metadata={"resource": "x", "name": "y"})
    status = status_pb2.Status.FromString(error.details())
    assert (status.code, status.message) == (5, "gone")
    info = info_of(error)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "RESOURCE_NOT_FOUND",
        "uait.dev",
        {"resource": "x", "name": "y"},
    )


def test_status_error_with_a_retry_time_carries_retry_info() -> None:
    error = StatusError(error_pb2.REASON_OVERLOADED, "busy", retry_after_s=0.1)
    retry = error_details_pb2.RetryInfo()
    assert status_pb2.Status.FromString(error.details()).details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 100


def test_error_that_no_map_knows_is_internal_and_says_nothing_of_its_cause() -> None:
    answer = status_of(RuntimeError("password is hunter2"), unknown)
    assert (answer.code, answer.message) == (grpc.StatusCode.INTERNAL, "internal error")
    assert b"hunter2" not in answer.details()


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_failure_of_another_service_is_passed_on_or_internal(code: grpc.StatusCode) -> None:
    answer = status_of(downstream(code, "theirs"), unknown)
    if code.name in _PASSED_ON:
        assert (answer.code, answer.message) == (code, "theirs")
        assert info_of(answer).domain == "uait.dev"
    else:
        assert (answer.code, answer.message) == (grpc.StatusCode.INTERNAL, "internal error")


def test_failure_of_another_service_keeps_its_details() -> None:
    details = StatusError(error_pb2.REASON_QUOTA_EXCEEDED, "theirs", metadata={"quota": "files"}).details()
    answer = status_of(downstream(grpc.StatusCode.RESOURCE_EXHAUSTED, "theirs", details), unknown)
    assert isinstance(answer, PassedOn)
    assert answer.details() == details


def test_failure_of_another_service_with_broken_details_gets_own_ones() -> None:
    answer = status_of(downstream(grpc.StatusCode.NOT_FOUND, "theirs", b"\xff\xff"), unknown)
    assert info_of(answer).reason == "RESOURCE_NOT_FOUND"
