//! What a model has done, and is doing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time over which speeds are measured.
const WINDOW: Duration = Duration::from_mins(1);

/// Counters of one model; they live as long as the process, whatever is loaded.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Calls that ended well.
    pub calls: AtomicI64,
    /// Calls that ended otherwise.
    pub failed_calls: AtomicI64,
    /// Tokens read, cached ones included.
    pub input_tokens: AtomicI64,
    /// Of these, those whose key-value cache was reused.
    pub cached_input_tokens: AtomicI64,
    /// Tokens written.
    pub output_tokens: AtomicI64,
    /// Calls that hold a slot.
    pub running: AtomicI64,
    /// Calls that wait for one.
    pub queued: AtomicI64,
    /// Cells of the key-value cache in use, and their number.
    pub cells: (AtomicU64, AtomicU64),
    busy_nanos: AtomicU64,
    speeds: Mutex<(Speed, Speed)>,
}

/// Work with its time, over the last minute.
#[derive(Debug, Default)]
struct Speed {
    recent: VecDeque<(Instant, u64)>,
}

impl Statistics {
    /// Notes a step that read `input` tokens anew, wrote `output` tokens, and took `took` until `now`.
    pub fn step(&self, now: Instant, took: Duration, input: u64, output: u64) {
        self.busy_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        let mut speeds = self.speeds.lock().unwrap_or_else(PoisonError::into_inner);
        speeds.0.note(now, input);
        speeds.1.note(now, output);
    }

    /// Time spent computing.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Relaxed))
    }

    /// Tokens read anew and written, per second of the last minute.
    pub fn tokens_per_second(&self, now: Instant) -> (f64, f64) {
        let mut speeds = self.speeds.lock().unwrap_or_else(PoisonError::into_inner);
        (speeds.0.per_second(now), speeds.1.per_second(now))
    }

    /// Share of the key-value cache in use: 0 to 1.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    pub fn cache_utilisation(&self) -> f64 {
        let (used, all) = (self.cells.0.load(Relaxed), self.cells.1.load(Relaxed));
        if all == 0 { 0.0 } else { (used as f64 / all as f64).min(1.0) }
    }
}

impl Speed {
    fn note(&mut self, now: Instant, amount: u64) {
        self.forget(now);
        // Steps of the same hundredth of a second share an entry, so that the window stays small.
        match self.recent.back_mut() {
            Some((at, total)) if now.saturating_duration_since(*at) < Duration::from_millis(10) => *total += amount,
            _ if amount > 0 => self.recent.push_back((now, amount)),
            _ => {}
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a speed needs no more digits")]
    fn per_second(&mut self, now: Instant) -> f64 {
        self.forget(now);
        self.recent.iter().map(|(_, amount)| *amount).sum::<u64>() as f64 / WINDOW.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_of_the_last_minute() {
        let (statistics, start) = (Statistics::default(), Instant::now());
        statistics.step(start, Duration::from_millis(5), 600, 60);
        assert_eq!(statistics.tokens_per_second(start), (10.0, 1.0));
        statistics.step(start + Duration::from_secs(59), Duration::from_millis(5), 0, 60);
        assert_eq!(statistics.tokens_per_second(start + Duration::from_secs(59)), (10.0, 2.0));
        assert_eq!(statistics.tokens_per_second(start + Duration::from_secs(61)), (0.0, 1.0));
        assert_eq!(statistics.busy(), Duration::from_millis(10));
    }

    #[test]
    fn cache_utilisation_of_no_cache_is_none() {
        let statistics = Statistics::default();
        assert!(statistics.cache_utilisation().abs() < f64::EPSILON);
        statistics.cells.1.store(4096, Relaxed);
        statistics.cells.0.store(1024, Relaxed);
        assert!((statistics.cache_utilisation() - 0.25).abs() < f64::EPSILON);
    }
}
