//! The task that owns a journal's log: replays, follows, decides, appends.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::command::{Command, Decision};
use super::log::{Appended, Log, LogError, Recorded};
use super::{Event, Progress, Shared, State};

/// Events on their way at once.
const BATCH: usize = 128;
/// How long an event that is known to be there may take to come.
const STALLED: Duration = Duration::from_secs(5);
const BACKOFF_LEAST: Duration = Duration::from_millis(20);
const BACKOFF_MOST: Duration = Duration::from_secs(1);
const REPORT: Duration = Duration::from_secs(1);

type Commands<S> = VecDeque<Box<dyn Command<S>>>;

pub(super) struct Writer<S, L> {
    shared: Arc<Shared<S>>,
    log: L,
    queue: mpsc::Receiver<Box<dyn Command<S>>>,
    initial: Box<dyn Fn() -> S + Send>,
    /// In the order in which they came; those that have to decide again are before all others.
    waiting: Commands<S>,
    /// Commands whose events may be stored or not, each with their ids.
    unanswered: Vec<(Box<dyn Command<S>>, Vec<String>)>,
    /// Those of the ids that have not been seen in the log.
    unseen: HashSet<String>,
    /// Number of the last event in the state.
    applied: u64,
    epoch: Option<String>,
    /// Before what failed is tried again.
    backoff: Duration,
}

/// Commands whose events are on their way, each with how many it has.
struct Batch<S> {
    commands: Vec<(Box<dyn Command<S>>, usize)>,
    events: Vec<Event>,
}

impl<S: State, L: Log> Writer<S, L> {
    pub(super) fn new(
        shared: Arc<Shared<S>>,
        log: L,
        queue: mpsc::Receiver<Box<dyn Command<S>>>,
        initial: Box<dyn Fn() -> S + Send>,
    ) -> Self {
        Self {
            shared,
            log,
            queue,
            initial,
            waiting: VecDeque::new(),
            unanswered: Vec::new(),
            unseen: HashSet::new(),
            applied: 0,
            epoch: None,
            backoff: BACKOFF_LEAST,
        }
    }

    /// Runs until no journal is left that could send a command.
    pub(super) async fn run(mut self) {
        while let Err(error) = self.session().await {
            tracing::debug!(area = self.shared.area, error = %error, "the journal is opened again");
            if self.queue.is_closed() && self.queue.is_empty() {
                return;
            }
            self.pause().await;
        }
    }

    async fn session(&mut self) -> Result<(), LogError> {
        self.replay().await?;
        self.resolve();
        self.serve().await
    }

    async fn pause(&mut self) {
        sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
    }

    /// Takes in what is there.
    async fn replay(&mut self) -> Result<(), LogError> {
        self.log.available().await;
        let started = Instant::now();
        let mut opened = self.log.open(self.applied).await?;
        let anew = self.epoch.as_ref().is_some_and(|epoch| *epoch != opened.epoch);
        if anew || opened.last < self.applied {
            tracing::warn!(area = self.shared.area, "the journal's log was made anew, and so is its state");
            *self.shared.state.write().unwrap_or_else(PoisonError::into_inner) = (self.initial)();
            self.applied = 0;
            opened = self.log.open(0).await?;
        }
        self.epoch = Some(opened.epoch);
        let (begun, target, mut reported) = (self.applied, opened.last, started);
        self.report(|progress| progress.target = target);
        let mut followed = opened.followed;
        while self.applied < target && !followed {
            let recorded = timeout(STALLED, self.log.next()).await??;
            followed = recorded.last;
            self.take_in(&recorded);
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                let applied = self.applied;
                self.report(|progress| progress.applied = applied);
                tracing::info!(area = self.shared.area, applied = self.applied, target, "replaying the journal");
            }
        }
        // The last events may have been deleted; the next one is numbered after them all the same.
        self.applied = self.applied.max(target);
        let applied = self.applied;
        self.report(|progress| (progress.applied, progress.replayed) = (applied, true));
        let (events, ms) = (applied - begun, u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::info!(area = self.shared.area, events, ms, "the journal is replayed");
        Ok(())
    }

    /// Follows and appends, until something breaks or nobody is left.
    async fn serve(&mut self) -> Result<(), LogError> {
        loop {
            while let Some(recorded) = self.log.next().now_or_never() {
                self.take(&recorded?);
            }
            if self.waiting.is_empty() {
                tokio::select! {
                    command = self.queue.recv() => match command {
                        Some(command) => self.waiting.push_back(command),
                        None => return Ok(()),
                    },
                    recorded = self.log.next() => self.take(&recorded?),
                }
            }
            while self.waiting.len() < BATCH
                && let Ok(command) = self.queue.try_recv()
            {
                self.waiting.push_back(command);
            }
            if !self.waiting.is_empty() {
                // Whoever waits while the log is away gives up by a deadline of its own.
                self.log.available().await;
                let batch = self.decide().await?;
                self.append(batch).await?;
            }
        }
    }

    /// Lets the waiting commands decide, one of each scope.
    async fn decide(&mut self) -> Result<Batch<S>, LogError> {
        let (batch, refused) = self.decide_once();
        if refused.is_empty() {
            return Ok(batch);
        }
        // Nothing has been sent yet, so what was decided can be decided again.
        let before = self.applied;
        let caught_up = self.catch_up().await;
        if caught_up.is_ok() && self.applied == before {
            for command in refused {
                command.finish(&self.shared.state());
            }
            return Ok(batch);
        }
        let again = batch.commands.into_iter().map(|(command, _)| command).chain(refused);
        self.again(again.collect());
        caught_up?;
        let (batch, refused) = self.decide_once();
        for command in refused {
            command.finish(&self.shared.state());
        }
        Ok(batch)
    }

    fn decide_once(&mut self) -> (Batch<S>, Vec<Box<dyn Command<S>>>) {
        let limit = self.log.limit();
        let mut batch = Batch { commands: Vec::new(), events: Vec::new() };
        let mut refused = Vec::new();
        let mut later = VecDeque::new();
        let mut scopes = HashSet::new();
        let state = self.shared.state();
        for mut command in self.waiting.drain(..) {
            if command.is_abandoned() {
                continue;
            }
            if batch.events.len() >= BATCH || scopes.contains(command.scope()) {
                scopes.insert(command.scope().to_owned());
                later.push_back(command);
                continue;
            }
            match command.decide(&state, limit) {
                Decision::Answer => command.finish(&state),
                Decision::Refuse => refused.push(command),
                Decision::Store(events) => {
                    scopes.insert(command.scope().to_owned());
                    batch.commands.push((command, events.len()));
                    batch.events.extend(events);
                }
            }
        }
        drop(state);
        self.waiting = later;
        (batch, refused)
    }

    /// Stores what was decided, and answers those whose events are all stored. The others decide again, once everything is in
    /// the state that the log has.
    async fn append(&mut self, batch: Batch<S>) -> Result<(), LogError> {
        if batch.events.is_empty() {
            return Ok(());
        }
        let outcomes = self.log.append(self.applied, &batch.events).await;
        let expected = (self.applied + 1..).map(Appended::Stored);
        let stored = outcomes.iter().zip(expected).take_while(|(outcome, expected)| *outcome == expected).count();
        let (there, unseen) = batch.events.split_at(stored);
        for event in there {
            self.apply(self.applied + 1, event);
        }
        self.unseen = unseen.iter().map(|event| event.id.clone()).collect();
        let mut ids = batch.events.iter().map(|event| event.id.clone());
        self.unanswered = batch
            .commands
            .into_iter()
            .map(|(command, events)| (command, ids.by_ref().take(events).collect()))
            .collect();
        if stored < outcomes.len() {
            if outcomes.contains(&Appended::Unknown) {
                self.pause().await;
            }
            self.catch_up().await?;
        } else {
            self.backoff = BACKOFF_LEAST;
        }
        self.resolve();
        Ok(())
    }

    /// Answers the commands whose events are in the state by now. The events of the others cannot come to be stored behind
    /// those of the next decision, for they would have to be at the same place.
    fn resolve(&mut self) {
        let mut again = Vec::new();
        for (command, ids) in std::mem::take(&mut self.unanswered) {
            if ids.iter().any(|id| self.unseen.contains(id)) {
                again.push(command);
            } else {
                command.finish(&self.shared.state());
            }
        }
        self.unseen.clear();
        self.again(again);
    }

    fn again(&mut self, commands: Vec<Box<dyn Command<S>>>) {
        for command in commands.into_iter().rev() {
            self.waiting.push_front(command);
        }
    }

    /// Takes in everything that is stored by now.
    async fn catch_up(&mut self) -> Result<(), LogError> {
        let last = self.log.last().await?;
        while self.applied < last {
            let recorded = timeout(STALLED, self.log.next()).await??;
            self.take(&recorded);
        }
        Ok(())
    }

    fn take(&mut self, recorded: &Recorded) {
        if self.take_in(recorded) {
            let applied = self.applied;
            self.report(|progress| progress.applied = applied);
        }
    }

    /// Takes an event into the state, unless it is there; nobody is told of it yet.
    fn take_in(&mut self, recorded: &Recorded) -> bool {
        let fresh = recorded.sequence > self.applied;
        if fresh {
            if let Some(event) = &recorded.event {
                self.unseen.remove(&event.id);
                self.shared.state.write().unwrap_or_else(PoisonError::into_inner).apply(recorded.sequence, event);
            }
            self.applied = recorded.sequence;
        }
        fresh
    }

    fn apply(&mut self, sequence: u64, event: &Event) {
        self.shared.state.write().unwrap_or_else(PoisonError::into_inner).apply(sequence, event);
        self.applied = sequence;
        self.report(|progress| progress.applied = sequence);
    }

    fn report(&self, change: impl FnOnce(&mut Progress)) {
        self.shared.progress.send_modify(change);
    }
}
