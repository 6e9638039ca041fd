//! The lease with the balancer, from the register to the withdrawal.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::time::Duration;

use futures_util::stream::BoxStream;
use support::{Running, Stub, kit};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status, Streaming};
use uait_gen::intelligent_load_balancer::v1::balancer_service_server::{BalancerService, BalancerServiceServer};
use uait_gen::intelligent_load_balancer::v1::register_endpoint_request::Action;
use uait_gen::intelligent_load_balancer::v1::*;
use uait_kit::serve::Server;

/// A balancer that grants leases and tells the test what it hears.
struct Balancer {
    heard: mpsc::UnboundedSender<Heard>,
}

enum Heard {
    Action(Action),
    Withdrawn,
    Broken(Code),
}

const TTL: prost_types::Duration = prost_types::Duration { seconds: 0, nanos: 90_000_000 };

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in the stub"))
}

#[tonic::async_trait]
impl BalancerService for Balancer {
    type RegisterEndpointStream = BoxStream<'static, Result<RegisterEndpointResponse, Status>>;
    type WatchEndpointsStream = BoxStream<'static, Result<WatchEndpointsResponse, Status>>;

    async fn register_endpoint(
        &self,
        request: Request<Streaming<RegisterEndpointRequest>>,
    ) -> Result<Response<Self::RegisterEndpointStream>, Status> {
        let heard = self.heard.clone();
        let responses = futures_util::stream::unfold(request.into_inner(), move |mut requests| {
            let heard = heard.clone();
            async move {
                match requests.message().await {
                    Ok(Some(request)) => {
                        heard.send(Heard::Action(request.action.unwrap())).ok();
                        let response = RegisterEndpointResponse { ttl: Some(TTL), ..Default::default() };
                        Some((Ok(response), requests))
                    }
                    Ok(None) => {
                        heard.send(Heard::Withdrawn).ok();
                        None
                    }
                    Err(status) => {
                        heard.send(Heard::Broken(status.code())).ok();
                        None
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(responses)))
    }
    async fn pick(&self, _: Request<PickRequest>) -> Result<Response<PickResponse>, Status> {
        not_here()
    }
    async fn list_endpoints(
        &self,
        _: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        not_here()
    }
    async fn watch_endpoints(
        &self,
        _: Request<WatchEndpointsRequest>,
    ) -> Result<Response<Self::WatchEndpointsStream>, Status> {
        not_here()
    }
    async fn explain_pick(&self, _: Request<ExplainPickRequest>) -> Result<Response<ExplainPickResponse>, Status> {
        not_here()
    }
    async fn get_forecast(&self, _: Request<GetForecastRequest>) -> Result<Response<GetForecastResponse>, Status> {
        not_here()
    }
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    tokio::time::timeout(support::PATIENCE, heard.recv()).await.expect("the balancer hears something").unwrap()
}

#[tokio::test]
async fn lease_is_renewed_lost_taken_anew_and_withdrawn() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let balancer = |port: &str| {
        let server = Server::new(kit([("UAIT_PORT", port), ("UAIT_DRAIN_TIMEOUT_MS", "0")]));
        Running::start(server.with_tenantless(BalancerServiceServer::new(Balancer { heard: heard.clone() })))
    };
    let first = balancer("0").await;
    let (address, port) = (first.grpc.to_string(), first.grpc.port().to_string());
    let service = kit([("UAIT_LEASE", "on"), ("UAIT_MESH", &address), ("UAIT_INSTANCE", "stub-1"), ("UAIT_ZONE", "a")]);
    let service = Running::start(Server::new(service).with(Stub::saying_back())).await;

    let endpoint = Endpoint {
        service: "stub".to_owned(),
        instance: "stub-1".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: u32::from(service.grpc.port()),
        zone: "a".to_owned(),
    };
    assert!(matches!(next(&mut hears).await, Heard::Action(Action::Register(e)) if e == endpoint));
    let started = std::time::Instant::now();
    for _ in 0..3 {
        assert!(matches!(next(&mut hears).await, Heard::Action(Action::Renew(u)) if u.memory > 0.0));
    }
    assert!(started.elapsed() >= Duration::from_millis(80), "renewed at a third of the ttl, not faster");

    first.drain().await.unwrap();
    let second = balancer(&port).await;
    let registered = async { while !matches!(next(&mut hears).await, Heard::Action(Action::Register(_))) {} };
    tokio::time::timeout(support::PATIENCE, registered).await.expect("the lease is taken anew");
    service.drain().await.unwrap();
    loop {
        match next(&mut hears).await {
            Heard::Withdrawn => break,
            Heard::Action(Action::Renew(_)) => {}
            Heard::Action(action) => panic!("expected the withdrawal, got {action:?}"),
            Heard::Broken(code) => panic!("expected the withdrawal, the stream broke: {code:?}"),
        }
    }
    drop(second);
}
