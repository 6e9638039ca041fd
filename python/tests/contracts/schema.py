"""Looks things up in a descriptor set: RPCs, the messages that requests are made of, and the rules on their fields."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from buf.validate import validate_pb2


@dataclass(frozen=True)
class Rpc:
    """A method with its messages."""

    file: FileDescriptorProto
    service: str
    method: MethodDescriptorProto
    request: DescriptorProto
    response: DescriptorProto

    @property
    def name(self) -> str:
        return f"{self.service}/{self.method.name}"

    @property
    def unary(self) -> bool:
        return not self.method.client_streaming and not self.method.server_streaming

    @property
    def reads(self) -> bool:
        return self.method.options.idempotency_level == self.method.options.NO_SIDE_EFFECTS

    @property
    def http(self) -> http_pb2.HttpRule | None:
        options = self.method.options
        return options.Extensions[annotations_pb2.http] if options.HasExtension(annotations_pb2.http) else None


class Schema:
    """Our own contracts, with a look at everything they refer to."""

    def __init__(self, descriptors: FileDescriptorSet) -> None:
        self.files = [f for f in descriptors.file if f.package.startswith("uait.")]
        self.messages: dict[str, DescriptorProto] = {}
        for file in descriptors.file:
            for message in file.message_type:
                self._add(f".{file.package}", message)

    def _add(self, scope: str, message: DescriptorProto) -> None:
        name = f"{scope}.{message.name}"
        self.messages[name] = message
        for nested in message.nested_type:
            self._add(name, nested)

    @cached_property
    def rpcs(self) -> list[Rpc]:
        return [
            Rpc(f, f"{f.package}.{s.name}", m, self.messages[m.input_type], self.messages[m.output_type])
            for f in self.files
            for s in f.service
            for m in s.method
        ]

    @cached_property
    def request_messages(self) -> dict[str, DescriptorProto]:
        """Every message that a caller can send, by its full name: requests and all that they are made of."""
        found: dict[str, DescriptorProto] = {}
        waiting = [r.method.input_type for r in self.rpcs]
        while waiting:
            name = waiting.pop()
            if name in found or not name.startswith(".uait."):
                continue
            found[name] = self.messages[name]
            waiting += [f.type_name for f in found[name].field if f.type == f.TYPE_MESSAGE]
        return found


def fields(message: DescriptorProto) -> dict[str, FieldDescriptorProto]:
    """The message's fields by name."""
    return {f.name: f for f in message.field}


def rules(field: FieldDescriptorProto) -> validate_pb2.FieldRules | None:
    """The field's protovalidate rules, or None."""
    options = field.options
    return options.Extensions[validate_pb2.field] if options.HasExtension(validate_pb2.field) else None


def bindings(rule: http_pb2.HttpRule) -> Iterator[tuple[str, str]]:
    """Each HTTP method and path of a rule."""
    for binding in (rule, *rule.additional_bindings):
        method = binding.WhichOneof("pattern")
        yield method, getattr(binding, method)
