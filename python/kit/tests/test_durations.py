from __future__ import annotations

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from uait_kit._durations import CallDurations

_LABELS = {"rpc_service": "a.B", "rpc_method": "C", "rpc_grpc_status_code": "0"}


def test_durations_are_a_cumulative_histogram_by_method_and_code() -> None:
    registry = CollectorRegistry()
    durations = CallDurations(registry)
    for seconds in (0.0001, 0.0005, 0.02, 31.0):
        durations.of("a.B", "C", grpc.StatusCode.OK).observe(seconds)
    durations.of("a.B", "C", grpc.StatusCode.NOT_FOUND).observe(0.3)

    def value(sample: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"rpc_server_duration_seconds_{sample}", _LABELS | labels)

    assert [value("bucket", le=le) for le in ("0.0005", "0.01", "0.025", "30.0", "+Inf")] == [2, 2, 3, 3, 4]
    assert value("count") == 4
    assert value("sum") == 0.0001 + 0.0005 + 0.02 + 31.0
    assert value("bucket", le="0.5", rpc_grpc_status_code="5") == 1
    assert value("bucket", le="0.25", rpc_grpc_status_code="5") == 0
    assert b"# TYPE rpc_server_duration_seconds histogram" in generate_latest(registry)
