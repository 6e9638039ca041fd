"""From log probabilities of a first token to how much a model prefers one label to another.

A small model has a taste for some labels whatever it is asked. What it says of a text without content measures that
taste, and the difference is what it says of the text: contextual calibration (Zhao et al., 2021, "Calibrate Before
Use", section 4), here by differences of logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["label_logprobs", "shares", "without_prior"]


def label_logprobs(alternatives: Mapping[str, float], labels: Sequence[str]) -> dict[str, float] | None:
    """Returns the log probability of each label's beginning.

    Args:
        alternatives: The likeliest first tokens with their log probabilities.
        labels: The labels, all different.

    Returns:
        A label that none of the tokens begins has the least log probability reported, which is the most that it can
        have. None when tokens tell no label from the others.
    """
    mass: dict[str, list[float]] = {label: [] for label in labels}
    for token, logprob in alternatives.items():
        begins = [label for label in labels if _begins(token, label)]
        if len(begins) == 1:
            mass[begins[0]].append(logprob)
    if not any(mass.values()):
        return None
    floor = min(alternatives.values())
    return {label: _log_sum(found) if found else floor for label, found in mass.items()}


def without_prior(logprobs: Mapping[str, float], prior: Mapping[str, float] | None) -> dict[str, float]:
    """Returns what is left of each label's log probability without the model's taste for it."""
    return {label: logprob - (prior[label] if prior is not None else 0.0) for label, logprob in logprobs.items()}


def shares(logits: Mapping[str, float]) -> dict[str, float]:
    """Returns the softmax: shares from 0 to 1 that sum to 1."""
    most = max(logits.values())
    weights = {label: math.exp(logit - most) for label, logit in logits.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _begins(token: str, label: str) -> bool:
    start = token.strip().lower()
    return start != "" and label.lower().startswith(start)


def _log_sum(logprobs: Sequence[float]) -> float:
    most = max(logprobs)
    return most + math.log(sum(math.exp(logprob - most) for logprob in logprobs))
