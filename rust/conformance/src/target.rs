//! The server under test, reached over the kit's own channel.

use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::{Request, Status};
use uait_gen::echo::v1::echo_service_client::EchoServiceClient;
use uait_gen::service::Dialled as _;
use uait_kit::config::{Config, Defaults, Environment};
use uait_kit::dial::Mesh;
use uait_kit::telemetry::Telemetry;

use crate::{Error, Options};

/// More than any case sends, so that it is the server that refuses.
const MAX_MESSAGE_BYTES: usize = 268_435_456;

/// Who is called.
pub struct Target {
    calls: Mesh,
    health: Mesh,
    pub(crate) pid: Option<u32>,
    service: Option<String>,
    api: Option<String>,
}

impl Target {
    /// Prepares the channels; the connections come with the first call.
    ///
    /// # Errors
    /// The address or the certificates cannot be used.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let calls = channel(options, &options.target)?;
        let health = channel(options, options.server.as_deref().unwrap_or(&options.target))?;
        Ok(Self { calls, health, pid: options.pid, service: options.service.clone(), api: options.api.clone() })
    }

    pub(crate) fn echo(&self) -> EchoServiceClient<Renamed> {
        let calls = Renamed { mesh: self.calls.clone(), api: self.api.clone() };
        EchoServiceClient::over(calls, MAX_MESSAGE_BYTES)
    }

    /// The channel to the server itself.
    pub(crate) fn health(&self) -> Mesh {
        self.health.clone()
    }

    /// A request of a probe, with what every call carries.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-uait-tenant", tonic::metadata::MetadataValue::from_static("acme"));
        if let Some(service) = self.service.as_deref().and_then(|service| service.parse().ok()) {
            request.metadata_mut().insert("x-uait-service", service);
        }
        request
    }

    pub(crate) fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }
}

/// Calls the methods of `EchoService` under the name of another gRPC service, where one is given.
#[derive(Clone)]
pub(crate) struct Renamed {
    mesh: Mesh,
    api: Option<String>,
}

impl Service<http::Request<Body>> for Renamed {
    type Response = <Mesh as Service<http::Request<Body>>>::Response;
    type Error = Status;
    type Future = <Mesh as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.mesh.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(renamed) = self.api.as_deref().and_then(|api| rename(request.uri().path(), api)) {
            *request.uri_mut() = renamed;
        }
        self.mesh.call(request)
    }
}

fn rename(path: &str, api: &str) -> Option<http::Uri> {
    let (_, method) = path.rsplit_once('/')?;
    format!("/{api}/{method}").parse().ok()
}

fn channel(options: &Options, address: &str) -> Result<Mesh, Error> {
    let path = |at: usize| options.tls.as_ref().map(|files| files[at].display().to_string()).unwrap_or_default();
    let environment = Environment::from([
        ("UAIT_MESH", address),
        ("UAIT_MAX_MESSAGE_BYTES", &MAX_MESSAGE_BYTES.to_string()),
        ("UAIT_TLS_CERT", &path(0)),
        ("UAIT_TLS_KEY", &path(1)),
        ("UAIT_TLS_CA", &path(2)),
        ("OTEL_SDK_DISABLED", "true"),
    ]);
    let config =
        Config::read(&environment, Defaults { service: "conformance", port: 0 }).map_err(uait_kit::Error::from)?;
    let telemetry = Telemetry::new(&config);
    Ok(Mesh::new(&config, telemetry.tracer)?)
}
