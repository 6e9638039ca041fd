//! A kit in the test's own process, serving a stub of the echo service.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};
use uait_gen::echo::v1::echo_service_client::EchoServiceClient;
use uait_gen::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use uait_gen::echo::v1::*;
use uait_kit::config::{Config, Defaults, Environment};
use uait_kit::dial::Mesh;
use uait_kit::serve::Server;
use uait_kit::telemetry::Telemetry;
use uait_kit::{Call, Kit};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration on free ports, without NATS, lease, spans or a pause before the drain, unless the test says otherwise.
pub fn config<const N: usize>(variables: [(&str, &str); N]) -> Config {
    let quiet = [
        ("UAIT_PORT", "0"),
        ("UAIT_NATS_URL", "off"),
        ("UAIT_LEASE", "off"),
        ("UAIT_DRAIN_DELAY_MS", "0"),
        ("OTEL_SDK_DISABLED", "true"),
    ];
    let environment: Environment = quiet.into_iter().chain(variables).collect();
    Config::read(&environment, Defaults { service: "stub", port: 0 }).unwrap()
}

pub fn kit<const N: usize>(variables: [(&str, &str); N]) -> Kit {
    Kit::new(config(variables)).unwrap()
}

/// A server under way in this process.
pub struct Running {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    pub async fn start(server: Server) -> Self {
        let bound = server.bind().await.unwrap();
        let (grpc, http) = (bound.grpc_address(), bound.http_address());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bound.run_until(async {
            stopped.await.ok();
        }));
        Self { grpc, http, stop, served }
    }

    /// Begins to drain; what is returned ends with the server.
    pub fn drain(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.served
    }

    pub fn mesh(&self) -> Mesh {
        mesh(self.grpc, [])
    }

    pub fn client(&self) -> EchoServiceClient<Mesh> {
        self.mesh().client()
    }
}

pub fn mesh<const N: usize>(address: SocketAddr, variables: [(&str, &str); N]) -> Mesh {
    let mut config = config(variables);
    config.mesh = address.to_string();
    let telemetry = Telemetry::new(&config);
    Mesh::new(&config, telemetry.tracer).unwrap()
}

/// A request of a tenant.
pub fn of_acme<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-uait-tenant", "acme".parse().unwrap());
    request
}

pub fn within<T>(timeout: Duration, mut request: Request<T>) -> Request<T> {
    request.set_timeout(timeout);
    request
}

pub fn echo(message: &str) -> EchoRequest {
    EchoRequest { message: message.to_owned(), ..Default::default() }
}

type Handle = dyn Fn(EchoRequest) -> BoxFuture<'static, Result<EchoResponse, Status>> + Send + Sync;

/// An echo service whose `Echo` is the test's.
#[derive(Clone)]
pub struct Stub(Arc<Handle>);

impl Stub {
    pub fn new<F>(handle: impl Fn(EchoRequest) -> F + Send + Sync + 'static) -> EchoServiceServer<Self>
    where
        F: Future<Output = Result<EchoResponse, Status>> + Send + 'static,
    {
        EchoServiceServer::new(Self(Arc::new(move |request| Box::pin(handle(request)))))
    }

    /// Says the message back.
    pub fn saying_back() -> EchoServiceServer<Self> {
        Self::new(async |request| {
            let tenant = Call::current().unwrap().identity.tenant().to_owned();
            let seen = Some(Seen { tenant, ..Default::default() });
            Ok(EchoResponse { message: request.message, payload: request.payload, seen })
        })
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in the stub"))
}

#[tonic::async_trait]
impl EchoService for Stub {
    type ExpandStream = BoxStream<'static, Result<ExpandResponse, Status>>;
    type ConverseStream = BoxStream<'static, Result<ConverseResponse, Status>>;

    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        (self.0)(request.into_inner()).await.map(Response::new)
    }
    async fn collect(&self, _: Request<Streaming<CollectRequest>>) -> Result<Response<CollectResponse>, Status> {
        not_here()
    }
    async fn expand(&self, _: Request<ExpandRequest>) -> Result<Response<Self::ExpandStream>, Status> {
        Ok(Response::new(Box::pin(futures_util::stream::pending())))
    }
    async fn converse(&self, _: Request<Streaming<ConverseRequest>>) -> Result<Response<Self::ConverseStream>, Status> {
        not_here()
    }
    async fn relay(&self, _: Request<RelayRequest>) -> Result<Response<RelayResponse>, Status> {
        not_here()
    }
    async fn publish(&self, _: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        not_here()
    }
    async fn await_event(&self, _: Request<AwaitEventRequest>) -> Result<Response<AwaitEventResponse>, Status> {
        not_here()
    }
    async fn await_outcome(&self, _: Request<AwaitOutcomeRequest>) -> Result<Response<AwaitOutcomeResponse>, Status> {
        not_here()
    }
}

/// Waits until a condition holds, for as long as patience lasts.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// The body of a GET over HTTP/1, with its status line before it.
pub async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
