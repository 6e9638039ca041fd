//! Messages held to their protovalidate rules.
//!
//! Requests need nothing: the codec of the generated stubs refuses an invalid one before a handler sees it, of streams too.
//! What does not come in as a request, such as an event, is checked with [`check`].

use tonic::Status;
pub use uait_gen::check::{Check, Violation};

/// Holds a message to its rules.
///
/// # Errors
/// Everything that it breaks.
pub fn check<T: Check>(message: &T) -> Result<(), Invalid> {
    let violations = uait_gen::check::violations(message);
    if violations.is_empty() { Ok(()) } else { Err(Invalid(violations)) }
}

/// The rules that a message breaks; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<Violation>);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = self.0.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>();
        f.write_str(&list.join("; "))
    }
}

impl std::error::Error for Invalid {}

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        uait_gen::codec::invalid(invalid.0)
    }
}
