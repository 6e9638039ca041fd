//! Everything that can go wrong here, and what a caller sees of it.

use tonic::Status;
use uait_kit::events::PublishError;
use uait_kit::status::{self, Failure, Reason};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for an echo that there is not.
    #[error("no echo named {name:?}")]
    Missing {
        /// Its name.
        name: String,
    },
    /// Something inside broke.
    #[error("{0}")]
    Crash(String),
    /// The caller's own stream broke, or what it sent is invalid.
    #[error("the request: {0}")]
    Request(Status),
    /// A service that was called failed.
    #[error("a hop: {0}")]
    Hop(Status),
    /// A name that no header can carry.
    #[error("a header: {0}")]
    Header(#[from] http::Error),
    /// The event was not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Missing { ref name } => Failure::new(Reason::ResourceNotFound, error.to_string())
                .with("resource", "echo")
                .with("name", name.as_str())
                .into(),
            Error::Request(status) => status,
            Error::Hop(status) => status::passed_on(&status),
            Error::Publish(error) => error.into(),
            Error::Crash(_) | Error::Header(_) => status::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn missing_is_not_found_with_its_name() {
        let status = Status::from(Error::Missing { name: "atlantis".to_owned() });
        assert_eq!((status.code(), status.message()), (Code::NotFound, "no echo named \"atlantis\""));
        let info = status::error_info(&status).unwrap();
        assert_eq!(info.reason, "RESOURCE_NOT_FOUND");
        assert_eq!((info.metadata["resource"].as_str(), info.metadata["name"].as_str()), ("echo", "atlantis"));
    }

    #[test]
    fn crash_hides_its_text() {
        let status = Status::from(Error::Crash("db password is hunter2".to_owned()));
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
        assert!(!String::from_utf8_lossy(status.details()).contains("hunter2"));
    }

    #[test]
    fn hop_that_is_unavailable_stays_so() {
        assert_eq!(Status::from(Error::Hop(Status::unavailable("away"))).code(), Code::Unavailable);
        assert_eq!(Status::from(Error::Hop(Status::aborted("odd"))).code(), Code::Internal);
    }
}
