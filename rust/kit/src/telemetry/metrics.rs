//! Prometheus metrics, under the names that all four kits use.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use tonic::Code;
use uait_gen::service::Method;

use crate::load::process;

/// Upper bounds in seconds, from a fast unary call to a long stream.
const BUCKETS: [f64; 18] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const CODES: usize = 17;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(clippy::struct_field_names, reason = "the names are the labels")]
struct RpcLabels {
    rpc_service: &'static str,
    rpc_method: &'static str,
    rpc_grpc_status_code: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    area: String,
    outcome: &'static str,
}

/// How the publishing or handling of an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// JetStream has it on disk.
    Stored,
    /// It was there, or was handled, before.
    Duplicate,
    /// The handler took it.
    Handled,
    /// It was not stored, or the handler failed.
    Failed,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Handled => "handled",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone)]
struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// The metrics of one service.
pub struct Metrics {
    registry: Registry,
    /// What the service registered beside what every service has.
    own: RwLock<Registry>,
    durations: Family<RpcLabels, Histogram, Durations>,
    pub(crate) in_flight: Gauge<i64, AtomicI64>,
    published: Family<EventLabels, Counter>,
    handled: Family<EventLabels, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let durations = Family::new_with_constructor(Durations);
        let (in_flight, published, handled) = (Gauge::default(), Family::default(), Family::default());
        registry.register("rpc_server_duration_seconds", "Time from a call's start to its end", durations.clone());
        registry.register("rpc_server_in_flight", "Calls in flight", in_flight.clone());
        registry.register(
            "events_published",
            "Events published, by outcome: stored, duplicate or failed",
            published.clone(),
        );
        registry.register(
            "events_handled",
            "Deliveries of events, by outcome: handled, duplicate or failed",
            handled.clone(),
        );
        registry.register_collector(Box::new(Process));
        Self { registry, own: RwLock::default(), durations, in_flight, published, handled }
    }

    /// Shows a metric of the service's own beside the kit's. A counter's name gets its `_total` by itself.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.own.write().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// Counts an event that was published, or was not.
    pub fn published(&self, area: &str, outcome: Outcome) {
        self.published.get_or_create(&EventLabels { area: area.to_owned(), outcome: outcome.label() }).inc();
    }

    /// Counts a delivery of an event.
    pub fn handled(&self, area: &str, outcome: Outcome) {
        self.handled.get_or_create(&EventLabels { area: area.to_owned(), outcome: outcome.label() }).inc();
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Writing to memory fails never; the type has it.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &self.own.read().unwrap_or_else(PoisonError::into_inner))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// The durations of one method, looked up once for each code and not for each call.
pub(crate) struct MethodMetrics {
    pub(crate) method: &'static Method,
    by_code: [OnceLock<Histogram>; CODES],
}

impl MethodMetrics {
    pub(crate) fn new(method: &'static Method) -> Self {
        Self { method, by_code: [const { OnceLock::new() }; CODES] }
    }

    pub(crate) fn observe(&self, metrics: &Metrics, code: Code, took: Duration) {
        let number = code as i32;
        let Some(slot) = usize::try_from(number).ok().and_then(|at| self.by_code.get(at)) else { return };
        slot.get_or_init(|| {
            metrics.durations.get_or_create_owned(&RpcLabels {
                rpc_service: self.method.service,
                rpc_method: self.method.name,
                rpc_grpc_status_code: number,
            })
        })
        .observe(took.as_secs_f64());
    }
}

/// The process metrics of every Prometheus client, read when asked for.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Without /proc there is nothing to tell, and nothing is made up.
        let Some(figures) = process::figures() else { return Ok(()) };
        let cpu = ConstCounter::new(figures.cpu.as_secs_f64());
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system time spent, in seconds",
            None,
            MetricType::Counter,
        )?)?;
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory, in bytes", figures.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory, in bytes", figures.virtual_bytes),
            ("process_open_fds", "Open file descriptors", figures.open_files),
            ("process_max_fds", "Most file descriptors that may be open", figures.most_files),
            ("process_threads", "Threads", figures.threads),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let started = ConstGauge::new(figures.started_unix_seconds);
        started.encode(encoder.encode_descriptor(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_of_the_specification() {
        let metrics = Metrics::new();
        let echo = MethodMetrics::new(uait_gen::service::method("/uait.echo.v1.EchoService/Echo").unwrap());
        echo.observe(&metrics, Code::NotFound, Duration::from_millis(3));
        metrics.in_flight.set(2);
        metrics.published("echo", Outcome::Stored);
        metrics.handled("echo", Outcome::Duplicate);
        let text = metrics.encode().unwrap();
        for line in [
            r#"rpc_server_duration_seconds_count{rpc_service="uait.echo.v1.EchoService",rpc_method="Echo",rpc_grpc_status_code="5"} 1"#,
            r#"rpc_server_duration_seconds_bucket{le="0.005",rpc_service="uait.echo.v1.EchoService",rpc_method="Echo",rpc_grpc_status_code="5"} 1"#,
            "rpc_server_in_flight 2",
            r#"events_published_total{area="echo",outcome="stored"} 1"#,
            r#"events_handled_total{area="echo",outcome="duplicate"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_start_time_seconds ",
        ] {
            assert!(text.lines().any(|l| l.starts_with(name)), "{name} is missing from\n{text}");
        }
    }

    #[test]
    fn metric_of_the_service_is_shown_beside_the_kit_s_before_the_one_end() {
        let (metrics, own) = (Metrics::new(), Counter::<u64>::default());
        metrics.register("models_released", "Models released", own.clone());
        own.inc();
        let text = metrics.encode().unwrap();
        for line in ["models_released_total 1", "rpc_server_in_flight 0"] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
        assert_eq!((text.matches("# EOF").count(), text.ends_with("# EOF\n")), (1, true), "{text}");
    }
}
