"""The service as a program: exit codes, signals, and all of cases.yaml, drain included."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from conformance.cases import load_cases
from conformance.session import Session
from uait_kit.testing import NatsServer, Program

_API = "uait.echo.v1.EchoService"
_CASES = Path(__file__).parents[4] / "proto/uait/echo/v1/cases.yaml"
_ALONE = {"UAIT_PORT": "0", "UAIT_HTTP_PORT": "0", "UAIT_LEASE": "off", "UAIT_NATS_URL": "off"}
_MODULE = "services.echo"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_every_case_passes_drain_included(nats_server: NatsServer) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    variables = _ALONE | {"UAIT_PORT": str(port), "UAIT_MESH": address, "UAIT_NATS_URL": nats_server.url}
    with Program(_MODULE, **variables) as program:
        program.wait_line("serving")
        async with Session(
            target=address, server=address, pid=program.pid, service="echo-python", tls=None, api=_API
        ) as session:
            for case in load_cases(_CASES):
                try:
                    await session.run(case)
                except Exception as error:
                    pytest.fail(f"{case['name']}: {error}")
        assert program.wait_exit() == 0


@pytest.mark.parametrize(
    ("variable", "value"), [("UAIT_PORT", "eighty"), ("UAIT_HOST", "nowhere"), ("ECHO_REMEMBERED", "0")]
)
def test_environment_out_of_range_exits_with_78_and_one_line(variable: str, value: str) -> None:
    with Program(_MODULE, **_ALONE | {variable: value}) as program:
        assert program.wait_exit() == 78
        assert program.errors().startswith(f"{variable}={value}: must be ")
        assert program.errors().count("\n") == 1


def test_port_in_use_exits_with_69_and_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Program(_MODULE, **_ALONE | {"UAIT_PORT": str(port)}) as program:
            assert program.wait_exit() == 69
            assert program.errors() == f"UAIT_PORT={port}: 127.0.0.1:{port} is in use\n"


def test_serving_line_tells_the_addresses_taken() -> None:
    with Program(_MODULE, **_ALONE) as program:
        line = program.wait_line("serving")
        with urllib.request.urlopen(f"http://{line['http']}/healthz", timeout=5) as answer:
            assert json.load(answer) == {"status": "SERVING", "checks": {"nats": "off"}}
        assert line["service"] == "echo-python"
        assert line["instance"] == f"echo-python-{program.pid}"
        socket.create_connection(("127.0.0.1", int(line["grpc"].rpartition(":")[2])), timeout=5).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_exits_with_0(number: signal.Signals) -> None:
    with Program(_MODULE, **_ALONE | {"UAIT_DRAIN_DELAY_MS": "0"}) as program:
        program.wait_line("serving")
        program.signal(number)
        assert program.wait_exit() == 0
        program.wait_line("drained")


def test_second_signal_exits_at_once_with_1() -> None:
    with Program(_MODULE, **_ALONE | {"UAIT_DRAIN_DELAY_MS": "60000"}) as program:
        program.wait_line("serving")
        program.signal(signal.SIGTERM)
        program.wait_line("draining")
        began_s = time.monotonic()
        program.signal(signal.SIGTERM)
        assert program.wait_exit() == 1
        assert time.monotonic() - began_s < 5


def test_memory_of_an_idle_service_is_at_most_70_mb(nats_server: NatsServer) -> None:
    with Program(_MODULE, **_ALONE | {"UAIT_NATS_URL": nats_server.url}) as program:
        program.wait_line("event log connected")
        status = Path(f"/proc/{program.pid}/status").read_text()
    resident_kb = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))
    assert resident_kb * 1024 <= 70e6
