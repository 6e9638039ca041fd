//! The event log on a real NATS server, which comes and goes.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{eventually, kit};
use tonic::{Code, Status};
use uait_kit::events::{Echoed, Event, LogState, Payload, PublishError, Published};
use uait_kit::status::error_info;
use uait_kit::{Call, Kit};
use uait_testbed::NatsServer;

fn echoed(message: &str) -> Payload {
    Payload::Echoed(Echoed { message: message.to_owned() })
}

async fn publish(kit: &Kit, message: &str, request_id: Option<&str>) -> Result<Published, PublishError> {
    Call::for_tenant("acme").unwrap().scope(kit.events.publish("echo", echoed(message), request_id)).await
}

/// What a consumer saw: how many times each message was handled.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashMap<String, usize>>>);

impl Seen {
    fn add(&self, event: &Event) {
        let Some(Payload::Echoed(Echoed { message })) = &event.payload else { panic!("{event:?}") };
        *self.0.lock().unwrap().entry(message.clone()).or_default() += 1;
    }

    fn times(&self, message: &str) -> usize {
        self.0.lock().unwrap().get(message).copied().unwrap_or(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_published_is_handled_once_for_its_tenant_in_its_trace() {
    let nats = NatsServer::start();
    let kit = kit([("UAIT_NATS_URL", &nats.url()), ("OTEL_SDK_DISABLED", "false")]);
    let handled = Arc::new(Mutex::new(Vec::new()));
    let keep = handled.clone();
    kit.events.consume("echo", move |event| {
        let call = Call::current().unwrap();
        keep.lock().unwrap().push((event, call.identity.tenant().to_owned(), call.span.trace_id));
        std::future::ready(Ok(()))
    });
    let first = publish(&kit, "news", Some("r-1")).await.unwrap();
    let again = publish(&kit, "news", Some("r-1")).await.unwrap();
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!((&again.event_id, again.sequence), (&first.event_id, first.sequence));
    let other = publish(&kit, "other", Some("r-2")).await.unwrap();
    assert_eq!(other.sequence, first.sequence + 1);
    eventually("both are handled", || async { (handled.lock().unwrap().len() == 2).then_some(()) }).await;
    let handled = handled.lock().unwrap();
    let (event, tenant, trace) = handled.iter().find(|(event, ..)| event.id == first.event_id).unwrap();
    assert_eq!((event.source.as_str(), event.tenant.as_str(), tenant.as_str()), ("stub", "acme", "acme"));
    assert!(event.traceparent.contains(&format!("{trace:032x}")), "{} is not of {trace:x}", event.traceparent);
    let metrics = kit.telemetry.metrics.encode().unwrap();
    for line in [
        r#"events_published_total{area="echo",outcome="stored"} 2"#,
        r#"events_published_total{area="echo",outcome="duplicate"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing from\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_whose_handler_fails_is_tried_again_and_others_are_not_held_up() {
    let nats = NatsServer::start();
    let kit = kit([("UAIT_NATS_URL", &nats.url())]);
    let (attempts, seen) = (Arc::new(AtomicUsize::new(0)), Seen::default());
    let (tried, saw) = (attempts.clone(), seen.clone());
    kit.events.consume("echo", move |event| {
        let failing = matches!(&event.payload, Some(Payload::Echoed(e)) if e.message == "stubborn");
        let attempt = if failing { tried.fetch_add(1, Ordering::SeqCst) } else { 9 };
        let saw = saw.clone();
        async move {
            assert_ne!(attempt, 0, "a panic is a failure like others");
            if attempt < 3 {
                return Err("not yet".into());
            }
            saw.add(&event);
            Ok(())
        }
    });
    publish(&kit, "stubborn", None).await.unwrap();
    publish(&kit, "easy", None).await.unwrap();
    eventually("both are handled", || async { (seen.times("stubborn") == 1 && seen.times("easy") == 1).then_some(()) })
        .await;
    assert_eq!(attempts.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_away_is_unavailable_at_the_deadline_and_back_without_a_restart() {
    let mut nats = NatsServer::stopped();
    let kit = kit([("UAIT_NATS_URL", &nats.url()), ("UAIT_DEADLINE_MS", "200")]);
    let seen = Seen::default();
    let saw = seen.clone();
    kit.events.consume("echo", move |event| {
        saw.add(&event);
        std::future::ready(Ok(()))
    });
    let status = Status::from(publish(&kit, "lost", None).await.unwrap_err());
    let info = error_info(&status).unwrap();
    assert_eq!((status.code(), info.reason.as_str()), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
    assert_eq!(info.metadata["dependency"], "nats");
    assert_eq!(*kit.events.state().borrow(), LogState::Down);

    nats.restart();
    let mut state = kit.events.state();
    let up = state.wait_for(|state| *state == LogState::Up);
    tokio::time::timeout(support::PATIENCE, up).await.expect("the client connects by itself").unwrap();
    eventually("publishing works", || async { publish(&kit, "found", Some("f")).await.ok() }).await;
    eventually("it is handled", || async { (seen.times("found") == 1).then_some(()) }).await;
    assert_eq!(seen.times("lost"), 0);

    nats.kill();
    let down = state.wait_for(|state| *state == LogState::Down);
    tokio::time::timeout(support::PATIENCE, down).await.expect("the client sees that it is away").unwrap();
}

#[tokio::test]
async fn log_switched_off_is_unavailable_at_once() {
    let kit = kit([]);
    let started = std::time::Instant::now();
    assert!(matches!(publish(&kit, "x", None).await, Err(PublishError::Unavailable)));
    assert!(started.elapsed() < Duration::from_secs(5));
    let nobody = kit.events.publish("echo", echoed("x"), None).await;
    assert!(matches!(nobody, Err(PublishError::NoTenant)));
}

/// Story: what JetStream acknowledges must be on disk and what it does not must be published again, whatever a power cut
/// hits; each event is to be handled, and only once.
#[tokio::test(flavor = "multi_thread")]
async fn log_killed_under_load_loses_nothing_and_repeats_nothing() {
    const ROUNDS: usize = 5;
    const PUBLISHERS: usize = 8;
    const EACH_ROUND: usize = 150;
    let mut nats = NatsServer::start();
    let kit = kit([("UAIT_NATS_URL", &nats.url())]);
    let seen = Seen::default();
    let saw = seen.clone();
    kit.events.consume("echo", move |event| {
        saw.add(&event);
        std::future::ready(Ok(()))
    });
    let (stored, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (kit, stored, stop) = (kit.clone(), stored.clone(), stop.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let message = format!("{publisher}-{n}");
                    let published = publish(&kit, &message, None).await.expect("NATS is back within the deadline");
                    stored.lock().unwrap().push((message, published.sequence));
                }
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        eventually("the load goes on", || async { (stored.lock().unwrap().len() >= round * EACH_ROUND).then_some(()) })
            .await;
        nats.kill();
        nats.restart();
    }
    stop.store(true, Ordering::Relaxed);
    for publisher in publishers {
        tokio::time::timeout(Duration::from_mins(1), publisher).await.unwrap().unwrap();
    }
    let stored = stored.lock().unwrap().clone();
    let mut sequences: Vec<u64> = stored.iter().map(|(_, sequence)| *sequence).collect();
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), stored.len(), "no two events share a place in the stream");
    assert_eq!(sequences.last().copied(), u64::try_from(stored.len()).ok(), "no event is stored twice");
    eventually("all are handled", || async { stored.iter().all(|(m, _)| seen.times(m) > 0).then_some(()) }).await;
    assert!(stored.iter().all(|(message, _)| seen.times(message) == 1), "each is handled once");
}
