from __future__ import annotations

import pytest

from services.dspy.error import DspyError, DspyErrorKind, to_status


@pytest.mark.parametrize("kind", DspyErrorKind)
def test_every_kind_of_error_has_an_answer(kind: DspyErrorKind) -> None:
    answer = to_status(DspyError(kind, "judge", "must be a text"))
    assert answer is not None
    assert answer.message
    assert answer.code.name != "INTERNAL"


def test_other_error_is_not_known() -> None:
    assert to_status(RuntimeError("x")) is None
