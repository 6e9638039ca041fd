"""The file of cases: read, checked for the fields its head describes, and with its placeholders filled in."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Case", "fill_in", "load_cases", "unique_word"]

Case = Mapping[str, Any]
"""One entry of the file."""

_CALL_FIELDS = {"name", "call", "metadata", "send", "fill", "compress", "deadline_ms", "repeat", "save", "expect"}
_EXPECT_FIELDS = {
    "code",
    "responses",
    "count",
    "bytes",
    "message",
    "reason",
    "metadata",
    "violations",
    "hides",
    "trailers",
}
_PROBE_FIELDS = {
    "cancel": {"name", "probe", "tries", "within_ms"},
    "streams": {"name", "probe", "count"},
    "drain": {"name", "probe", "calls", "delay_ms", "within_ms", "gone_ms"},
}
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
_UNIQUE_LENGTH = 16


def load_cases(path: Path, *, only: str | None = None) -> list[Case]:
    """Returns the cases in the file's order.

    Args:
        path: The file.
        only: Name of the one case to return, with those before it whose saved values it uses.

    Raises:
        ValueError: A case has a field that is not described, or there is no case of that name.
    """
    cases: list[Case] = yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]
    for case in cases:
        _check(case)
    if only is None:
        return cases
    chosen = next((case for case in cases if case["name"] == only), None)
    if chosen is None:
        raise ValueError(f"{path} has no case {only}")
    needed = _placeholders(chosen)
    before = cases[: cases.index(chosen)]
    return [case for case in before if needed & set(case.get("save", {}))] + [chosen]


def unique_word() -> str:
    """Returns a fresh word of [a-z0-9]{16}."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(_UNIQUE_LENGTH))


def fill_in(value: Any, names: Mapping[str, str]) -> Any:
    """Returns `value` with each `${name}` in its strings replaced.

    Raises:
        ValueError: A name is not known, because the case that saves it failed.
    """
    if isinstance(value, str):

        def replacement(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in names:
                raise ValueError(f"no earlier case saved ${{{name}}}")
            return names[name]

        return _PLACEHOLDER.sub(replacement, value)
    if isinstance(value, dict):
        return {key: fill_in(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, names) for item in value]
    return value


def _check(case: Case) -> None:
    allowed = _CALL_FIELDS if "call" in case else _PROBE_FIELDS.get(case.get("probe", ""), set())
    unknown = (set(case) - allowed) | (set(case.get("expect", {})) - _EXPECT_FIELDS)
    if unknown:
        raise ValueError(f"case {case.get('name')}: unknown {', '.join(sorted(unknown))}")


def _placeholders(value: Any) -> set[str]:
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return set().union(*(_placeholders(item) for item in items))
