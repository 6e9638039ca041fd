//! How a search stands, and what happened in it, for those who watch.

use std::time::SystemTime;

use crate::usage::{Limit, Usage};

/// How a search stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Why it ended; `None` while it runs.
    pub ended: Option<Ended>,
    /// Scored nodes.
    pub nodes: usize,
    /// Failed attempts.
    pub failed: u32,
    /// Asks that wait.
    pub pending: usize,
    /// What was used.
    pub usage: Usage,
    /// Place of the best node in the tree.
    pub best: Option<usize>,
    /// Number of its last change.
    pub sequence: u64,
    /// Time of its last change.
    pub update_time: SystemTime,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A node reached the target score.
    Target,
    /// A limit was reached.
    Budget(Limit),
}

/// Something that happened, numbered by its place in the history, from 1.
#[derive(Debug)]
pub struct Change {
    /// When.
    pub time: SystemTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug)]
pub enum What {
    /// The search was created.
    Created(Box<Standing>),
    /// An ask, by number.
    Asked(usize),
    /// A node, by place.
    Told(usize),
    /// An ask failed, by number.
    Failed(usize),
    /// An ask was given up, by number.
    Expired(usize),
    /// A node's worth became known.
    Feedback {
        /// The node.
        node_id: String,
        /// Its worth.
        reward: f64,
    },
    /// The search ended.
    Ended(Box<Standing>),
}
