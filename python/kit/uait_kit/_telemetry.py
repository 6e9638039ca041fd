"""Traces for OpenTelemetry (OTLP over gRPC) and metrics for Prometheus.

Nothing here is global: two services of one process, as tests have them, each have their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from uait_kit._call import current_call
from uait_kit._durations import CallDurations
from uait_kit._export import Exporter
from uait_kit._otlp import Attribute, attribute
from uait_kit._trace import Parent, Span, SpanKind, Tracer

if TYPE_CHECKING:
    from uait_kit._config import KitConfig

__all__ = ["Telemetry"]

_FLUSH_TIMEOUT_S = 2.0


class Telemetry:
    """The tracer and the metrics of one service.

    Attributes:
        registry: Prometheus metrics, process metrics included.
        call_durations: Histogram of calls served, in seconds.
        events_published: Counter of events by area and outcome (`stored`, `duplicate`, `failed`).
        events_handled: Counter of events by area and outcome (`handled`, `duplicate`, `failed`, `malformed`).
    """

    def __init__(self, config: KitConfig, *, spans: Callable[[Span], None] | None = None) -> None:
        """Makes tracer and metrics.

        Args:
            config: Names of service and instance, collector, sampling.
            spans: Takes the ended spans instead of the collector; for tests.
        """
        self._exporter: Exporter | None = None
        if not config.otel_disabled and spans is None:
            resource = {"service.name": config.service, "service.instance.id": config.instance}
            self._exporter = Exporter(config.otlp_endpoint, resource=resource)
            spans = self._exporter.queue
        self._tracer = Tracer(ratio=config.sampler_ratio, ended=None if config.otel_disabled else spans)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.call_durations = CallDurations(self.registry)
        self._in_flight = Gauge("rpc_server_in_flight", "Calls being served.", registry=self.registry)
        self.events_published = Counter(
            "events_published", "Events offered to the log.", ("area", "outcome"), registry=self.registry
        )
        self.events_handled = Counter(
            "events_handled", "Events taken from the log.", ("area", "outcome"), registry=self.registry
        )

    def observe_in_flight(self, count: Callable[[], int]) -> None:
        """Has the gauge of calls in flight read `count` at each scrape."""
        self._in_flight.set_function(count)

    def start_span(
        self, name: str, kind: SpanKind.ValueType, *, parent: Parent | None, attributes: list[Attribute]
    ) -> Span:
        """Starts a span; see Tracer.start."""
        return self._tracer.start(name, kind, parent=parent, attributes=attributes)

    @contextmanager
    def span(self, name: str, **attributes: str | bool | int | float) -> Iterator[Span]:
        """Runs the block in a span of its own within the work in hand; calls and events made in it are its children.

        Args:
            name: Of low cardinality, such as `load model`.
            attributes: With underscores for dots.
        """
        call = current_call()
        outer = call.span
        made = [attribute(key.replace("_", "."), value) for key, value in attributes.items()]
        call.span = self.start_span(name, SpanKind.SPAN_KIND_INTERNAL, parent=outer, attributes=made)
        failed = True
        try:
            yield call.span
            failed = False
        finally:
            call.span.end(failed=failed)
            call.span = outer

    async def run(self) -> None:
        """Sends spans to the collector until cancelled."""
        if self._exporter is not None:
            await self._exporter.run()

    async def flush(self) -> None:
        """Sends what was recorded; gives up after 2 s when the collector is away."""
        if self._exporter is not None:
            await self._exporter.flush(timeout_s=_FLUSH_TIMEOUT_S)
