"""How a signature is put to a model that is too small for DSPy's chat formats.

DSPy's own adapters describe a format in words and read the text back; a model of 135 million parameters cannot follow
them. This one asks plainly, one line a field, and leaves the form to constrained decoding:

    one text        no constraint; the text is the value
    one of labels   a regular expression of the labels, with the log probabilities of the first token
    anything else   a JSON Schema of the outputs
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import json_repair
import pydantic

import dspy
from dspy.adapters.utils import parse_value
from dspy.lm15 import Config, Message, Request
from dspy.utils.exceptions import AdapterParseError

__all__ = ["CONSTRAINT_KEY", "LOGPROBS_KEY", "ConstrainedAdapter"]

CONSTRAINT_KEY = "uait_regex"
"""Key of `Config.extensions` with the regular expression that the text must match."""

LOGPROBS_KEY = "first_token"
"""Key of a completion with the log probabilities of its first token, by text."""

_ALTERNATIVES = 20
_TURNS = {"user": Message.user, "assistant": Message.assistant}


class ConstrainedAdapter(dspy.Adapter):  # type: ignore[misc]  # dspy does not say what it exports
    """Asks plainly and constrains the form."""

    def format(
        self, signature: Any, demos: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]
    ) -> list[dict[str, str]]:
        """Returns the conversation: instructions, demonstrations, the question."""
        messages = [{"role": "system", "content": signature.instructions}]
        for demo in demos:
            messages.append({"role": "user", "content": _question(signature, demo)})
            messages.append({"role": "assistant", "content": _answer(signature, demo)})
        messages.append({"role": "user", "content": _question(signature, inputs)})
        return messages

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Returns the outputs that a text holds.

        Raises:
            AdapterParseError: It has not the form, which constrained decoding excludes unless it was cut off.
        """
        (name, annotation), *more = _annotations(signature).items()
        if annotation is str and not more:
            return {name: completion.strip()}
        labels = _labels(signature)
        if labels is not None:
            if completion.strip() in labels:
                return {name: completion.strip()}
            raise _unusable(self, signature, completion)
        # A text that was cut off by a limit is JSON up to there: what is whole of it is kept.
        found = json_repair.loads(completion)
        if not isinstance(found, dict):
            raise _unusable(self, signature, completion)
        try:
            return {name: parse_value(found[name], annotation) for name, annotation in _annotations(signature).items()}
        except (KeyError, ValueError) as error:
            raise _unusable(self, signature, completion) from error

    async def acall(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: Any,
        demos: Sequence[Mapping[str, Any]],
        inputs: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """Asks the model once and returns its outputs."""
        instructions, *turns = self.format(signature, demos, inputs)
        labels = _labels(signature)
        if labels is not None:
            form: dict[str, Any] = {
                "extensions": {CONSTRAINT_KEY: "|".join(re.escape(label) for label in labels)},
                "logprobs": _ALTERNATIVES,
            }
        elif list(_annotations(signature).values()) == [str]:
            form = {}
        else:
            form = {"response_format": {"type": "json_schema", "schema": _schema(signature)}}
        request = Request(
            model=lm.model,
            system=instructions["content"],
            messages=tuple(_TURNS[turn["role"]](turn["content"]) for turn in turns),
            config=Config(**lm_kwargs, **form),
        )
        response = await lm.acall(request=request)
        outputs = self.parse(signature, response.text or "")
        if response.logprobs:
            outputs[LOGPROBS_KEY] = {each.token: each.logprob for each in reversed(response.logprobs[0].top)}
        return [outputs]

    def __call__(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Refuses: inference never holds up the event loop."""
        raise TypeError("programs run by acall")


def _annotations(signature: Any) -> dict[str, Any]:
    return {name: field.annotation for name, field in signature.output_fields.items()}


def _labels(signature: Any) -> tuple[str, ...] | None:
    """Returns the labels of a signature with one output that is one of them."""
    annotations = list(_annotations(signature).values())
    return get_args(annotations[0]) if len(annotations) == 1 and get_origin(annotations[0]) is Literal else None


def _schema(signature: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {name: (annotation, ...) for name, annotation in _annotations(signature).items()}
    model = pydantic.create_model("Outputs", __config__=pydantic.ConfigDict(extra="forbid"), **fields)
    schema: dict[str, Any] = model.model_json_schema()
    return schema


def _question(signature: Any, values: Mapping[str, Any]) -> str:
    """Returns one line an input that is not empty, and what is asked."""
    lines = []
    for name, field in signature.input_fields.items():
        value = values.get(name, "")
        text = ", ".join(value) if isinstance(value, list) else str(value)
        if text:
            lines.append(f"{_description(field)}: {text}")
    lines += [_description(field) for field in signature.output_fields.values() if _description(field)]
    return "\n".join(lines)


def _answer(signature: Any, values: Mapping[str, Any]) -> str:
    names = list(signature.output_fields)
    if len(names) == 1:
        return str(values[names[0]])
    return json.dumps({name: values[name] for name in names}, ensure_ascii=False)


def _description(field: Any) -> str:
    return str(field.json_schema_extra["desc"])


def _unusable(adapter: ConstrainedAdapter, signature: Any, completion: str) -> AdapterParseError:
    return AdapterParseError(adapter_name=type(adapter).__name__, signature=signature, lm_response=completion)
