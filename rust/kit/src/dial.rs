//! The other services, all behind one address: Envoy's mesh listener chooses by the gRPC service's name.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HeaderName;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as TlsIdentity};
use tonic::{Code, Status, TimeoutExpired};
use tower_service::Service;
use uait_gen::service::{Dialled, Method};

use crate::Error;
use crate::call::{Call, timeout_of, timeout_value};
use crate::config::Config;
use crate::identity::Identity;
use crate::status;
use crate::telemetry::{Kind, Recording, SpanContext, Tracer};
use crate::window;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// A channel to all services. Each call forwards what remains of the current call's deadline, its cancellation (a dropped
/// handler drops its calls), its identity and its trace, and has a span. Headers that a request has already are kept.
///
/// Retries are Envoy's, once for the whole mesh.
#[derive(Clone)]
pub struct Mesh {
    channel: Channel,
    tracer: Tracer,
    deadline: Duration,
    max_message_bytes: usize,
}

impl Mesh {
    /// Makes the channel; the connection comes with the first call. To be called inside of the runtime.
    ///
    /// # Errors
    /// The address or the certificates cannot be used.
    pub fn new(config: &Config, tracer: Tracer) -> Result<Self, Error> {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let refuse = |error: tonic::transport::Error| Error::Setup(format!("UAIT_MESH={}: {error}", config.mesh));
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", config.mesh))
            .map_err(refuse)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .initial_stream_window_size(window::STREAM)
            .initial_connection_window_size(window::CONNECTION);
        if let Some(tls) = &config.tls {
            let ours = TlsIdentity::from_pem(&tls.cert, &tls.key);
            let tls = ClientTlsConfig::new().identity(ours).ca_certificate(Certificate::from_pem(&tls.ca));
            endpoint = endpoint.tls_config(tls).map_err(refuse)?;
        }
        let (deadline, max_message_bytes) = (config.deadline, config.max_message_bytes);
        Ok(Self { channel: endpoint.connect_lazy(), tracer, deadline, max_message_bytes })
    }

    /// A generated client over this channel, with the limits of the environment.
    pub fn client<C: Dialled<Self>>(&self) -> C {
        C::over(self.clone(), self.max_message_bytes)
    }
}

impl Service<Request<Body>> for Mesh {
    type Response = Response<DialBody>;
    type Error = Status;
    type Future = DialFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.channel.poll_ready(cx).map_err(|error| unreachable(error.into(), "the mesh"))
    }

    fn call(&mut self, mut request: Request<Body>) -> DialFuture {
        let method = uait_gen::service::method(request.uri().path());
        let call = Call::current();
        let headers = request.headers_mut();
        let now = Instant::now();
        let set = timeout_of(headers);
        let inherited = call.as_ref().and_then(|call| call.deadline);
        let unary = method.is_some_and(Method::is_unary);
        let own = set.or((unary && inherited.is_none()).then_some(self.deadline)).map(|timeout| now + timeout);
        let deadline = match (own, inherited) {
            (Some(own), Some(inherited)) => Some(own.min(inherited)),
            (own, inherited) => own.or(inherited),
        };
        if let Some(deadline) = deadline {
            headers.insert(TIMEOUT, timeout_value(deadline.saturating_duration_since(now)));
        }
        let identity = call.as_ref().map(|call| call.identity.clone()).unwrap_or_default();
        identity.add_to(headers);
        let span = self.span(call.as_deref(), headers);
        let ending = Ending { span, tracer: self.tracer.clone(), method, identity, deadline };
        if deadline.is_some_and(|deadline| deadline <= now) {
            return DialFuture { state: State::Expired, ending: Some(ending) };
        }
        DialFuture { state: State::Asked(self.channel.call(request)), ending: Some(ending) }
    }
}

impl Mesh {
    /// The client's span; `None` where the request brings a trace of its own and there is no call to be part of.
    fn span(&self, call: Option<&Call>, headers: &mut http::HeaderMap) -> Option<Recording> {
        if call.is_none() && headers.contains_key(TRACEPARENT) {
            return None;
        }
        let parent = call.map(|call| call.span).filter(SpanContext::is_valid);
        let span = self.tracer.begin(parent);
        if let Some(value) = span.context.header() {
            headers.insert(TRACEPARENT, value);
            headers.remove(TRACESTATE);
        }
        Some(span)
    }
}

/// Records how a call ended, once: by its status, or as cancelled when it is dropped before.
struct Ending {
    span: Option<Recording>,
    tracer: Tracer,
    method: Option<&'static Method>,
    identity: Identity,
    deadline: Option<Instant>,
}

impl Ending {
    fn end(&mut self, code: Code) {
        if let (Some(span), Some(method)) = (self.span.take(), self.method) {
            span.end_call(&self.tracer, Kind::Client, method, code, &self.identity, span.elapsed());
        }
    }

    /// Whether the deadline has passed, by our own clock. Some servers reset the stream then, which may be read before the
    /// channel's own timer has fired: whatever broke off the call after its deadline, the deadline ended it.
    fn is_past_deadline(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    fn expired(&mut self) -> Status {
        self.end(Code::DeadlineExceeded);
        status::deadline_exceeded()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

enum State {
    Asked(<Channel as Service<Request<Body>>>::Future),
    Expired,
}

/// A call until its response begins.
pub struct DialFuture {
    state: State,
    ending: Option<Ending>,
}

impl Future for DialFuture {
    type Output = Result<Response<DialBody>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.state {
            State::Expired => None,
            // The channel itself watches `grpc-timeout` until the response begins.
            State::Asked(future) => Some(ready!(Pin::new(future).poll(cx))),
        };
        let Some(mut ending) = self.ending.take() else { return Poll::Pending };
        Poll::Ready(match result {
            None => Err(ending.expired()),
            Some(Ok(response)) => {
                if let Some(status) = Status::from_header_map(response.headers()) {
                    ending.end(status.code());
                }
                Ok(response.map(|inner| DialBody { inner, ending, sleep: None, done: false }))
            }
            Some(Err(error)) => {
                let source: Box<dyn std::error::Error + Send + Sync> = error.into();
                if is_timeout(source.as_ref()) || ending.is_past_deadline() {
                    return Poll::Ready(Err(ending.expired()));
                }
                let service = ending.method.map_or("the mesh", |m| m.service);
                let status = unreachable(source, service);
                ending.end(status.code());
                Err(status)
            }
        })
    }
}

/// The rest of a call: its messages and trailers, until the deadline.
pub struct DialBody {
    inner: Body,
    ending: Ending,
    sleep: Option<Pin<Box<Sleep>>>,
    done: bool,
}

impl HttpBody for DialBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.ending.end(Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code()));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(status))) => {
                this.done = true;
                if this.ending.is_past_deadline() {
                    return Poll::Ready(Some(Err(this.ending.expired())));
                }
                let service = this.ending.method.map_or("the mesh", |m| m.service);
                let status =
                    if status.code() == Code::Unknown { unreachable(Box::new(status), service) } else { status };
                this.ending.end(status.code());
                Poll::Ready(Some(Err(status)))
            }
            Poll::Ready(None) => {
                this.done = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(deadline) = this.ending.deadline else { return Poll::Pending };
                let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
                ready!(sleep.as_mut().poll(cx));
                this.done = true;
                // Dropping what remains resets the stream, by which the server learns.
                this.inner = Body::empty();
                Poll::Ready(Some(Err(this.ending.expired())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A call that broke on its way. tonic calls most of these UNKNOWN, but trying again may help.
fn unreachable(error: Box<dyn std::error::Error + Send + Sync>, dependency: &str) -> Status {
    let text = error.to_string();
    match Status::try_from_error(error) {
        Ok(status) if !matches!(status.code(), Code::Unknown | Code::Unavailable | Code::Internal) => status,
        Ok(_) | Err(_) => {
            tracing::debug!(dependency, error = text, "a call did not get through");
            status::unavailable(dependency, format!("{dependency} cannot be reached"))
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// How a call ends whose stream the server resets, with this much left until the deadline.
    async fn reset_with(left: Option<Duration>) -> Code {
        let reset = tokio_stream::once(Err::<Frame<Bytes>, _>(Status::cancelled("stream error received")));
        let ending = Ending {
            span: None,
            tracer: Tracer::new(false, 0.0),
            method: None,
            identity: Identity::default(),
            deadline: left.map(|left| Instant::now() + left),
        };
        let mut body = DialBody { inner: Body::new(StreamBody::new(reset)), ending, sleep: None, done: false };
        body.frame().await.unwrap().unwrap_err().code()
    }

    #[tokio::test]
    async fn stream_reset_after_the_deadline_is_expired() {
        assert_eq!(reset_with(Some(Duration::ZERO)).await, Code::DeadlineExceeded);
        assert_eq!(reset_with(Some(Duration::from_secs(10))).await, Code::Cancelled);
        assert_eq!(reset_with(None).await, Code::Cancelled);
    }
}
