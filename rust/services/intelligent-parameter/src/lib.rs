//! intelligent-parameter: a bandit for each tenant and task type, by Thompson sampling.
//!
//! `posterior` is what is believed of one arm, `bandit` the arms of a task type with older feedback discounted, `choice` draws
//! among them and `propensity` says how likely each draw was. `knowledge` is what all feedback adds up to and `store` its
//! journal. `handler` is the contract.

pub mod bandit;
pub mod choice;
pub mod config;
pub mod error;
pub mod handler;
pub mod knowledge;
pub mod posterior;
pub mod propensity;
mod quadrature;
pub mod store;
pub mod suggested;
