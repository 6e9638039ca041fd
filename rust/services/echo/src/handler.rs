//! The contract of `uait.echo.v1`: each method checks, calls and converts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream::{self, BoxStream};
use http::{HeaderName, HeaderValue};
use tonic::{Code, Request, Response, Status, Streaming};
use uait_gen::echo::v1::behaviour::Failure;
use uait_gen::echo::v1::echo_service_client::EchoServiceClient;
use uait_gen::echo::v1::echo_service_server::EchoService;
use uait_gen::echo::v1::*;
use uait_kit::dial::Mesh;
use uait_kit::events::{Echoed, Event, Events, Payload};
use uait_kit::status::code_name;
use uait_kit::{Call, Kit};

use crate::config::Config;
use crate::error::Error;
use crate::ledger::{Key, Ledger};

/// Area of the events of all echo services.
const AREA: &str = "echo";

/// Answers the calls of `EchoService`.
pub struct Handler {
    service: String,
    instance: String,
    mesh: Mesh,
    events: Events,
    outcomes: Arc<Ledger<Outcome>>,
    handled: Arc<Ledger<Handled>>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    code: Code,
    ended_at: SystemTime,
}

/// An event that was handled.
#[derive(Debug, Clone)]
struct Handled {
    message: String,
    trace_id: String,
    source: String,
    times: i32,
}

impl Handler {
    /// Makes the handler, and begins to handle the area's events.
    pub fn new(kit: &Kit, config: &Config) -> Self {
        let handler = Self {
            service: kit.config.service.clone(),
            instance: kit.config.instance.clone(),
            mesh: kit.mesh.clone(),
            events: kit.events.clone(),
            outcomes: Arc::new(Ledger::new(config.remembered)),
            handled: Arc::new(Ledger::new(config.remembered)),
        };
        let handled = handler.handled.clone();
        kit.events.consume(AREA, move |event| {
            note(&handled, event);
            std::future::ready(Ok(()))
        });
        handler
    }

    /// What the kit saw of the current call.
    fn seen(&self, call: &Call) -> Seen {
        Seen {
            service: self.service.clone(),
            instance: self.instance.clone(),
            tenant: call.identity.tenant().to_owned(),
            subject: call.identity.subject().to_owned(),
            scopes: call.identity.scopes().map(str::to_owned).collect(),
            trace_id: call.span.trace_id_hex(),
            span_id: call.span.span_id_hex(),
            time_left: call.time_left().and_then(|left| left.try_into().ok()),
        }
    }

    /// Follows a call that has a name until it ends, in whatever way.
    fn follow(&self, call: &Arc<Call>, call_id: &str) -> Option<Followed> {
        let outcomes = self.outcomes.clone();
        (!call_id.is_empty()).then(|| Followed { outcomes, key: key(call, call_id), call: call.clone(), code: None })
    }
}

/// Enters how a call ended when it is dropped: with its code, or with what dropping it before its end means.
struct Followed {
    outcomes: Arc<Ledger<Outcome>>,
    key: Key,
    call: Arc<Call>,
    code: Option<Code>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        let code = self.code.unwrap_or_else(|| self.call.abandoned());
        self.outcomes.enter(std::mem::take(&mut self.key), |_| Outcome { code, ended_at: SystemTime::now() });
    }
}

fn key(call: &Call, name: &str) -> Key {
    (call.identity.tenant().to_owned(), name.to_owned())
}

fn note(handled: &Ledger<Handled>, event: Event) {
    let Some(Payload::Echoed(Echoed { message })) = event.payload else { return };
    let trace_id = Call::current().map(|call| call.span.trace_id_hex()).unwrap_or_default();
    handled.enter((event.tenant, event.id), |before| Handled {
        message,
        trace_id,
        source: event.source,
        times: before.map_or(1, |before| before.times + 1),
    });
}

/// Does what the caller asked for: trailers, then a delay, then a failure.
async fn behave(call: &Call, behaviour: Behaviour) -> Result<(), Error> {
    for (name, value) in behaviour.trailers {
        let name = HeaderName::try_from(name).map_err(http::Error::from)?;
        call.add_trailer(name, HeaderValue::try_from(value).map_err(http::Error::from)?);
    }
    if let Some(delay) = duration(behaviour.delay) {
        tokio::time::sleep(delay).await;
    }
    match behaviour.failure {
        None => Ok(()),
        Some(Failure::Missing(name)) => Err(Error::Missing { name }),
        Some(Failure::Crash(cause)) => Err(Error::Crash(cause)),
    }
}

/// A duration that is set, valid and not zero.
fn duration(duration: Option<prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|d| Duration::try_from(d).ok()).filter(|d| !d.is_zero())
}

fn current() -> Arc<Call> {
    Call::current().unwrap_or_default()
}

type Responses<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl EchoService for Handler {
    type ExpandStream = Responses<ExpandResponse>;
    type ConverseStream = Responses<ConverseResponse>;

    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let call = current();
        let EchoRequest { message, payload, call_id, behaviour } = request.into_inner();
        let mut followed = self.follow(&call, &call_id);
        let seen = self.seen(&call);
        let result = match behaviour {
            Some(behaviour) => behave(&call, behaviour).await.map_err(Status::from),
            None => Ok(()),
        };
        if let Some(followed) = &mut followed {
            followed.code = Some(result.as_ref().err().map_or(Code::Ok, Status::code));
        }
        result?;
        Ok(Response::new(EchoResponse { message, payload, seen: Some(seen) }))
    }

    async fn collect(&self, request: Request<Streaming<CollectRequest>>) -> Result<Response<CollectResponse>, Status> {
        let seen = self.seen(&current());
        let mut requests = request.into_inner();
        let (mut message, mut count) = (String::new(), 0);
        while let Some(request) = requests.message().await.map_err(Error::Request)? {
            if count > 0 {
                message.push(' ');
            }
            message.push_str(&request.message);
            count += 1;
        }
        Ok(Response::new(CollectResponse { message, count, seen: Some(seen) }))
    }

    async fn expand(&self, request: Request<ExpandRequest>) -> Result<Response<Self::ExpandStream>, Status> {
        let call = current();
        let ExpandRequest { message, count, interval, call_id } = request.into_inner();
        let followed = self.follow(&call, &call_id);
        let (seen, interval) = (Some(self.seen(&call)), duration(interval));
        let responses = stream::unfold((0, seen, followed), move |(index, seen, mut followed)| {
            let message = message.clone();
            async move {
                if index == count {
                    if let Some(followed) = &mut followed {
                        followed.code = Some(Code::Ok);
                    }
                    return None;
                }
                if let Some(interval) = interval.filter(|_| index > 0) {
                    tokio::time::sleep(interval).await;
                }
                Some((Ok(ExpandResponse { message, index, seen }), (index + 1, None, followed)))
            }
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn converse(
        &self,
        request: Request<Streaming<ConverseRequest>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        let seen = Some(self.seen(&current()));
        let responses = stream::try_unfold((request.into_inner(), 0, seen), |(mut requests, index, seen)| async move {
            let next = requests.message().await.map_err(Error::Request)?;
            Ok(next.map(|request| {
                (ConverseResponse { message: request.message, index, seen }, (requests, index + 1, None))
            }))
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn relay(&self, request: Request<RelayRequest>) -> Result<Response<RelayResponse>, Status> {
        let RelayRequest { message, mut route } = request.into_inner();
        let seen = self.seen(&current());
        if route.is_empty() {
            return Ok(Response::new(RelayResponse { message, hops: vec![seen] }));
        }
        let next = route
            .remove(0)
            .parse()
            .map_err(|_| Error::Crash("a catalogue name that no header can carry".to_owned()))?;
        let mut onward = Request::new(RelayRequest { message, route });
        onward.metadata_mut().insert("x-uait-service", next);
        let mut client: EchoServiceClient<Mesh> = self.mesh.client();
        let RelayResponse { message, hops } = client.relay(onward).await.map_err(Error::Hop)?.into_inner();
        Ok(Response::new(RelayResponse { message, hops: std::iter::once(seen).chain(hops).collect() }))
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let PublishRequest { message, request_id } = request.into_inner();
        let echoed = Payload::Echoed(Echoed { message });
        let published = self.events.publish(AREA, echoed, Some(&request_id)).await.map_err(Error::from)?;
        let (event_id, sequence, duplicate) = (published.event_id, published.sequence, published.duplicate);
        Ok(Response::new(PublishResponse { event_id, sequence, duplicate }))
    }

    async fn await_event(&self, request: Request<AwaitEventRequest>) -> Result<Response<AwaitEventResponse>, Status> {
        let key = key(&current(), &request.into_inner().event_id);
        let Handled { message, trace_id, source, times } = self.handled.wait(&key).await;
        Ok(Response::new(AwaitEventResponse { message, trace_id, handled: times, source }))
    }

    async fn await_outcome(
        &self,
        request: Request<AwaitOutcomeRequest>,
    ) -> Result<Response<AwaitOutcomeResponse>, Status> {
        let key = key(&current(), &request.into_inner().call_id);
        let Outcome { code, ended_at } = self.outcomes.wait(&key).await;
        Ok(Response::new(AwaitOutcomeResponse { code: code_name(code).to_owned(), ended_at: Some(ended_at.into()) }))
    }
}
