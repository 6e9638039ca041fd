//! Errors as gRPC statuses: a code, a reason of `uait.error.v1.Reason`, and nothing of a hidden cause.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Status};
use uait_gen::codec::{DOMAIN, detail, is, status};
pub use uait_gen::error::v1::Reason;
use uait_gen::google::rpc;

/// A failure that the caller may know about. Its code is that of its reason, as `error.proto` states it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with a message for a person.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), metadata: HashMap::new(), retry_after: None }
    }

    /// Adds a key of `ErrorInfo.metadata`; `error.proto` lists the keys of each reason.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Tells the caller when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let info =
            rpc::ErrorInfo { reason: wire_name(failure.reason), domain: DOMAIN.to_owned(), metadata: failure.metadata };
        let mut details = vec![detail(&info)];
        if let Some(delay) = failure.retry_after {
            let retry_delay = prost_types::Duration::try_from(delay).ok();
            details.push(detail(&rpc::RetryInfo { retry_delay }));
        }
        status(failure.reason.code(), &failure.message, &details)
    }
}

/// The reason as it travels: its name without the prefix.
pub fn wire_name(reason: Reason) -> String {
    reason.as_str_name().trim_start_matches("REASON_").to_owned()
}

/// INTERNAL for an error that the caller must not see; its text goes to the log, under the call's trace id.
pub fn internal(cause: &(dyn Error + 'static)) -> Status {
    tracing::error!(error = %chain(cause), "internal error");
    hidden()
}

/// What a failed call to another service becomes for the own caller: the same, where the code means the same to both.
pub fn passed_on(downstream: &Status) -> Status {
    if let Some(limit) = too_large(downstream) {
        return limit;
    }
    match downstream.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::ResourceExhausted
        | Code::NotFound
        | Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented => {
            Status::with_details(downstream.code(), downstream.message(), downstream.details().to_vec().into())
        }
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => internal(downstream),
    }
}

/// The deadline passed before the work was done.
pub fn deadline_exceeded() -> Status {
    Failure::new(Reason::DeadlineExceeded, "the deadline passed before the call was done").into()
}

/// A dependency cannot be reached.
pub fn unavailable(dependency: &str, message: impl Into<String>) -> Status {
    Failure::new(Reason::DependencyUnavailable, message).with("dependency", dependency).into()
}

/// A name of a gRPC code, such as `DEADLINE_EXCEEDED`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The `ErrorInfo` of a status, if it has one of this mesh.
pub fn error_info(status: &Status) -> Option<rpc::ErrorInfo> {
    let packed = rpc::Status::decode(status.details()).ok()?;
    let any = packed.details.iter().find(|any| is::<rpc::ErrorInfo>(any))?;
    rpc::ErrorInfo::decode(any.value.as_slice()).ok()
}

/// Gives a status that did not come from an error map (tonic's own, or one made by hand) what every status must have.
pub(crate) fn complete(raw: Status, path: &str) -> Status {
    if let Some(limit) = too_large(&raw) {
        return limit;
    }
    if error_info(&raw).is_some() {
        return raw;
    }
    let reason = match raw.code() {
        // Their text may tell of the inside, so it is for the log.
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Ok => return internal(&raw),
        Code::InvalidArgument => Reason::FieldInvalid,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::Cancelled => Reason::Cancelled,
        Code::NotFound => Reason::ResourceNotFound,
        Code::AlreadyExists => Reason::ResourceExists,
        Code::PermissionDenied => Reason::ScopeMissing,
        Code::Unauthenticated => Reason::KeyInvalid,
        Code::ResourceExhausted => Reason::Overloaded,
        Code::FailedPrecondition => Reason::StateConflict,
        Code::Aborted => Reason::EtagMismatch,
        Code::OutOfRange => Reason::SequenceExpired,
        Code::Unimplemented => Reason::NotImplemented,
        Code::Unavailable => Reason::DependencyUnavailable,
    };
    let message =
        if raw.message().is_empty() { format!("{path} is not implemented") } else { raw.message().to_owned() };
    let failure = Failure::new(reason, message);
    let failure =
        if reason == Reason::NotImplemented { failure.with("what", path.trim_start_matches('/')) } else { failure };
    let mut complete = Status::from(failure);
    *complete.metadata_mut() = raw.metadata().clone();
    complete
}

/// tonic says OUT_OF_RANGE for a message over the limit, and RESOURCE_EXHAUSTED only after decompression; the mesh says
/// RESOURCE_EXHAUSTED for both.
fn too_large(raw: &Status) -> Option<Status> {
    let text = raw.message();
    let by_length =
        raw.code() == Code::OutOfRange && text.starts_with("Error, ") && text.contains("message length too large");
    let by_bomb = raw.code() == Code::ResourceExhausted && text.starts_with("Error decompressing: size limit");
    if !by_length && !by_bomb {
        return None;
    }
    let limit: String = text.rsplit_once("limit")?.1.chars().filter(char::is_ascii_digit).collect();
    Some(
        Failure::new(Reason::MessageTooLarge, format!("a message is larger than {limit} bytes"))
            .with("limit_bytes", limit)
            .into(),
    )
}

fn hidden() -> Status {
    Failure::new(Reason::Internal, "internal error").into()
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_travels_with_the_code_that_its_comment_names() {
        // The stubs take the code from the comments of error.proto; this reads those its own way.
        let proto = std::fs::read_to_string("../../proto/uait/error/v1/error.proto").unwrap();
        let lines: Vec<&str> = proto.lines().map(str::trim).collect();
        let mut checked = 0;
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = line.strip_prefix("REASON_").and_then(|l| l.split_once(' ')).map(|(name, _)| name) else {
                continue;
            };
            let reason = Reason::from_str_name(&format!("REASON_{name}")).unwrap();
            let first = (0..at).rev().take_while(|l| lines[*l].starts_with("//")).last().unwrap();
            if reason != Reason::Unspecified {
                let (stated, _) = lines[first].trim_start_matches("// ").split_once(": ").unwrap();
                assert_eq!((code_name(reason.code()), wire_name(reason).as_str()), (stated, name));
                checked += 1;
            }
        }
        assert!(checked >= 20, "{checked}");
    }

    #[test]
    fn failure_carries_its_details() {
        let failure =
            Failure::new(Reason::Overloaded, "busy").with("limit", "7").retry_after(Duration::from_millis(100));
        let status = Status::from(failure);
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "busy"));
        let info = error_info(&status).unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str(), info.metadata["limit"].as_str()),
            ("OVERLOADED", "uait.dev", "7")
        );
        let packed = rpc::Status::decode(status.details()).unwrap();
        assert_eq!(packed.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo");
        let retry = rpc::RetryInfo::decode(packed.details[1].value.as_slice()).unwrap();
        assert_eq!(retry.retry_delay.unwrap().nanos, 100_000_000);
    }

    #[test]
    fn internal_hides_its_cause() {
        let status = internal(&std::io::Error::other("db password is hunter2"));
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
        assert!(!String::from_utf8_lossy(status.details()).contains("hunter2"));
    }

    #[test]
    fn passed_on_keeps_what_means_the_same_and_hides_the_rest() {
        for code in (0..=16).map(Code::from_i32) {
            let kept = [
                Code::Unavailable,
                Code::DeadlineExceeded,
                Code::Cancelled,
                Code::ResourceExhausted,
                Code::NotFound,
                Code::InvalidArgument,
                Code::FailedPrecondition,
                Code::Unauthenticated,
                Code::PermissionDenied,
                Code::Unimplemented,
            ];
            let passed = passed_on(&Status::with_details(code, "text", vec![1, 2].into()));
            let expected = if kept.contains(&code) { (code, "text") } else { (Code::Internal, "internal error") };
            assert_eq!((passed.code(), passed.message()), expected, "{code:?}");
            assert_eq!(passed.details() == [1, 2], kept.contains(&code));
        }
    }

    #[test]
    fn complete_gives_every_status_a_reason_of_its_code() {
        for raw in (1..=16).map(Code::from_i32) {
            let complete = complete(Status::new(raw, "text"), "/a.B/C");
            let info = error_info(&complete).unwrap();
            assert_eq!(info.domain, DOMAIN);
            let hidden = matches!(raw, Code::Unknown | Code::Internal | Code::DataLoss);
            assert_eq!(complete.code(), if hidden { Code::Internal } else { raw });
            assert_eq!(complete.message(), if hidden { "internal error" } else { "text" });
            let reason = Reason::from_str_name(&format!("REASON_{}", info.reason)).unwrap();
            assert_eq!(reason.code(), complete.code());
        }
    }

    #[test]
    fn complete_calls_an_oversized_message_resource_exhausted() {
        let raw = Status::out_of_range(
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
        );
        let complete = complete(raw, "/a.B/C");
        assert_eq!(complete.code(), Code::ResourceExhausted);
        let info = error_info(&complete).unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["limit_bytes"].as_str()), ("MESSAGE_TOO_LARGE", "4194304"));
        let domain = Status::out_of_range("the sequence is older than what is kept");
        assert_eq!(super::complete(domain, "/a.B/C").code(), Code::OutOfRange);
    }
}
