"""cases.yaml against the service within the test's own process; the drain case needs one of its own (test_program)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conformance.cases import load_cases
from conformance.session import Session
from services.echo.__main__ import build
from services.echo.config import EchoConfig
from uait_kit import Environment, Kit
from uait_kit.testing import NatsServer

_API = "uait.echo.v1.EchoService"
_CASES = Path(__file__).parents[4] / "proto/uait/echo/v1/cases.yaml"


@asynccontextmanager
async def serving(nats_url: str) -> AsyncIterator[str]:
    """Runs the service as its own mesh, so that Relay comes back to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        "UAIT_PORT": str(port),
        "UAIT_HTTP_PORT": "0",
        "UAIT_MESH": f"127.0.0.1:{port}",
        "UAIT_LEASE": "off",
        "UAIT_NATS_URL": nats_url,
        "UAIT_DRAIN_DELAY_MS": "0",
        # No collector listens there, and no call may care.
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    config = EchoConfig.read(Environment(variables))
    kit = Kit(config.kit)
    server = await build(kit, config)
    try:
        yield server.address
    finally:
        await server.drain()


async def test_cases_all_pass(nats_server: NatsServer) -> None:
    cases = [case for case in load_cases(_CASES) if case.get("probe") != "drain"]
    assert len(cases) > 30
    async with (
        serving(nats_server.url) as address,
        Session(target=address, server=address, pid=None, service="echo-python", tls=None, api=_API) as session,
    ):
        for case in cases:
            try:
                await session.run(case)
            except Exception as error:
                pytest.fail(f"{case['name']}: {error}")
