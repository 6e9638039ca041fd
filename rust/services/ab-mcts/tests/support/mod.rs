//! The service in the test's own process or as its binary, and its callers.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its own part, and helpers fail"
)]

use std::net::SocketAddr;

use tokio::sync::oneshot;
use tonic::{Request, Status};
use uait_ab_mcts::handler::Handler;
use uait_ab_mcts::store::Store;
use uait_gen::ab_mcts::v1::ab_mcts_service_client::AbMctsServiceClient;
use uait_gen::ab_mcts::v1::ab_mcts_service_server::AbMctsServiceServer;
use uait_gen::ab_mcts::v1::*;
use uait_kit::Kit;
use uait_kit::config::{Config, Defaults, Environment};
use uait_kit::dial::Mesh;
use uait_kit::events::journal::MemoryLog;
use uait_kit::serve::Server;
use uait_kit::status::error_info;
use uait_testbed::NatsServer;

pub type Client = AbMctsServiceClient<Mesh>;

fn config(variables: &[(&str, &str)]) -> Config {
    let quiet = [
        ("UAIT_PORT", "0"),
        ("UAIT_NATS_URL", "off"),
        ("UAIT_LEASE", "off"),
        ("UAIT_DRAIN_DELAY_MS", "0"),
        ("OTEL_SDK_DISABLED", "true"),
    ];
    let environment: Environment = quiet.into_iter().chain(variables.iter().copied()).collect();
    Config::read(&environment, Defaults { service: "ab-mcts", port: 0 }).unwrap()
}

/// A client of the server at an address.
pub fn client(address: SocketAddr) -> Client {
    Kit::new(config(&[("UAIT_MESH", &address.to_string())])).unwrap().mesh.client()
}

/// A service in this process; it ends with the value.
pub struct Served {
    pub address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Served {
    /// Over a log in memory.
    pub async fn in_memory(log: &MemoryLog) -> Self {
        Self::start(Kit::new(config(&[])).unwrap(), Store::in_memory(log)).await
    }

    /// Over JetStream.
    pub async fn over(nats: &NatsServer) -> Self {
        let kit = Kit::new(config(&[("UAIT_NATS_URL", &nats.url())])).unwrap();
        let store = Store::new(&kit.events);
        Self::start(kit, store).await
    }

    async fn start(kit: Kit, store: Store) -> Self {
        let server = Server::new(kit).with(AbMctsServiceServer::new(Handler::new(store)));
        let bound = server.bind().await.unwrap();
        let address = bound.grpc_address();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(bound.run_until(async {
            stopped.await.ok();
        }));
        Self { address, _stop: stop }
    }

    pub fn client(&self) -> Client {
        client(self.address)
    }
}

/// A request of a tenant.
pub fn of<T>(tenant: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-uait-tenant", tenant.parse().unwrap());
    request
}

pub fn of_acme<T>(message: T) -> Request<T> {
    of("acme", message)
}

pub fn spec() -> SearchSpec {
    let action = |name: &str| Action { name: name.to_owned(), expected_score: None };
    SearchSpec { actions: vec![action("direct"), action("reasoner")], seed: 7, ..Default::default() }
}

pub async fn create(client: &mut Client, request_id: &str, spec: SearchSpec) -> Search {
    let request = CreateSearchRequest { request_id: request_id.to_owned(), spec: Some(spec) };
    client.create_search(of_acme(request)).await.unwrap().into_inner().search.unwrap()
}

pub async fn ask(client: &mut Client, id: &str, request_id: &str, count: i32) -> Result<AskResponse, Status> {
    let request = AskRequest { request_id: request_id.to_owned(), search_id: id.to_owned(), count };
    Ok(client.ask(of_acme(request)).await?.into_inner())
}

pub fn scored(ask_id: &str, score: f64, state: &str) -> Outcome {
    let scored = outcome::Scored { score, state: state.as_bytes().to_vec(), usage: None };
    Outcome { ask_id: ask_id.to_owned(), outcome: Some(outcome::Outcome::Scored(scored)) }
}

pub async fn tell(client: &mut Client, id: &str, outcomes: Vec<Outcome>) -> Result<TellResponse, Status> {
    Ok(client.tell(of_acme(TellRequest { search_id: id.to_owned(), outcomes })).await?.into_inner())
}

pub fn node(told: &Told) -> &Node {
    match &told.result {
        Some(told::Result::Node(node)) => node,
        other => panic!("{other:?}"),
    }
}

pub async fn get(client: &mut Client, id: &str) -> Result<Search, Status> {
    let request = GetSearchRequest { search_id: id.to_owned() };
    Ok(client.get_search(of_acme(request)).await?.into_inner().search.unwrap())
}

pub fn reason(status: &Status) -> String {
    error_info(status).unwrap().reason
}
