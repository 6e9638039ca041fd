//! `grpc.health.v1` and reflection: what the outside may ask of every service without naming a tenant.

use std::sync::Arc;

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::{Described, Servable};
use crate::Error;
use crate::events::LogState;

pub(super) const PATHS: &[&str] =
    &["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List"];
pub(super) const REFLECTION_PATHS: &[&str] = &["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"];
/// Health name of the event log.
const EVENTS: &str = "events";

/// The health of the server, each of its services, and the event log.
#[derive(Clone)]
pub(super) struct Health {
    reporter: HealthReporter,
    names: Arc<[&'static str]>,
    serving: Arc<watch::Sender<bool>>,
}

impl Health {
    pub(super) async fn new(services: &[Described]) -> Self {
        let reporter = HealthReporter::new();
        let names: Arc<[&str]> = std::iter::once("").chain(services.iter().map(|s| s.service.name)).collect();
        for name in names.iter() {
            reporter.set_service_status(*name, ServingStatus::Serving).await;
        }
        reporter.set_service_status(EVENTS, ServingStatus::NotServing).await;
        Self { reporter, names, serving: Arc::new(watch::Sender::new(true)) }
    }

    pub(super) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Whether the server takes calls and means to go on doing so.
    pub(super) fn is_serving(&self) -> bool {
        *self.serving.borrow()
    }

    /// Keeps the event log's health as its connection is, for ever.
    pub(super) async fn follow(self, mut log: watch::Receiver<LogState>) {
        loop {
            let status = match *log.borrow_and_update() {
                LogState::Up => ServingStatus::Serving,
                LogState::Down | LogState::Off => ServingStatus::NotServing,
            };
            self.reporter.set_service_status(EVENTS, status).await;
            if log.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) async fn drain(&self) {
        self.serving.send_replace(false);
        for name in self.names.iter().chain(&[EVENTS]) {
            self.reporter.set_service_status(*name, ServingStatus::NotServing).await;
        }
    }
}

/// Reflection of the services, of health and of itself.
pub(super) fn reflection(services: &[Described]) -> Result<impl Servable, Error> {
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection");
    for described in services {
        builder = builder
            .register_encoded_file_descriptor_set(described.descriptors)
            .with_service_name(described.service.name);
    }
    builder.build_v1().map_err(|error| Error::Setup(format!("the descriptors cannot be reflected: {error}")))
}
