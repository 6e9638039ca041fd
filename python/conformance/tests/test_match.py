from __future__ import annotations

from typing import Any

import pytest

from conformance.failure import CaseFailed
from conformance.match import require_subset


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"b": "x"}}, {"a": {"b": "x", "c": 1}}),
        (["a"], ["a", "b"]),
        ("~^a", "abc"),
        ("~b", "abc"),
        ("a", "a"),
        (True, True),
    ],
)
def test_subset_that_is_there_passes(expected: Any, came: Any) -> None:
    require_subset("it", expected, came)


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, None),
        ({"a": 1}, {"a": True}),
        (["a", "b"], ["a"]),
        (["a"], "a"),
        ("~^b", "abc"),
        ("~1", 1),
        ("a", "ab"),
    ],
)
def test_subset_that_is_not_there_fails(expected: Any, came: Any) -> None:
    with pytest.raises(CaseFailed, match=r"^it.*: expected .*, came "):
        require_subset("it", expected, came)
