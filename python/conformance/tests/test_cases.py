from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.cases import fill_in, load_cases, unique_word

_CASES = Path(__file__).parents[3] / "proto/uait/echo/v1/cases.yaml"


def written(folder: Path, cases: str) -> Path:
    path = folder / "cases.yaml"
    path.write_text(f"cases:\n{cases}")
    return path


def test_file_of_the_project_has_only_described_fields_and_names_each_case_once() -> None:
    names = [case["name"] for case in load_cases(_CASES)]
    assert len(names) == len(set(names)) > 30


@pytest.mark.parametrize(
    "case",
    [
        "{name: a, call: Echo, send: [], surprise: 1}",
        "{name: a, call: Echo, send: [], expect: {colour: red}}",
        "{name: a, probe: unheard_of}",
        "{name: a, probe: streams, tries: 3}",
    ],
)
def test_field_that_nobody_described_is_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(ValueError, match=r"^case a: unknown "):
        load_cases(written(tmp_path, f"  - {case}\n"))


def test_only_brings_the_cases_whose_saved_values_it_uses() -> None:
    cases = load_cases(_CASES, only="event_is_handled_once_in_the_same_trace")
    assert [case["name"] for case in cases] == ["event_is_published_once", "event_is_handled_once_in_the_same_trace"]


def test_only_of_an_unknown_case_is_refused() -> None:
    with pytest.raises(ValueError, match="has no case nothing"):
        load_cases(_CASES, only="nothing")


def test_placeholders_are_filled_in_at_any_depth() -> None:
    value = {"a": ["${one}-${two}", {"b": "${one}"}], "n": 1}
    assert fill_in(value, {"one": "1", "two": "2"}) == {"a": ["1-2", {"b": "1"}], "n": 1}


def test_placeholder_that_nobody_saved_is_named() -> None:
    with pytest.raises(ValueError, match=r"no earlier case saved \$\{event\}"):
        fill_in("${event}", {})


def test_unique_word_is_fresh_and_of_the_documented_alphabet() -> None:
    words = {unique_word() for _ in range(100)}
    assert len(words) == 100
    assert all(re.fullmatch("[a-z0-9]{16}", word) for word in words)
