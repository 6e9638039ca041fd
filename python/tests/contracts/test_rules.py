"""The rules compile, and refuse and allow what they shall: requests of the main job as examples."""

import importlib
from typing import Any

import protovalidate
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from .schema import Schema

TASK: dict[str, Any] = {"requestId": "r-1", "task": "What is 17 * 23?"}


def message(name: str) -> type[Message]:
    """The generated class of `uait.<package>.v1.<Message>`, whichever of the package's files it is in."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


@pytest.fixture(scope="module", autouse=True)
def stubs(descriptors: FileDescriptorSet) -> None:
    for file in Schema(descriptors).files:
        importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")


def violations(name: str, request: dict[str, Any]) -> list[tuple[str, str]]:
    parsed = json_format.ParseDict(request, message(name)())
    found = protovalidate.collect_violations(parsed)
    return [(path(v), v.proto.rule_id) for v in found]


def path(violation: protovalidate.Violation) -> str:
    text = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        text += ("." if text else "") + element.field_name
        if element.subscript is not None:
            text += f"[{element.subscript.value}]"
    return text


def test_rules_of_every_request_compile(descriptors: FileDescriptorSet) -> None:
    names = [n.removeprefix(".") for n, m in Schema(descriptors).request_messages.items() if not m.options.map_entry]
    assert len(names) > 200
    for name in names:
        protovalidate.collect_violations(message(name)())


@pytest.mark.parametrize(
    ("name", "request_json"),
    [
        ("uait.orchestrator.v1.RunRequest", TASK),
        (
            "uait.orchestrator.v1.RunRequest",
            TASK
            | {
                "budget": {"maxNodes": 16, "maxTokens": "20000", "maxCostMicroUsd": "0", "maxWallTime": "60s"},
                "verifiers": [
                    {"exact": {"expected": ["391"]}},
                    {"regex": {"pattern": "\\b391\\b"}},
                    {"jsonSchema": {"schema": '{"type": "integer"}'}},
                    {"numeric": {"expected": 391, "relativeTolerance": 0.01}, "weight": 2},
                    {"program": {"language": "LANGUAGE_PYTHON", "source": "print(1.0)", "timeout": "1s"}},
                    {"judge": {"criteria": "correct"}},
                    {"agreement": {"minAttempts": 3}},
                ],
                "search": {"parallel": 4, "seed": "7"},
                "sampling": {"temperature": 0, "topP": 0.9, "topK": 40, "seed": "7", "stop": ["\n"]},
                "output": {"jsonSchema": '{"type": "integer"}'},
                "detail": "DETAIL_TOKENS",
                "resumeAfter": "3",
            },
        ),
        (
            "uait.ab_mcts.v1.CreateSearchRequest",
            {
                "requestId": "r-1",
                "spec": {"actions": [{"name": "a"}], "gaussian": {"tauSquared": 0.1}, "budget": {"maxNodes": 100}},
            },
        ),
        (
            "uait.ab_mcts.v1.TellRequest",
            {
                "searchId": "s",
                "outcomes": [
                    {"askId": "a", "scored": {"score": 0.5}},
                    {"askId": "b", "failed": {"code": 14, "reason": "DEPENDENCY_UNAVAILABLE"}},
                ],
            },
        ),
        (
            "uait.ml_inference.v1.GenerateRequest",
            {"prompt": "Once", "constraint": {"grammar": 'root ::= "a"'}, "logprobs": 5},
        ),
        (
            "uait.memory.v1.SearchRequest",
            {
                "query": "invoice",
                "filter": {
                    "all": [
                        {"any": [{"property": "year", "comparison": "COMPARISON_EQUAL", "value": {"integer": "2026"}}]}
                    ]
                },
            },
        ),
        ("uait.file_management.v1.ListRequest", {}),
        ("uait.file_management.v1.ListRequest", {"folder": "/invoices/2026"}),
    ],
)
def test_request_valid_passes(name: str, request_json: dict[str, Any]) -> None:
    assert violations(name, request_json) == []


@pytest.mark.parametrize(
    ("name", "request_json", "expected"),
    [
        ("uait.orchestrator.v1.RunRequest", TASK | {"task": ""}, [("task", "string.min_bytes")]),
        ("uait.orchestrator.v1.RunRequest", TASK | {"task": "x" * 262145}, [("task", "string.max_bytes")]),
        ("uait.orchestrator.v1.RunRequest", TASK | {"requestId": ""}, [("request_id", "string.pattern")]),
        (
            "uait.orchestrator.v1.RunRequest",
            TASK | {"budget": {"maxNodes": -1, "maxWallTime": "-1s"}},
            [("budget.max_nodes", "int32.gte_lte"), ("budget.max_wall_time", "duration.gte_lte")],
        ),
        (
            "uait.orchestrator.v1.RunRequest",
            TASK | {"verifiers": [{}, {"regex": {"pattern": ""}}]},
            [("verifiers[0].kind", "required"), ("verifiers[1].regex.pattern", "string.min_bytes")],
        ),
        (
            "uait.orchestrator.v1.RunRequest",
            TASK | {"verifiers": [{"numeric": {"expected": "NaN"}}]},
            [("verifiers[0].numeric.expected", "double.finite")],
        ),
        ("uait.orchestrator.v1.RunRequest", TASK | {"models": ["a", "a"]}, [("models", "repeated.unique")]),
        ("uait.orchestrator.v1.RunRequest", TASK | {"detail": 99}, [("detail", "enum.defined_only")]),
        (
            "uait.ab_mcts.v1.TellRequest",
            {"searchId": "s", "outcomes": [{"askId": "a", "scored": {"score": 1.5}}, {"askId": "b"}]},
            [("outcomes[0].scored.score", "double.gte_lte"), ("outcomes[1].outcome", "required")],
        ),
        (
            "uait.ml_inference.v1.GenerateRequest",
            {"prompt": "x", "sampling": {"topP": 0}},
            [("sampling.top_p", "double.gt_lte")],
        ),
        ("uait.ab_mcts.v1.ListSearchesRequest", {"pageSize": 1001}, [("page_size", "int32.gte_lte")]),
        ("uait.ab_mcts.v1.ListSearchesRequest", {"pageSize": -1}, [("page_size", "int32.gte_lte")]),
        (
            "uait.memory.v1.PurgeTenantRequest",
            {"requestId": "r", "confirmation": "yes"},
            [("confirmation", "string.const")],
        ),
        ("uait.file_management.v1.ListRequest", {"folder": "invoices"}, [("folder", "string.pattern")]),
        ("uait.file_management.v1.ListRequest", {"folder": "/a\nb"}, [("folder", "string.pattern")]),
    ],
)
def test_request_invalid_names_the_field(
    name: str, request_json: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert violations(name, request_json) == expected
