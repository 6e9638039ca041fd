//! What tests start beside the code under test. Everything binds loopback, and ends when it is dropped.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

mod nats;
mod process;

pub use nats::NatsServer;
pub use process::{Finished, Process};

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The root of the checkout that the test runs in; cargo starts tests in the folder of their crate. What is compiled may come from
/// another checkout (decision 0074), so no path of it is known before.
pub fn repository() -> PathBuf {
    let folder = std::env::current_dir().expect("a working directory");
    let root = folder.ancestors().find(|ancestor| ancestor.join("deploy/mesh.yaml").exists());
    root.unwrap_or_else(|| panic!("{} is in no checkout of the project", folder.display())).to_path_buf()
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Looks every few milliseconds, for as long as patience lasts, until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
