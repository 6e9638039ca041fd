"""The errors of the service and their one map to answers.

Exception
└── DspyError    with its DspyErrorKind
"""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_never

from uait.error.v1 import error_pb2
from uait_kit import FieldsInvalid, FieldViolation, StatusError

__all__ = ["DspyError", "DspyErrorKind", "to_status"]


class DspyErrorKind(Enum):
    """What can go wrong in the domain."""

    PROGRAM_MISSING = auto()
    """There is no program, or no version of it, of that name."""
    PROGRAM_BUILT_IN = auto()
    """The program comes with the service and stays as it is."""
    INPUT_INVALID = auto()
    """An input is missing, unknown or of another type; the name is its path."""
    METRIC_WITHOUT_SCORE = auto()
    """The program that should score has no output `score`."""
    OUTPUT_UNUSABLE = auto()
    """The model's text cannot be read as the program's outputs; the name is the model's."""
    PAGE_TOKEN_INVALID = auto()
    """The page token is none of this list."""
    NOT_BUILT = auto()
    """The contract has it and this build does not."""


class DspyError(Exception):
    """An error of the domain.

    Attributes:
        kind: What went wrong.
        name: What it went wrong with.
        why: What must be, for an input; else empty.
    """

    def __init__(self, kind: DspyErrorKind, name: str, why: str = "") -> None:
        super().__init__(f"{kind.name}: {name} {why}".rstrip())
        self.kind = kind
        self.name = name
        self.why = why


def to_status(error: Exception) -> StatusError | None:
    """Returns the answer to an error of this service, None for any other error."""
    if not isinstance(error, DspyError):
        return None
    name = error.name
    match error.kind:
        case DspyErrorKind.PROGRAM_MISSING:
            return StatusError(
                error_pb2.REASON_RESOURCE_NOT_FOUND,
                f'no program "{name}"',
                metadata={"resource": "program", "name": name},
            )
        case DspyErrorKind.PROGRAM_BUILT_IN:
            return StatusError(
                error_pb2.REASON_STATE_CONFLICT,
                f'program "{name}" is built in',
                metadata={"resource": "program", "state": "built_in"},
            )
        case DspyErrorKind.INPUT_INVALID:
            return FieldsInvalid([FieldViolation(name, error.why, "program.input")])
        case DspyErrorKind.METRIC_WITHOUT_SCORE:
            return StatusError(
                error_pb2.REASON_VALUE_CONFLICT,
                f'metric: program "{name}" has no output "score"',
                metadata={"field": "metric"},
            )
        case DspyErrorKind.OUTPUT_UNUSABLE:
            return StatusError(
                error_pb2.REASON_UPSTREAM_FAILED,
                f'the text of model "{name}" has not the form that was asked for',
                metadata={"upstream": name, "status": "unusable output"},
            )
        case DspyErrorKind.PAGE_TOKEN_INVALID:
            return StatusError(error_pb2.REASON_PAGE_TOKEN_INVALID, "page_token was not issued for this request")
        case DspyErrorKind.NOT_BUILT:
            return StatusError(error_pb2.REASON_NOT_IMPLEMENTED, error.why, metadata={"what": name})
        case _:
            assert_never(error.kind)
