"""The service as a program: settings, and what it takes of memory before a program runs."""

from __future__ import annotations

import signal
from pathlib import Path

from uait_kit.testing import Program

_ALONE = {"UAIT_PORT": "0", "UAIT_HTTP_PORT": "0", "UAIT_LEASE": "off", "UAIT_NATS_URL": "off"}
_MODULE = "services.dspy"


def test_environment_out_of_range_exits_with_78_and_one_line() -> None:
    with Program(_MODULE, **_ALONE | {"DSPY_EVALUATIONS_AT_ONCE": "0"}) as program:
        assert program.wait_exit() == 78
        assert program.errors() == "DSPY_EVALUATIONS_AT_ONCE=0: must be an integer from 1 to 256\n"


def test_idle_service_has_not_imported_dspy_and_drains_with_0() -> None:
    with Program(_MODULE, **_ALONE | {"UAIT_DRAIN_DELAY_MS": "0"}) as program:
        program.wait_line("serving")
        status = Path(f"/proc/{program.pid}/status").read_text()
        program.signal(signal.SIGTERM)
        assert program.wait_exit() == 0
    resident_kb = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))
    # 61 MB were seen; with DSPy it is 103 MB.
    assert resident_kb * 1024 <= 80e6
