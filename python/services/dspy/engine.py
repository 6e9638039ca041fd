"""DSPy's way to a model: llm-router, through the mesh.

One engine serves one run of a program: it sums what the run used and remembers how a call failed, since DSPy wraps
whatever an engine raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dspy.lm15 import Message, Request, Response, TokenLogprob, Usage
from dspy.lm15 import TopLogprob as Alternative
from services.dspy.adapter import CONSTRAINT_KEY
from uait.llm_router.v1 import llm_router_pb2
from uait.types.v1 import generation_pb2, usage_pb2

__all__ = ["AsyncEngine", "SyncEngine"]

_ROLES = {"user": generation_pb2.ROLE_USER, "assistant": generation_pb2.ROLE_ASSISTANT}
_ANY_MODEL = "any"


class SyncEngine:
    """What `dspy.LM` asks for beside the asynchronous engine; a call would hold up the event loop, so it refuses."""

    def complete(self, request: Request) -> Response:
        """Refuses."""
        raise TypeError("programs run by acall")


class AsyncEngine:
    """Completes requests of one run of a program.

    Attributes:
        model: The model that answered last; empty before.
        usage: What all calls of the run used.
        failure: What a call failed with; None while none did.
    """

    def __init__(self, router: Any, *, model: str, sampling: generation_pb2.Sampling, agent: str) -> None:
        """Makes the engine.

        Args:
            router: Stub of LlmRouterService.
            model: The model to ask; empty lets the router choose.
            sampling: The caller's; its fields come before the program's own.
            agent: What the calls are attributed to.
        """
        self._router = router
        self._model = model
        self._sampling = sampling
        self._agent = agent
        self.model = ""
        self.usage = usage_pb2.Usage()
        self.failure: Exception | None = None

    async def complete(self, request: Request) -> Response:
        """Asks the router and returns the whole text."""
        try:
            return await self._complete(request)
        except Exception as error:
            self.failure = error
            raise

    async def _complete(self, request: Request) -> Response:
        text: list[str] = []
        logprobs: list[TokenLogprob] = []
        end = generation_pb2.GenerationEnd()
        call = self._router.Generate(self._to_router(request))
        try:
            async for answer in call:
                match answer.WhichOneof("event"):
                    case "routed":
                        self.model = answer.routed.model
                    case "delta":
                        text.append(answer.delta.text)
                        logprobs += map(_token, answer.delta.logprobs)
                    case "end":
                        end = answer.end
        finally:
            # Whoever stops waiting, by cancellation or an error of ours, stops the model too.
            call.cancel()
        _add(self.usage, end.usage)
        return Response(
            id=None,
            model=self.model or _ANY_MODEL,
            message=Message.assistant("".join(text)),
            finish_reason="length" if end.finish_reason == generation_pb2.FINISH_REASON_LENGTH else "stop",
            usage=Usage(input_tokens=end.usage.input_tokens, output_tokens=end.usage.output_tokens),
            logprobs=tuple(logprobs) or None,
        )

    def _to_router(self, request: Request) -> llm_router_pb2.GenerateRequest:
        config = request.config
        made = llm_router_pb2.GenerateRequest(
            messages=[_message(generation_pb2.ROLE_SYSTEM, _text(request.system))],
            sampling=_sampling(config),
            logprobs=config.logprobs or 0,
            attribution=llm_router_pb2.Attribution(agent=self._agent),
        )
        made.messages.extend(_message(_ROLES[message.role], message.text or "") for message in request.messages)
        if not config.logprobs:
            # Log probabilities are read as the model has them: another temperature would change what they say.
            made.sampling.MergeFrom(self._sampling)
        regex = (config.extensions or {}).get(CONSTRAINT_KEY)
        if regex is not None:
            made.constraint.regex = regex
        elif config.response_format is not None:
            made.constraint.json_schema = json.dumps(config.response_format["schema"])
        if self._model:
            made.route.model = self._model
        return made


def _message(role: generation_pb2.Role, text: str) -> generation_pb2.ChatMessage:
    return generation_pb2.ChatMessage(role=role, parts=[generation_pb2.ChatMessage.Part(text=text)])


def _text(system: Any) -> str:
    return system if isinstance(system, str) else "".join(part.text for part in system or ())


def _sampling(config: Any) -> generation_pb2.Sampling:
    sampling = generation_pb2.Sampling(stop=config.stop)
    if config.max_tokens is not None:
        sampling.max_output_tokens = config.max_tokens
    if config.temperature is not None:
        sampling.temperature = config.temperature
    return sampling


def _token(token: generation_pb2.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(
        token=_spelt(token.token),
        logprob=token.logprob,
        top=tuple(Alternative(token=_spelt(each.token), logprob=each.logprob) for each in token.alternatives),
    )


def _spelt(token: bytes) -> str:
    return token.decode(errors="replace")


def _add(total: usage_pb2.Usage, used: usage_pb2.Usage) -> None:
    for name in _counters(total):
        setattr(total, name, getattr(total, name) + getattr(used, name))


def _counters(usage: usage_pb2.Usage) -> Iterable[str]:
    return (field.name for field in usage.DESCRIPTOR.fields)
