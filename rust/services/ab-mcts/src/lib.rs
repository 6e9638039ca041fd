//! Adaptive branching Monte Carlo tree search over attempts, as an ask/tell service.
//!
//! `posterior` and `tree` are the algorithm, `search` and `searches` what was asked and told, `recommendation` what follows
//! from it; they know neither clock nor network. `store` keeps it all in the journal, `handler` and `wire` speak the contract.

pub mod attempt;
pub mod config;
pub mod error;
pub mod fact;
pub mod handler;
pub mod history;
pub mod posterior;
pub mod recommendation;
pub mod search;
pub mod searches;
pub mod spec;
pub mod store;
pub mod tree;
pub mod usage;
pub mod wire;
