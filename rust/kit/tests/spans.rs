//! The spans of a chain of calls, as a collector receives them.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use support::{Running, Stub, echo, kit, of_acme};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use uait_gen::echo::v1::EchoResponse;
use uait_gen::echo::v1::echo_service_client::EchoServiceClient;
use uait_kit::dial::Mesh;
use uait_kit::serve::Server;

/// An OTLP collector that hands on what it gets.
async fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (keep, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let keep = keep.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let keep = keep.clone();
                async move {
                    assert_eq!(request.uri().path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    keep.send(ExportTraceServiceRequest::decode(&body[5..]).unwrap()).unwrap();
                    let frames = [
                        Frame::data(bytes::Bytes::from_static(&[0; 5])),
                        Frame::trailers([(Status::GRPC_STATUS, "0".parse().unwrap())].into_iter().collect()),
                    ];
                    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
                    let response = http::Response::builder().header("content-type", "application/grpc").body(body);
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    (address, requests)
}

fn attribute(span: &Span, key: &str) -> String {
    let value = span.attributes.iter().find(|a| a.key == key).unwrap().value.clone().unwrap();
    format!("{:?}", value.value.unwrap())
}

#[tokio::test]
async fn chain_of_calls_is_one_trace_of_server_and_client_spans() {
    let (address, mut exported) = collector().await;
    let otlp = format!("http://{address}");
    let last = Stub::new(async |_| Err::<EchoResponse, _>(Status::not_found("nothing here")));
    let last = Running::start(Server::new(kit([])).with(last)).await;
    let first = kit([
        ("UAIT_MESH", &last.grpc.to_string()),
        ("OTEL_SDK_DISABLED", "false"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp),
    ]);
    let mesh = first.mesh.clone();
    let passing_on = Stub::new(move |request| {
        let mut client: EchoServiceClient<Mesh> = mesh.client();
        async move {
            client
                .echo(request)
                .await
                .map(tonic::Response::into_inner)
                .map_err(|status| uait_kit::status::passed_on(&status))
        }
    });
    let first = Running::start(Server::new(first).with(passing_on)).await;
    let mut request = of_acme(echo("x"));
    request
        .metadata_mut()
        .insert("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap());
    let status = first.client().echo(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "nothing here"));
    first.drain().await.unwrap();

    let request = exported.recv().await.unwrap();
    let resource = &request.resource_spans[0];
    let names: Vec<_> = resource.resource.as_ref().unwrap().attributes.iter().map(|a| a.key.as_str()).collect();
    assert_eq!(names, ["service.name", "service.instance.id"]);
    let spans = &resource.scope_spans[0].spans;
    let of_kind = |kind| spans.iter().find(|span| span.kind == kind).unwrap();
    let (server, client) = (of_kind(2), of_kind(3));
    assert_eq!(spans.len(), 2);
    assert_eq!(server.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(client.parent_span_id, server.span_id);
    for span in spans {
        assert_eq!(span.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
        assert_eq!(span.name, "uait.echo.v1.EchoService/Echo");
        assert_eq!(attribute(span, "rpc.grpc.status_code"), "IntValue(5)");
        assert_eq!(attribute(span, "uait.tenant"), r#"StringValue("acme")"#);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
}
