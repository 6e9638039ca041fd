//! Which services there are, their methods and descriptors, and how a server of one is limited.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A gRPC service of the contracts.
#[derive(Debug)]
pub struct Service {
    /// Full name, such as `uait.echo.v1.EchoService`.
    pub name: &'static str,
    /// Its methods, in the order of the proto.
    pub methods: &'static [Method],
}

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    /// HTTP/2 path, such as `/uait.echo.v1.EchoService/Echo`.
    pub path: &'static str,
    /// Full name of its service.
    pub service: &'static str,
    /// Its name, such as `Echo`.
    pub name: &'static str,
    /// Whether the caller sends a stream.
    pub client_streaming: bool,
    /// Whether the server sends a stream.
    pub server_streaming: bool,
}

impl Method {
    /// Whether one message goes each way.
    pub fn is_unary(&self) -> bool {
        !self.client_streaming && !self.server_streaming
    }

    /// The span name: the path without its first slash.
    pub fn span_name(&self) -> &'static str {
        &self.path[1..]
    }
}

/// A generated server, with what its service is.
pub trait Served: Sized {
    /// The service.
    const SERVICE: &'static Service;

    /// Encoded `FileDescriptorSet` of its file and everything that imports. Not in the table of services, so that a binary
    /// carries those of the services that it serves, and not of all.
    const DESCRIPTORS: &'static [u8];

    /// The server with messages limited to `bytes` each way, taking and (where the caller did so too) sending gzip.
    #[must_use]
    fn limited_to(self, bytes: usize) -> Self;
}

/// A generated client, made over a channel `T`.
pub trait Dialled<T>: Sized {
    /// The client, with messages limited to `bytes` each way and taking gzip.
    fn over(channel: T, bytes: usize) -> Self;
}

/// The method with this HTTP/2 path.
pub fn method(path: &str) -> Option<&'static Method> {
    static BY_PATH: LazyLock<HashMap<&str, &Method>> =
        LazyLock::new(|| SERVICES.iter().flat_map(|s| s.methods).map(|m| (m.path, m)).collect());
    BY_PATH.get(path).copied()
}

include!(concat!(env!("OUT_DIR"), "/services.rs"));
