from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from uait.echo.v1 import echo_pb2
from uait.echo.v1.echo_pb2_grpc import EchoServiceStub, add_EchoServiceServicer_to_server
from uait_kit import AddressInUse, Kit, Server, Service
from uait_kit.testing import eventually, settings

from .echo_servicer import TENANT, Echo, calling, serving


async def health_of(channel: grpc.aio.Channel, service: str) -> str:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def get(server: Server, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(fetch)


async def test_health_knows_the_empty_name_each_service_and_events() -> None:
    async with serving(settings()) as (server, _), grpc.aio.insecure_channel(server.address) as channel:
        assert await health_of(channel, "") == "SERVING"
        assert await health_of(channel, "uait.echo.v1.EchoService") == "SERVING"
        assert await health_of(channel, "events") == "NOT_SERVING"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health_of(channel, "nobody")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_v1_lists_the_services_and_describes_itself() -> None:
    async with serving(settings()) as (server, _), grpc.aio.insecure_channel(server.address) as channel:
        reflect: Any = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        reflection_name = "grpc.reflection.v1.ServerReflection"
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="uait.echo.v1.EchoService"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=reflection_name),
        ]
        listed, echo, itself = [answer async for answer in reflect(iter(requests))]
    assert {service.name for service in listed.list_services_response.service} == {
        "uait.echo.v1.EchoService",
        "grpc.health.v1.Health",
        reflection_name,
    }
    assert echo.file_descriptor_response.file_descriptor_proto
    assert itself.file_descriptor_response.file_descriptor_proto


async def test_healthz_and_metrics_are_served_over_http() -> None:
    async with serving(settings()) as (server, echo), calling(server) as stub:
        pending = stub.Echo(echo_pb2.EchoRequest(message="wait"), metadata=TENANT)
        await asyncio.wait_for(echo.arrived.wait(), 5)
        assert "rpc_server_in_flight 1.0" in (await get(server, "/metrics"))[1]
        echo.release.set()
        await pending
        status, body = await get(server, "/healthz")
        assert (status, json.loads(body)) == (200, {"status": "SERVING", "checks": {"nats": "off"}})
        metrics = (await get(server, "/metrics"))[1]
        assert (await get(server, "/else"))[0] == 404
    labels = '{rpc_grpc_status_code="0",rpc_method="Echo",rpc_service="uait.echo.v1.EchoService"}'
    assert f"rpc_server_duration_seconds_count{labels} 1.0" in metrics
    assert "rpc_server_in_flight 0.0" in metrics
    assert "process_resident_memory_bytes" in metrics


async def test_drain_turns_health_takes_calls_and_cuts_off_nothing() -> None:
    kit = Kit(settings(UAIT_DRAIN_DELAY_MS="300"))
    echo = Echo(kit)
    server = await kit.serve([Service(add_EchoServiceServicer_to_server, echo)])
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = EchoServiceStub(channel)
        pending = stub.Echo(echo_pb2.EchoRequest(message="wait"), metadata=TENANT)
        stream = stub.Expand(echo_pb2.ExpandRequest(message="x", count=2), metadata=TENANT)
        assert isinstance(await stream.read(), echo_pb2.ExpandResponse)
        await asyncio.wait_for(echo.arrived.wait(), 5)
        draining = asyncio.get_running_loop().create_task(server.drain())

        async def not_serving() -> bool:
            return await health_of(channel, "") == "NOT_SERVING"

        await eventually(not_serving, within_s=0.5)
        assert json.loads((await get(server, "/healthz"))[1])["status"] == "NOT_SERVING"
        await stub.Echo(echo_pb2.EchoRequest(message="late"), metadata=TENANT)

        async def refused() -> bool:
            try:
                async with grpc.aio.insecure_channel(server.address) as fresh:
                    await EchoServiceStub(fresh).Echo(echo_pb2.EchoRequest(message="too late"), metadata=TENANT)
            except grpc.aio.AioRpcError:
                return True
            return False

        await eventually(refused)
        echo.release.set()
        assert (await pending).message == "wait"
        last = await stream.read()
        assert isinstance(last, echo_pb2.ExpandResponse)
        assert last.index == 1
        assert await stream.read() is grpc.aio.EOF
        await asyncio.wait_for(draining, 10)


async def test_drain_ends_calls_that_outlast_its_timeout() -> None:
    kit = Kit(settings(UAIT_DRAIN_TIMEOUT_MS="100"))
    echo = Echo(kit)
    server = await kit.serve([Service(add_EchoServiceServicer_to_server, echo)])
    async with calling(server) as stub:
        pending = stub.Echo(echo_pb2.EchoRequest(message="wait"), metadata=TENANT)
        await asyncio.wait_for(echo.arrived.wait(), 5)
        await asyncio.wait_for(server.drain(), 10)
        with pytest.raises(grpc.aio.AioRpcError):
            await asyncio.wait_for(pending, 5)


@pytest.mark.parametrize("variable", ["UAIT_PORT", "UAIT_HTTP_PORT"])
async def test_port_in_use_is_refused_by_its_variable(variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        kit = Kit(settings(**{variable: str(port)}))
        with pytest.raises(AddressInUse, match=f"^{variable}={port}: 127.0.0.1:{port} is in use$"):
            await kit.serve([Service(add_EchoServiceServicer_to_server, Echo(kit))])


async def test_port_of_another_grpc_server_is_in_use() -> None:
    """With SO_REUSEPORT, gRPC's default, both would bind and share the connections."""
    async with serving(settings()) as (first, _):
        kit = Kit(settings(UAIT_PORT=str(first.port)))
        with pytest.raises(AddressInUse):
            await kit.serve([Service(add_EchoServiceServicer_to_server, Echo(kit))])


async def test_host_that_is_not_this_machine_s_is_refused_with_the_reason() -> None:
    kit = Kit(settings(UAIT_HOST="192.0.2.1"))
    with pytest.raises(AddressInUse, match="cannot be bound: "):
        await kit.serve([Service(add_EchoServiceServicer_to_server, Echo(kit))])


async def test_ipv6_is_served() -> None:
    async with serving(settings(UAIT_HOST="::1")) as (server, _), calling(server) as stub:
        assert server.address.startswith("[::1]:")
        assert (await stub.Echo(echo_pb2.EchoRequest(message="x"), metadata=TENANT)).message == "x"


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, str]:
    """A self-signed certificate of 127.0.0.1, for both sides."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "this test makes a certificate: install openssl"
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subject = ["-subj", "/CN=echo", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [openssl, *arguments, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    return {"UAIT_TLS_CERT": str(certificate), "UAIT_TLS_KEY": str(key), "UAIT_TLS_CA": str(certificate)}


async def test_mutual_tls_serves_and_dials_and_refuses_who_has_no_certificate(pem: dict[str, str]) -> None:
    tls = settings(**pem).tls
    assert tls is not None
    async with (
        serving(settings(**pem)) as (behind, _),
        serving(settings(UAIT_MESH=behind.address, **pem)) as (server, echo),
    ):
        async with calling(server) as plain:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await plain.Echo(echo_pb2.EchoRequest(message="x"), metadata=TENANT)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        answer = await EchoServiceStub(echo.kit.mesh).Echo(echo_pb2.EchoRequest(message="x"), metadata=TENANT)
        assert answer.message == "x"
        authorities = grpc.ssl_channel_credentials(tls.authorities)
        async with grpc.aio.secure_channel(server.address, authorities) as anonymous:
            with pytest.raises(grpc.aio.AioRpcError):
                await EchoServiceStub(anonymous).Echo(echo_pb2.EchoRequest(message="x"), metadata=TENANT)
