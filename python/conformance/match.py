"""Expectations against what came: subsets, and patterns where a string begins with `~`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from conformance.failure import CaseFailed

__all__ = ["require", "require_subset"]


def require(condition: bool, what: str, expected: object, came: object) -> None:
    """Fails the case unless `condition` holds."""
    if not condition:
        raise CaseFailed.of(what, expected, came)


def require_subset(what: str, expected: Any, came: Any) -> None:
    """Fails the case unless `came` has everything that `expected` has.

    Args:
        what: Where this is, for the failure's text.
        expected: An object matches one with more fields; a list matches item by item, from the start; a string that
            begins with `~` is a regular expression that must match somewhere; anything else must be equal.
        came: proto3 JSON.
    """
    match expected:
        case Mapping():
            require(isinstance(came, Mapping), what, expected, came)
            for key, value in expected.items():
                require(key in came, f"{what}.{key}", value, None)
                require_subset(f"{what}.{key}", value, came[key])
        case str() if expected.startswith("~"):
            require(isinstance(came, str) and re.search(expected[1:], came) is not None, what, expected, came)
        case Sequence() if not isinstance(expected, str):
            require(isinstance(came, list) and len(came) >= len(expected), what, expected, came)
            for index, value in enumerate(expected):
                require_subset(f"{what}[{index}]", value, came[index])
        case _:
            require(type(expected) is type(came) and expected == came, what, expected, came)
