//! `/metrics` and `/healthz`, over HTTP/1 on a port of their own.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::health::Health;
use crate::Kit;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until dropped.
pub(super) async fn serve(listener: TcpListener, kit: Kit, health: Health) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (kit, health) = (kit.clone(), health.clone());
        open.spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, &kit, &health);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}

fn answer(request: &Request<Incoming>, kit: &Kit, health: &Health) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => metrics(kit),
        (&Method::GET | &Method::HEAD, "/healthz") => healthz(kit, health),
        (_, "/metrics" | "/healthz") => text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n"),
        _ => text(StatusCode::NOT_FOUND, "text/plain", "there are /metrics and /healthz\n"),
    }
}

fn metrics(kit: &Kit) -> Response<Full<Bytes>> {
    let metrics = &kit.telemetry.metrics;
    metrics.in_flight.set(i64::try_from(kit.meter.in_flight()).unwrap_or(i64::MAX));
    match metrics.encode() {
        Ok(body) => text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n")),
    }
}

/// 200 while calls are taken, whatever the event log does; 503 from the drain on.
fn healthz(kit: &Kit, health: &Health) -> Response<Full<Bytes>> {
    let (status, word) = if health.is_serving() {
        (StatusCode::OK, "SERVING")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "NOT_SERVING")
    };
    let log = kit.events.state().borrow().word();
    text(status, "application/json", json!({"status": word, "checks": {"nats": log}}).to_string())
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
