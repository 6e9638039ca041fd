"""Server reflection, version 1 of the protocol.

grpcio-reflection has version v1alpha only; the messages of both are the same, so its servicer answers under the new
name, and the description of that name is made from the old one.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from uait_kit._methods import Methods

__all__ = ["REFLECTION_SERVICE", "add_reflection"]

_PACKAGE = "grpc.reflection.v1"
REFLECTION_SERVICE = f"{_PACKAGE}.ServerReflection"


def add_reflection(methods: Methods, services: Iterable[str]) -> None:
    """Adds the methods that describe `services` and reflection itself."""
    _describe_v1()
    servicer = reflection.aio.ReflectionServicer((*services, REFLECTION_SERVICE))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods.add(REFLECTION_SERVICE, "ServerReflectionInfo", handler)


def _describe_v1() -> None:
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    old = f".{file.package}."
    file.name = file.name.replace("v1alpha", "v1")
    file.package = _PACKAGE
    for message in file.message_type:
        for field in filter(lambda field: field.type_name, message.field):
            field.type_name = field.type_name.replace(old, f".{_PACKAGE}.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(old, f".{_PACKAGE}.")
        method.output_type = method.output_type.replace(old, f".{_PACKAGE}.")
    # Adding the same description again changes nothing.
    descriptor_pool.Default().Add(file)
