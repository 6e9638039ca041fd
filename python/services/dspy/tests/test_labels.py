from __future__ import annotations

import math

import pytest

from services.dspy.labels import label_logprobs, shares, without_prior


def test_tokens_that_begin_one_label_are_summed_whatever_their_case_and_space() -> None:
    found = label_logprobs({"Yes": math.log(0.4), " yes": math.log(0.1), "N": math.log(0.2), "?": -5.0}, ["Yes", "No"])
    assert found is not None
    assert found["Yes"] == pytest.approx(math.log(0.5))
    assert found["No"] == pytest.approx(math.log(0.2))


def test_label_that_no_token_begins_has_at_most_the_least_reported() -> None:
    assert label_logprobs({"Yes": -0.1, "Maybe": -4.0}, ["Yes", "No"]) == {"Yes": -0.1, "No": -4.0}


@pytest.mark.parametrize("alternatives", [{}, {"Maybe": -1.0}, {"a": -0.1}, {" ": -0.1}])
def test_tokens_that_tell_no_label_from_another_tell_nothing(alternatives: dict[str, float]) -> None:
    assert label_logprobs(alternatives, ["a.b", "a.c"]) is None


def test_share_without_prior_is_half_where_text_and_nothing_are_told_alike() -> None:
    logits = without_prior({"Yes": -0.1, "No": -3.0}, {"Yes": -0.2, "No": -3.1})
    assert shares(logits)["Yes"] == pytest.approx(0.5)
    assert sum(shares({"a": 800.0, "b": -800.0}).values()) == pytest.approx(1)
