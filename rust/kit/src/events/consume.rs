//! Consuming: every event of an area, once, by whichever replica of the service gets it first.

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt as _;
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep, timeout};

use super::handled::{Handled, Progress};
use super::{Event, Events, LogState, stream_name};
use crate::call::Call;
use crate::identity::Identity;
use crate::serve::turned;
use crate::telemetry::{Kind, Outcome, SpanContext};

const ACK_WAIT: Duration = Duration::from_secs(30);
/// How often a long handler asks for more time.
const PROGRESS: Duration = Duration::from_secs(10);
const IN_FLIGHT: usize = 256;
const REMEMBERED: usize = 10_000;
const SET_UP_TIMEOUT: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(30);
const SESSION_LEAST: Duration = Duration::from_millis(100);
const SESSION_MOST: Duration = Duration::from_secs(5);
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// Why a handler could not handle an event.
pub type HandlerError = Box<dyn Error + Send + Sync>;

impl Events {
    /// Handles every event of an area, up to 256 at once and so in no order, until the service drains. Inside of the handler
    /// the current call is the event's: its tenant, and a span in the trace of the call that published it. A handler that
    /// fails is tried again, 0.1 s later and then twice as long each time up to 30 s. Does nothing where the log is off.
    pub fn consume<H, F>(&self, area: &str, handler: H)
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        if *self.0.state.borrow() == LogState::Off {
            return;
        }
        let handled = Mutex::new(Handled::new(REMEMBERED));
        let consumer = Arc::new(Consumer { events: self.clone(), area: area.to_owned(), handler, handled });
        let running = tokio::spawn(consumer.run());
        self.0.consumers.lock().unwrap_or_else(PoisonError::into_inner).push(running);
    }
}

struct Consumer<H> {
    events: Events,
    area: String,
    handler: H,
    handled: Mutex<Handled>,
}

impl<H, F> Consumer<H>
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    async fn run(self: Arc<Self>) {
        let mut stopping = self.events.0.stopping.subscribe();
        let mut handlers = JoinSet::new();
        let slots = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut pause = SESSION_LEAST;
        loop {
            let mut received = false;
            tokio::select! {
                () = turned(&mut stopping) => break,
                error = self.session(&mut handlers, &slots, &mut received) => {
                    tracing::debug!(area = self.area, error = %error, "consuming begins anew");
                    self.events.forget_stream(&self.area);
                }
            }
            pause = if received { SESSION_LEAST } else { (pause * 2).min(SESSION_MOST) };
            let mut state = self.events.state();
            tokio::select! {
                () = turned(&mut stopping) => break,
                // There is no use in trying while the log is away, and no reason to wait once it is back.
                () = async { state.wait_for(|state| *state == LogState::Up).await.ok(); } => {}
            }
            tokio::select! {
                () = turned(&mut stopping) => break,
                () = sleep(pause) => {}
            }
        }
        while handlers.join_next().await.is_some() {}
    }

    /// Receives events until something breaks, and says what.
    async fn session(
        self: &Arc<Self>,
        handlers: &mut JoinSet<()>,
        slots: &Arc<Semaphore>,
        received: &mut bool,
    ) -> HandlerError {
        let mut messages = match timeout(SET_UP_TIMEOUT, self.open()).await {
            Ok(Ok(messages)) => messages,
            Ok(Err(error)) => return error,
            Err(elapsed) => return elapsed.into(),
        };
        loop {
            // A slot first, so that no more than a batch waits in memory.
            let Ok(slot) = slots.clone().acquire_owned().await else { return "the consumer is closed".into() };
            let message = tokio::select! {
                message = messages.next() => message,
                Some(_) = handlers.join_next() => continue,
            };
            match message {
                Some(Ok(message)) => {
                    *received = true;
                    let consumer = self.clone();
                    handlers.spawn(async move {
                        consumer.deliver(message).await;
                        drop(slot);
                    });
                }
                Some(Err(error)) => return error.into(),
                None => return "the stream of messages ended".into(),
            }
        }
    }

    async fn open(&self) -> Result<pull::Stream, HandlerError> {
        let context = self.events.jetstream().await?;
        self.events.ensure_stream(context, &self.area).await.map_err(|error| error.to_string())?;
        let durable = pull::Config {
            durable_name: Some(self.events.0.service.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: i64::try_from(IN_FLIGHT)?,
            ..Default::default()
        };
        let consumer: PullConsumer = context.create_consumer_on_stream(durable, stream_name(&self.area)).await?;
        let batches = consumer.stream().max_messages_per_batch(IN_FLIGHT).heartbeat(HEARTBEAT).expires(EXPIRES);
        Ok(batches.messages().await?)
    }

    /// Handles one delivery, and tells JetStream what became of it.
    async fn deliver(self: &Arc<Self>, message: Message) {
        let metrics = &self.events.0.telemetry.metrics;
        let event = match Event::decode(message.payload.clone()) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(subject = message.subject.as_str(), %error, "an event cannot be read and is left out");
                metrics.handled(&self.area, Outcome::Failed);
                return answer(&message, AckKind::Term).await;
            }
        };
        let id = event.id.clone();
        let progress = self.handled().begin(&id);
        match progress {
            // Delivered again while its handler takes long; the first delivery will be acknowledged.
            Progress::Running => return,
            Progress::Done => {}
            Progress::Fresh => return self.deliver_fresh(&message, id, event).await,
        }
        metrics.handled(&self.area, Outcome::Duplicate);
        answer(&message, AckKind::Ack).await;
    }

    async fn deliver_fresh(self: &Arc<Self>, message: &Message, id: String, event: Event) {
        let result = {
            let handling = self.handle(event);
            tokio::pin!(handling);
            let mut progress = interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
            loop {
                tokio::select! {
                    result = &mut handling => break result,
                    _ = progress.tick() => answer(message, AckKind::Progress).await,
                }
            }
        };
        let metrics = &self.events.0.telemetry.metrics;
        self.handled().end(&id, result.is_ok());
        match result {
            Ok(()) => {
                metrics.handled(&self.area, Outcome::Handled);
                answer(message, AckKind::Ack).await;
            }
            Err(error) => {
                let deliveries = message.info().map_or(1, |info| info.delivered);
                tracing::error!(event_id = id, deliveries, error = %error, "an event could not be handled and will be tried again");
                metrics.handled(&self.area, Outcome::Failed);
                answer(message, AckKind::Nak(Some(retry_delay(deliveries)))).await;
            }
        }
    }

    async fn handle(self: &Arc<Self>, event: Event) -> Result<(), HandlerError> {
        let tracer = &self.events.0.telemetry.tracer;
        let span = tracer.begin(SpanContext::parse(event.traceparent.as_bytes()));
        let identity = Identity::of_tenant(&event.tenant).unwrap_or_default();
        let attributes = [
            ("messaging.system", "nats".to_owned()),
            ("messaging.operation.type", "process".to_owned()),
            ("messaging.consumer.group.name", self.events.0.service.clone()),
            ("messaging.message.id", event.id.clone()),
        ];
        let call = Call::new(identity.clone(), None, span.context);
        // On a task of its own, so that a panic is an error like others.
        let consumer = self.clone();
        let result = match tokio::spawn(call.scope(async move { (consumer.handler)(event).await })).await {
            Ok(result) => result,
            Err(panic) => Err(panic.into()),
        };
        let error = result.as_ref().err().map(ToString::to_string);
        let name = format!("process {}", stream_name(&self.area));
        span.end_event(tracer, Kind::Consumer, name, &identity, attributes, error);
        result
    }

    fn handled(&self) -> std::sync::MutexGuard<'_, Handled> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that does not get away is no loss: the event comes again, and was handled.
async fn answer(message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!(error = %error, "a delivery could not be answered");
    }
}

fn retry_delay(deliveries: i64) -> Duration {
    let doublings = u32::try_from(deliveries.max(1) - 1).unwrap_or(u32::MAX).min(16);
    (RETRY_LEAST * 2_u32.pow(doublings)).min(RETRY_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delay_doubles_from_a_tenth_to_thirty_seconds() {
        assert_eq!([0, 1, 2, 3, 8, 9].map(|n| retry_delay(n).as_millis()), [100, 100, 200, 400, 12_800, 25_600]);
        assert_eq!(retry_delay(10), RETRY_MOST);
        assert_eq!(retry_delay(i64::MAX), RETRY_MOST);
    }
}
