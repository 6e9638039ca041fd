//! Journals, over JetStream and over their twin in memory: what was answered is there, once, for every replica.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use support::{eventually, kit};
use uait_kit::events::journal::{MemoryLog, State};
use uait_kit::events::{Echoed, Event, Journal, LogState, Payload, PublishError};
use uait_kit::{Call, Kit};
use uait_testbed::NatsServer;

const AREA: &str = "echo";

/// All messages, in the journal's order.
#[derive(Default)]
struct Messages(Vec<String>);

impl State for Messages {
    fn apply(&mut self, _: u64, event: &Event) {
        if let Some(Payload::Echoed(Echoed { message })) = &event.payload {
            self.0.push(message.clone());
        }
    }
}

type Log = Journal<Messages>;

fn echoed(message: &str) -> Payload {
    Payload::Echoed(Echoed { message: message.to_owned() })
}

async fn as_acme<F: Future>(work: F) -> F::Output {
    Call::for_tenant("acme").unwrap().scope(work).await
}

/// Appends what `name` makes of the number of messages so far, and answers with the number after.
async fn append(
    journal: &Log,
    scope: &str,
    name: impl Fn(usize) -> String + Send + 'static,
) -> Result<usize, PublishError> {
    let decide = move |state: &Messages| Ok((vec![echoed(&name(state.0.len()))], ()));
    as_acme(journal.commit(scope, decide, |state, ()| state.0.len())).await
}

async fn messages(journal: &Log) -> Vec<String> {
    as_acme(journal.read(|state| Ok::<_, PublishError>(state.0.clone()))).await.unwrap()
}

fn over(kit: &Kit) -> Log {
    Journal::new(&kit.events, AREA, Messages::default)
}

/// Replicas of one journal, of each implementation of a log.
enum Bed {
    Memory(MemoryLog),
    Nats(NatsServer),
}

impl Bed {
    fn all() -> [Self; 2] {
        [Self::Memory(MemoryLog::default()), Self::Nats(NatsServer::start())]
    }

    fn replica(&self) -> Log {
        match self {
            Self::Memory(log) => Journal::in_memory(log, AREA, "stub", Messages::default),
            Self::Nats(nats) => over(&kit([("UAIT_NATS_URL", &nats.url())])),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_commit_are_in_the_state_that_answers_it_and_in_later_replays() {
    for bed in Bed::all() {
        let journal = bed.replica();
        let three = |state: &Messages| {
            assert!(state.0.is_empty(), "the first is the first");
            Ok::<_, PublishError>((["a", "b", "c"].map(echoed).to_vec(), "note"))
        };
        let answer = as_acme(journal.commit("x", three, |state, note| (state.0.len(), note))).await.unwrap();
        assert_eq!(answer, (3, "note"));
        assert_eq!(append(&journal, "x", |n| n.to_string()).await.unwrap(), 4);
        let nothing = |_: &Messages| Ok::<_, PublishError>((vec![], ()));
        assert_eq!(as_acme(journal.commit("x", nothing, |state, ()| state.0.len())).await.unwrap(), 4);
        assert_eq!(messages(&bed.replica()).await, ["a", "b", "c", "3"]);
        let progress = *journal.progress().borrow();
        assert_eq!((progress.applied, progress.replayed), (4, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn command_that_is_refused_stores_nothing_and_is_told_why() {
    #[derive(Debug, PartialEq)]
    enum Refusal {
        Full(usize),
        Log,
    }
    impl From<PublishError> for Refusal {
        fn from(_: PublishError) -> Self {
            Self::Log
        }
    }
    for bed in Bed::all() {
        let journal = bed.replica();
        append(&journal, "x", |_| "only".to_owned()).await.unwrap();
        let full = |state: &Messages| Err::<(Vec<Payload>, ()), _>(Refusal::Full(state.0.len()));
        assert_eq!(as_acme(journal.commit("x", full, |_, ()| ())).await, Err(Refusal::Full(1)));
        let large = |_: &Messages| Ok::<_, Refusal>((vec![echoed(&"x".repeat(5000))], ()));
        assert_eq!(as_acme(journal.commit("x", large, |_, ()| ())).await, Err(Refusal::Log), "it breaks its rules");
        assert_eq!(messages(&journal).await, ["only"]);
        let nobody = journal.read(|state| Ok::<_, PublishError>(state.0.len())).await.unwrap();
        assert_eq!(nobody, 1, "reading what is there needs no tenant");
    }
}

/// Story: a refusal must not come of what another replica has changed a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_is_made_in_view_of_what_other_replicas_stored_before() {
    for bed in Bed::all() {
        let (one, other) = (bed.replica(), bed.replica());
        for n in 1..=50 {
            append(&one, "x", |_| "x".to_owned()).await.unwrap();
            let there = move |state: &Messages| {
                if state.0.len() == n { Ok(()) } else { Err(PublishError::Unavailable) }
            };
            as_acme(other.read(there)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_append_at_once_each_decide_on_the_whole_state() {
    const EACH: usize = 60;
    for bed in Bed::all() {
        let replicas = [bed.replica(), bed.replica(), bed.replica()];
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..6 {
            let journal = replicas[writer % 3].clone();
            // One scope: what a command decides depends on all that came before.
            writers.spawn(async move {
                for _ in 0..EACH {
                    append(&journal, "all", |n| n.to_string()).await.unwrap();
                }
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        let expected: Vec<String> = (0..6 * EACH).map(|n| n.to_string()).collect();
        for journal in &replicas {
            eventually("it follows", || async { (messages(journal).await.len() == expected.len()).then_some(()) })
                .await;
            assert_eq!(messages(journal).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_killed_under_load_of_two_replicas_keeps_each_answered_event_once() {
    const ROUNDS: usize = 4;
    const EACH_ROUND: usize = 150;
    let mut nats = NatsServer::start();
    let kits = [0, 1].map(|_| kit([("UAIT_NATS_URL", &nats.url())]));
    let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writers = tokio::task::JoinSet::new();
    for (replica, kit) in kits.iter().enumerate() {
        let journal = over(kit);
        for writer in 0..4 {
            let (journal, answered, stop) = (journal.clone(), answered.clone(), stop.clone());
            writers.spawn(async move {
                let mut mine = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("{replica}-{writer}-{}", mine.len());
                    let (scope, message) = (format!("{writer}"), name.clone());
                    // As every command must, it knows by the state whether it was done before.
                    let decide = move |state: &Messages| {
                        let known = state.0.contains(&message);
                        Ok::<_, PublishError>((if known { vec![] } else { vec![echoed(&message)] }, ()))
                    };
                    as_acme(journal.commit(scope, decide, |_, ()| ())).await.expect("NATS is back within the deadline");
                    answered.fetch_add(1, Ordering::Relaxed);
                    mine.push(name);
                }
                mine
            });
        }
    }
    for round in 1..=ROUNDS {
        eventually("the load goes on", || async {
            (answered.load(Ordering::Relaxed) >= round * EACH_ROUND).then_some(())
        })
        .await;
        nats.kill();
        nats.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let mut expected = Vec::new();
    while let Some(ended) = tokio::time::timeout(Duration::from_mins(1), writers.join_next()).await.unwrap() {
        expected.extend(ended.unwrap());
    }
    let mut found = messages(&over(&kit([("UAIT_NATS_URL", &nats.url())]))).await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_away_is_unavailable_at_the_deadline_and_replayed_when_it_is_there() {
    let mut nats = NatsServer::stopped();
    let journal = over(&kit([("UAIT_NATS_URL", &nats.url()), ("UAIT_DEADLINE_MS", "200")]));
    assert!(matches!(append(&journal, "x", |_| "early".to_owned()).await, Err(PublishError::Unavailable)));
    let unread = as_acme(journal.read(|state| Ok::<_, PublishError>(state.0.len()))).await;
    assert!(matches!(unread, Err(PublishError::Unavailable)), "nobody knows yet");
    nats.restart();
    eventually("it is there", || async { append(&journal, "x", |_| "late".to_owned()).await.ok() }).await;
    assert_eq!(messages(&journal).await[0], "late", "what nobody waits for is not stored");

    let off = over(&kit([]));
    assert!(matches!(append(&off, "x", |_| "never".to_owned()).await, Err(PublishError::Unavailable)));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_whose_last_events_were_deleted_or_that_was_made_anew_goes_on() {
    let nats = NatsServer::start();
    let journal = over(&kit([("UAIT_NATS_URL", &nats.url())]));
    append(&journal, "x", |_| "first".to_owned()).await.unwrap();
    append(&journal, "x", |_| "second".to_owned()).await.unwrap();
    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let stream = jetstream.get_stream("UAIT_ECHO").await.unwrap();
    stream.purge().await.unwrap();

    let later_kit = kit([("UAIT_NATS_URL", &nats.url())]);
    let later = over(&later_kit);
    assert_eq!(append(&later, "x", |_| "third".to_owned()).await.unwrap(), 1);
    assert_eq!(later.progress().borrow().applied, 3);
    eventually("the first follows", || async { (messages(&journal).await.len() == 3).then_some(()) }).await;

    jetstream.delete_stream("UAIT_ECHO").await.unwrap();
    let mut state = later_kit.events.state();
    state.wait_for(|state| *state == LogState::Up).await.unwrap();
    let anew = eventually("a stream is made", || async { append(&later, "x", |_| "anew".to_owned()).await.ok() }).await;
    assert_eq!(anew, 1);
    assert_eq!(messages(&later).await, ["anew"]);
}
