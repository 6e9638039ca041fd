"""The built-in programs as DSPy modules. Importing this imports DSPy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import dspy
from services.dspy.adapter import LOGPROBS_KEY, ConstrainedAdapter
from services.dspy.catalogue import BUILT_IN, Program, Value
from services.dspy.labels import label_logprobs, shares, without_prior

__all__ = ["module_of", "prompt_of"]

# What a label's first token is compared with: the same question about nothing.
_NO_CONTENT = "N/A"
_YES, _NO = "Yes", "No"
_LABEL_TOKENS = 32
_GREEDY: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": _LABEL_TOKENS}


class Answer(dspy.Module):  # type: ignore[misc]  # dspy does not say what it exports
    """Answers a task, in the light of a context."""

    def __init__(self) -> None:
        super().__init__()
        inputs = {"context": (str, _in("Context")), "task": (str, _in("Task"))}
        self.answer = dspy.Predict(_signature("answer", inputs, answer=(str, _out(""))))

    async def aforward(self, **inputs: Value) -> Any:
        """Returns the `answer`."""
        return dspy.Prediction(answer=(await self.answer.acall(**inputs)).answer)


class Judge(dspy.Module):  # type: ignore[misc]  # dspy does not say what it exports
    """Tells how likely an answer is right, by what the model thinks of it more than of no answer at all."""

    def __init__(self) -> None:
        super().__init__()
        inputs = {
            "task": (str, _in("Task")),
            "criteria": (str, _in("Criteria")),
            "reference": (str, _in("Right answer")),
            "text": (str, _in("Answer")),
        }
        question = _out("Is the answer right?")
        signature = _signature("judge", inputs, verdict=(Literal["Yes", "No"], question))
        self.verdict = dspy.Predict(signature, **_GREEDY)
        self.verdict.demos = _demos("judge")

    async def aforward(self, **inputs: Value) -> Any:
        """Returns `score` and `explanation`."""
        if not _plain(inputs["text"]):
            return dspy.Prediction(score=0.0, explanation="There is no answer.")
        if inputs["reference"] and _plain(inputs["text"]) == _plain(inputs["reference"]):
            return dspy.Prediction(score=1.0, explanation="The answer is the reference.")
        verdict, nothing = await _both(
            self.verdict.acall(**inputs), self.verdict.acall(**{**inputs, "text": _NO_CONTENT})
        )
        labels = (_YES, _NO)
        said = label_logprobs(verdict.get(LOGPROBS_KEY) or {}, labels)
        prior = label_logprobs(nothing.get(LOGPROBS_KEY) or {}, labels)
        if said is None or prior is None:
            explanation = f"The model says {verdict.verdict}; it tells no probabilities."
            return dspy.Prediction(score=float(verdict.verdict == _YES), explanation=explanation)
        yes, yes_of_nothing = shares(said)[_YES], shares(prior)[_YES]
        return dspy.Prediction(
            score=shares(without_prior(said, prior))[_YES],
            explanation=f"The model says Yes with probability {yes:.3f}, and {yes_of_nothing:.3f} of no answer.",
        )


class Classify(dspy.Module):  # type: ignore[misc]  # dspy does not say what it exports
    """Chooses one of the caller's labels for a text."""

    async def aforward(self, labels: list[str], text: str) -> Any:
        """Returns `label` and `confidence`."""
        inputs = {"labels": (list[str], _in("Labels")), "text": (str, _in("Text"))}
        signature = _signature("classify", inputs, label=(Literal[tuple(labels)], _out("Label?")))
        predict = dspy.Predict(signature, **_GREEDY)
        predict.demos = _demos("classify")
        chosen, nothing = await _both(
            predict.acall(labels=labels, text=text), predict.acall(labels=labels, text=_NO_CONTENT)
        )
        said = label_logprobs(chosen.get(LOGPROBS_KEY) or {}, labels)
        prior = label_logprobs(nothing.get(LOGPROBS_KEY) or {}, labels)
        if said is None or prior is None or len(set(said.values())) < len(said):
            # Labels that begin alike, or without probabilities: the model's own choice, of which no more is known.
            return dspy.Prediction(label=chosen.label, confidence=1.0 / len(labels))
        fits = shares(without_prior(said, prior))
        label = max(fits, key=fits.__getitem__)
        return dspy.Prediction(label=label, confidence=fits[label])


_MODULES: Mapping[str, type[dspy.Module]] = {"answer": Answer, "judge": Judge, "classify": Classify}


def module_of(program: Program) -> Any:
    """Returns the DSPy module of a built-in program."""
    return _MODULES[program.name]()


def prompt_of(program: Program) -> str:
    """Returns what the program's model is sent, with `{name}` where an input comes."""
    module = module_of(program)
    placeholders = {each.name: f"{{{each.name}}}" for each in program.inputs}
    if isinstance(module, Classify):
        inputs = {"labels": (list[str], _in("Labels")), "text": (str, _in("Text"))}
        signature, demos = _signature("classify", inputs, label=(str, _out("Label?"))), _demos("classify")
    else:
        predict = next(iter(module.predictors()))
        signature, demos = predict.signature, predict.demos
    messages = ConstrainedAdapter().format(signature, demos, placeholders)
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _signature(name: str, inputs: Mapping[str, Any], **outputs: Any) -> Any:
    return dspy.Signature({**inputs, **outputs}, BUILT_IN[name].instructions)


def _demos(name: str) -> list[dict[str, str]]:
    return [dict(demo) for demo in BUILT_IN[name].demonstrations]


def _in(label: str) -> Any:
    return dspy.InputField(desc=label)


def _out(question: str) -> Any:
    return dspy.OutputField(desc=question)


async def _both(first: Any, second: Any) -> tuple[Any, Any]:
    """Returns both results; a failure of one stops the other."""
    async with asyncio.TaskGroup() as group:
        tasks = group.create_task(first), group.create_task(second)
    return tasks[0].result(), tasks[1].result()


def _plain(text: Value) -> str:
    return " ".join(str(text).casefold().split())
