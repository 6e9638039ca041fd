//! How long a model that no call uses stays in memory. The clock is the caller's.

use std::time::{Duration, Instant};

/// Who uses a model now, and when somebody last did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    calls: usize,
    last: Instant,
}

impl Usage {
    /// Of a model that was used just now, and is not any more.
    pub fn new(now: Instant) -> Self {
        Self { calls: 0, last: now }
    }

    /// A call begins to use the model.
    pub fn begin(&mut self) {
        self.calls += 1;
    }

    /// A call that had begun ends.
    pub fn end(&mut self, now: Instant) {
        self.calls = self.calls.saturating_sub(1);
        self.touch(now);
    }

    /// The model was used, or read, just now.
    pub fn touch(&mut self, now: Instant) {
        self.last = self.last.max(now);
    }

    /// Whether no call uses the model.
    pub fn is_free(&self) -> bool {
        self.calls == 0
    }

    /// How long no call has used the model; none while one does.
    pub fn idle(&self, now: Instant) -> Duration {
        if self.is_free() { now.saturating_duration_since(self.last) } else { Duration::ZERO }
    }

    /// When the model will have been unused for as long as it is kept, if nobody begins to use it before; `None` while one does.
    pub fn kept_until(&self, keep_alive: Duration) -> Option<Instant> {
        self.is_free().then(|| self.last + keep_alive)
    }

    /// Whether no call has used the model for as long as it is kept.
    pub fn is_over(&self, keep_alive: Duration, now: Instant) -> bool {
        self.kept_until(keep_alive).is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Duration = Duration::from_mins(5);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn usage_is_over_when_the_last_call_ended_as_long_ago_as_models_are_kept() {
        let start = Instant::now();
        let mut usage = Usage::new(start);
        assert_eq!((usage.is_over(KEPT, at(start, 299)), usage.is_over(KEPT, at(start, 300))), (false, true));
        usage.begin();
        usage.end(at(start, 100));
        assert_eq!(usage.kept_until(KEPT), Some(at(start, 400)));
        assert_eq!((usage.is_over(KEPT, at(start, 399)), usage.is_over(KEPT, at(start, 400))), (false, true));
        assert_eq!(usage.idle(at(start, 160)), Duration::from_mins(1));
    }

    #[test]
    fn usage_is_never_over_while_a_call_lasts() {
        let start = Instant::now();
        let mut usage = Usage::new(start);
        usage.begin();
        usage.begin();
        usage.end(at(start, 10));
        assert_eq!((usage.is_free(), usage.kept_until(KEPT)), (false, None));
        assert!(!usage.is_over(KEPT, at(start, 100_000)));
        assert_eq!(usage.idle(at(start, 100_000)), Duration::ZERO);
        usage.end(at(start, 100_000));
        assert_eq!(usage.kept_until(KEPT), Some(at(start, 100_300)));
    }

    #[test]
    fn usage_counts_from_when_the_model_was_read() {
        let start = Instant::now();
        let mut usage = Usage::new(start);
        usage.touch(at(start, 1000));
        assert!(!usage.is_over(KEPT, at(start, 1299)) && usage.is_over(KEPT, at(start, 1300)));
        // A call whose clock was read before that of another does not take its time back.
        usage.touch(at(start, 900));
        assert_eq!(usage.kept_until(KEPT), Some(at(start, 1300)));
    }
}
