//! Everything that can go wrong here, and what a caller sees of it.

use tonic::Status;
use uait_kit::events::PublishError;
use uait_kit::status::{self, Failure, Reason};
use uait_kit::validate::Invalid;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arm is neither known to the tenant nor was it suggested lately.
    #[error("no arm {arm_id:?} is known here; feedback that names its parameters makes it known")]
    ArmUnknown {
        /// Its id.
        arm_id: String,
    },
    /// Nothing is left to choose among.
    #[error("no arm to choose: {requirement}")]
    NoCandidate {
        /// What none fulfils.
        requirement: &'static str,
    },
    /// The request id was used before, for something else.
    #[error("request_id {request_id:?} was used with another request")]
    RequestIdReused {
        /// The id.
        request_id: String,
    },
    /// The request breaks a rule that its contract cannot state.
    #[error("the request: {0}")]
    Invalid(#[from] Invalid),
    /// A part of the contract that this build does not have.
    #[error("{why}")]
    NotImplemented {
        /// The RPC or option.
        what: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] PublishError),
    /// A computation ended without its result.
    #[error("a computation was lost: {0}")]
    Lost(#[from] tokio::task::JoinError),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let told = |reason| Failure::new(reason, text);
        match error {
            Error::ArmUnknown { arm_id } => {
                told(Reason::ResourceNotFound).with("resource", "arm").with("name", arm_id).into()
            }
            Error::NoCandidate { requirement } => told(Reason::NoCandidate).with("requirement", requirement).into(),
            Error::RequestIdReused { request_id } => {
                told(Reason::RequestIdReused).with("request_id", request_id).into()
            }
            Error::Invalid(invalid) => invalid.into(),
            Error::NotImplemented { what, .. } => told(Reason::NotImplemented).with("what", what).into(),
            Error::Journal(error) => error.into(),
            Error::Lost(error) => status::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use uait_kit::validate::Violation;

    use super::*;

    fn seen(error: Error) -> (Code, String, Vec<(String, String)>) {
        let status = Status::from(error);
        let info = status::error_info(&status).unwrap();
        let mut metadata: Vec<_> = info.metadata.into_iter().collect();
        metadata.sort();
        (status.code(), info.reason, metadata)
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn error_tells_code_reason_and_keys_as_the_contract_lists_them() {
        assert_eq!(
            seen(Error::ArmUnknown { arm_id: "a".to_owned() }),
            (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned(), vec![pair("name", "a"), pair("resource", "arm")])
        );
        assert_eq!(
            seen(Error::NoCandidate { requirement: "max_latency" }),
            (Code::FailedPrecondition, "NO_CANDIDATE".to_owned(), vec![pair("requirement", "max_latency")])
        );
        assert_eq!(
            seen(Error::RequestIdReused { request_id: "r".to_owned() }),
            (Code::InvalidArgument, "REQUEST_ID_REUSED".to_owned(), vec![pair("request_id", "r")])
        );
        assert_eq!(
            seen(Error::NotImplemented { what: "features", why: "not here" }),
            (Code::Unimplemented, "NOT_IMPLEMENTED".to_owned(), vec![pair("what", "features")])
        );
        assert_eq!(
            seen(Error::Journal(PublishError::Unavailable)),
            (Code::Unavailable, "DEPENDENCY_UNAVAILABLE".to_owned(), vec![pair("dependency", "nats")])
        );
        let violation =
            Violation { field: "features".to_owned(), rule: "double.finite".into(), description: "not finite".into() };
        assert_eq!(seen(Invalid(vec![violation]).into()), (Code::InvalidArgument, "FIELD_INVALID".to_owned(), vec![]));
    }
}
