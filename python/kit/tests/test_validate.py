from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from uait.echo.v1 import echo_pb2
from uait.intelligent_load_balancer.v1 import intelligent_load_balancer_pb2 as balancer
from uait_kit import FieldsInvalid, validate


def violations(message: Message) -> list[tuple[str, str]]:
    with pytest.raises(FieldsInvalid) as refused:
        validate(message)
    return [(violation.field, violation.rule) for violation in refused.value.violations]


def test_message_valid_passes() -> None:
    validate(echo_pb2.EchoRequest(message="x", behaviour=echo_pb2.Behaviour(trailers={"x-echo-a": "b"})))


def test_violations_are_all_named_in_the_order_of_the_fields() -> None:
    assert violations(echo_pb2.EchoRequest(message="", call_id="a b")) == [
        ("message", "string.min_len"),
        ("call_id", "string.pattern"),
    ]


def test_violation_in_a_nested_message_has_a_path() -> None:
    behaviour = echo_pb2.Behaviour(delay=Duration(seconds=7200))
    assert [field for field, _ in violations(echo_pb2.EchoRequest(message="x", behaviour=behaviour))] == [
        "behaviour.delay"
    ]


def test_violation_of_a_map_key_quotes_it() -> None:
    behaviour = echo_pb2.Behaviour(trailers={'say "hi"\\': "v"})
    assert violations(echo_pb2.EchoRequest(message="x", behaviour=behaviour)) == [
        ('behaviour.trailers["say \\"hi\\"\\\\"]', "string.pattern")
    ]


def test_violation_in_a_list_has_an_index() -> None:
    assert violations(echo_pb2.RelayRequest(message="x", route=["echo-go", "NO"])) == [("route[1]", "string.pattern")]


def test_violation_of_a_oneof_names_it() -> None:
    assert violations(balancer.RegisterEndpointRequest()) == [("action", "required")]


def test_message_of_the_answer_tells_the_first_violation() -> None:
    with pytest.raises(FieldsInvalid, match=r"^invalid request: message: must be at least 1 character"):
        validate(echo_pb2.EchoRequest())
