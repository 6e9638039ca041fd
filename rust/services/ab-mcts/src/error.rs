//! Everything that can go wrong here, and what a caller sees of it.

use tonic::Status;
use uait_kit::events::PublishError;
use uait_kit::status::{Failure, Reason};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such search for this tenant.
    #[error("no search {id:?}")]
    NoSearch {
        /// Its id.
        id: String,
    },
    /// No such node in the search.
    #[error("no node {id:?} in this search")]
    NoNode {
        /// Its id.
        id: String,
    },
    /// No such ask in the search.
    #[error("no ask {id:?} in this search")]
    NoAsk {
        /// Its id.
        id: String,
    },
    /// The ask was given up before it was told.
    #[error("the ask {id:?} was given up at the end of its lease")]
    AskExpired {
        /// Its id.
        id: String,
    },
    /// The root is no attempt.
    #[error("the root is no attempt that could be worth something")]
    Root,
    /// Two actions have one name.
    #[error("two actions are named {name:?}")]
    ActionTwice {
        /// The name.
        name: String,
    },
    /// A value that no rule of the contract refuses, and that means nothing.
    #[error("{field}: {what}")]
    Value {
        /// Path of the field.
        field: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// AB-MCTS-M is asked for.
    #[error(
        "the mixed model (AB-MCTS-M) samples its posterior by Markov chain Monte Carlo, which this build does not have; \
         `gaussian` and `beta` choose by AB-MCTS-A"
    )]
    MixedModel,
    /// The request id was used before with another request.
    #[error("the request id {id:?} was used before with another request")]
    RequestIdReused {
        /// The id.
        id: String,
    },
    /// The page token was not issued for this request.
    #[error("the page token was not issued for this request")]
    PageToken,
    /// A stream did something before it said which search it is about, or said so twice.
    #[error("{0}")]
    Stream(&'static str),
    /// The caller's own stream broke, or what it sent is invalid.
    #[error("the request: {0}")]
    Request(Box<Status>),
    /// The journal could not be used.
    #[error(transparent)]
    Journal(#[from] PublishError),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let failure = |reason| Failure::new(reason, text.clone());
        let missing = |resource, id| failure(Reason::ResourceNotFound).with("resource", resource).with("name", id);
        match error {
            Error::NoSearch { id } => missing("search", id).into(),
            Error::NoNode { id } => missing("node", id).into(),
            Error::NoAsk { id } => missing("ask", id).into(),
            Error::AskExpired { id } => failure(Reason::LeaseExpired).with("resource", "ask").with("name", id).into(),
            Error::Root => failure(Reason::ValueConflict).with("field", "node_id").into(),
            Error::ActionTwice { .. } => failure(Reason::ValueConflict).with("field", "spec.actions").into(),
            Error::Value { field, .. } => failure(Reason::ValueConflict).with("field", field).into(),
            Error::MixedModel => failure(Reason::NotImplemented).with("what", "SearchSpec.mixed").into(),
            Error::RequestIdReused { id } => failure(Reason::RequestIdReused).with("request_id", id).into(),
            Error::PageToken => failure(Reason::PageTokenInvalid).into(),
            Error::Stream(_) => failure(Reason::ValueConflict).with("field", "action").into(),
            Error::Request(status) => *status,
            Error::Journal(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use uait_kit::status::error_info;

    use super::*;

    #[test]
    fn every_error_has_its_code_reason_and_metadata() {
        let id = || "x".to_owned();
        for (error, code, reason, metadata) in [
            (Error::NoSearch { id: id() }, Code::NotFound, "RESOURCE_NOT_FOUND", Some(("resource", "search"))),
            (Error::NoNode { id: id() }, Code::NotFound, "RESOURCE_NOT_FOUND", Some(("resource", "node"))),
            (Error::NoAsk { id: id() }, Code::NotFound, "RESOURCE_NOT_FOUND", Some(("resource", "ask"))),
            (Error::AskExpired { id: id() }, Code::FailedPrecondition, "LEASE_EXPIRED", Some(("name", "x"))),
            (Error::Root, Code::InvalidArgument, "VALUE_CONFLICT", Some(("field", "node_id"))),
            (
                Error::ActionTwice { name: id() },
                Code::InvalidArgument,
                "VALUE_CONFLICT",
                Some(("field", "spec.actions")),
            ),
            (Error::Value { field: "f", what: "w" }, Code::InvalidArgument, "VALUE_CONFLICT", Some(("field", "f"))),
            (Error::MixedModel, Code::Unimplemented, "NOT_IMPLEMENTED", Some(("what", "SearchSpec.mixed"))),
            (
                Error::RequestIdReused { id: id() },
                Code::InvalidArgument,
                "REQUEST_ID_REUSED",
                Some(("request_id", "x")),
            ),
            (Error::PageToken, Code::InvalidArgument, "PAGE_TOKEN_INVALID", None),
            (Error::Stream("w"), Code::InvalidArgument, "VALUE_CONFLICT", Some(("field", "action"))),
            (
                PublishError::Unavailable.into(),
                Code::Unavailable,
                "DEPENDENCY_UNAVAILABLE",
                Some(("dependency", "nats")),
            ),
        ] {
            let status = Status::from(error);
            let info = error_info(&status).unwrap();
            assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status}");
            if let Some((key, value)) = metadata {
                assert_eq!(info.metadata[key], value);
            }
        }
        let passed = Status::from(Error::Request(Box::new(Status::cancelled("gone"))));
        assert_eq!((passed.code(), passed.message()), (Code::Cancelled, "gone"));
    }
}
