"""DspyService: convert, call, fill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2, status_pb2

from services.dspy.catalogue import BUILT_IN, VERSION, Field, FieldKind, Program, find_program
from services.dspy.error import DspyError, DspyErrorKind, to_status
from services.dspy.evaluation import bootstrap, exact, overlap
from services.dspy.runner import Outcome, Runner
from uait.dspy.v1 import dspy_pb2
from uait.dspy.v1.dspy_pb2_grpc import DspyServiceServicer
from uait.llm_router.v1.llm_router_pb2_grpc import LlmRouterServiceStub
from uait.types.v1 import failure_pb2, usage_pb2
from uait_kit import Idempotency, StatusError, status_of

if TYPE_CHECKING:
    from uait_kit import Kit

__all__ = ["DspyHandler"]

_PAGE_SIZE = 100
_SEED = 0
_KINDS = {
    FieldKind.TEXT: dspy_pb2.FIELD_TYPE_TEXT,
    FieldKind.NUMBER: dspy_pb2.FIELD_TYPE_NUMBER,
    FieldKind.TEXTS: dspy_pb2.FIELD_TYPE_TEXTS,
}
# Failures of the caller, of the mesh or of ours, not of an example: they end an evaluation.
_ENDS_EVALUATION = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
    }
)


class DspyHandler(DspyServiceServicer):
    """Runs the built-in programs."""

    def __init__(self, kit: Kit, *, evaluations_at_once: int) -> None:
        """Makes the handler.

        Args:
            kit: Mesh channel.
            evaluations_at_once: How many examples of one evaluation are under way at a time.
        """
        self._runner = Runner(LlmRouterServiceStub(kit.mesh))
        self._once = Idempotency(errors=to_status)
        self._evaluations_at_once = evaluations_at_once

    async def Predict(self, request: dspy_pb2.PredictRequest, context: Any) -> dspy_pb2.PredictResponse:
        """Runs a program on an input."""

        async def work() -> dspy_pb2.PredictResponse:
            program = find_program(request.program, request.version)
            inputs = json_format.MessageToDict(request.inputs)
            outcome = await self._runner.run(program, inputs, model=request.model, sampling=request.sampling)
            return dspy_pb2.PredictResponse(
                outputs=_struct(outcome.outputs), version=VERSION, model=outcome.model, usage=outcome.usage
            )

        return await self._once.run("Predict", request, work)

    async def Evaluate(self, request: dspy_pb2.EvaluateRequest, context: Any) -> dspy_pb2.EvaluateResponse:
        """Scores a program on examples."""
        return await self._once.run("Evaluate", request, lambda: self._evaluate(request), detached=True)

    async def ListPrograms(self, request: dspy_pb2.ListProgramsRequest, context: Any) -> dspy_pb2.ListProgramsResponse:
        """Lists the programs, by name."""
        names = list(BUILT_IN)
        if request.page_token and request.page_token not in names:
            raise DspyError(DspyErrorKind.PAGE_TOKEN_INVALID, request.page_token)
        start = names.index(request.page_token) + 1 if request.page_token else 0
        end = start + (request.page_size or _PAGE_SIZE)
        page = names[start:end]
        return dspy_pb2.ListProgramsResponse(
            programs=[_program(BUILT_IN[name]) for name in page],
            next_page_token=page[-1] if page and end < len(names) else "",
        )

    async def GetProgram(self, request: dspy_pb2.GetProgramRequest, context: Any) -> dspy_pb2.GetProgramResponse:
        """Returns a program with its prompt."""
        program = find_program(request.program, request.version)
        return dspy_pb2.GetProgramResponse(program=_program(program), prompt=await self._runner.prompt(program))

    async def DeleteProgram(
        self, request: dspy_pb2.DeleteProgramRequest, context: Any
    ) -> dspy_pb2.DeleteProgramResponse:
        """Refuses: the programs that there are come with the service."""
        raise DspyError(DspyErrorKind.PROGRAM_BUILT_IN, find_program(request.program, 0).name)

    async def Compile(self, request: dspy_pb2.CompileRequest, context: Any) -> AsyncIterator[dspy_pb2.CompileResponse]:
        """Refuses."""
        why = "this build runs and evaluates the built-in programs; it compiles none"
        raise DspyError(DspyErrorKind.NOT_BUILT, "Compile", why)
        yield  # Makes it a stream.

    async def _evaluate(self, request: dspy_pb2.EvaluateRequest) -> dspy_pb2.EvaluateResponse:
        program = find_program(request.program, request.version)
        scorer = _Scorer(self._runner, request.metric, model=request.model)
        slots = asyncio.Semaphore(self._evaluations_at_once)

        async def score(example: dspy_pb2.Example) -> _Scored:
            used: list[usage_pb2.Usage] = []
            async with slots:
                try:
                    inputs = json_format.MessageToDict(example.inputs)
                    outcome = await self._runner.run(program, inputs, model=request.model)
                    used.append(outcome.usage)
                    value, more = await scorer.score(example, outcome)
                except Exception as error:
                    status = status_of(error, to_status)
                    if not isinstance(error, DspyError) and status.code in _ENDS_EVALUATION:
                        raise
                    return _Scored(dspy_pb2.EvaluateResponse.Scored(failure=_failure(status)), 0.0, used)
                scored = dspy_pb2.EvaluateResponse.Scored(score=value, outputs=_struct(outcome.outputs))
                return _Scored(scored, value, [*used, more])

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(score(example)) for example in request.examples]
        except* Exception as errors:
            raise _first(errors) from errors
        results = [task.result() for task in tasks]
        scores = [result.score for result in results]
        low, high = bootstrap(scores, seed=_SEED)
        return dspy_pb2.EvaluateResponse(
            score=sum(scores) / len(scores),
            score_low=low,
            score_high=high,
            results=[result.scored for result in results],
            usage=_sum(usage for result in results for usage in result.usages),
        )


@dataclass(frozen=True, slots=True)
class _Scored:
    scored: dspy_pb2.EvaluateResponse.Scored
    score: float
    usages: list[usage_pb2.Usage]


class _Scorer:
    """Scores outputs as a metric says."""

    def __init__(self, runner: Runner, metric: dspy_pb2.Metric, *, model: str) -> None:
        self._runner = runner
        self._metric = metric
        self._model = model
        self._judge: Program | None = None
        if metric.WhichOneof("kind") == "program":
            self._judge = find_program(metric.program.program, 0)
            if "score" not in {field.name for field in self._judge.outputs}:
                raise DspyError(DspyErrorKind.METRIC_WITHOUT_SCORE, self._judge.name)

    async def score(self, example: dspy_pb2.Example, outcome: Outcome) -> tuple[float, usage_pb2.Usage]:
        expected = json_format.MessageToDict(example.outputs)
        nothing = usage_pb2.Usage()
        if self._judge is not None:
            given = {**json_format.MessageToDict(example.inputs), **outcome.outputs}
            inputs = _judged(self._judge, given, expected, outcome)
            judged = await self._runner.run(self._judge, inputs, model=self._model)
            return float(str(judged.outputs["score"])), judged.usage
        if self._metric.WhichOneof("kind") == "overlap":
            name = self._metric.overlap.output
            return overlap(str(outcome.outputs.get(name, "")), str(expected.get(name, ""))), nothing
        return exact(outcome.outputs, expected), nothing


def _judged(
    judge: Program, given: Mapping[str, object], expected: Mapping[str, object], outcome: Outcome
) -> dict[str, object]:
    """Returns the judge's inputs: those of the program under their names, its only output as the text to judge."""
    names = {field.name for field in judge.inputs}
    inputs = {name: value for name, value in given.items() if name in names}
    if "text" in names and "text" not in outcome.outputs and len(outcome.outputs) == 1:
        ((name, value),) = outcome.outputs.items()
        inputs["text"] = value
        if isinstance(expected.get(name), str):
            inputs["reference"] = expected[name]
    return inputs


def _program(program: Program) -> dspy_pb2.Program:
    return dspy_pb2.Program(
        name=program.name,
        version=VERSION,
        signature=dspy_pb2.Signature(
            instructions=program.instructions,
            inputs=map(_field, program.inputs),
            outputs=map(_field, program.outputs),
        ),
        module=dspy_pb2.MODULE_PREDICT,
        demonstrations=len(program.demonstrations),
        built_in=True,
    )


def _field(field: Field) -> dspy_pb2.Field:
    return dspy_pb2.Field(name=field.name, description=field.description, type=_KINDS[field.kind])


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def _sum(usages: Any) -> usage_pb2.Usage:
    total = usage_pb2.Usage()
    for usage in usages:
        for field in usage.DESCRIPTOR.fields:
            setattr(total, field.name, getattr(total, field.name) + getattr(usage, field.name))
    return total


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """Returns the first error; the others are what became of the rest."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _failure(status: StatusError) -> failure_pb2.Failure:
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(status.details()).details:
        if detail.Unpack(info):
            break
    return failure_pb2.Failure(code=status.code.value[0], reason=info.reason, message=status.message)
