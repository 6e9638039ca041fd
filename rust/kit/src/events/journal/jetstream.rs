//! The journal's log on JetStream: conditions in the headers of what is published, and an ordered consumer to follow it.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_LAST_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::consumer::{Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::stream::Info;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::{Event, Events, LogState, stream_name};
use super::log::{Appended, Log, LogError, Opened, Recorded};

/// For what takes one question and one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What headers may take of a message's largest size.
const HEADERS: usize = 1024;
/// Of a message, where the server has not said it yet: its default.
const LIMIT: usize = 1 << 20;

/// The stream of an area.
pub(super) struct JetStreamLog {
    events: Events,
    area: String,
    messages: Option<pull::Ordered>,
    /// Changes whenever the connection does, and a consumer is not to be relied on after that.
    state: watch::Receiver<LogState>,
}

impl JetStreamLog {
    pub(super) fn new(events: Events, area: &str) -> Self {
        let state = events.state();
        Self { events, area: area.to_owned(), messages: None, state }
    }

    async fn info(&mut self) -> Result<Info, LogError> {
        let context = self.events.jetstream().await?;
        let stream = timeout(PATIENCE, context.get_stream(stream_name(&self.area))).await??;
        Ok(stream.cached_info().clone())
    }

    async fn follow(&mut self, applied: u64) -> Result<Opened, LogError> {
        self.messages = None;
        self.state.mark_unchanged();
        let events = self.events.clone();
        events.forget_stream(&self.area);
        let context = events.jetstream().await?;
        events.ensure_stream(context, &self.area).await.map_err(|error| error.to_string())?;
        let info = self.info().await?;
        let (last, epoch) = (info.state.last_sequence, info.created.to_string());
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: applied + 1 },
            ..Default::default()
        };
        let consumer: Consumer<pull::OrderedConfig> =
            context.create_consumer_on_stream(config, stream_name(&self.area)).await?;
        let followed = consumer.cached_info().num_pending == 0;
        self.messages = Some(consumer.messages().await?);
        Ok(Opened { last, followed, epoch })
    }

    /// Hands an event to the connection; the answer comes later. Events are stored in the order in which this is called.
    async fn send(&mut self, after: u64, previous: Option<&Event>, event: &Event) -> Option<PublishAckFuture> {
        let context = self.events.jetstream().await.ok()?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, event.id.as_str());
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, after.to_string());
        // A number alone is no condition while the event that is to have it is under way: another may get it instead.
        if let Some(previous) = previous {
            headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, previous.id.as_str());
        }
        let subject = format!("uait.{}.{}.{}", self.area, event.tenant, super::payload_name(event));
        context.publish_with_headers(subject, headers, Bytes::from(event.encode_to_vec())).await.ok()
    }
}

async fn answer(sent: Option<PublishAckFuture>) -> Appended {
    let Some(sent) = sent else { return Appended::Unknown };
    match sent.await {
        Ok(ack) => Appended::Stored(ack.sequence),
        Err(error) => match error.kind() {
            PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId => Appended::Overtaken,
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::MaxPayloadExceeded
            | PublishErrorKind::Other => {
                tracing::debug!(error = %error, "an event of a journal was not answered");
                Appended::Unknown
            }
        },
    }
}

impl Log for JetStreamLog {
    async fn open(&mut self, applied: u64) -> Result<Opened, LogError> {
        timeout(PATIENCE, self.follow(applied)).await?
    }

    async fn next(&mut self) -> Result<Recorded, LogError> {
        let Some(messages) = &mut self.messages else { return Err("the journal is not open".into()) };
        let message = tokio::select! {
            _ = self.state.changed() => return Err("the connection changed".into()),
            message = messages.next() => message.ok_or("the stream of events ended")??,
        };
        let info = message.info().map_err(|error| error.to_string())?;
        let (sequence, last) = (info.stream_sequence, info.pending == 0);
        let event = match Event::decode(message.payload.clone()) {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::error!(sequence, %error, "an event of a journal cannot be read and is left out");
                None
            }
        };
        Ok(Recorded { sequence, event, last })
    }

    async fn last(&mut self) -> Result<u64, LogError> {
        Ok(self.info().await?.state.last_sequence)
    }

    async fn append(&mut self, after: u64, events: &[Event]) -> Vec<Appended> {
        let mut sent = Vec::with_capacity(events.len());
        let mut previous = None;
        for (after, event) in (after..).zip(events) {
            sent.push(self.send(after, previous, event).await);
            previous = Some(event);
        }
        // Of a connection that breaks no answer comes, and nothing says so before its time is over.
        let mut state = self.events.state();
        tokio::select! {
            outcomes = join_all(sent.into_iter().map(answer)) => outcomes,
            _ = state.wait_for(|state| *state != LogState::Up) => vec![Appended::Unknown; events.len()],
        }
    }

    async fn available(&mut self) {
        // A receiver of its own, so that following still learns of the change. An error says that the process ends.
        self.events.state().wait_for(|state| *state == LogState::Up).await.ok();
    }

    fn limit(&self) -> usize {
        let said = self.events.0.connection.get().map(|(client, _)| client.server_info().max_payload);
        said.filter(|bytes| *bytes > 0).unwrap_or(LIMIT).saturating_sub(HEADERS)
    }
}
