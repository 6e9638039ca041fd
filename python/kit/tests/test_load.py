from __future__ import annotations

import re

import grpc

from uait_kit import LoadMeter

_ORCA = re.compile(
    r"TEXT cpu_utilization=[0-9.]+, mem_utilization=0[.][0-9]+, application_utilization=[0-9.]+, "
    r"rps_fractional=[0-9.]+, eps=[0-9.]+"
)


def test_meter_measures_calls_in_flight_and_faults_apart_from_refusals() -> None:
    meter = LoadMeter(limit=4)
    meter.in_flight = 1
    for code in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL):
        meter.finished(code)
    meter.measure()
    figures = meter.utilisation
    assert figures.application == 0.25
    assert figures.rps > 0
    assert abs(figures.eps - figures.rps / 3) < 1e-9
    assert 0 <= figures.cpu <= 1
    assert 0 < figures.memory < 1
    meter.measure()
    assert meter.utilisation.rps == 0


def test_trailer_is_orca_text_from_the_first_call_on() -> None:
    meter = LoadMeter(limit=1)
    key, value = meter.trailer
    assert key == "endpoint-load-metrics"
    assert _ORCA.fullmatch(value)
    meter.in_flight = 3
    meter.measure()
    assert "application_utilization=1.0000" in meter.trailer[1]
