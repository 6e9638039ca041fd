"""The errors of the service and their one map to answers.

Exception
└── EchoError    with its EchoErrorKind
"""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_never

from uait.error.v1 import error_pb2
from uait_kit import StatusError

__all__ = ["EchoError", "EchoErrorKind", "to_status"]


class EchoErrorKind(Enum):
    """What can go wrong in the domain."""

    MISSING = auto()
    """There is no echo of that name."""


class EchoError(Exception):
    """An error of the domain.

    Attributes:
        kind: What went wrong.
        name: The name it went wrong with.
    """

    def __init__(self, kind: EchoErrorKind, name: str) -> None:
        super().__init__(f"{kind.name}: {name}")
        self.kind = kind
        self.name = name


def to_status(error: Exception) -> StatusError | None:
    """Returns the answer to an error of this service, None for any other error."""
    if not isinstance(error, EchoError):
        return None
    match error.kind:
        case EchoErrorKind.MISSING:
            return StatusError(
                error_pb2.REASON_RESOURCE_NOT_FOUND,
                f'no echo named "{error.name}"',
                metadata={"resource": "echo", "name": error.name},
            )
        case _:
            assert_never(error.kind)
