//! From a request's path to the method that answers it, through the kit's layers: span and metrics, overload limit, identity.
//! Validation is the codec's, and the error map's rest is the reply's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http::header::HeaderName;
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::{Code, Status};
use uait_gen::service::Service;

use super::Servable;
use super::reply::{Ending, Reply};
use crate::Kit;
use crate::call::{Call, timeout_of};
use crate::identity::Identity;
use crate::load::Meter;
use crate::status::{self, Failure, Reason};
use crate::telemetry::{MethodMetrics, SpanContext, Telemetry};

const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Whether something was sent on a connection since the last ping came in.
pub(super) type Activity = Arc<AtomicBool>;

trait Dispatch: Send + Sync {
    fn dispatch(&self, request: Request<Incoming>) -> BoxFuture<http::Response<Body>, std::convert::Infallible>;
}

impl<S: Servable> Dispatch for S {
    fn dispatch(&self, request: Request<Incoming>) -> BoxFuture<http::Response<Body>, std::convert::Infallible> {
        self.clone().call(request)
    }
}

enum Route {
    Method {
        metrics: Arc<MethodMetrics>,
        service: Arc<dyn Dispatch>,
        tenantless: bool,
    },
    /// Health and reflection: no span, no metrics, no limit, no identity.
    Exempt {
        service: Arc<dyn Dispatch>,
        stopped: watch::Receiver<bool>,
    },
}

/// What all calls share.
pub(super) struct Shared {
    pub(super) telemetry: Telemetry,
    pub(super) meter: Arc<Meter>,
    max_inflight: usize,
}

/// The methods of a server by their paths.
pub(super) struct Router {
    routes: HashMap<&'static str, Route>,
    shared: Arc<Shared>,
}

impl Router {
    pub(super) fn new(kit: &Kit) -> Self {
        let shared = Shared {
            telemetry: kit.telemetry.clone(),
            meter: kit.meter.clone(),
            max_inflight: kit.config.max_inflight,
        };
        Self { routes: HashMap::new(), shared: Arc::new(shared) }
    }

    pub(super) fn add<S: Servable>(&mut self, service: &'static Service, server: S, tenantless: bool) {
        let server: Arc<dyn Dispatch> = Arc::new(server);
        for method in service.methods {
            let metrics = Arc::new(MethodMetrics::new(method));
            self.routes.insert(method.path, Route::Method { metrics, service: server.clone(), tenantless });
        }
    }

    pub(super) fn add_exempt<S: Servable>(
        &mut self,
        server: S,
        paths: &[&'static str],
        stopped: &watch::Receiver<bool>,
    ) {
        let service: Arc<dyn Dispatch> = Arc::new(server);
        for path in paths {
            self.routes.insert(path, Route::Exempt { service: service.clone(), stopped: stopped.clone() });
        }
    }

    /// Begins to answer a request.
    pub(super) fn call(&self, mut request: Request<Incoming>, activity: &Activity) -> Reply {
        let path = request.uri().path();
        let (metrics, service, tenantless) = match self.routes.get(path) {
            Some(Route::Method { metrics, service, tenantless }) => (metrics, service, *tenantless),
            Some(Route::Exempt { service, stopped }) => {
                return Reply::exempt(service.dispatch(request), stopped.clone(), self.shared.meter.clone());
            }
            None => return Reply::refused(&status::complete(Status::unimplemented(""), path), &self.shared.meter),
        };
        let headers = request.headers_mut();
        let parent = headers.get("traceparent").and_then(|value| SpanContext::parse(value.as_bytes()));
        let span = self.shared.telemetry.tracer.begin(parent);
        let timeout = timeout_of(headers);
        let deadline = timeout.and_then(|timeout| span.started.checked_add(timeout));
        let identity = if tenantless {
            Some(Identity::of_headers(headers).unwrap_or_default())
        } else {
            Identity::of_headers(headers)
        };
        let entered = self.shared.meter.enter();
        let refusal = if !entered {
            Some(self.overloaded())
        } else if identity.is_none() {
            Some(tenant_missing())
        } else if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            Some(status::deadline_exceeded())
        } else {
            None
        };
        // The answer is compressed only where the request was: most callers can read gzip, few want to pay for it.
        if headers.get(ENCODING).is_none_or(|encoding| encoding == "identity") {
            headers.remove(ACCEPT_ENCODING);
        }
        let call = Call::new(identity.unwrap_or_default(), deadline, span.context);
        let ending = Ending::new(call, span, metrics.clone(), self.shared.clone(), entered, activity.clone());
        if let Some(status) = refusal {
            return Reply::ended(ending, status);
        }
        let answer = ending.call().enter(|| service.dispatch(request));
        Reply::under_way(ending, answer)
    }

    fn overloaded(&self) -> Status {
        let limit = self.shared.max_inflight;
        Failure::new(Reason::Overloaded, format!("{limit} calls are in flight, which is the limit"))
            .with("limit", limit.to_string())
            .retry_after(RETRY_AFTER)
            .into()
    }
}

fn tenant_missing() -> Status {
    Failure::new(Reason::TenantMissing, "x-uait-tenant: a tenant of [a-z0-9][a-z0-9-]{0,62} is required").into()
}

/// The bytes of a body, none of which may fail once they are the kit's.
pub(super) type Frame = http_body::Frame<Bytes>;

impl Shared {
    pub(super) fn end(&self, code: Code, entered: bool) {
        if entered {
            self.meter.leave(code);
        }
    }
}
