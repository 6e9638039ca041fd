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

/// What C libraries read of the environment when they are loaded, before main.
const LIBRARIES: [(&str, &str); 2] = [
    // libgomp's threads spin for each other by default: where cores are shared, that slows two threads down a hundredfold.
    ("OMP_WAIT_POLICY", "passive"),
    // glibc's own value, which stays where it is set: otherwise it grows to 32 MiB with the blocks that were freed, and what
    // ONNX Runtime frees after reading a model or a large batch is kept instead of given back (decision 0178).
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
];

fn main() -> ExitCode {
    // The process starts itself again with what its libraries are to read.
    let missing: Vec<_> = LIBRARIES.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    if !missing.is_empty()
        && let Ok(own) = std::env::current_exe()
    {
        let error = Command::new(own).args(std::env::args_os().skip(1)).envs(missing).exec();
        eprintln!("cannot start again with the environment of its libraries: {error}");
    }
    uait_kit::run(DEFAULTS, async |kit, environment| {
        let config = Config::read(&environment)?;
        let repository = Repository::read(&config.models).map_err(|error| ConfigError {
            variable: "UAIT_MODELS".to_owned(),
            value: error.list.display().to_string(),
            range: format!("a list of models ({})", error.what.lines().next().unwrap_or_default()),
        })?;
        let models = Models::new(config, repository);
        models.release_unused(&kit.telemetry.metrics);
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
