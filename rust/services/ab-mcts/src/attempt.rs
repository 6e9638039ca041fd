//! Attempts: asked for, and scored, failed or given up.

use std::time::SystemTime;

use crate::fact::Failure;
use crate::usage::Usage;

/// An attempt that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Its id.
    pub id: String,
    /// Place of its parent in the tree.
    pub parent: usize,
    /// Place of its action in the spec.
    pub action: usize,
    /// When it is given up.
    pub expire_time: SystemTime,
    /// What became of it.
    pub fate: Fate,
}

/// What became of an ask.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It waits to be told.
    Pending,
    /// It made the node at this place in the tree.
    Scored(usize),
    /// It failed.
    Failed(Failure),
    /// It was given up.
    Expired,
}

/// A scored attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Of the node that it refines.
    pub parent_id: String,
    /// Place of its action in the spec.
    pub action: usize,
    /// Steps from the root.
    pub depth: u32,
    /// 0 to 1.
    pub score: f64,
    /// What was to be kept with it.
    pub state: Vec<u8>,
    /// What it used.
    pub usage: Usage,
    /// When it was told.
    pub create_time: SystemTime,
    /// Number of its ask.
    pub ask: usize,
}

/// What an outcome comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is taken now.
    Fresh,
    /// The ask had been told before.
    Before,
    /// The search has no such ask.
    Missing,
    /// The ask was given up.
    Expired,
}
