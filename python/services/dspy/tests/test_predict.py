from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2, status_pb2

from services.dspy.tests.router import TENANT, USAGE, Said, Scene, scene
from uait.dspy.v1 import dspy_pb2
from uait.error.v1 import error_pb2
from uait.types.v1 import generation_pb2
from uait_kit import StatusError
from uait_kit.testing import eventually

_ids = iter(range(1_000_000))


def predict(at: Scene, program: str, *, timeout: float | None = 20, **more: Any) -> Any:
    options = {key: more.pop(key) for key in ("request_id", "model", "sampling", "version") if key in more}
    inputs = struct_pb2.Struct()
    inputs.update(more)
    options.setdefault("request_id", f"p{next(_ids)}")
    request = dspy_pb2.PredictRequest(program=program, inputs=inputs, **options)
    return at.dspy.Predict(request, metadata=TENANT, timeout=timeout)


def outputs(response: dspy_pb2.PredictResponse) -> dict[str, Any]:
    return json_format.MessageToDict(response.outputs)


async def refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    for key, value in error.value.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            info = error_details_pb2.ErrorInfo()
            assert status_pb2.Status.FromString(value).details[0].Unpack(info)
            return error.value.code(), info.reason, dict(info.metadata)
    raise AssertionError("no details")


async def test_answer_is_the_text_of_the_model_asked_plainly() -> None:
    async with scene() as at:
        at.router.model = lambda asked, request: Said("  Paris.\n")
        response = await predict(at, "answer", task="Capital of France?", context="Europe.", model="m1")
        assert outputs(response) == {"answer": "Paris."}
        assert (response.model, response.version, response.usage) == ("m1", 1, USAGE)
        (request,) = at.router.requests
        assert [message.role for message in request.messages] == [
            generation_pb2.ROLE_SYSTEM,
            generation_pb2.ROLE_USER,
        ]
        assert request.messages[1].parts[0].text == "Context: Europe.\nTask: Capital of France?"
        assert not request.HasField("constraint")
        assert at.router.tenants == ["acme"]
        assert request.attribution.agent == "dspy:answer"
        # DSPy's other way to a model: 100 MB, and a network of its own.
        assert "litellm" not in sys.modules


async def test_model_is_the_routers_choice_unless_told() -> None:
    async with scene() as at:
        assert (await predict(at, "answer", task="x")).model == "small"
        assert not at.router.requests[0].HasField("route")


async def test_sampling_of_the_caller_reaches_the_router() -> None:
    async with scene() as at:
        sampling = generation_pb2.Sampling(temperature=0.7, top_k=5, seed=2**63, max_output_tokens=9, stop=["END"])
        await predict(at, "answer", task="x", sampling=sampling)
        assert at.router.requests[0].sampling == sampling


def judge_says(right: float, wrong: float) -> Any:
    """A model that says Yes of everything, of a good answer a little more."""

    def model(asked: str, request: Any) -> Said:
        yes = {"Answer: good": right, "Answer: N/A": wrong}[asked.split("\n")[-2]]
        return Said("Yes", {"Yes": yes, "No": -3.0, " no": -4.0, "Maybe": -2.0})

    return model


async def test_judge_scores_what_the_model_says_beyond_its_taste() -> None:
    async with scene() as at:
        at.router.model = judge_says(-1.0, -1.0)
        assert outputs(await predict(at, "judge", task="t", text="good"))["score"] == pytest.approx(0.5)
        at.router.model = judge_says(-0.5, -1.5)
        response = await predict(at, "judge", task="t", text="good")
        assert outputs(response)["score"] == pytest.approx(1 / (1 + 2.718281828**-1), rel=1e-6)
        assert outputs(response)["explanation"].startswith("The model says Yes with probability 0.899")
        assert response.usage.calls == 2
        assert response.usage.input_tokens == 20
        request = at.router.requests[-1]
        assert request.constraint.regex == "Yes|No"
        assert request.logprobs == 20
        assert request.sampling.temperature == 0
        assert len(request.messages) == 1 + 2 * 4 + 1


async def test_judge_without_probabilities_is_the_verdict_and_says_so() -> None:
    async with scene() as at:
        at.router.model = lambda asked, request: Said("No")
        response = outputs(await predict(at, "judge", task="t", text="x", criteria="short", reference="y"))
        assert response == {"score": 0.0, "explanation": "The model says No; it tells no probabilities."}
        asked = {request.messages[-1].parts[0].text for request in at.router.requests}
        assert asked == {
            f"Task: t\nCriteria: short\nRight answer: y\nAnswer: {text}\nIs the answer right?" for text in ("x", "N/A")
        }


async def test_judge_knows_the_reference_itself_without_a_model() -> None:
    async with scene() as at:
        response = await predict(at, "judge", task="t", text=" The  answer ", reference="the answer")
        assert outputs(response)["score"] == 1
        assert at.router.requests == []
        assert response.usage.calls == 0


async def test_judge_of_no_answer_asks_no_model() -> None:
    async with scene() as at:
        assert outputs(await predict(at, "judge", task="t", text=" \n"))["score"] == 0
        assert at.router.requests == []


async def test_classify_chooses_the_label_that_the_text_speaks_for() -> None:
    async with scene() as at:
        at.router.model = lambda asked, request: (
            Said("spam", {"spam": -0.1, "ham": -2.5}) if "N/A" in asked else Said("spam", {"sp": -0.4, "ham": -1.0})
        )
        response = await predict(at, "classify", text="hello", labels=["spam", "ham"])
        assert outputs(response)["label"] == "ham"
        assert 0.5 < outputs(response)["confidence"] < 1
        assert at.router.requests[0].constraint.regex == "spam|ham"


async def test_classify_of_labels_that_begin_alike_is_the_models_own_choice() -> None:
    async with scene() as at:
        at.router.model = lambda asked, request: Said("a.c", {"a": -0.1, "b": -9.0})
        response = outputs(await predict(at, "classify", text="x", labels=["a.b", "a.c"]))
        assert response == {"label": "a.c", "confidence": 0.5}
        regex = at.router.requests[0].constraint.regex
        assert [bool(re.fullmatch(regex, text)) for text in ("a.b", "a.c", "axb")] == [True, True, False]


async def test_text_that_breaks_its_constraint_is_told_as_the_models_fault() -> None:
    async with scene() as at:
        at.router.model = lambda asked, request: Said("Perhaps")
        code, reason, metadata = await refused(predict(at, "judge", task="t", text="x"))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED")
        assert metadata == {"upstream": "small", "status": "unusable output"}


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({}, "inputs.task"),
        ({"task": ""}, "inputs.task"),
        ({"task": 7}, "inputs.task"),
        ({"task": "x", "topic": "y"}, "inputs.topic"),
        ({"task": "x", "context": ["a"]}, "inputs.context"),
    ],
)
async def test_inputs_that_the_program_does_not_take_are_refused(inputs: dict[str, Any], field: str) -> None:
    async with scene() as at:
        call = predict(at, "answer", **inputs)
        with pytest.raises(grpc.aio.AioRpcError, match=re.escape(f"invalid request: {field}: must be ")):
            await call
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("labels", [["a"], ["a", "a"], ["a", ""], ["a", 1], "ab"])
async def test_labels_must_be_different_texts(labels: Any) -> None:
    async with scene() as at:
        code = await code_of(predict(at, "classify", text="x", labels=labels))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("name", "version"), [("nothing", 0), ("answer", 2)])
async def test_program_that_is_not_there_is_not_found(name: str, version: int) -> None:
    async with scene() as at:
        code, reason, metadata = await refused(predict(at, name, version=version, task="x"))
        assert (code, reason, metadata["resource"]) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", "program")


async def test_error_of_the_router_is_passed_on_as_it_is() -> None:
    async with scene() as at:

        async def spent(asked: str, request: Any) -> Said:
            raise StatusError(error_pb2.REASON_BUDGET_EXHAUSTED, "spent", metadata={"budget": "b", "limit": "9"})

        at.router.model = spent
        for call in (predict(at, "answer", task="x"), predict(at, "judge", task="x", text="y")):
            assert await refused(call) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "BUDGET_EXHAUSTED",
                {"budget": "b", "limit": "9"},
            )


async def test_router_away_is_unavailable() -> None:
    async with scene() as at:
        await at.router_server.drain()
        code, reason, _ = await refused(predict(at, "answer", task="x"))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


async def hang(asked: str, request: Any) -> Said:
    await asyncio.Event().wait()
    raise AssertionError


async def test_deadline_and_cancellation_reach_the_router() -> None:
    async with scene() as at:
        await predict(at, "answer", task="first")  # Imports DSPy.
        at.router.model = hang
        code = await code_of(predict(at, "answer", task="x", timeout=0.3))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert at.router.time_left_s[-1] is not None
        assert at.router.time_left_s[-1] < 0.35  # gRPC rounds a timeout up, by less than a hundredth.
        call = predict(at, "judge", task="x", text="y")
        await eventually(lambda: truth(at.router.at_once == 2))
        call.cancel()
        await eventually(lambda: truth(at.router.at_once == 0))
        assert at.router.stopped >= 2


async def truth(value: bool) -> bool:
    return value


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code()


async def test_predictions_run_at_once_and_do_not_mix() -> None:
    async with scene() as at:
        everybody = asyncio.Event()

        async def together(asked: str, request: Any) -> Said:
            if at.router.at_once == 20:
                everybody.set()
            await everybody.wait()
            return Said(asked.removeprefix("Task: "))

        at.router.model = together
        responses = await asyncio.gather(*(predict(at, "answer", task=str(n)) for n in range(20)))
        assert [outputs(response)["answer"] for response in responses] == [str(n) for n in range(20)]
        assert all(response.usage == USAGE for response in responses)


async def test_repeat_of_a_request_asks_no_model_again() -> None:
    async with scene() as at:
        first = await predict(at, "answer", task="x", request_id="same")
        assert await predict(at, "answer", task="x", request_id="same") == first
        assert len(at.router.requests) == 1
        code, reason, _ = await refused(predict(at, "answer", task="y", request_id="same"))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_programs_are_listed_in_pages_and_told_with_their_prompt() -> None:
    async with scene() as at:
        listed = await at.dspy.ListPrograms(dspy_pb2.ListProgramsRequest(page_size=2), metadata=TENANT)
        assert [program.name for program in listed.programs] == ["answer", "classify"]
        rest = await at.dspy.ListPrograms(
            dspy_pb2.ListProgramsRequest(page_size=2, page_token=listed.next_page_token), metadata=TENANT
        )
        assert [program.name for program in rest.programs] == ["judge"]
        assert rest.next_page_token == ""
        assert rest.programs[0].built_in
        assert rest.programs[0].demonstrations == 4
        wrong = at.dspy.ListPrograms(dspy_pb2.ListProgramsRequest(page_token="x"), metadata=TENANT)
        assert (await refused(wrong))[1] == "PAGE_TOKEN_INVALID"
        prompts = {}
        for name in ("answer", "classify", "judge"):
            got = await at.dspy.GetProgram(dspy_pb2.GetProgramRequest(program=name), metadata=TENANT)
            assert got.program.name == name
            prompts[name] = got.prompt
        assert prompts["answer"].endswith("user: Context: {context}\nTask: {task}")
        assert prompts["classify"].endswith("user: Labels: {labels}\nText: {text}\nLabel?")
        assert "user: Task: What is the capital of Spain?\nAnswer: Rome" in prompts["judge"]


async def test_what_is_not_built_says_so_and_built_in_programs_stay() -> None:
    async with scene() as at:
        request = dspy_pb2.CompileRequest(
            request_id="c",
            program="mine",
            signature=dspy_pb2.Signature(inputs=[dspy_pb2.Field(name="a")], outputs=[dspy_pb2.Field(name="b")]),
            examples=[dspy_pb2.Example(inputs=json_format.ParseDict({"a": "x"}, struct_pb2.Struct()))],
            metric=dspy_pb2.Metric(exact=dspy_pb2.Metric.Exact()),
        )
        stream = at.dspy.Compile(request, metadata=TENANT)
        assert await refused(stream.read()) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "NOT_IMPLEMENTED",
            {"what": "Compile"},
        )
        delete = dspy_pb2.DeleteProgramRequest(request_id="d", program="judge")
        assert (await refused(at.dspy.DeleteProgram(delete, metadata=TENANT)))[1] == "STATE_CONFLICT"
        delete = dspy_pb2.DeleteProgramRequest(request_id="d", program="mine")
        assert (await refused(at.dspy.DeleteProgram(delete, metadata=TENANT)))[1] == "RESOURCE_NOT_FOUND"


def examples(*pairs: tuple[str, str]) -> list[dspy_pb2.Example]:
    made = []
    for task, answer in pairs:
        example = dspy_pb2.Example()
        example.inputs.update({"task": task})
        example.outputs.update({"answer": answer})
        made.append(example)
    return made


async def test_evaluation_scores_each_example_by_equality() -> None:
    async with scene(evaluations_at_once=2) as at:
        at.router.model = lambda asked, request: Said(asked.removeprefix("Task: "))
        given = examples(("a", "A "), ("b", "b"), ("c", "d"), ("d", "x"))
        given[3].inputs.update({"unknown": "input"})
        metric = dspy_pb2.Metric(exact=dspy_pb2.Metric.Exact())
        request = dspy_pb2.EvaluateRequest(request_id="e", program="answer", examples=given, metric=metric)
        response = await at.dspy.Evaluate(request, metadata=TENANT)
        assert [each.WhichOneof("result") for each in response.results] == ["score", "score", "score", "failure"]
        assert [each.score for each in response.results] == [1, 1, 0, 0]
        assert response.results[3].failure.reason == "FIELD_INVALID"
        assert response.score == 0.5
        assert 0 <= response.score_low < 0.5 < response.score_high <= 1
        assert response.usage.calls == 3
        assert at.router.most_at_once <= 2
        assert await at.dspy.Evaluate(request, metadata=TENANT) == response
        assert len(at.router.requests) == 3


async def test_evaluation_by_words_in_common_and_by_the_judge() -> None:
    async with scene() as at:
        at.router.model = lambda asked, request: Said("the red house")
        overlap = dspy_pb2.Metric(overlap=dspy_pb2.Metric.Overlap(output="answer"))
        request = dspy_pb2.EvaluateRequest(
            request_id="o", program="answer", examples=examples(("a", "a red house")), metric=overlap
        )
        response = await at.dspy.Evaluate(request, metadata=TENANT)
        assert response.score == pytest.approx(2 / 3)

        def judged(asked: str, request: Any) -> Said:
            return Said("Yes") if request.constraint.regex else Said("the red house")

        at.router.model = judged
        by_judge = dspy_pb2.Metric(program=dspy_pb2.Metric.ByProgram(program="judge"))
        request = dspy_pb2.EvaluateRequest(
            request_id="j", program="answer", examples=examples(("a", "a blue house")), metric=by_judge
        )
        response = await at.dspy.Evaluate(request, metadata=TENANT)
        assert (response.score, response.usage.calls) == (1, 3)
        asked = [request.messages[-1].parts[0].text for request in at.router.requests[-2:]]
        assert any("Right answer: a blue house\nAnswer: the red house" in text for text in asked)
        by_answer = dspy_pb2.Metric(program=dspy_pb2.Metric.ByProgram(program="answer"))
        request = dspy_pb2.EvaluateRequest(
            request_id="k", program="answer", examples=examples(("a", "b")), metric=by_answer
        )
        assert (await refused(at.dspy.Evaluate(request, metadata=TENANT)))[1] == "VALUE_CONFLICT"


async def test_evaluation_ends_with_the_routers_error_and_goes_on_without_its_caller() -> None:
    async with scene() as at:
        at.router.model = hang
        metric = dspy_pb2.Metric(exact=dspy_pb2.Metric.Exact())
        request = dspy_pb2.EvaluateRequest(
            request_id="g", program="answer", examples=examples(("a", "a"), ("b", "b")), metric=metric
        )
        call = at.dspy.Evaluate(request, metadata=TENANT, timeout=20)
        await eventually(lambda: truth(at.router.at_once == 2))
        assert at.router.time_left_s == [None, None]
        call.cancel()
        joined = at.dspy.Evaluate(request, metadata=TENANT, timeout=0.2)
        assert await code_of(joined) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert at.router.at_once == 2
        assert len(at.router.requests) == 2


async def test_json_schema_of_several_outputs_is_read_whole_or_cut() -> None:
    """The built-in programs have one output of the model each; the adapter is for more."""
    import dspy

    from services.dspy.adapter import ConstrainedAdapter

    signature = dspy.Signature("text: str -> title: str, pages: int, tags: list[str]")
    adapter = ConstrainedAdapter()
    whole = json.dumps({"title": "A", "pages": 3, "tags": ["x"]})
    assert adapter.parse(signature, whole) == {"title": "A", "pages": 3, "tags": ["x"]}
    assert adapter.parse(signature, whole[:-2]) == {"title": "A", "pages": 3, "tags": ["x"]}
    for broken in ("", "nothing", '{"title": "A"', '{"title": "A", "pages": "many", "tags": []}'):
        with pytest.raises(Exception, match=r"(?i)adapter"):
            adapter.parse(signature, broken)
