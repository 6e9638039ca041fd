//! The conformance client: runs the cases of `proto/uait/echo/v1/cases.yaml` against a server of any language, with the
//! generated client over the kit's own channel. The head of that file explains the fields of a case.

mod call;
mod case;
mod expect;
mod probe;
mod target;
mod transcode;
mod variables;

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use case::{Case, Work};
pub use target::Target;
use variables::Variables;

/// What to run, against whom.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file of cases.
    pub cases: PathBuf,
    /// What is called, as host:port.
    pub target: String,
    /// The server's own address, for health checks; the target where it is not given.
    pub server: Option<String>,
    /// The server's process.
    pub pid: Option<u32>,
    /// Sent as `x-uait-service`.
    pub service: Option<String>,
    /// Full name of the gRPC service to call, which has the RPCs and messages of `EchoService`, as a service made from the
    /// template has until its author replaces them; `uait.echo.v1.EchoService` itself where it is not given.
    pub api: Option<String>,
    /// PEM files of certificate, key and authority.
    pub tls: Option<[PathBuf; 3]>,
    /// The one case to run.
    pub only: Option<String>,
}

/// Why the cases could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file of cases is not what it should be.
    #[error("{path}: {reason}")]
    Cases {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// There is no case of that name.
    #[error("--only {0}: there is no such case")]
    NoCase(String),
    /// The target cannot be dialled at all.
    #[error(transparent)]
    Target(#[from] uait_kit::Error),
}

/// How a case went.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The case's name.
    pub case: String,
    /// What was expected and what came, where the two differ.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

impl Verdict {
    /// The line that is printed.
    pub fn line(&self) -> Value {
        let ms = (self.ms * 10.0).round() / 10.0;
        match &self.error {
            None => json!({"case": self.case, "ok": true, "ms": ms}),
            Some(error) => json!({"case": self.case, "ok": false, "ms": ms, "error": error}),
        }
    }
}

/// Runs the cases in the file's order, and tells of each when it is done.
///
/// # Errors
/// The cases cannot be read, or the target not be dialled.
pub async fn run(options: &Options, mut tell: impl FnMut(&Verdict)) -> Result<(), Error> {
    let cases = case::read(&options.cases)?;
    if let Some(only) = &options.only
        && !cases.iter().any(|case| &case.name == only)
    {
        return Err(Error::NoCase(only.clone()));
    }
    let target = Target::new(options)?;
    let mut variables = Variables::new(options.service.as_deref().unwrap_or_default());
    for case in cases.iter().filter(|case| options.only.as_ref().is_none_or(|only| only == &case.name)) {
        let started = Instant::now();
        let result = run_case(case, &target, &mut variables).await;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        tell(&Verdict { case: case.name.clone(), error: result.err(), ms });
    }
    Ok(())
}

async fn run_case(case: &Case, target: &Target, variables: &mut Variables) -> Result<(), String> {
    match &case.work {
        Work::Call(call) => {
            let call = variables.resolve(call)?;
            let outcome = call::perform(&call, target).await?;
            expect::check(&call.expect, &outcome)?;
            for (name, path) in &call.save {
                variables.save(name, path, outcome.responses.first())?;
            }
            Ok(())
        }
        Work::Probe(probe) => probe::perform(probe, target, variables).await,
    }
}
