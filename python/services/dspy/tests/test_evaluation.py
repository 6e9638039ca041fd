from __future__ import annotations

import pytest

from services.dspy.evaluation import bootstrap, exact, overlap


@pytest.mark.parametrize(
    ("outputs", "expected", "score"),
    [
        ({"a": " The  End"}, {"a": "the end"}, 1),
        ({"a": "x", "b": 1.0}, {"a": "x"}, 1),
        ({"a": "x"}, {"a": "x", "b": 1.0}, 0),
        ({"a": "x"}, {"a": "y"}, 0),
        ({"a": "x"}, {}, 1),
    ],
)
def test_exact_compares_what_is_expected(outputs: dict[str, object], expected: dict[str, object], score: float) -> None:
    assert exact(outputs, expected) == score


@pytest.mark.parametrize(
    ("output", "expected", "score"),
    [("a b c", "A, c!", 0.8), ("a a", "a", 2 / 3), ("", "", 1), ("", "a", 0), ("b", "a", 0)],
)
def test_overlap_is_the_f1_of_words(output: str, expected: str, score: float) -> None:
    assert overlap(output, expected) == pytest.approx(score)


def test_bootstrap_holds_the_mean_and_is_narrow_where_scores_agree() -> None:
    assert bootstrap([1.0, 1.0, 1.0], seed=1) == (1, 1)
    low, high = bootstrap([0.0, 1.0] * 50, seed=1)
    assert 0.35 < low < 0.5 < high < 0.65
    assert bootstrap([0.0, 1.0] * 50, seed=1) == (low, high)
