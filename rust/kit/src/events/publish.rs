//! Publishing: an OK means that JetStream has the event on disk.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::PublishErrorKind;
use bytes::Bytes;
use prost::Message as _;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;

use super::{Event, Events, LogState, Payload, event_id, stream_name};
use crate::call::Call;
use crate::status::{self, Failure, Reason};
use crate::telemetry::{Kind, Outcome, SpanContext};
use crate::validate::{self, Invalid};

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF_LEAST: Duration = Duration::from_millis(20);
const BACKOFF_MOST: Duration = Duration::from_millis(500);

/// An event that JetStream has on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its id; the same for each repeat of one request.
    pub event_id: String,
    /// Its number in the stream, from 1.
    pub sequence: u64,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The event log could not be reached until the caller's deadline. It may have the event all the same.
    #[error("the event log cannot be reached")]
    Unavailable,
    /// There is no call, or it has no tenant.
    #[error("an event was published for no tenant")]
    NoTenant,
    /// The event breaks its rules.
    #[error("an event breaks its rules: {0}")]
    Invalid(#[from] Invalid),
    /// The event is larger than the log takes.
    #[error("an event of {bytes} bytes is larger than the event log takes")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl From<PublishError> for Status {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Unavailable => status::unavailable("nats", error.to_string()),
            PublishError::TooLarge { .. } => Failure::new(Reason::MessageTooLarge, error.to_string()).into(),
            PublishError::NoTenant | PublishError::Invalid(_) => status::internal(&error),
        }
    }
}

impl Events {
    /// Publishes what happened to the tenant of the current call, as `uait.<area>.<tenant>.<name of the payload>`. With a
    /// `request_id`, publishing again gives the first event. While the log is away this keeps trying, until shortly before
    /// the caller's deadline.
    ///
    /// # Errors
    /// The event log stays away, or the event cannot be stored at all.
    pub async fn publish(
        &self,
        area: &str,
        payload: Payload,
        request_id: Option<&str>,
    ) -> Result<Published, PublishError> {
        let call = Call::current();
        let identity = call.as_ref().map(|call| call.identity.clone()).unwrap_or_default();
        if identity.tenant().is_empty() {
            return Err(PublishError::NoTenant);
        }
        let left = call.as_ref().and_then(|call| call.time_left()).unwrap_or(self.0.deadline);
        // The answer must get to the caller before the deadline does.
        let deadline = Instant::now() + left.saturating_sub((left / 10).min(Duration::from_millis(100)));
        let span = self.0.telemetry.tracer.begin(call.map(|call| call.span).filter(SpanContext::is_valid));
        let subject = format!("uait.{area}.{}.{}", identity.tenant(), payload.field_name());
        let event = Event {
            id: event_id(&self.0.service, area, identity.tenant(), request_id),
            time: Some(SystemTime::now().into()),
            source: self.0.service.clone(),
            tenant: identity.tenant().to_owned(),
            traceparent: span.context.to_string(),
            payload: Some(payload),
        };
        let result = match validate::check(&event) {
            Ok(()) => self.store(area, &subject, &event, deadline).await,
            Err(invalid) => Err(invalid.into()),
        };
        self.0.telemetry.metrics.published(area, outcome(&result));
        let attributes = [
            ("messaging.system", "nats".to_owned()),
            ("messaging.operation.type", "send".to_owned()),
            ("messaging.destination.name", subject),
            ("messaging.message.id", event.id),
        ];
        let error = result.as_ref().err().map(ToString::to_string);
        let name = format!("publish {}", stream_name(area));
        span.end_event(&self.0.telemetry.tracer, Kind::Producer, name, &identity, attributes, error);
        result
    }

    async fn store(
        &self,
        area: &str,
        subject: &str,
        event: &Event,
        deadline: Instant,
    ) -> Result<Published, PublishError> {
        let data = Bytes::from(event.encode_to_vec());
        let mut state = self.state();
        let mut backoff = BACKOFF_LEAST;
        loop {
            // Nothing is handed to the client while it is away: it would send it later, unasked.
            match timeout_at(deadline, state.wait_for(|state| *state != LogState::Down)).await {
                Ok(Ok(state)) if *state == LogState::Up => {}
                Ok(_) | Err(_) => return Err(PublishError::Unavailable),
            }
            let attempt_until = deadline.min(Instant::now() + ATTEMPT_TIMEOUT);
            match timeout_at(attempt_until, self.attempt(area, subject, &event.id, data.clone())).await {
                Ok(Ok(Some(published))) => return Ok(published),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(None)) | Err(_) => {}
            }
            if timeout_at(deadline, sleep(backoff)).await.is_err() {
                return Err(PublishError::Unavailable);
            }
            backoff = (backoff * 2).min(BACKOFF_MOST);
        }
    }

    /// Publishes once; `None` where trying again may help.
    async fn attempt(
        &self,
        area: &str,
        subject: &str,
        id: &str,
        data: Bytes,
    ) -> Result<Option<Published>, PublishError> {
        let Ok(context) = self.jetstream().await else { return Ok(None) };
        if let Err(error) = self.ensure_stream(context, area).await {
            tracing::debug!(area, error = %error, "the stream cannot be made yet");
            return Ok(None);
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, id);
        let bytes = data.len();
        let sent = context.publish_with_headers(subject.to_owned(), headers, data).await;
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(ack) => {
                Ok(Some(Published { event_id: id.to_owned(), sequence: ack.sequence, duplicate: ack.duplicate }))
            }
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => Err(PublishError::TooLarge { bytes }),
            Err(error) => {
                tracing::debug!(area, error = %error, "an event is published again");
                self.forget_stream(area);
                Ok(None)
            }
        }
    }
}

fn outcome(result: &Result<Published, PublishError>) -> Outcome {
    match result {
        Ok(published) if published.duplicate => Outcome::Duplicate,
        Ok(_) => Outcome::Stored,
        Err(_) => Outcome::Failed,
    }
}
