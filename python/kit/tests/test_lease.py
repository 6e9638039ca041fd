from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from uait.intelligent_load_balancer.v1 import intelligent_load_balancer_pb2 as balancer
from uait_kit import Kit, LoadMeter
from uait_kit._lease import Lease, endpoint_of
from uait_kit.testing import eventually, settings

_METHOD = "RegisterEndpoint"
_SERVICE = "uait.intelligent_load_balancer.v1.BalancerService"


class Balancer:
    """Grants leases of a short ttl and writes down what it hears."""

    def __init__(self) -> None:
        self.registered: list[balancer.Endpoint] = []
        self.renewals = 0
        self.withdrawn = 0
        self.metadata: dict[str, str | bytes] = {}
        self.break_next = False

    async def register_endpoint(
        self, requests: AsyncIterator[balancer.RegisterEndpointRequest], context: Any
    ) -> AsyncIterator[balancer.RegisterEndpointResponse]:
        self.metadata = dict(context.invocation_metadata())
        async for request in requests:
            if request.WhichOneof("action") == "register":
                self.registered.append(request.register)
            else:
                self.renewals += 1
                if self.break_next:
                    self.break_next = False
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
            answer = balancer.RegisterEndpointResponse(state=balancer.ENDPOINT_STATE_HEALTHY)
            answer.ttl.FromMilliseconds(150)
            yield answer
        self.withdrawn += 1

    async def serve(self, port: int = 0) -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        handler = grpc.stream_stream_rpc_method_handler(
            self.register_endpoint,
            request_deserializer=balancer.RegisterEndpointRequest.FromString,
            response_serializer=balancer.RegisterEndpointResponse.SerializeToString,
        )
        server.add_registered_method_handlers(_SERVICE, {_METHOD: handler})
        taken = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        return server, taken


Leased = tuple[Balancer, Lease, asyncio.Task[None], int, grpc.aio.Server]


@pytest.fixture
async def leased() -> AsyncIterator[Leased]:
    told = Balancer()
    server, port = await told.serve()
    config = settings(UAIT_MESH=f"127.0.0.1:{port}", UAIT_INSTANCE="echo-1", UAIT_ZONE="north")
    kit = Kit(config)
    lease = Lease(kit.mesh, LoadMeter(limit=1), endpoint_of(config, 8004))
    task = asyncio.get_running_loop().create_task(lease.run())
    yield told, lease, task, port, server
    lease.withdraw()
    await asyncio.wait_for(task, 5)
    await kit.mesh.close()
    await server.stop(None)


async def test_lease_registers_without_a_tenant_renews_and_is_withdrawn_by_half_closing(leased: Leased) -> None:
    told, lease, task, _, _ = leased

    async def renewed() -> bool:
        return told.renewals >= 3

    await eventually(renewed)
    assert told.registered == [
        balancer.Endpoint(service="echo-test", instance="echo-1", host="127.0.0.1", port=8004, zone="north")
    ]
    assert "x-uait-tenant" not in told.metadata
    lease.withdraw()
    await asyncio.wait_for(task, 5)
    assert told.withdrawn == 1


async def test_lease_that_breaks_is_taken_again(leased: Leased) -> None:
    told, _, _, _, _ = leased
    told.break_next = True

    async def registered_twice() -> bool:
        return len(told.registered) == 2 and told.renewals >= 2

    await eventually(registered_twice)


async def test_lease_outlives_a_balancer_that_is_away(leased: Leased) -> None:
    told, _, _, port, server = leased

    async def registered() -> bool:
        return bool(told.registered)

    await eventually(registered)
    await server.stop(None)
    again, _ = await told.serve(port)

    async def registered_twice() -> bool:
        return len(told.registered) >= 2

    await eventually(registered_twice, within_s=20)
    await again.stop(None)


def test_endpoint_of_a_process_on_every_address_is_the_one_that_faces_the_mesh() -> None:
    assert endpoint_of(settings(UAIT_HOST="0.0.0.0"), 8004).host == "127.0.0.1"
