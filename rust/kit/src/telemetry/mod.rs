//! Spans over OTLP, metrics for Prometheus, logs as JSON lines.

mod export;
pub mod log;
mod metrics;
mod otlp;
mod span;

pub use metrics::{Metrics, Outcome};
pub use span::{Kind, Recording, SpanContext, Tracer};

pub(crate) use metrics::MethodMetrics;

use std::sync::Arc;

use crate::config::Config;

/// Spans and metrics of one service.
#[derive(Clone)]
pub struct Telemetry {
    /// Makes spans.
    pub tracer: Tracer,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Telemetry {
    /// Starts to export spans, unless the environment switches them off. To be called inside of the runtime.
    pub fn new(config: &Config) -> Self {
        let tracer = Tracer::new(config.otel_enabled, config.sampled_share);
        if config.otel_enabled {
            export::start(config, &tracer);
        }
        Self { tracer, metrics: Arc::new(Metrics::new()) }
    }

    /// Exports the spans recorded so far, waiting for at most two seconds.
    pub async fn flush(&self) {
        self.tracer.flush().await;
    }
}
