//! One gRPC server for every service: health, reflection, limits, identity, deadlines, spans, metrics, drain.
//!
//! The server is hyper's HTTP/2 with tonic's generated services on top. tonic's own server is left out because it turns a
//! passed deadline into CANCELLED before any layer sees it, and because its boxes cost more than all of this kit;
//! deploy/decisions/0041 has the numbers.

mod health;
mod http;
mod listener;
mod pings;
mod reply;
mod router;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tower_service::Service as TowerService;
use uait_gen::service::{Served, Service};

use crate::load::lease;
use crate::{Error, Kit};
use health::Health;
use router::Router;

/// What the generated servers are, to the kit.
pub trait Servable:
    TowerService<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future = BoxFuture<Response<Body>, Infallible>,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Servable for S where
    S: TowerService<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<Response<Body>, Infallible>,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service with what its reflection answers from.
struct Described {
    service: &'static Service,
    descriptors: &'static [u8],
}

/// A server to be: the kit and the services that it shall serve.
pub struct Server {
    kit: Kit,
    router: Router,
    services: Vec<Described>,
}

impl Server {
    /// A server of nothing yet but health and reflection.
    pub fn new(kit: Kit) -> Self {
        let router = Router::new(&kit);
        Self { kit, router, services: Vec::new() }
    }

    /// Serves a service whose callers must name a tenant.
    #[must_use]
    pub fn with<S: Served + Servable>(self, service: S) -> Self {
        self.and(service, false)
    }

    /// Serves a service that works for no tenant in particular.
    #[must_use]
    pub fn with_tenantless<S: Served + Servable>(self, service: S) -> Self {
        self.and(service, true)
    }

    fn and<S: Served + Servable>(mut self, service: S, tenantless: bool) -> Self {
        let limited = service.limited_to(self.kit.config.max_message_bytes);
        self.router.add(S::SERVICE, limited, tenantless);
        self.services.push(Described { service: S::SERVICE, descriptors: S::DESCRIPTORS });
        self
    }

    /// Serves until SIGTERM or SIGINT, and drains. A second signal ends the process at once, with 1.
    ///
    /// # Errors
    /// The ports cannot be listened on, or the certificates not be used.
    pub async fn run(self) -> Result<(), Error> {
        let system = |source| Error::System { what: "listening for signals", source };
        let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
        let bound = self.bind().await?;
        let stop = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tokio::spawn(async move {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                tracing::warn!("ended by a second signal");
                std::process::exit(1);
            });
        };
        bound.run_until(stop).await;
        Ok(())
    }

    /// Listens on both ports.
    ///
    /// # Errors
    /// The ports cannot be listened on, or the certificates not be used.
    pub async fn bind(mut self) -> Result<Bound, Error> {
        let config = &self.kit.config;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let grpc = listen("UAIT_PORT", config.host, config.port).await?;
        let http = listen("UAIT_HTTP_PORT", config.host, config.http_port).await?;
        let address = |listener: &TcpListener| {
            listener.local_addr().map_err(|source| Error::System { what: "reading the own address", source })
        };
        let (grpc_address, http_address) = (address(&grpc)?, address(&http)?);
        let (stopping, stopped) = watch::channel(false);
        let health = Health::new(&self.services).await;
        self.router.add_exempt(health.server(), health::PATHS, &stopped);
        self.router.add_exempt(health::reflection(&self.services)?, health::REFLECTION_PATHS, &stopped);
        Ok(Bound {
            kit: self.kit,
            router: Arc::new(self.router),
            health,
            tls,
            grpc,
            http,
            grpc_address,
            http_address,
            stopping,
        })
    }
}

/// A server that listens, but does not answer yet.
pub struct Bound {
    kit: Kit,
    router: Arc<Router>,
    health: Health,
    tls: Option<tokio_rustls::TlsAcceptor>,
    grpc: TcpListener,
    http: TcpListener,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    /// Turns true when connections shall go away.
    stopping: watch::Sender<bool>,
}

impl Bound {
    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where `/metrics` and `/healthz` are served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Serves until `stop` resolves, and drains: NOT_SERVING and no lease, a while in which calls are still taken, then no
    /// new connections, and the end when the last call has ended or its time is over.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let config = self.kit.config.clone();
        let (withdraw, withdrawn) = watch::channel(false);
        let lease = config.lease.then(|| {
            let endpoint = lease::endpoint(&config, self.grpc_address);
            tokio::spawn(lease::hold(self.kit.mesh.clone(), endpoint, self.kit.meter.clone(), withdrawn))
        });
        let follow = tokio::spawn(self.health.clone().follow(self.kit.events.state()));
        let side = tokio::spawn(http::serve(self.http, self.kit.clone(), self.health.clone()));
        let connections = listener::Connections { router: self.router, tls: self.tls, max_streams: config.max_streams };
        let mut served = tokio::spawn(listener::serve(self.grpc, connections, self.stopping.subscribe()));
        tracing::info!(grpc = %self.grpc_address, http = %self.http_address, version = env!("CARGO_PKG_VERSION"), "serving");

        stop.await;
        tracing::info!(in_flight = self.kit.meter.in_flight(), "draining");
        follow.abort();
        self.health.drain().await;
        // Nobody holds the other end when there is no lease.
        withdraw.send(true).ok();
        tokio::time::sleep(config.drain_delay).await;
        self.kit.events.stop();
        self.stopping.send(true).ok();
        let in_time = tokio::time::timeout(config.drain_timeout, &mut served).await.is_ok();
        served.abort();
        if let Some(lease) = lease {
            tokio::time::timeout(Duration::from_secs(1), lease).await.ok();
        }
        if !in_time {
            tracing::warn!(in_flight = self.kit.meter.in_flight(), "calls were cut off by the end of the drain");
        }
        side.abort();
        self.kit.events.flush().await;
        self.kit.telemetry.flush().await;
        tracing::info!("stopped");
    }
}

async fn listen(variable: &'static str, host: IpAddr, port: u16) -> Result<TcpListener, Error> {
    TcpListener::bind((host, port)).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::PortInUse { variable, host, port },
        _ => Error::Listen { variable, host, port, source },
    })
}

/// Resolves when a switch is on, or nobody is left to turn it.
pub(crate) async fn turned(switch: &mut watch::Receiver<bool>) {
    switch.wait_for(|on| *on).await.ok();
}
