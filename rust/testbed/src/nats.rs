//! A real NATS server with JetStream on disk, that can be killed and come back.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use crate::{Process, eventually, free_port};

/// A NATS server of its own store and port. Its store survives being killed, and goes with the value.
pub struct NatsServer {
    store: tempfile::TempDir,
    port: u16,
    process: Option<Process>,
}

impl NatsServer {
    /// Starts a server on a free port, and waits until it answers.
    pub fn start() -> Self {
        let mut server = Self::stopped();
        server.restart();
        server
    }

    /// A server that is not there yet.
    pub fn stopped() -> Self {
        Self { store: tempfile::tempdir().expect("a directory"), port: free_port(), process: None }
    }

    /// Where it is, or will be.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, on the port and with the store that it had.
    pub fn restart(&mut self) {
        let config = self.store.path().join("nats.conf");
        // What is acknowledged is on disk: the default of two minutes loses it (Jepsen, NATS 2.12.1).
        let store = self.store.path().join("store");
        let text = format!(
            "listen: 127.0.0.1:{}\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
            self.port,
            store.display().to_string()
        );
        std::fs::write(&config, text).expect("the store can be written");
        self.process = Some(Process::start(Command::new(binary()).arg("-c").arg(config)));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        eventually("nats-server listens", || TcpStream::connect(address).ok());
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}

/// The binary: `UAIT_NATS_SERVER`, or where `make up` installs it, or the one in PATH.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("UAIT_NATS_SERVER") {
        return path.into();
    }
    let installed = crate::repository().join(".uait/bin/nats-server");
    if installed.exists() {
        return installed;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|file| file.exists()).unwrap_or_else(|| {
        panic!(
            "no nats-server: set UAIT_NATS_SERVER, or let `make up` install .uait/bin/nats-server, or put one into PATH"
        )
    })
}
