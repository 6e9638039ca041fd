"""The histogram of calls by method and code."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import HistogramMetricFamily

if TYPE_CHECKING:
    import grpc
    from prometheus_client import CollectorRegistry

__all__ = ["CallDurations", "Durations"]

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LABELS = ("rpc_service", "rpc_method", "rpc_grpc_status_code")


class Durations:
    """Those of one method that ended with one code. Belongs to the event loop: nothing is locked."""

    __slots__ = ("_counts", "_sum_s")

    def __init__(self) -> None:
        # The last is of those beyond every bound.
        self._counts = [0] * (len(_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        """Counts a call."""
        self._counts[bisect_left(_BUCKETS_S, duration_s)] += 1
        self._sum_s += duration_s

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Returns upper bounds with how many calls are at or below each, and the sum of all durations in seconds."""
        below = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, map(float, _BUCKETS_S)), "+Inf"), self._counts, strict=True):
            below += count
            found.append((bound, below))
        return found, self._sum_s


class CallDurations:
    """All of a process, as a collector of Prometheus.

    prometheus_client's own histogram takes two locks and looks through its buckets in Python at each call.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the histogram."""
        self._series: dict[tuple[str, str, str], Durations] = {}
        registry.register(self)

    def of(self, service: str, method: str, code: grpc.StatusCode) -> Durations:
        """Returns the durations of one method and code; ask once and keep them."""
        return self._series.setdefault((service, method, str(code.value[0])), Durations())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For Prometheus, from the thread that serves it; a call counted meanwhile may be in the sum alone."""
        family = HistogramMetricFamily(
            "rpc_server_duration_seconds", "Time from the arrival of a call until its handler ended.", labels=_LABELS
        )
        for labels, durations in list(self._series.items()):
            buckets, sum_s = durations.buckets()
            family.add_metric(labels, buckets, sum_s)
        yield family
