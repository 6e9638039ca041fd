"""The service with a router of the test's own in front of it, over the real contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from services.dspy.__main__ import build
from services.dspy.config import DspyConfig
from uait.dspy.v1.dspy_pb2_grpc import DspyServiceStub
from uait.llm_router.v1 import llm_router_pb2
from uait.llm_router.v1.llm_router_pb2_grpc import LlmRouterServiceServicer, add_LlmRouterServiceServicer_to_server
from uait.types.v1 import generation_pb2, usage_pb2
from uait_kit import Kit, Server, Service, current_call
from uait_kit.testing import settings

TENANT = (("x-uait-tenant", "acme"),)
USAGE = usage_pb2.Usage(input_tokens=10, cached_input_tokens=4, output_tokens=2, calls=1, cost_micro_usd=3)


@dataclass(frozen=True)
class Said:
    """What a model says, with the log probabilities of the first token."""

    text: str
    first: Mapping[str, float] = field(default_factory=dict)
    finish: generation_pb2.FinishReason = generation_pb2.FINISH_REASON_STOP


Model = Callable[[str, llm_router_pb2.GenerateRequest], Awaitable[Said] | Said]


class FakeRouter(LlmRouterServiceServicer):
    """A router whose model is a function of what is asked last."""

    def __init__(self) -> None:
        self.model: Model = lambda asked, request: Said("ok")
        self.requests: list[llm_router_pb2.GenerateRequest] = []
        self.tenants: list[str] = []
        self.time_left_s: list[float | None] = []
        self.at_once = 0
        self.most_at_once = 0
        self.stopped = 0

    async def Generate(
        self, request: llm_router_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[llm_router_pb2.GenerateResponse]:
        self.requests.append(request)
        self.tenants.append(current_call().identity.tenant)
        self.time_left_s.append(current_call().time_left_s)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            said = self.model(request.messages[-1].parts[0].text, request)
            if isinstance(said, Awaitable):
                said = await said
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.at_once -= 1
        yield _answer(routed=llm_router_pb2.GenerateResponse.Routed(model=request.route.model or "small", attempt=1))
        half = len(said.text) // 2
        logprobs = [_token(said.first)] if request.logprobs and said.first else []
        yield _answer(delta=generation_pb2.TextDelta(text=said.text[:half], tokens=1, logprobs=logprobs))
        yield _answer(delta=generation_pb2.TextDelta(text=said.text[half:], tokens=1))
        yield _answer(end=generation_pb2.GenerationEnd(finish_reason=said.finish, usage=USAGE))


def _answer(**event: Any) -> llm_router_pb2.GenerateResponse:
    return llm_router_pb2.GenerateResponse(**event)


def _token(first: Mapping[str, float]) -> generation_pb2.TokenLogprob:
    alternatives = [
        generation_pb2.TokenLogprob(token=text.encode(), logprob=logprob)
        for text, logprob in sorted(first.items(), key=lambda each: -each[1])
    ]
    chosen = alternatives[0]
    return generation_pb2.TokenLogprob(token=chosen.token, logprob=chosen.logprob, alternatives=alternatives)


@dataclass(frozen=True)
class Scene:
    router: FakeRouter
    router_server: Server
    dspy: Any


@asynccontextmanager
async def scene(*, evaluations_at_once: int = 4) -> AsyncIterator[Scene]:
    """Runs both services and a client."""
    router = FakeRouter()  # type: ignore[abstract]  # a call of the others answers UNIMPLEMENTED
    router_server = await Kit(settings()).serve([Service(add_LlmRouterServiceServicer_to_server, router)])
    config = DspyConfig(kit=settings(UAIT_MESH=router_server.address), evaluations_at_once=evaluations_at_once)
    server = await build(Kit(config.kit), config)
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Scene(router, router_server, DspyServiceStub(channel))
    await server.drain()
    await router_server.drain()
