//! What every Rust service of the mesh does alike; CONTRIBUTING.md at the root is its specification.
//!
//! A service's `main` names its defaults and hands over a closure:
//!
//! ```ignore
//! fn main() -> ExitCode {
//!     uait_kit::run(Defaults { service: "echo-rust", port: 8003 }, async |kit, environment| {
//!         let handler = Handler::new(&kit);
//!         Server::new(kit).with(EchoServiceServer::new(handler)).run().await
//!     })
//! }
//! ```

pub mod call;
pub mod config;
pub mod dial;
pub mod events;
pub mod identity;
pub mod load;
pub mod serve;
pub mod status;
pub mod telemetry;
pub mod validate;
mod window;

use std::process::ExitCode;
use std::sync::Arc;

pub use call::Call;
use config::{Config, ConfigError, Defaults, Environment};
use dial::Mesh;
use events::Events;
use load::Meter;
use telemetry::Telemetry;

/// Why a service did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the environment is outside of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Somebody else listens on the port.
    #[error("{variable}={port}: {host}:{port} is in use")]
    PortInUse {
        /// The variable that names the port.
        variable: &'static str,
        /// The address.
        host: std::net::IpAddr,
        /// The port.
        port: u16,
    },
    /// The address cannot be listened on for another reason.
    #[error("{variable}={port}: cannot listen on {host}:{port}: {source}")]
    Listen {
        /// The variable that names the port.
        variable: &'static str,
        /// The address.
        host: std::net::IpAddr,
        /// The port.
        port: u16,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The operating system refused something that the kit needs.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The service's own setup failed.
    #[error("{0}")]
    Setup(String),
}

impl Error {
    /// The process's exit code, of `sysexits.h`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 78,
            Self::PortInUse { .. } | Self::Listen { .. } => 69,
            Self::System { .. } => 71,
            Self::Setup(_) => 70,
        }
    }
}

/// What a service is given: its configuration, and its ways to the mesh.
#[derive(Clone)]
pub struct Kit {
    /// The environment, read.
    pub config: Arc<Config>,
    /// Spans and metrics.
    pub telemetry: Telemetry,
    /// The other services, through Envoy.
    pub mesh: Mesh,
    /// The event log.
    pub events: Events,
    /// How busy the process is.
    pub meter: Arc<Meter>,
}

impl Kit {
    /// Connects a service that has read its configuration. Nothing is dialled before it is needed, and what is away is
    /// retried for ever, so this does not wait.
    ///
    /// # Errors
    /// The address of the mesh cannot be dialled at all.
    pub fn new(config: Config) -> Result<Self, Error> {
        let config = Arc::new(config);
        let telemetry = Telemetry::new(&config);
        let mesh = Mesh::new(&config, telemetry.tracer.clone())?;
        let events = Events::new(&config, &telemetry);
        let meter = Meter::start(config.max_inflight);
        Ok(Self { config, telemetry, mesh, events, meter })
    }
}

/// Reads the environment, starts the runtime and runs the service until it has drained. Errors are one line on stderr.
pub fn run<F>(defaults: Defaults, service: F) -> ExitCode
where
    F: AsyncFnOnce(Kit, Environment) -> Result<(), Error>,
{
    match start(defaults, service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn start<F>(defaults: Defaults, service: F) -> Result<(), Error>
where
    F: AsyncFnOnce(Kit, Environment) -> Result<(), Error>,
{
    let environment = Environment::of_process();
    let config = Config::read(&environment, defaults)?;
    telemetry::log::install(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System { what: "starting the runtime", source })?;
    let result = runtime.block_on(async { service(Kit::new(config)?, environment).await });
    // Background tasks (reconnecting, exporting) are not worth waiting for once the service has drained.
    runtime.shutdown_background();
    result
}
