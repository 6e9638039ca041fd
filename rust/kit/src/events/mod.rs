//! Facts, published to and learnt from NATS JetStream: at least once, each handled once.

mod consume;
mod handled;
pub mod journal;
mod publish;

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event as Change};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;
pub use uait_gen::event::v1::event::Payload;
pub use uait_gen::event::v1::*;
use uuid::Uuid;

pub use consume::HandlerError;
pub use journal::Journal;
pub use publish::{PublishError, Published};

use crate::config::Config;
use crate::telemetry::Telemetry;

const DUPLICATE_WINDOW: Duration = Duration::from_mins(10);
const MAX_AGE: Duration = Duration::from_hours(30 * 24);
const PING_INTERVAL: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_LEAST: Duration = Duration::from_millis(50);
const RECONNECT_MOST: Duration = Duration::from_secs(1);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Namespace of the ids that are derived from a request's own.
const REQUEST_IDS: Uuid = Uuid::from_u128(0x0b6f_3c1e_6a52_4f0c_9d5b_7a0f_4f6f_0d1e);

/// What is known of the event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// It can be reached.
    Up,
    /// It cannot, and is tried again for ever.
    Down,
    /// The environment has switched it off.
    Off,
}

impl LogState {
    /// As `/healthz` says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Off => "off",
        }
    }
}

/// The event log as one service sees it. Clones share the connection.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    service: String,
    url: Option<String>,
    deadline: Duration,
    telemetry: Telemetry,
    connection: OnceCell<(Client, jetstream::Context)>,
    state: Arc<watch::Sender<LogState>>,
    stopping: watch::Sender<bool>,
    /// Areas whose stream is known to exist.
    areas: Mutex<HashSet<String>>,
    consumers: Mutex<Vec<JoinHandle<()>>>,
}

impl Events {
    /// Begins to connect. To be called inside of the runtime.
    pub(crate) fn new(config: &Config, telemetry: &Telemetry) -> Self {
        let state = if config.nats_url.is_some() { LogState::Down } else { LogState::Off };
        let events = Self(Arc::new(Inner {
            service: config.service.clone(),
            url: config.nats_url.clone(),
            deadline: config.deadline,
            telemetry: telemetry.clone(),
            connection: OnceCell::new(),
            state: Arc::new(watch::Sender::new(state)),
            stopping: watch::Sender::new(false),
            areas: Mutex::default(),
            consumers: Mutex::default(),
        }));
        if config.nats_url.is_some() {
            let connecting = events.clone();
            tokio::spawn(async move {
                if let Err(error) = connecting.jetstream().await {
                    tracing::error!(error = %error, "the event log cannot be used");
                }
            });
        }
        events
    }

    /// Whether the event log can be reached, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<LogState> {
        self.0.state.subscribe()
    }

    /// Stops to consume; what is being handled is handled to its end.
    pub(crate) fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Waits, for a moment, until what was being handled is acknowledged and everything has been sent.
    pub(crate) async fn flush(&self) {
        let consumers = std::mem::take(&mut *self.0.consumers.lock().unwrap_or_else(PoisonError::into_inner));
        let flushed = async {
            for consumer in consumers {
                consumer.await.ok();
            }
            if let Some((client, _)) = self.0.connection.get() {
                client.flush().await.ok();
            }
        };
        if *self.0.state.borrow() == LogState::Up && tokio::time::timeout(FLUSH_TIMEOUT, flushed).await.is_err() {
            tracing::warn!("events being handled were left for the next delivery");
        }
    }

    /// JetStream over a connection that the client itself keeps up, for ever.
    async fn jetstream(&self) -> Result<&jetstream::Context, async_nats::ConnectError> {
        let connect = || async {
            let state = self.0.state.clone();
            let client = ConnectOptions::new()
                .name(&self.0.service)
                .retry_on_initial_connect()
                .max_reconnects(None)
                .reconnect_delay_callback(reconnect_delay)
                .ping_interval(PING_INTERVAL)
                .connection_timeout(REQUEST_TIMEOUT)
                .ignore_discovered_servers()
                .event_callback(move |change| {
                    note(&change, &state);
                    std::future::ready(())
                })
                .connect(self.0.url.as_deref().unwrap_or_default())
                .await?;
            let context = jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT).ack_timeout(REQUEST_TIMEOUT);
            Ok((client.clone(), context.build(client)))
        };
        self.0.connection.get_or_try_init(connect).await.map(|(_, context)| context)
    }

    /// Makes the area's stream, unless somebody has.
    async fn ensure_stream(&self, context: &jetstream::Context, area: &str) -> Result<(), impl Display + use<>> {
        if self.areas().contains(area) {
            return Ok(());
        }
        let made = context
            .get_or_create_stream(stream::Config {
                name: stream_name(area),
                subjects: vec![format!("uait.{area}.>")],
                storage: stream::StorageType::File,
                retention: stream::RetentionPolicy::Limits,
                duplicate_window: DUPLICATE_WINDOW,
                max_age: MAX_AGE,
                ..Default::default()
            })
            .await;
        made.map(|_| {
            self.areas().insert(area.to_owned());
        })
    }

    /// Looks again for the area's stream before it is used next.
    fn forget_stream(&self, area: &str) {
        self.areas().remove(area);
    }

    fn areas(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.areas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of an area: `UAIT_ECHO` of `echo`.
pub fn stream_name(area: &str) -> String {
    format!("UAIT_{}", area.to_ascii_uppercase())
}

/// An event's id: of the request, where it has one, so that a repeat of it publishes nothing new; else a fresh one.
fn event_id(service: &str, area: &str, tenant: &str, request_id: Option<&str>) -> String {
    match request_id {
        Some(id) => Uuid::new_v5(&REQUEST_IDS, format!("{service}/{area}/{tenant}/{id}").as_bytes()).to_string(),
        None => Uuid::now_v7().to_string(),
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    (RECONNECT_LEAST * 2_u32.pow(doublings)).min(RECONNECT_MOST)
}

fn note(change: &Change, state: &watch::Sender<LogState>) {
    let now = match change {
        Change::Connected => LogState::Up,
        Change::Disconnected | Change::Closed => LogState::Down,
        Change::LameDuckMode | Change::Draining | Change::SlowConsumer(_) | Change::ServerError(_) => {
            return tracing::warn!(change = %change, "the event log's connection");
        }
        Change::ClientError(_) => return tracing::debug!(change = %change, "the event log's connection"),
    };
    if state.send_replace(now) != now {
        match now {
            LogState::Up => tracing::info!("the event log can be reached"),
            LogState::Down | LogState::Off => tracing::warn!("the event log cannot be reached"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_of_a_request_is_the_same_each_time() {
        let id = |tenant, request| event_id("echo-rust", "echo", tenant, Some(request));
        assert_eq!(id("acme", "a"), id("acme", "a"));
        assert_ne!(id("acme", "a"), id("acme", "b"));
        assert_ne!(id("acme", "a"), id("globex", "a"));
        assert_ne!(event_id("s", "echo", "acme", None), event_id("s", "echo", "acme", None));
    }

    #[test]
    fn reconnect_delay_doubles_up_to_a_second() {
        assert_eq!([0, 1, 2, 3].map(reconnect_delay).map(|d| d.as_millis()), [50, 50, 100, 200]);
        assert_eq!(reconnect_delay(usize::MAX), Duration::from_secs(1));
    }

    #[test]
    fn stream_of_an_area_is_named_in_capitals() {
        assert_eq!(stream_name("echo"), "UAIT_ECHO");
    }
}
