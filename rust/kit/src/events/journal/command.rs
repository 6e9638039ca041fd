//! One command: what it decides, and how its caller learns of it.

use std::sync::Arc;
use std::time::SystemTime;

use prost::Message as _;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::super::{Event, Payload, PublishError, stream_name};
use crate::call::Call;
use crate::telemetry::{Kind, Outcome, Recording, SpanContext, Telemetry};
use crate::validate;

/// What a command has decided.
pub(super) enum Decision {
    /// To store these, one after the other.
    Store(Vec<Event>),
    /// Nothing is to be stored.
    Answer,
    /// It cannot be done as things are.
    Refuse,
}

/// A command of whatever types.
pub(super) trait Command<S>: Send {
    /// Commands of the same scope come one after the other; those of an empty one in any order.
    fn scope(&self) -> &str;

    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;

    /// Decides, maybe not for the first time. No event is larger than `limit` bytes.
    fn decide(&mut self, state: &S, limit: usize) -> Decision;

    /// Answers according to the last decision, whose events are in the state.
    fn finish(self: Box<Self>, state: &S);
}

/// A command, and its caller.
pub(super) struct Commit<D, A, T, N, E> {
    scope: String,
    source: String,
    call: Arc<Call>,
    telemetry: Option<(Telemetry, String)>,
    decide: D,
    answer: A,
    reply: oneshot::Sender<Result<T, E>>,
    decided: Option<Result<N, E>>,
    span: Option<Recording>,
    /// Of the events of the last decision: id and name of the first, and how many there are.
    stored: Option<(String, &'static str, usize)>,
}

impl<D, A, T, N, E> Commit<D, A, T, N, E> {
    pub(super) fn new(
        scope: String,
        source: String,
        call: Arc<Call>,
        telemetry: Option<(Telemetry, String)>,
        decide: D,
        answer: A,
        reply: oneshot::Sender<Result<T, E>>,
    ) -> Self {
        Self { scope, source, call, telemetry, decide, answer, reply, decided: None, span: None, stored: None }
    }

    /// The events of a decision, in a span of their own.
    fn events(&mut self, payloads: Vec<Payload>, limit: usize) -> Result<Vec<Event>, PublishError> {
        if self.span.is_none() {
            let parent = Some(self.call.span).filter(SpanContext::is_valid);
            self.span = self.telemetry.as_ref().map(|(telemetry, _)| telemetry.tracer.begin(parent));
        }
        let traceparent = self.span.map(|span| span.context.to_string()).unwrap_or_default();
        let event = |payload| {
            let event = Event {
                id: Uuid::now_v7().to_string(),
                time: Some(SystemTime::now().into()),
                source: self.source.clone(),
                tenant: self.call.identity.tenant().to_owned(),
                traceparent: traceparent.clone(),
                payload: Some(payload),
            };
            validate::check(&event)?;
            let bytes = event.encoded_len();
            if bytes > limit { Err(PublishError::TooLarge { bytes }) } else { Ok(event) }
        };
        payloads.into_iter().map(event).collect()
    }

    /// Counts the events of the last decision, which are stored, and ends their span, which names the first.
    fn record(&mut self) {
        let (Some((telemetry, area)), Some((id, name, count))) = (&self.telemetry, self.stored.take()) else { return };
        for _ in 0..count {
            telemetry.metrics.published(area, Outcome::Stored);
        }
        let Some(span) = self.span.take() else { return };
        let attributes = [
            ("messaging.system", "nats".to_owned()),
            ("messaging.operation.type", "send".to_owned()),
            ("messaging.destination.name", format!("uait.{area}.{}.{name}", self.call.identity.tenant())),
            ("messaging.message.id", id),
            ("messaging.batch.message_count", count.to_string()),
        ];
        let name = format!("publish {}", stream_name(area));
        span.end_event(&telemetry.tracer, Kind::Producer, name, &self.call.identity, attributes, None);
    }
}

impl<S, D, A, T, N, E> Command<S> for Commit<D, A, T, N, E>
where
    D: FnMut(&S) -> Result<(Vec<Payload>, N), E> + Send,
    A: FnOnce(&S, N) -> T + Send,
    T: Send,
    N: Send,
    E: From<PublishError> + Send,
{
    fn scope(&self) -> &str {
        &self.scope
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn decide(&mut self, state: &S, limit: usize) -> Decision {
        self.stored = None;
        let call = self.call.clone();
        let decided = call.enter(|| (self.decide)(state)).and_then(|(payloads, note)| {
            if payloads.is_empty() { Ok((Vec::new(), note)) } else { Ok((self.events(payloads, limit)?, note)) }
        });
        let (decision, decided) = match decided {
            Ok((events, note)) if events.is_empty() => (Decision::Answer, Ok(note)),
            Ok((events, note)) => {
                self.stored = events.first().map(|event| (event.id.clone(), super::payload_name(event), events.len()));
                (Decision::Store(events), Ok(note))
            }
            Err(error) => (Decision::Refuse, Err(error)),
        };
        self.decided = Some(decided);
        decision
    }

    fn finish(mut self: Box<Self>, state: &S) {
        self.record();
        let Self { answer, reply, decided, call, .. } = *self;
        let result = match decided {
            Some(Ok(note)) => Ok(call.enter(|| answer(state, note))),
            Some(Err(error)) => Err(error),
            None => Err(PublishError::Unavailable.into()),
        };
        // The caller may have gone; the events are stored all the same.
        reply.send(result).ok();
    }
}
