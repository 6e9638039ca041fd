from __future__ import annotations

import pytest

from services.echo.error import EchoError, EchoErrorKind, to_status


@pytest.mark.parametrize("kind", EchoErrorKind)
def test_every_kind_of_error_has_an_answer(kind: EchoErrorKind) -> None:
    answer = to_status(EchoError(kind, "atlantis"))
    assert answer is not None
    assert answer.message
    assert answer.code.name != "INTERNAL"


def test_missing_echo_is_not_found_with_its_name() -> None:
    answer = to_status(EchoError(EchoErrorKind.MISSING, "atlantis"))
    assert answer is not None
    assert (answer.code.name, answer.message) == ("NOT_FOUND", 'no echo named "atlantis"')
    assert answer.metadata == {"resource": "echo", "name": "atlantis"}


def test_other_error_is_not_known() -> None:
    assert to_status(RuntimeError("x")) is None
