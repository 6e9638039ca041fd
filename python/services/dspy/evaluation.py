"""How outputs are scored, and how sure the mean of the scores is."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["Interval", "bootstrap", "exact", "overlap"]

Interval = tuple[float, float]

_RESAMPLES = 1000
_TAIL = 0.025
_WORD = re.compile(r"\w+")


def exact(outputs: Mapping[str, object], expected: Mapping[str, object]) -> float:
    """Returns 1 if all outputs expected are as expected, texts without regard to case and space, else 0."""
    return float(all(name in outputs and _plain(outputs[name]) == _plain(value) for name, value in expected.items()))


def overlap(output: str, expected: str) -> float:
    """Returns the F1 of the words in common, counted with their repetitions (SQuAD): 0 to 1."""
    said, wanted = (Counter(_WORD.findall(text.casefold())) for text in (output, expected))
    if not said or not wanted:
        return float(said == wanted)
    common = sum((said & wanted).values())
    return 2 * common / (said.total() + wanted.total())


def bootstrap(scores: Sequence[float], *, seed: int) -> Interval:
    """Returns the percentile bootstrap's 95 % interval of the mean (Efron, 1979).

    Args:
        scores: At least one.
        seed: Of the resampling: the same scores have the same interval.
    """
    generator = random.Random(seed)
    means = sorted(sum(generator.choices(scores, k=len(scores))) / len(scores) for _ in range(_RESAMPLES))
    return means[int(_TAIL * _RESAMPLES)], means[int((1 - _TAIL) * _RESAMPLES) - 1]


def _plain(value: object) -> object:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value
