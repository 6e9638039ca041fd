"""Fixtures for the tests of kit, services and conformance client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from uait_kit.testing import NatsServer


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running NATS of the test's own."""
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.kill()
