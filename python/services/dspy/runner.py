"""Runs a program once: a language model of its own, so that runs at the same time share nothing."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.dspy.catalogue import Program, Value, check_inputs
from services.dspy.error import DspyError, DspyErrorKind
from uait.types.v1 import generation_pb2, usage_pb2

__all__ = ["Outcome", "Runner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to.

    Attributes:
        outputs: Value of each output by its name.
        model: The model that answered; empty when none was asked.
        usage: What all its calls used.
    """

    outputs: dict[str, Value]
    model: str
    usage: usage_pb2.Usage


class Runner:
    """Runs programs. DSPy is imported by the first run: it costs a second and 42 MB."""

    def __init__(self, router: Any) -> None:
        """Makes the runner.

        Args:
            router: Stub of LlmRouterService.
        """
        self._router = router

    async def run(
        self,
        program: Program,
        inputs: Mapping[str, object],
        *,
        model: str = "",
        sampling: generation_pb2.Sampling | None = None,
    ) -> Outcome:
        """Runs a program.

        Args:
            program: The program.
            inputs: Value of each input by its name.
            model: The model; empty lets the router choose.
            sampling: Comes before the program's own; without effect where log probabilities are read.

        Raises:
            DspyError: An input is not what the program takes, or the model's text has not the form asked for.
            grpc.aio.AioRpcError: The router failed.
        """
        checked = check_inputs(program, inputs)
        dspy, adapters, engines, modules = await _load()
        engine = engines.AsyncEngine(
            self._router,
            model=model,
            sampling=sampling or generation_pb2.Sampling(),
            agent=f"dspy:{program.name}",
        )
        # Retries are the router's, and a cache would have to know what the router knows. The name is never sent.
        lm = dspy.LM("llm-router", cache=False, num_retries=0, engine=engines.SyncEngine(), async_engine=engine)
        with dspy.context(lm=lm, adapter=adapters.ConstrainedAdapter(), disable_history=True, track_usage=False):
            try:
                prediction = await modules.module_of(program).acall(**checked)
            except Exception as error:
                raise self._cause(error, engine) from error
        outputs = {each.name: prediction[each.name] for each in program.outputs}
        return Outcome(outputs=outputs, model=engine.model, usage=engine.usage)

    async def prompt(self, program: Program) -> str:
        """Returns what the program's model is sent, with placeholders for the inputs."""
        _, _, _, modules = await _load()
        return str(modules.prompt_of(program))

    def _cause(self, error: Exception, engine: Any) -> Exception:
        failure: Exception | None = engine.failure
        if failure is not None:
            return failure
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if type(error).__name__ == "AdapterParseError":
            return DspyError(DspyErrorKind.OUTPUT_UNUSABLE, engine.model)
        return error


async def _load() -> tuple[Any, ...]:
    """Imports DSPy and what is built on it, the first time in a thread: it takes about a second."""
    names = ("dspy", "services.dspy.adapter", "services.dspy.engine", "services.dspy.modules")
    return await asyncio.to_thread(lambda: tuple(map(importlib.import_module, names)))
