"""The failure of one case."""

from __future__ import annotations

import json

__all__ = ["CaseFailed"]

_MAX_TEXT = 400


class CaseFailed(Exception):
    """A server did something else than the case expects."""

    @classmethod
    def of(cls, what: str, expected: object, came: object) -> CaseFailed:
        """Returns a failure that tells what was expected and what came."""
        return cls(f"{what}: expected {_text(expected)}, came {_text(came)}")


def _text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
