//! Everything that crosses a process boundary, from `proto/`: messages, clients, servers, static checks of the
//! protovalidate rules, and tables of services and methods.
//!
//! A message of package `uait.echo.v1` is `uait_gen::echo::v1::...`; the vendored contracts keep their own packages
//! (`uait_gen::google::rpc`).

pub mod check;
pub mod codec;
#[cfg(feature = "reflect")]
pub mod reflective;
pub mod service;

/// The encoded `FileDescriptorSet` of all contracts, custom options included.
pub static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links
)]
mod protos {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

include!(concat!(env!("OUT_DIR"), "/event.rs"));
include!(concat!(env!("OUT_DIR"), "/reason.rs"));

pub use protos::*;
pub use uait::*;
