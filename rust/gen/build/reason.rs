//! The gRPC code of each error reason. `error.proto` states it at the head of each value's comment, and nowhere else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use heck::ToUpperCamelCase;

use crate::schema::Schema;

const FILE: &str = "uait/error/v1/error.proto";
const ENUM: &str = "uait.error.v1.Reason";
/// Path of the file's first enum's values (descriptor.proto: `enum_type = 5`, `value = 2`).
const VALUES: [i32; 3] = [5, 0, 2];
const CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// `Reason::code`, of every reason there is.
pub fn generate(schema: &Schema) -> Result<String, String> {
    let reasons = schema.pool().get_enum_by_name(ENUM).ok_or(format!("there is no {ENUM}"))?;
    let mut by_code: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (at, value) in reasons.values().enumerate() {
        let at = i32::try_from(at).map_err(|e| e.to_string())?;
        let comment = schema.comment(FILE, &[VALUES.as_slice(), &[at]].concat()).unwrap_or_default();
        let stated = comment.trim().split_once(": ").map_or("", |(code, _)| code);
        let code = match (value.number(), CODES.iter().find(|code| **code == stated)) {
            // Never sent; if it is, that is a fault of ours.
            (0, _) => "INTERNAL",
            (_, Some(code)) => code,
            (_, None) => {
                return Err(format!("the comment of {} does not begin with a gRPC code and a colon", value.name()));
            }
        };
        let variant = value.name().trim_start_matches("REASON_").to_upper_camel_case();
        by_code.entry(code).or_default().push(format!("Self::{variant}"));
    }
    let mut arms = String::new();
    for (code, variants) in by_code {
        let _ = writeln!(arms, "            {} => tonic::Code::{},", variants.join(" | "), code.to_upper_camel_case());
    }
    Ok(format!(
        "impl crate::uait::error::v1::Reason {{
    /// The gRPC code that the reason travels with.
    pub fn code(self) -> tonic::Code {{
        match self {{\n{arms}        }}\n    }}\n}}\n"
    ))
}
