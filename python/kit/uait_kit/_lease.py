"""The lease: this process's place among the endpoints of its service, kept by the balancer."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import grpc.aio

from uait.intelligent_load_balancer.v1 import intelligent_load_balancer_pb2 as balancer
from uait.intelligent_load_balancer.v1.intelligent_load_balancer_pb2_grpc import BalancerServiceStub
from uait_kit._log import log

if TYPE_CHECKING:
    from uait_kit._config import KitConfig
    from uait_kit._load import LoadMeter

__all__ = ["Lease", "endpoint_of"]

_BACKOFF_S = 0.2
_MAX_BACKOFF_S = 5.0
_WITHDRAW_TIMEOUT_S = 1.0
_MIN_RENEWAL_S = 0.05


class Lease:
    """Registers the endpoint, renews at a third of the ttl with fresh utilisation, registers again when it breaks."""

    def __init__(self, channel: grpc.aio.Channel, meter: LoadMeter, endpoint: balancer.Endpoint) -> None:
        """Prepares the lease.

        Args:
            channel: Leads to the balancer, through the mesh.
            meter: The figures to send.
            endpoint: Where this process takes calls.
        """
        self._stub = BalancerServiceStub(channel)
        self._meter = meter
        self._endpoint = endpoint
        self._withdrawn = asyncio.Event()
        self._granted = False

    async def run(self) -> None:
        """Keeps the lease until it is withdrawn; the balancer being away changes nothing else."""
        backoff_s = _BACKOFF_S
        while not self._withdrawn.is_set():
            try:
                await self._hold()
            except grpc.aio.AioRpcError as error:
                log("debug", "lease lost", code=error.code().name, details=error.details())
            except asyncio.InvalidStateError:
                log("debug", "lease lost", details="the balancer ended the stream")
            if self._granted:
                self._granted = False
                backoff_s = _BACKOFF_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._withdrawn.wait(), backoff_s)
            backoff_s = min(backoff_s * 2, _MAX_BACKOFF_S)

    def withdraw(self) -> None:
        """Ends the lease: the balancer takes the endpoint out at once."""
        self._withdrawn.set()

    async def _hold(self) -> None:
        """Holds one lease until it breaks or is withdrawn."""
        call = self._stub.RegisterEndpoint()
        try:
            await call.write(balancer.RegisterEndpointRequest(register=self._endpoint))
            while True:
                answer = await call.read()
                if not isinstance(answer, balancer.RegisterEndpointResponse):
                    return
                if not self._granted:
                    self._granted = True
                    log("info", "lease granted", ttl_s=answer.ttl.ToTimedelta().total_seconds())
                renewal_s = max(answer.ttl.ToTimedelta().total_seconds() / 3, _MIN_RENEWAL_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._withdrawn.wait(), renewal_s)
                if self._withdrawn.is_set():
                    await _half_close(call)
                    return
                await call.write(balancer.RegisterEndpointRequest(renew=self._figures()))
        finally:
            call.cancel()

    def _figures(self) -> balancer.Utilisation:
        figures = self._meter.utilisation
        return balancer.Utilisation(
            cpu=figures.cpu,
            memory=figures.memory,
            application=figures.application,
            rps=figures.rps,
            eps=figures.eps,
        )


def endpoint_of(config: KitConfig, port: int) -> balancer.Endpoint:
    """Returns the endpoint to register; of a process that listens on every address, the one that faces the mesh."""
    host = config.host
    if ipaddress.ip_address(host).is_unspecified:
        mesh_host, _, mesh_port = config.mesh.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Connecting a datagram socket sends nothing; it chooses the source address.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((mesh_host.strip("[]"), int(mesh_port)))
            host = probe.getsockname()[0]
    return balancer.Endpoint(service=config.service, instance=config.instance, host=host, port=port, zone=config.zone)


async def _half_close(call: Any) -> None:
    """Half-closes, which withdraws the lease, and waits a moment for the balancer to end the stream."""
    await call.done_writing()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(call.code(), _WITHDRAW_TIMEOUT_S)
