"""How busy the process is, measured once a second: for the trailer of each answer and for the lease."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

__all__ = ["TRAILER_KEY", "LoadMeter", "Utilisation"]

TRAILER_KEY = "endpoint-load-metrics"

_INTERVAL_S = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FAULTS = frozenset(
    {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS}
)


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Figures of the last second, in the terms of the ORCA load report (xds.data.orca.v3.OrcaLoadReport).

    Attributes:
        cpu: Processor time as a share of all cores, 0 to 1.
        memory: Resident memory as a share of the machine's, 0 to 1.
        application: Calls in flight as a share of the limit, 0 to 1.
        rps: Calls finished per second.
        eps: Calls ended in a server fault per second.
    """

    cpu: float = 0.0
    memory: float = 0.0
    application: float = 0.0
    rps: float = 0.0
    eps: float = 0.0

    def trailer(self) -> tuple[str, str]:
        """Returns the trailer in ORCA's text form."""
        return TRAILER_KEY, (
            f"TEXT cpu_utilization={self.cpu:.4f}, mem_utilization={self.memory:.4f}, "
            f"application_utilization={self.application:.4f}, rps_fractional={self.rps:.2f}, eps={self.eps:.2f}"
        )


class LoadMeter:
    """Counts calls and measures the process.

    Attributes:
        limit: Most calls in flight.
        in_flight: Calls being served.
        utilisation: Figures of the last second.
        trailer: The same as trailing metadata.
    """

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._finished = 0
        self._faults = 0
        self._cores = os.cpu_count() or 1
        self._memory_bytes = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
        self._mark()
        self.utilisation = Utilisation(memory=_resident_bytes() / self._memory_bytes)
        self.trailer = self.utilisation.trailer()

    def finished(self, code: grpc.StatusCode) -> None:
        """Counts a call that ended."""
        self._finished += 1
        if code is not grpc.StatusCode.OK and code in _FAULTS:
            self._faults += 1

    def measure(self) -> None:
        """Takes the figures since the last measurement."""
        elapsed_s = max(time.monotonic() - self._at_s, 1e-3)
        cpu_s = time.process_time() - self._cpu_s
        self.utilisation = Utilisation(
            cpu=min(1.0, max(0.0, cpu_s / (elapsed_s * self._cores))),
            memory=_resident_bytes() / self._memory_bytes,
            application=min(1.0, self.in_flight / self.limit),
            rps=self._finished / elapsed_s,
            eps=self._faults / elapsed_s,
        )
        self.trailer = self.utilisation.trailer()
        self._mark()

    async def run(self) -> None:
        """Measures once a second until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.measure()

    def _mark(self) -> None:
        self._at_s = time.monotonic()
        self._cpu_s = time.process_time()
        self._finished = 0
        self._faults = 0


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
