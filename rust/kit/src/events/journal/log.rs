//! What a journal is written to, and its twin in memory.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::Event;

/// Why a log could not be used; it may be tried again.
pub(super) type LogError = Box<dyn std::error::Error + Send + Sync>;

/// An event as the log has it.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) sequence: u64,
    /// `None` where its bytes are no event.
    pub(super) event: Option<Event>,
    /// Whether none came after it when it was sent.
    pub(super) last: bool,
}

/// The log at the moment of its opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    /// Number of the last event ever stored.
    pub(super) last: u64,
    /// Whether there is nothing to follow yet.
    pub(super) followed: bool,
    /// Differs for a log that was made anew.
    pub(super) epoch: String,
}

/// What became of an event that was to follow another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    /// It is on disk, at this number.
    Stored(u64),
    /// Another event had come first; it is not there and will not be.
    Overtaken,
    /// No answer came; it may be there.
    Unknown,
}

/// A log of one area. It is followed from where it was opened, in order and without gaps.
pub(super) trait Log: Send + 'static {
    /// Looks how far the log goes, and begins to follow it after `applied`.
    fn open(&mut self, applied: u64) -> impl Future<Output = Result<Opened, LogError>> + Send;

    /// The next event. Can be dropped without losing one.
    fn next(&mut self) -> impl Future<Output = Result<Recorded, LogError>> + Send;

    /// Number of the last event stored.
    fn last(&mut self) -> impl Future<Output = Result<u64, LogError>> + Send;

    /// Stores events one after the other, the first at `after + 1` and only where nothing was stored after `after`; none is
    /// stored that follows one which is not. To append again what may be there already stores it once.
    fn append(&mut self, after: u64, events: &[Event]) -> impl Future<Output = Vec<Appended>> + Send;

    /// Resolves when there is a point in trying again.
    fn available(&mut self) -> impl Future<Output = ()> + Send;

    /// Most bytes of an event.
    fn limit(&self) -> usize;
}

/// A log in memory, which forgets with the process: for tests. Journals over clones of one are replicas of each other.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    events: Arc<Mutex<Vec<Event>>>,
    changed: Arc<Notify>,
    at: usize,
}

impl MemoryLog {
    /// All events, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.stored().clone()
    }

    fn stored(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn length(&self) -> u64 {
        self.stored().len() as u64
    }
}

impl Log for MemoryLog {
    async fn open(&mut self, applied: u64) -> Result<Opened, LogError> {
        self.at = usize::try_from(applied)?;
        let last = self.length();
        Ok(Opened { last, followed: last == applied, epoch: String::new() })
    }

    async fn next(&mut self) -> Result<Recorded, LogError> {
        loop {
            let changed = self.changed.clone();
            let changed = changed.notified();
            let (event, length) = {
                let events = self.stored();
                (events.get(self.at).cloned(), events.len())
            };
            if event.is_some() {
                self.at += 1;
                return Ok(Recorded { sequence: self.at as u64, event, last: self.at == length });
            }
            changed.await;
        }
    }

    async fn last(&mut self) -> Result<u64, LogError> {
        Ok(self.length())
    }

    async fn append(&mut self, after: u64, events: &[Event]) -> Vec<Appended> {
        let mut stored = self.stored();
        let outcomes = if stored.len() as u64 == after {
            stored.extend_from_slice(events);
            (after + 1..).take(events.len()).map(Appended::Stored).collect()
        } else {
            vec![Appended::Overtaken; events.len()]
        };
        drop(stored);
        self.changed.notify_waiters();
        outcomes
    }

    async fn available(&mut self) {}

    fn limit(&self) -> usize {
        1 << 20
    }
}
