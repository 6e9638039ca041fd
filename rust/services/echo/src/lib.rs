//! The echo service in Rust: says back what it was told, and tells what the kit saw of the call.
//!
//! It is also the template of new services: `main` reads the configuration and serves, `handler` is the only file that knows
//! the contract, `error` maps every failure to what a caller sees, and each noun of the domain has a file of its own.

pub mod config;
pub mod error;
pub mod handler;
pub mod ledger;
