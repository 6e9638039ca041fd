//! Everything that can go wrong here, and what a caller sees of it.

use std::path::PathBuf;
use std::time::Duration;

use tonic::Status;
use uait_kit::status::{self, Failure, Reason};

/// Why a model cannot be used: which file, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such model.
    #[error("no model named {name:?}")]
    NoModel {
        /// The name.
        name: String,
    },
    /// The model's file is missing or unsound.
    #[error("model {model}: {fault}")]
    Unsound {
        /// The model's name.
        model: String,
        /// What is wrong.
        fault: Fault,
    },
    /// The model was taken out of memory, or is on its way out.
    #[error("model {model} is {state}; LoadModel brings it back")]
    NotLoaded {
        /// The model's name.
        model: String,
        /// `unloaded` or `unloading`.
        state: &'static str,
    },
    /// The model is of another kind than the call needs.
    #[error("model {model} is for {kind}, this call needs one for {needed}")]
    WrongKind {
        /// The model's name.
        model: String,
        /// What it is for.
        kind: &'static str,
        /// What the call needs.
        needed: &'static str,
    },
    /// The input has more tokens than the model takes.
    #[error("the input has {tokens} tokens, model {model} takes at most {limit}")]
    InputTooLong {
        /// The model's name.
        model: String,
        /// Tokens of the input.
        tokens: usize,
        /// Most that it takes.
        limit: usize,
    },
    /// A schema, grammar or regular expression is not well-formed.
    #[error("{field}: {text}")]
    Expression {
        /// The field.
        field: &'static str,
        /// `json_schema`, `grammar` or `regex`.
        kind: &'static str,
        /// Where, as far as that is known.
        position: String,
        /// What is wrong.
        text: String,
    },
    /// A field's value does not go with another or with the model.
    #[error("{field}: {text}")]
    Conflict {
        /// The field.
        field: &'static str,
        /// Why not.
        text: String,
    },
    /// A tensor of the request is not what the model takes.
    #[error("{field}: {text}")]
    Tensor {
        /// The field.
        field: String,
        /// Why not.
        text: String,
    },
    /// The page token was not issued for this request.
    #[error("the page token was not issued for this request")]
    PageToken,
    /// The request_id was used for another request.
    #[error("request_id {0:?} was used for another request")]
    RequestIdReused(String),
    /// As many calls wait for a slot as may.
    #[error("{limit} calls of model {model} wait for a slot already")]
    Overloaded {
        /// The model's name.
        model: String,
        /// How many may wait.
        limit: usize,
    },
    /// Part of the contract, but not of this build.
    #[error("{what} is not implemented: {why}")]
    NotImplemented {
        /// What.
        what: String,
        /// Why not.
        why: &'static str,
    },
    /// The chat template refuses the conversation.
    #[error("messages: the model's chat template refuses them: {0}")]
    Template(String),
    /// Something inside broke.
    #[error("{0}")]
    Internal(String),
}

/// When a caller that found no slot may try again: about the time of a short answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Error {
    /// What the caller sees: a code by its reason, a message, and the reason's keys.
    ///
    /// # Errors
    /// The text of a fault of ours, which is for the log.
    pub fn failure(&self) -> Result<Failure, &str> {
        let failure = |reason| Failure::new(reason, self.to_string());
        Ok(match self {
            Self::NoModel { name } => {
                failure(Reason::ResourceNotFound).with("resource", "model").with("name", name.as_str())
            }
            Self::Unsound { model, fault } => failure(Reason::ModelUnavailable)
                .with("model", model.as_str())
                .with("file", fault.file.display().to_string()),
            Self::NotLoaded { model, .. } => failure(Reason::ModelUnavailable).with("model", model.as_str()),
            Self::WrongKind { .. } => failure(Reason::ValueConflict).with("field", "model"),
            Self::InputTooLong { model, tokens, limit } => failure(Reason::InputTooLong)
                .with("model", model.as_str())
                .with("tokens", tokens.to_string())
                .with("limit", limit.to_string()),
            Self::Expression { field, kind, position, .. } => failure(Reason::ExpressionInvalid)
                .with("field", *field)
                .with("kind", *kind)
                .with("position", position.as_str()),
            Self::Conflict { field, .. } => failure(Reason::ValueConflict).with("field", *field),
            Self::Tensor { field, .. } => failure(Reason::ValueConflict).with("field", field.as_str()),
            Self::Template(_) => failure(Reason::ValueConflict).with("field", "messages"),
            Self::PageToken => failure(Reason::PageTokenInvalid),
            Self::RequestIdReused(id) => failure(Reason::RequestIdReused).with("request_id", id.as_str()),
            Self::Overloaded { limit, .. } => {
                failure(Reason::Overloaded).with("limit", limit.to_string()).retry_after(RETRY_AFTER)
            }
            Self::NotImplemented { what, .. } => failure(Reason::NotImplemented).with("what", what.as_str()),
            Self::Internal(text) => return Err(text),
        })
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error.failure() {
            Ok(failure) => failure.into(),
            Err(_) => status::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn unsound_model_is_unavailable_with_its_file() {
        let fault = Fault { file: "/models/a.gguf".into(), what: "sha256 is 00, the list says 11".to_owned() };
        let status = Status::from(Error::Unsound { model: "a".to_owned(), fault });
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "model a: /models/a.gguf: sha256 is 00, the list says 11");
        let info = status::error_info(&status).unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["file"].as_str()), ("MODEL_UNAVAILABLE", "/models/a.gguf"));
    }

    #[test]
    fn input_too_long_names_the_limit() {
        let status = Status::from(Error::InputTooLong { model: "a".to_owned(), tokens: 5000, limit: 4096 });
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = status::error_info(&status).unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("INPUT_TOO_LONG", "4096"));
    }

    #[test]
    fn internal_hides_its_text() {
        let status = Status::from(Error::Internal("decode returned -3".to_owned()));
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    }
}
