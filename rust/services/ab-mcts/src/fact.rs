//! What happens to searches: the journal's events, in the terms of this service.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::spec::Spec;
use crate::usage::Usage;

/// Something that happened to a search.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// It was created.
    Created {
        /// The request that did it.
        request_id: String,
        /// What it is.
        spec: Box<Spec>,
        /// Prior means that earlier searches had taught, by action.
        taught: BTreeMap<String, f64>,
    },
    /// Attempts were asked for.
    Asked {
        /// The request that asked; on a stream one that the handler named.
        request_id: String,
        /// How many it wanted.
        count: u32,
        /// The attempts.
        asks: Vec<Asked>,
    },
    /// An attempt was told.
    Told {
        /// The ask.
        ask_id: String,
        /// The node that it made; empty when it failed.
        node_id: String,
        /// How it went.
        outcome: Outcome,
    },
    /// Asks were given up.
    Expired {
        /// Which.
        ask_ids: Vec<String>,
    },
    /// What a node turned out to be worth became known.
    Feedback {
        /// The request that said so.
        request_id: String,
        /// Kind of task.
        task_type: String,
        /// The node.
        node_id: String,
        /// The action that made it.
        action: String,
        /// Its worth: 0 to 1.
        reward: f64,
        /// Why.
        comment: String,
    },
    /// Its wall time was over.
    Ended,
    /// It was deleted.
    Deleted {
        /// The request that did it.
        request_id: String,
    },
}

/// An attempt that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its id.
    pub ask_id: String,
    /// The node to refine.
    pub parent_id: String,
    /// Name of the action.
    pub action: String,
    /// When it is given up.
    pub expire_time: SystemTime,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was made and scored.
    Scored {
        /// 0 to 1.
        score: f64,
        /// What to keep with the node.
        state: Vec<u8>,
        /// What it used.
        usage: Usage,
    },
    /// It could not be made.
    Failed(Failure),
}

/// Why an attempt failed, as the caller told it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// The gRPC code.
    pub code: i32,
    /// The reason's name.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// Field, description and rule of each violation.
    pub violations: Vec<[String; 3]>,
}
