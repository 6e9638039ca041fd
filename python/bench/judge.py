"""How well the program `judge` tells right answers from wrong ones, and `classify` one label from another.

    python -m bench.judge --target 127.0.0.1:10001 [--model smollm2-135m-instruct]

`--target` is the mesh listener, or a dspy service itself. 60 tasks of four kinds, each with a right and a wrong answer
of the same form; the figures are the share of tasks whose right answer has the higher score (0.5 is chance), the area
under the ROC curve over all answers, and the share of answers on the right side of 0.5. 20 texts are classified.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio

from uait.dspy.v1 import dspy_pb2
from uait.dspy.v1.dspy_pb2_grpc import DspyServiceStub

_TENANT = (("x-uait-tenant", "bench"),)
_SEED = 20261124
_PER_KIND = 15

_FACTS = (
    ("What is the capital of France?", "Paris", "Berlin"),
    ("What is the capital of Japan?", "Tokyo", "Seoul"),
    ("Which planet is closest to the sun?", "Mercury", "Neptune"),
    ("Who wrote Romeo and Juliet?", "William Shakespeare", "Charles Darwin"),
    ("What gas do plants take in?", "Carbon dioxide", "Helium"),
    ("How many legs does a spider have?", "Eight", "Six"),
    ("What is the largest ocean?", "The Pacific Ocean", "The Arctic Ocean"),
    ("What is frozen water called?", "Ice", "Steam"),
    ("Which animal barks?", "A dog", "A fish"),
    ("What do bees make?", "Honey", "Milk"),
    ("What color is the sky on a clear day?", "Blue", "Green"),
    ("In which continent is Egypt?", "Africa", "Australia"),
    ("What is the opposite of hot?", "Cold", "Warm"),
    ("How many days are in a week?", "Seven", "Nine"),
    ("What language is spoken in Brazil?", "Portuguese", "Finnish"),
)
_REVIEWS = (
    ("I love this phone, it works great!", "positive"),
    ("The food was cold and the waiter rude.", "negative"),
    ("Terrible, I want my money back.", "negative"),
    ("Best holiday we ever had.", "positive"),
    ("The movie was boring and far too long.", "negative"),
    ("What a wonderful surprise, thank you!", "positive"),
    ("It broke after one day.", "negative"),
    ("Superb quality and fast delivery.", "positive"),
    ("Never again, a complete waste of time.", "negative"),
    ("The staff were kind and the room was clean.", "positive"),
)
_TOPICS = (
    ("The striker scored twice in the final.", "sports"),
    ("Fry the onions before adding the rice.", "cooking"),
    ("The parliament voted on the new law.", "politics"),
    ("Install the update and restart the computer.", "technology"),
    ("The orchestra played the symphony.", "music"),
    ("The team won the cup on penalties.", "sports"),
    ("The minister resigned on Tuesday.", "politics"),
    ("Bake the bread for forty minutes.", "cooking"),
    ("The new chip is twice as fast.", "technology"),
    ("The singer released her third album.", "music"),
)
_NAMES = ("Anna Keller", "Tom Ford", "Maria Silva", "Jan Novak", "Li Wei")
_CITIES = ("Berlin", "Lisbon", "Prague", "Boston", "Oslo")


@dataclass(frozen=True)
class Pair:
    """A task with a right and a wrong answer."""

    kind: str
    task: str
    right: str
    wrong: str


def pairs() -> list[Pair]:
    """Returns the tasks, 15 of each kind."""
    generator = random.Random(_SEED)
    return [
        *(_arithmetic(generator) for _ in range(_PER_KIND)),
        *(Pair("facts", *fact) for fact in _FACTS),
        *(_extraction(generator, number) for number in range(_PER_KIND)),
        *(_choice("Is this review positive or negative? Review", *each, ("positive", "negative")) for each in _REVIEWS),
        *(_choice("What is the topic of this text? Text", *each, ("sports", "cooking")) for each in _TOPICS[:5]),
    ]


def _arithmetic(generator: random.Random) -> Pair:
    a, b = generator.randint(2, 99), generator.randint(2, 99)
    word, right = generator.choice((("plus", a + b), ("minus", a - b), ("times", a * b)))
    wrong = right + generator.choice((-10, -2, -1, 1, 3, 10))
    return Pair("arithmetic", f"What is {a} {word} {b}?", str(right), str(wrong))


def _extraction(generator: random.Random, number: int) -> Pair:
    name, city = _NAMES[number % 5], generator.choice(_CITIES)
    amount, day = generator.randint(100, 9999), generator.randint(1, 28)
    text = f"Invoice {1000 + number}: {name} from {city} ordered goods for {amount} EUR, to be paid by {day} March."
    match number % 3:
        case 0:
            return Pair("extraction", f"Who ordered the goods? Text: {text}", name, _NAMES[(number + 1) % 5])
        case 1:
            return Pair("extraction", f"How much is the invoice? Text: {text}", str(amount), str(1000 + number))
        case _:
            wrong = _CITIES[(_CITIES.index(city) + 2) % 5]
            return Pair("extraction", f"From which city was the order? Text: {text}", city, wrong)


def _choice(question: str, text: str, right: str, labels: Sequence[str]) -> Pair:
    wrong = next(label for label in labels if label != right)
    return Pair("classification", f"{question}: {text}", right, wrong)


class Bench:
    """Calls of one service."""

    def __init__(self, stub: Any, *, model: str) -> None:
        self._stub = stub
        self._model = model

    async def predict(self, program: str, **inputs: Any) -> Any:
        """Returns the outputs of a program."""
        request = dspy_pb2.PredictRequest(request_id=str(uuid.uuid4()), program=program, model=self._model)
        request.inputs.update(inputs)
        return (await self._stub.Predict(request, metadata=_TENANT, timeout=300)).outputs

    async def judge(self, *, with_reference: bool) -> None:
        """Prints the judge's figures."""
        rows: list[tuple[str, float, float]] = []
        began_s = time.monotonic()
        for pair in pairs():
            # In words of its own, since a text that equals the reference is right without a model.
            more = {"reference": f"It is {pair.right}."} if with_reference else {}
            scores = [
                float((await self.predict("judge", task=pair.task, text=text, **more))["score"])
                for text in (pair.right, pair.wrong)
            ]
            rows.append((pair.kind, scores[0], scores[1]))
        each_ms = (time.monotonic() - began_s) * 1000 / (2 * len(rows))
        right, wrong = [row[1] for row in rows], [row[2] for row in rows]
        won = [_win(a, b) for _, a, b in rows]
        area = sum(_win(a, b) for a in right for b in wrong) / len(right) / len(wrong)
        sided = (sum(a > 0.5 for a in right) + sum(b <= 0.5 for b in wrong)) / (2 * len(rows))
        kinds: dict[str, list[float]] = defaultdict(list)
        for (kind, _, _), each in zip(rows, won, strict=True):
            kinds[kind].append(each)
        by_kind = ", ".join(f"{kind} {sum(each) / len(each):.2f}" for kind, each in kinds.items())
        print(
            f"judge {'with' if with_reference else 'without'} reference: pairs {sum(won) / len(won):.2f} ({by_kind}), "
            f"area {area:.2f}, side of 0.5 {sided:.2f}, {each_ms:.0f} ms each"
        )

    async def classify(self) -> None:
        """Prints how often `classify` is right."""
        for name, texts in (("sentiment", _REVIEWS), ("topic", _TOPICS)):
            labels = sorted({label for _, label in texts})
            hits = [
                (await self.predict("classify", text=text, labels=labels))["label"] == label for text, label in texts
            ]
            print(f"classify {name}, {len(labels)} labels: {sum(hits)} of {len(hits)}")


def _win(right: float, wrong: float) -> float:
    return (right > wrong) + (right == wrong) / 2


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--model", default="")
    arguments = parser.parse_args()
    async with grpc.aio.insecure_channel(arguments.target) as channel:
        bench = Bench(DspyServiceStub(channel), model=arguments.model)
        await bench.judge(with_reference=False)
        await bench.judge(with_reference=True)
        await bench.classify()


if __name__ == "__main__":
    asyncio.run(_main())
