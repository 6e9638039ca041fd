//! The inference service.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use uait_gen::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use uait_gen::ml_inference::v1::inference_service_server::InferenceServiceServer;
use uait_kit::config::ConfigError;
use uait_kit::serve::Server;
use uait_ml_inference::config::{Config, DEFAULTS};
use uait_ml_inference::handler::{Inference, KServe};
use uait_ml_inference::models::Models;
use uait_ml_inference::repository::Repository;

/// libgomp's threads spin for each other by default: where cores are shared, that slows two threads down a hundredfold.
const WAIT_POLICY: (&str, &str) = ("OMP_WAIT_POLICY", "passive");

fn main() -> ExitCode {
    // libgomp reads its policy when it is loaded, before main: the process starts itself again with it.
    if std::env::var_os(WAIT_POLICY.0).is_none()
        && let Ok(own) = std::env::current_exe()
    {
        let error = Command::new(own).args(std::env::args_os().skip(1)).env(WAIT_POLICY.0, WAIT_POLICY.1).exec();
        eprintln!("cannot start again with {}: {error}", WAIT_POLICY.0);
    }
    uait_kit::run(DEFAULTS, async |kit, environment| {
        let config = Config::read(&environment)?;
        let repository = Repository::read(&config.models).map_err(|error| ConfigError {
            variable: "UAIT_MODELS".to_owned(),
            value: error.list.display().to_string(),
            range: format!("a list of models ({})", error.what.lines().next().unwrap_or_default()),
        })?;
        let models = Models::new(config, repository);
        let checked = models.clone();
        tokio::task::spawn_blocking(move || checked.check_all());
        let inference = Inference::new(models.clone());
        let served = Server::new(kit)
            .with(InferenceServiceServer::new(inference))
            .with(GrpcInferenceServiceServer::new(KServe::new(models.clone())))
            .run()
            .await;
        models.close().await;
        served
    })
}
