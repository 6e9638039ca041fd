//! How busy the process is: told to every caller in a trailer, and to the balancer through a lease.

pub(crate) mod lease;
pub(crate) mod process;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tonic::Code;
use uait_gen::intelligent_load_balancer::v1::Utilisation;

/// Trailer of the ORCA load report, in its text form.
pub const LOAD_METRICS: HeaderName = HeaderName::from_static("endpoint-load-metrics");

/// Counts calls, and measures the process once a second.
#[derive(Debug)]
pub struct Meter {
    max_inflight: usize,
    in_flight: AtomicUsize,
    finished: AtomicU64,
    faults: AtomicU64,
    latest: RwLock<Latest>,
}

#[derive(Debug, Clone)]
struct Latest {
    utilisation: Utilisation,
    trailer: HeaderValue,
}

impl Meter {
    /// Starts to measure, for as long as somebody holds the meter. To be called inside of the runtime.
    pub(crate) fn start(max_inflight: usize) -> Arc<Self> {
        let latest = RwLock::new(Latest::of(Utilisation::default()));
        let counters = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let meter =
            Arc::new(Self { max_inflight, in_flight: counters.0, finished: counters.1, faults: counters.2, latest });
        meter.sample(&mut Sampler::new(), Duration::ZERO);
        let weak = Arc::downgrade(&meter);
        tokio::spawn(async move {
            let (mut sampler, mut last) = (Sampler::new(), Instant::now());
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            seconds.tick().await;
            loop {
                seconds.tick().await;
                let Some(meter) = weak.upgrade() else { return };
                meter.sample(&mut sampler, last.elapsed());
                last = Instant::now();
            }
        });
        meter
    }

    /// The latest figures.
    pub fn utilisation(&self) -> Utilisation {
        self.latest().utilisation
    }

    /// The latest figures as the trailer's value.
    pub fn trailer(&self) -> HeaderValue {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).trailer.clone()
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a call that begins; `false`, and not counted, when as many as may be are in flight already.
    pub(crate) fn enter(&self) -> bool {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < self.max_inflight {
            return true;
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Counts the end of a call that was entered.
    pub(crate) fn leave(&self, code: Code) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.finished.fetch_add(1, Ordering::Relaxed);
        if matches!(code, Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss) {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn latest(&self) -> Latest {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[allow(clippy::cast_precision_loss)]
    fn sample(&self, sampler: &mut Sampler, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let (cpu, memory) = sampler.process(elapsed);
        let finished = self.finished.load(Ordering::Relaxed);
        let faults = self.faults.load(Ordering::Relaxed);
        let utilisation = Utilisation {
            cpu,
            memory,
            application: (self.in_flight() as f64 / self.max_inflight as f64).min(1.0),
            rps: (finished - sampler.finished) as f64 / seconds,
            eps: (faults - sampler.faults) as f64 / seconds,
        };
        (sampler.finished, sampler.faults) = (finished, faults);
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Latest::of(utilisation);
    }
}

impl Latest {
    fn of(utilisation: Utilisation) -> Self {
        let Utilisation { cpu, memory, application, rps, eps } = utilisation;
        let text = format!(
            "TEXT cpu_utilization={cpu:.6}, mem_utilization={memory:.6}, application_utilization={application:.6}, \
             rps_fractional={rps:.3}, eps={eps:.3}"
        );
        // Digits and letters of a header value cannot be refused.
        let trailer = HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("TEXT"));
        Self { utilisation, trailer }
    }
}

/// What the figures of the second before were.
struct Sampler {
    cpu: Duration,
    finished: u64,
    faults: u64,
    memory_of_machine: u64,
    cores: f64,
}

impl Sampler {
    #[allow(clippy::cast_precision_loss)]
    fn new() -> Self {
        Self {
            cpu: process::figures().map(|f| f.cpu).unwrap_or_default(),
            finished: 0,
            faults: 0,
            memory_of_machine: process::memory_of_machine().unwrap_or(0),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64,
        }
    }

    /// Shares of the machine's processor time and memory; zero where the system does not tell.
    #[allow(clippy::cast_precision_loss)]
    fn process(&mut self, elapsed: Duration) -> (f64, f64) {
        let Some(figures) = process::figures() else { return (0.0, 0.0) };
        let used = figures.cpu.saturating_sub(self.cpu);
        self.cpu = figures.cpu;
        let cpu = if elapsed.is_zero() { 0.0 } else { used.as_secs_f64() / elapsed.as_secs_f64() / self.cores };
        let memory = if self.memory_of_machine == 0 {
            0.0
        } else {
            figures.resident_bytes as f64 / self.memory_of_machine as f64
        };
        (cpu.clamp(0.0, 1.0), memory.clamp(0.0, 0.999_999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn meter_refuses_calls_over_its_limit() {
        let meter = Meter::start(2);
        assert!(meter.enter() && meter.enter());
        assert!(!meter.enter());
        meter.leave(Code::Ok);
        assert!(meter.enter());
        assert_eq!(meter.in_flight(), 2);
    }

    #[tokio::test]
    async fn meter_measures_rates_and_shares() {
        let meter = Meter::start(4);
        for code in [Code::Ok, Code::Internal, Code::NotFound] {
            assert!(meter.enter());
            meter.leave(code);
        }
        assert!(meter.enter());
        meter.sample(&mut Sampler::new(), Duration::from_secs(2));
        let Utilisation { memory, application, rps, eps, .. } = meter.utilisation();
        assert_eq!((rps, eps, application), (1.5, 0.5, 0.25));
        assert!(memory > 0.0 && memory < 1.0);
        let trailer = meter.trailer();
        let text = trailer.to_str().unwrap();
        assert!(
            text.starts_with("TEXT cpu_utilization=") && text.ends_with(", rps_fractional=1.500, eps=0.500"),
            "{text}"
        );
    }
}
