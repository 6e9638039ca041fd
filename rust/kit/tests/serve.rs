//! What the server does around every handler.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use support::{Running, Stub, echo, eventually, get, kit, of_acme, within};
use tokio::sync::{Notify, Semaphore};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use uait_gen::echo::v1::{EchoResponse, ExpandRequest};
use uait_gen::google::rpc;
use uait_kit::Call;
use uait_kit::serve::Server;
use uait_kit::status::error_info;

fn reason(status: &Status) -> String {
    let info = error_info(status).unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "uait.dev");
    info.reason
}

/// A stub whose calls wait to be let go, and tell when they began and how they were abandoned.
struct Gate {
    begun: Arc<Semaphore>,
    open: Arc<Notify>,
    abandoned: Arc<std::sync::Mutex<Vec<Code>>>,
}

impl Gate {
    fn new() -> Self {
        Self { begun: Arc::new(Semaphore::new(0)), open: Arc::default(), abandoned: Arc::default() }
    }

    fn stub(&self) -> uait_gen::echo::v1::echo_service_server::EchoServiceServer<Stub> {
        struct Watch(Option<Arc<Call>>, Arc<std::sync::Mutex<Vec<Code>>>);
        impl Drop for Watch {
            fn drop(&mut self) {
                if let Some(call) = self.0.take() {
                    self.1.lock().unwrap().push(call.abandoned());
                }
            }
        }
        let (begun, open, abandoned) = (self.begun.clone(), self.open.clone(), self.abandoned.clone());
        Stub::new(move |request| {
            let (begun, open, abandoned) = (begun.clone(), open.clone(), abandoned.clone());
            async move {
                let mut watch = Watch(Call::current(), abandoned);
                begun.add_permits(1);
                open.notified().await;
                watch.0 = None;
                Ok(EchoResponse { message: request.message, ..Default::default() })
            }
        })
    }

    async fn begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }

    async fn abandoned(&self) -> Vec<Code> {
        eventually("the handler is dropped", || async {
            Some(self.abandoned.lock().unwrap().clone()).filter(|codes| !codes.is_empty())
        })
        .await
    }
}

#[tokio::test]
async fn call_over_the_limit_is_refused_and_told_when_to_come_back() {
    let gate = Gate::new();
    let server = Running::start(Server::new(kit([("UAIT_MAX_INFLIGHT", "1")])).with(gate.stub())).await;
    let mut client = server.client();
    let first = tokio::spawn(async move { client.echo(of_acme(echo("first"))).await });
    gate.begun().await;
    let status = server.client().echo(of_acme(echo("second"))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(error_info(&status).unwrap().metadata["limit"], "1");
    let details = rpc::Status::decode(status.details()).unwrap().details;
    let retry = details.iter().find(|any| any.type_url.ends_with("RetryInfo")).unwrap();
    assert_eq!(rpc::RetryInfo::decode(retry.value.as_slice()).unwrap().retry_delay.unwrap().nanos, 100_000_000);
    let mut health: HealthClient<_> = HealthClient::new(server.mesh());
    health.check(HealthCheckRequest::default()).await.expect("health has no limit");
    gate.open.notify_one();
    assert_eq!(first.await.unwrap().unwrap().into_inner().message, "first");
    gate.open.notify_one();
    server.client().echo(of_acme(echo("third"))).await.expect("there is room again");
}

#[tokio::test]
async fn deadline_passed_ends_the_call_and_stops_the_handler() {
    let gate = Gate::new();
    let server = Running::start(Server::new(kit([])).with(gate.stub())).await;
    let status = server.client().echo(within(Duration::from_millis(120), of_acme(echo("x")))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!(gate.abandoned().await, [Code::DeadlineExceeded]);
    let metrics = eventually("the call is counted", || async {
        let metrics = get(server.http, "/metrics").await;
        metrics.contains(r#"rpc_method="Echo",rpc_grpc_status_code="4"} 1"#).then_some(metrics)
    });
    assert!(metrics.await.contains("rpc_server_in_flight 0"));
}

#[tokio::test]
async fn deadline_passed_on_a_stream_ends_it() {
    let server = Running::start(Server::new(kit([])).with(Stub::saying_back())).await;
    let request = ExpandRequest { message: "x".to_owned(), count: 1, ..Default::default() };
    let response = server.client().expand(within(Duration::from_millis(120), of_acme(request))).await.unwrap();
    let status = response.into_inner().message().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn caller_gone_stops_the_handler_as_cancelled() {
    let gate = Gate::new();
    let server = Running::start(Server::new(kit([])).with(gate.stub())).await;
    let mut client = server.client();
    let call = tokio::spawn(async move { client.echo(of_acme(echo("x"))).await });
    gate.begun().await;
    call.abort();
    assert_eq!(gate.abandoned().await, [Code::Cancelled]);
    eventually("the call is counted", || async {
        get(server.http, "/metrics").await.contains(r#"rpc_method="Echo",rpc_grpc_status_code="1"} 1"#).then_some(())
    })
    .await;
}

#[tokio::test]
async fn panic_in_a_handler_is_internal_and_leaves_the_connection() {
    let stub = Stub::new(async |request| {
        assert_ne!(request.message, "secret", "the secret must not get out");
        Ok(EchoResponse { message: request.message, ..Default::default() })
    });
    let server = Running::start(Server::new(kit([])).with(stub)).await;
    let mut client = server.client();
    let status = client.echo(of_acme(echo("secret"))).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message(), reason(&status).as_str()),
        (Code::Internal, "internal error", "INTERNAL")
    );
    assert!(!String::from_utf8_lossy(status.details()).contains("secret"));
    assert_eq!(client.echo(of_acme(echo("fine"))).await.unwrap().into_inner().message, "fine");
}

#[tokio::test]
async fn oversized_message_is_resource_exhausted_in_both_directions() {
    let stub = Stub::new(async |_| Ok(EchoResponse { payload: vec![7; 5000], ..Default::default() }));
    let server = Running::start(Server::new(kit([("UAIT_MAX_MESSAGE_BYTES", "4096")])).with(stub)).await;
    let mut large = echo("x");
    large.payload = vec![0; 5000];
    for request in [large, echo("the answer is too large")] {
        let status = server.client().echo(of_acme(request)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
        assert_eq!(error_info(&status).unwrap().metadata["limit_bytes"], "4096");
    }
}

#[tokio::test]
async fn call_without_tenant_is_refused_unless_the_service_is_tenantless() {
    let server = Running::start(Server::new(kit([])).with(Stub::saying_back())).await;
    let status = server.client().echo(echo("x")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TENANT_MISSING"));
    let tenantless = Running::start(Server::new(kit([])).with_tenantless(Stub::saying_back())).await;
    let seen = tenantless.client().echo(echo("x")).await.unwrap().into_inner().seen.unwrap();
    assert_eq!(seen.tenant, "");
}

#[tokio::test]
async fn unknown_service_is_unimplemented_with_its_name() {
    let server = Running::start(Server::new(kit([]))).await;
    let status = server.client().echo(of_acme(echo("x"))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "NOT_IMPLEMENTED"));
    assert_eq!(error_info(&status).unwrap().metadata["what"], "uait.echo.v1.EchoService/Echo");
}

#[tokio::test]
async fn response_is_compressed_only_where_the_request_was() {
    let server = Running::start(Server::new(kit([])).with(Stub::saying_back())).await;
    let encoding = async |mut client: uait_gen::echo::v1::echo_service_client::EchoServiceClient<_>| {
        let response = client.echo(of_acme(echo(&"x".repeat(1000)))).await.unwrap();
        response.metadata().get("grpc-encoding").map(|encoding| encoding.to_str().unwrap().to_owned())
    };
    assert_eq!(encoding(server.client()).await, None);
    assert_eq!(encoding(server.client().send_compressed(CompressionEncoding::Gzip)).await.as_deref(), Some("gzip"));
}

#[tokio::test]
async fn health_knows_the_server_its_services_and_the_event_log() {
    let server = Running::start(Server::new(kit([])).with(Stub::saying_back())).await;
    let mut health: HealthClient<_> = HealthClient::new(server.mesh());
    let names = [
        ("", ServingStatus::Serving),
        ("uait.echo.v1.EchoService", ServingStatus::Serving),
        ("events", ServingStatus::NotServing),
    ];
    for (service, expected) in names {
        let response = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        assert_eq!(response.into_inner().status(), expected, "{service:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nobody".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let healthz = get(server.http, "/healthz").await;
    assert!(
        healthz.starts_with("HTTP/1.1 200") && healthz.ends_with(r#"{"checks":{"nats":"off"},"status":"SERVING"}"#),
        "{healthz}"
    );
    assert!(get(server.http, "/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn reflection_lists_the_services_and_serves_their_files_with_options() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let server = Running::start(Server::new(kit([])).with(Stub::saying_back())).await;
    let mut client: ServerReflectionClient<_> = ServerReflectionClient::new(server.mesh());
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("uait.echo.v1.EchoService".to_owned())),
    ];
    let mut answers = client.server_reflection_info(tokio_stream::iter(questions)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("a list");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert_eq!(names, ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "uait.echo.v1.EchoService"]);
    let Some(MessageResponse::FileDescriptorResponse(file)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("a file");
    };
    let text = String::from_utf8_lossy(&file.file_descriptor_proto[0]).into_owned();
    assert!(text.contains("/api/v1/echo:relay"), "custom options are kept");
}

#[tokio::test]
async fn drain_lets_calls_end_and_takes_new_ones_until_the_delay_is_over() {
    let gate = Gate::new();
    let server = Running::start(Server::new(kit([("UAIT_DRAIN_DELAY_MS", "300")])).with(gate.stub())).await;
    let (address, mut client, mut watching) = (server.grpc, server.client(), HealthClient::new(server.mesh()));
    let mut during = client.clone();
    let mut health = watching.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let call = tokio::spawn(async move { client.echo(of_acme(echo("under way"))).await });
    gate.begun().await;
    let http = server.http;
    let served = server.drain();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(get(http, "/healthz").await.starts_with("HTTP/1.1 503"));
    let late = tokio::spawn(async move { during.echo(of_acme(echo("late"))).await });
    gate.begun().await;
    // The watch would hold up the drain for ever, so the server ends it.
    let ended = tokio::time::timeout(support::PATIENCE, health.message()).await.expect("the watch ends").unwrap_err();
    assert_eq!(reason(&ended), "DRAINING");
    assert!(!served.is_finished(), "calls are under way");
    gate.open.notify_waiters();
    assert_eq!(call.await.unwrap().unwrap().into_inner().message, "under way");
    assert_eq!(late.await.unwrap().unwrap().into_inner().message, "late");
    tokio::time::timeout(support::PATIENCE, served).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn drain_cuts_off_what_does_not_end_in_time() {
    let gate = Gate::new();
    let server = Running::start(Server::new(kit([("UAIT_DRAIN_TIMEOUT_MS", "50")])).with(gate.stub())).await;
    let mut client = server.client();
    let call = tokio::spawn(async move { client.echo(of_acme(echo("for ever"))).await });
    gate.begun().await;
    tokio::time::timeout(support::PATIENCE, server.drain()).await.unwrap().unwrap();
    drop(call);
}

#[tokio::test]
async fn mutual_tls_wants_a_certificate_of_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let ca = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let own = rcgen::KeyPair::generate().unwrap();
        let leaf =
            rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
        let file = |kind: &str, text| write(&format!("{name}-{kind}.pem"), text);
        [file("cert", leaf.pem()), file("key", own.serialize_pem()), file("ca", ca.pem())]
    };
    let ([cert, key, ca], [other_cert, other_key, _]) = (authority("mesh"), authority("other"));
    let server = Server::new(kit([("UAIT_TLS_CERT", &cert), ("UAIT_TLS_KEY", &key), ("UAIT_TLS_CA", &ca)]));
    let server = Running::start(server.with(Stub::saying_back())).await;
    let call = async |cert: &str, key: &str| {
        let mesh = support::mesh(server.grpc, [("UAIT_TLS_CERT", cert), ("UAIT_TLS_KEY", key), ("UAIT_TLS_CA", &ca)]);
        mesh.client::<uait_gen::echo::v1::echo_service_client::EchoServiceClient<_>>().echo(of_acme(echo("x"))).await
    };
    assert_eq!(call(&cert, &key).await.unwrap().into_inner().message, "x");
    let refused = call(&other_cert, &other_key).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
    let plain = server.client().echo(within(Duration::from_secs(5), of_acme(echo("x")))).await.unwrap_err();
    assert_eq!(plain.code(), Code::Unavailable);
}

#[tokio::test]
async fn load_is_reported_at_the_end_of_every_call() {
    let server = Running::start(Server::new(kit([])).with(Stub::saying_back())).await;
    let ok = server.client().echo(of_acme(echo("x"))).await.unwrap();
    assert!(ok.metadata().get("endpoint-load-metrics").unwrap().to_str().unwrap().starts_with("TEXT cpu_utilization="));
    let invalid = server.client().echo(of_acme(echo(""))).await.unwrap_err();
    assert_eq!(reason(&invalid), "FIELD_INVALID");
    assert!(invalid.metadata().get("endpoint-load-metrics").is_some());
    let health = HealthClient::new(server.mesh()).check(Request::new(HealthCheckRequest::default())).await.unwrap();
    assert!(health.metadata().get("endpoint-load-metrics").is_some());
}
