//! Journals: state in memory that the events of an area add up to, on disk before anybody is told.
//!
//! A [`Journal`] replays its area's stream when it begins, then follows it, and appends to it. A command decides on the state
//! as it is and names the events that shall come next; they are stored under the condition that nothing else came first.
//! Where something did, such as the event of another replica, that is taken in and the command decides again. So all
//! replicas go through the same states, and what a command answers is on disk.
//!
//! Commands of the same scope are one after the other; those of different scopes share a round trip. A command must not
//! rely on what another scope may change in between.

mod command;
mod jetstream;
mod log;
mod writer;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::{Event, Events, LogState, PublishError};
use crate::call::Call;
use crate::telemetry::Telemetry;
use command::{Command, Commit};
use jetstream::JetStreamLog;
use log::Log;
pub use log::MemoryLog;
use writer::Writer;

/// Commands that wait; more callers wait for room.
const QUEUED: usize = 1024;

/// What the events of an area add up to.
pub trait State: Send + Sync + 'static {
    /// Takes in one event, numbered from 1 without regard to gaps. The same events give the same state, on any machine and
    /// at any time; an event that makes no sense is left out.
    fn apply(&mut self, sequence: u64, event: &Event);
}

/// How far a journal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of the last event in the state.
    pub applied: u64,
    /// Number of the last event that was there when the replay began.
    pub target: u64,
    /// Whether everything is in the state that was there when the journal began.
    pub replayed: bool,
}

/// The journal of an area, and the state that it adds up to. Clones share both.
pub struct Journal<S>(Arc<Inner<S>>);

impl<S> Clone for Journal<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<S> {
    shared: Arc<Shared<S>>,
    source: String,
    deadline: Duration,
    /// Absent where the log is switched off.
    queue: Option<mpsc::Sender<Box<dyn Command<S>>>>,
    telemetry: Option<Telemetry>,
}

/// What the writer and the readers have in common.
struct Shared<S> {
    area: String,
    state: RwLock<S>,
    progress: watch::Sender<Progress>,
}

impl<S> Shared<S> {
    fn state(&self) -> RwLockReadGuard<'_, S> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: State> Journal<S> {
    /// Begins to replay the journal of an area, from the state before its first event. To be called inside of the runtime.
    pub fn new(events: &Events, area: &str, initial: impl Fn() -> S + Send + 'static) -> Self {
        let log = (*events.0.state.borrow() != LogState::Off).then(|| JetStreamLog::new(events.clone(), area));
        Self::over(log, area, &events.0.service, events.0.deadline, Some(events.0.telemetry.clone()), initial)
    }

    /// A journal in memory, for tests.
    pub fn in_memory(log: &MemoryLog, area: &str, source: &str, initial: impl Fn() -> S + Send + 'static) -> Self {
        Self::over(Some(log.clone()), area, source, Duration::from_secs(30), None, initial)
    }

    fn over<L: Log>(
        log: Option<L>,
        area: &str,
        source: &str,
        deadline: Duration,
        telemetry: Option<Telemetry>,
        initial: impl Fn() -> S + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            area: area.to_owned(),
            state: RwLock::new(initial()),
            progress: watch::Sender::new(Progress::default()),
        });
        let queue = log.map(|log| {
            let (queue, commands) = mpsc::channel(QUEUED);
            tokio::spawn(Writer::new(shared.clone(), log, commands, Box::new(initial)).run());
            queue
        });
        Self(Arc::new(Inner { shared, source: source.to_owned(), deadline, queue, telemetry }))
    }

    /// How far it is, now and whenever that changes: after each event that the state has taken in, during the replay once a
    /// second.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.shared.progress.subscribe()
    }

    /// Looks at the state. What another replica stored a moment ago may be missing, unless `look` fails: then it looks again
    /// once everything is there that was stored before this call. Waits for the replay, at most until the caller's deadline.
    ///
    /// # Errors
    /// Those of `look`, and [`PublishError::Unavailable`].
    pub async fn read<T, E>(&self, mut look: impl FnMut(&S) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PublishError> + Send + 'static,
    {
        if self.0.shared.progress.borrow().replayed
            && let Ok(found) = look(&self.0.shared.state())
        {
            return Ok(found);
        }
        let found = move |state: &S| look(state).map(|found| (Vec::new(), found));
        self.commit(String::new(), found, |_, found| found).await
    }

    /// Decides on the state and stores what follows from that, in the name of the current call's tenant. `decide` names the
    /// events to append, none where nothing is to change, and a note for the answer; it is asked again where other events
    /// came first, and has to know what it has done before by the state (after the log was away for long, that may be there). `answer` looks at the state right after those events. Once begun this goes on to its end, whether or not
    /// the caller waits for it; it is given up where it has not begun before the caller's deadline.
    ///
    /// # Errors
    /// Those of `decide`, made in view of everything stored before this call; and as [`Events::publish`], where the events
    /// may have been stored all the same.
    pub async fn commit<T, N, E>(
        &self,
        scope: impl Into<String>,
        decide: impl FnMut(&S) -> Result<(Vec<super::Payload>, N), E> + Send + 'static,
        answer: impl FnOnce(&S, N) -> T + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        N: Send + 'static,
        E: From<PublishError> + Send + 'static,
    {
        let Some(queue) = &self.0.queue else { return Err(PublishError::Unavailable.into()) };
        let call = Call::current().ok_or(PublishError::NoTenant)?;
        if call.identity.tenant().is_empty() {
            return Err(PublishError::NoTenant.into());
        }
        let left = call.time_left().unwrap_or(self.0.deadline);
        // The answer must get to the caller before the deadline does.
        let deadline = Instant::now() + left.saturating_sub((left / 10).min(Duration::from_millis(100)));
        let (reply, answered) = oneshot::channel();
        let command = Commit::new(
            scope.into(),
            self.0.source.clone(),
            call,
            self.0.telemetry.clone().map(|telemetry| (telemetry, self.0.shared.area.clone())),
            decide,
            answer,
            reply,
        );
        let done = async {
            queue.send(Box::new(command)).await.map_err(|_| PublishError::Unavailable)?;
            answered.await.map_err(|_| PublishError::Unavailable.into()).flatten()
        };
        timeout_at(deadline, done).await.unwrap_or_else(|_| Err(PublishError::Unavailable.into()))
    }
}

fn payload_name(event: &Event) -> &'static str {
    event.payload.as_ref().map_or("", super::Payload::field_name)
}
