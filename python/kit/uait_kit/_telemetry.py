"""Traces by OpenTelemetry (OTLP over gRPC) and metrics for Prometheus.

Nothing here is global: two services of one process, as tests have them, each have their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from uait_kit._export import LoopExporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from uait_kit._config import KitConfig

__all__ = ["Telemetry", "extract", "inject"]

_DURATION_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FLUSH_TIMEOUT_S = 2.0

_propagator = TraceContextTextMapPropagator()


class Telemetry:
    """The tracer and the metrics of one service.

    Attributes:
        registry: Prometheus metrics, process metrics included.
        server_duration: Histogram of calls served, in seconds.
        events_published: Counter of events by area and outcome (`stored`, `duplicate`, `failed`).
        events_handled: Counter of events by area and outcome (`handled`, `duplicate`, `failed`, `malformed`).
    """

    def __init__(self, config: KitConfig, *, exporter: SpanExporter | None = None) -> None:
        """Makes tracer and metrics.

        Args:
            config: Names of service and instance, collector, sampling.
            exporter: Takes the spans instead of the collector; for tests.
        """
        self._provider: TracerProvider | None = None
        self._exporter: LoopExporter | None = None
        if not config.otel_disabled:
            self._provider = TracerProvider(
                sampler=ParentBased(TraceIdRatioBased(config.sampler_ratio)),
                resource=Resource.create({SERVICE_NAME: config.service, SERVICE_INSTANCE_ID: config.instance}),
                shutdown_on_exit=False,
            )
            if exporter is not None:
                self._provider.add_span_processor(SimpleSpanProcessor(exporter))
            else:
                self._exporter = LoopExporter(config.otlp_endpoint)
                self._provider.add_span_processor(self._exporter)
        self._tracer = None if self._provider is None else self._provider.get_tracer("uait_kit")
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.server_duration = Histogram(
            "rpc_server_duration_seconds",
            "Time from the arrival of a call until its handler ended.",
            ("rpc_service", "rpc_method", "rpc_grpc_status_code"),
            buckets=_DURATION_BUCKETS_S,
            registry=self.registry,
        )
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
        self, name: str, kind: SpanKind, *, parent: Context, attributes: Mapping[str, AttributeValue]
    ) -> Span:
        """Starts a span; it hands on its parent's context and records nothing when tracing is disabled."""
        if self._tracer is None:
            return NonRecordingSpan(get_current_span(parent).get_span_context())
        return self._tracer.start_span(name, parent, kind, attributes)

    async def run(self) -> None:
        """Sends spans to the collector until cancelled."""
        if self._exporter is not None:
            await self._exporter.run()

    async def flush(self) -> None:
        """Sends what was recorded; gives up after 2 s when the collector is away."""
        if self._exporter is not None:
            await self._exporter.flush(timeout_s=_FLUSH_TIMEOUT_S)


def extract(carrier: Mapping[str, str]) -> Context:
    """Returns the context of the W3C headers `traceparent` and `tracestate`; an empty one without valid ones."""
    if "traceparent" not in carrier:
        return Context()
    return _propagator.extract(carrier, Context())


def inject(span: Span) -> dict[str, str]:
    """Returns the W3C headers that make the next hop a child of `span`; none when it is not part of a trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span, Context()))
    return carrier
