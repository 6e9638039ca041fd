//! An echo server on plain tonic, with nothing of the kit: what the bench measures the kit against.

use std::io::Write;

use futures_util::stream::BoxStream;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use uait_gen::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use uait_gen::echo::v1::*;

struct Bare;

fn only_echo<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the bare server answers Echo alone"))
}

/// As long as what the kit's echo answers, so that both encode the same bytes.
fn seen() -> Seen {
    Seen {
        service: "echo-rust".to_owned(),
        instance: "echo-rust-12345".to_owned(),
        tenant: "bench".to_owned(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        span_id: "00f067aa0ba902b7".to_owned(),
        time_left: Some(prost_types::Duration { seconds: 19, nanos: 999_000_000 }),
        ..Seen::default()
    }
}

#[tonic::async_trait]
impl EchoService for Bare {
    type ExpandStream = BoxStream<'static, Result<ExpandResponse, Status>>;
    type ConverseStream = BoxStream<'static, Result<ConverseResponse, Status>>;

    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let EchoRequest { message, payload, .. } = request.into_inner();
        Ok(Response::new(EchoResponse { message, payload, seen: Some(seen()) }))
    }

    async fn collect(&self, _: Request<Streaming<CollectRequest>>) -> Result<Response<CollectResponse>, Status> {
        only_echo()
    }

    async fn expand(&self, _: Request<ExpandRequest>) -> Result<Response<Self::ExpandStream>, Status> {
        only_echo()
    }

    async fn converse(&self, _: Request<Streaming<ConverseRequest>>) -> Result<Response<Self::ConverseStream>, Status> {
        only_echo()
    }

    async fn relay(&self, _: Request<RelayRequest>) -> Result<Response<RelayResponse>, Status> {
        only_echo()
    }

    async fn publish(&self, _: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        only_echo()
    }

    async fn await_event(&self, _: Request<AwaitEventRequest>) -> Result<Response<AwaitEventResponse>, Status> {
        only_echo()
    }

    async fn await_outcome(&self, _: Request<AwaitOutcomeRequest>) -> Result<Response<AwaitOutcomeResponse>, Status> {
        only_echo()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::var("UAIT_PORT").unwrap_or_else(|_| "0".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    writeln!(std::io::stdout(), r#"{{"msg":"serving","grpc":"{}","http":""}}"#, listener.local_addr()?)?;
    tonic::transport::Server::builder()
        .add_service(EchoServiceServer::new(Bare))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}
