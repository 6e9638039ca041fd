//! The answer to a call, from the handler's first poll to the last trailer; dropping it is how a caller goes away.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body as HttpBody, SizeHint};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::{Code, Status};

use super::router::{Activity, Frame, Shared};
use super::turned;
use crate::call::Call;
use crate::load::{LOAD_METRICS, Meter};
use crate::status::{self, Failure, Reason};
use crate::telemetry::{Kind, MethodMetrics, Recording};

type Answer = BoxFuture<Response<Body>, Infallible>;

/// Records how a call ended, once: by its status, or by what dropping it means.
pub(super) struct Ending {
    call: Arc<Call>,
    span: Recording,
    metrics: Arc<MethodMetrics>,
    shared: Arc<Shared>,
    entered: bool,
    activity: Activity,
    ended: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Ending {
    pub(super) fn new(
        call: Arc<Call>,
        span: Recording,
        metrics: Arc<MethodMetrics>,
        shared: Arc<Shared>,
        entered: bool,
        activity: Activity,
    ) -> Self {
        Self { call, span, metrics, shared, entered, activity, ended: false, sleep: None }
    }

    pub(super) fn call(&self) -> &Arc<Call> {
        &self.call
    }

    fn end(&mut self, code: Code) {
        if self.ended {
            return;
        }
        self.ended = true;
        let took = self.span.elapsed();
        let telemetry = &self.shared.telemetry;
        self.metrics.observe(&telemetry.metrics, code, took);
        self.span.end_call(&telemetry.tracer, Kind::Server, self.metrics.method, code, &self.call.identity, took);
        self.shared.end(code, self.entered);
    }

    /// Ends the call with an error, as the trailers that tell of it.
    fn fail(&mut self, raw: Status) -> HeaderMap {
        let status = self.call.enter(|| status::complete(raw, self.metrics.method.path));
        self.end(status.code());
        let mut trailers = trailers_of(&status);
        self.finish(&mut trailers);
        trailers
    }

    /// Adds what every end of a call carries.
    fn finish(&self, trailers: &mut HeaderMap) {
        self.call.take_trailers(trailers);
        trailers.insert(LOAD_METRICS, self.shared.meter.trailer());
        self.activity.store(true, Ordering::Relaxed);
    }

    /// Resolves when the deadline passes. The timer is made only by a call that has to wait at all.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.call.deadline else { return Poll::Pending };
        self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.into()))).as_mut().poll(cx)
    }

    /// Polls the service's code as part of the call. A panic there ends the call, not the connection.
    fn poll_handler<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Result<Poll<T>, Status> {
        catch_unwind(AssertUnwindSafe(|| self.call.enter(poll))).map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref().cloned());
            Status::internal(format!("the handler panicked: {}", text.unwrap_or_default()))
        })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.ended {
            let code = self.call.abandoned();
            self.end(code);
        }
    }
}

/// A response to come.
pub(super) enum Reply {
    UnderWay { answer: Answer, ending: Option<Ending> },
    Exempt { answer: Answer, stopped: Option<watch::Receiver<bool>>, meter: Arc<Meter> },
    Ready(Option<Response<ReplyBody>>),
}

impl Reply {
    pub(super) fn under_way(ending: Ending, answer: Answer) -> Self {
        Self::UnderWay { answer, ending: Some(ending) }
    }

    /// Refused by a layer, so that no handler runs.
    pub(super) fn ended(mut ending: Ending, status: Status) -> Self {
        Self::Ready(Some(trailers_only(ending.fail(status))))
    }

    /// Refused before it became a call.
    pub(super) fn refused(status: &Status, meter: &Meter) -> Self {
        let mut trailers = trailers_of(status);
        trailers.insert(LOAD_METRICS, meter.trailer());
        Self::Ready(Some(trailers_only(trailers)))
    }

    pub(super) fn exempt(answer: Answer, stopped: watch::Receiver<bool>, meter: Arc<Meter>) -> Self {
        Self::Exempt { answer, stopped: Some(stopped), meter }
    }
}

impl Future for Reply {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut *self {
            Self::Ready(response) => match response.take() {
                Some(response) => response,
                None => return Poll::Pending,
            },
            Self::Exempt { answer, stopped, meter } => {
                let Ok(response) = ready!(answer.as_mut().poll(cx));
                let stopped = stopped
                    .take()
                    .map(|mut stopped| -> Stopped { Box::pin(async move { turned(&mut stopped).await }) });
                let meter = meter.clone();
                response.map(|inner| ReplyBody::Exempt { inner, stopped, meter })
            }
            Self::UnderWay { answer, ending } => {
                let Some(mut call) = ending.take() else { return Poll::Pending };
                match call.poll_handler(|| answer.as_mut().poll(cx)) {
                    Ok(Poll::Ready(Ok(response))) => begin(call, response),
                    Ok(Poll::Pending) => {
                        if call.poll_deadline(cx).is_pending() {
                            *ending = Some(call);
                            return Poll::Pending;
                        }
                        // The handler is dropped, and with it all that it waits for, before the caller hears of it.
                        let response = trailers_only(call.fail(status::deadline_exceeded()));
                        *self = Self::Ready(None);
                        return Poll::Ready(Ok(response));
                    }
                    Err(panic) => trailers_only(call.fail(panic)),
                }
            }
        };
        Poll::Ready(Ok(response))
    }
}

/// What the handler's answer becomes: an error is complete at once, messages are still to come.
fn begin(mut ending: Ending, response: Response<Body>) -> Response<ReplyBody> {
    let (mut parts, body) = response.into_parts();
    let failed = parts.headers.contains_key(Status::GRPC_STATUS);
    if !failed {
        ending.activity.store(true, Ordering::Relaxed);
        return Response::from_parts(parts, ReplyBody::Call { inner: body, ending });
    }
    let status = parts.extensions.remove::<Status>().or_else(|| Status::from_header_map(&parts.headers));
    trailers_only(ending.fail(status.unwrap_or_else(|| Status::unknown("a response without status"))))
}

type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The messages and trailers of a response.
pub(super) enum ReplyBody {
    Call { inner: Body, ending: Ending },
    Exempt { inner: Body, stopped: Option<Stopped>, meter: Arc<Meter> },
    Done,
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Infallible>>> {
        let trailers = match &mut *self {
            Self::Done => return Poll::Ready(None),
            Self::Call { inner, ending } => match ending.poll_handler(|| Pin::new(inner).poll_frame(cx)) {
                Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_trailers() {
                    Err(message) => {
                        ending.activity.store(true, Ordering::Relaxed);
                        return Poll::Ready(Some(Ok(message)));
                    }
                    Ok(mut trailers) => match trailers.get(Status::GRPC_STATUS) {
                        Some(status) if status == "0" => {
                            ending.end(Code::Ok);
                            ending.finish(&mut trailers);
                            trailers
                        }
                        _ => ending
                            .fail(Status::from_header_map(&trailers).unwrap_or_else(|| Status::unknown("no status"))),
                    },
                },
                Ok(Poll::Ready(Some(Err(status)))) | Err(status) => ending.fail(status),
                Ok(Poll::Ready(None)) => ending.fail(Status::unknown("a response without status")),
                Ok(Poll::Pending) => {
                    ready!(ending.poll_deadline(cx));
                    ending.fail(status::deadline_exceeded())
                }
            },
            Self::Exempt { inner, stopped, meter } => {
                let mut trailers = match Pin::new(inner).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_trailers() {
                        Err(message) => return Poll::Ready(Some(Ok(message))),
                        Ok(trailers) => trailers,
                    },
                    Poll::Ready(Some(Err(status))) => trailers_of(&status),
                    Poll::Ready(None) => HeaderMap::new(),
                    Poll::Pending => {
                        // A watch would otherwise hold up the drain for ever.
                        let Some(stopped) = stopped else { return Poll::Pending };
                        ready!(stopped.as_mut().poll(cx));
                        trailers_of(&Failure::new(Reason::Draining, "the service is shutting down").into())
                    }
                };
                trailers.insert(LOAD_METRICS, meter.trailer());
                trailers
            }
        };
        // Whatever the handler still holds is dropped here, before the trailers go out.
        *self = Self::Done;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Done)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(8);
    if status.add_header(&mut trailers).is_err() {
        // Metadata that no header can carry: the code at least arrives.
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from(status.code() as i32));
    }
    trailers
}

/// A response that is over before it has begun; HTTP/2 calls its trailers headers.
fn trailers_only(trailers: HeaderMap) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Done);
    *response.headers_mut() = trailers;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
