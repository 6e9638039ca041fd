//! Whether what came is what was expected.

use prost::Message as _;
use regex::Regex;
use serde_json::Value;
use tonic::Status;
use uait_gen::codec::{DOMAIN, is};
use uait_gen::google::rpc;
use uait_kit::status::{code_name, error_info};

use crate::call::Outcome;
use crate::case::{Expect, Violation};

/// Compares, and names the first difference.
pub(crate) fn check(expect: &Expect, outcome: &Outcome) -> Result<(), String> {
    let status = &outcome.status;
    let code = code_name(status.code());
    if code != expect.code {
        return Err(format!("expected code {}, got {code}: {}", expect.code, status.message()));
    }
    responses(expect, outcome)?;
    if let Some(message) = &expect.message {
        text("message", message, status.message())?;
    }
    if let Some(hidden) = &expect.hides {
        let details = String::from_utf8_lossy(status.details());
        if status.message().contains(hidden.as_str()) || details.contains(hidden.as_str()) {
            return Err(format!("expected {hidden:?} to be hidden, but the status tells it"));
        }
    }
    reason(expect, status)?;
    if let Some(expected) = &expect.violations {
        violations(expected, status)?;
    }
    for (name, expected) in &expect.trailers {
        let value = outcome.trailers.get(name.as_str()).and_then(|value| value.to_str().ok());
        let value = value.ok_or_else(|| format!("expected the trailer {name}, got none"))?;
        text(&format!("trailer {name}"), expected, value)?;
    }
    Ok(())
}

fn responses(expect: &Expect, outcome: &Outcome) -> Result<(), String> {
    if let Some(count) = expect.count.or_else(|| expect.responses.as_ref().map(Vec::len))
        && outcome.count != count
    {
        return Err(format!("expected {count} responses, got {}", outcome.count));
    }
    for (at, expected) in expect.responses.iter().flatten().enumerate() {
        let came = outcome.responses.get(at).ok_or_else(|| format!("expected a response {at}, got none"))?;
        subset(&format!("response {at}"), expected, came)?;
    }
    for (field, size) in &expect.bytes {
        let came = outcome.bytes.get(field).copied().unwrap_or(0);
        if came != *size {
            return Err(format!("expected {field} of {size} bytes, got {came}"));
        }
    }
    Ok(())
}

fn reason(expect: &Expect, status: &Status) -> Result<(), String> {
    if expect.reason.is_none() && expect.metadata.is_empty() {
        return Ok(());
    }
    let info = error_info(status).ok_or_else(|| format!("expected an ErrorInfo, got none: {}", status.message()))?;
    if info.domain != DOMAIN {
        return Err(format!("expected domain {DOMAIN}, got {:?}", info.domain));
    }
    if let Some(reason) = &expect.reason {
        text("reason", reason, &info.reason)?;
    }
    for (key, expected) in &expect.metadata {
        let value =
            info.metadata.get(key).ok_or_else(|| format!("expected metadata {key}, got {:?}", info.metadata))?;
        text(&format!("metadata {key}"), expected, value)?;
    }
    Ok(())
}

/// Each expected violation, in order; others may stand between them.
fn violations(expected: &[Violation], status: &Status) -> Result<(), String> {
    let packed = rpc::Status::decode(status.details()).map_err(|e| format!("the details: {e}"))?;
    let any = packed.details.iter().find(|any| is::<rpc::BadRequest>(any)).ok_or("expected a BadRequest, got none")?;
    let came =
        rpc::BadRequest::decode(any.value.as_slice()).map_err(|e| format!("the BadRequest: {e}"))?.field_violations;
    let mut rest = came.iter();
    for violation in expected {
        let matches = |v: &rpc::bad_request::FieldViolation| {
            text("", &violation.field, &v.field).is_ok() && text("", &violation.reason, &v.reason).is_ok()
        };
        if !rest.any(matches) {
            let list = came.iter().map(|v| format!("{}: {}", v.field, v.reason)).collect::<Vec<_>>().join(", ");
            return Err(format!("expected the violation {}: {}, got [{list}]", violation.field, violation.reason));
        }
    }
    Ok(())
}

fn subset(at: &str, expected: &Value, came: &Value) -> Result<(), String> {
    match (expected, came) {
        (Value::Object(expected), Value::Object(came)) => expected.iter().try_for_each(|(field, expected)| {
            let at = format!("{at}.{field}");
            let value = came.get(field).ok_or_else(|| format!("{at}: expected {expected}, got nothing"))?;
            subset(&at, expected, value)
        }),
        (Value::Array(expected), Value::Array(came)) if expected.len() == came.len() => expected
            .iter()
            .zip(came)
            .enumerate()
            .try_for_each(|(n, (expected, came))| subset(&format!("{at}[{n}]"), expected, came)),
        (Value::String(expected), Value::String(came)) => text(at, expected, came),
        _ if expected == came => Ok(()),
        _ => Err(format!("{at}: expected {expected}, got {came}")),
    }
}

/// A text that begins with `~` is a regular expression that must match somewhere.
fn text(what: &str, expected: &str, came: &str) -> Result<(), String> {
    let equal = match expected.strip_prefix('~') {
        Some(pattern) => Regex::new(pattern).map_err(|e| format!("{what}: {e}"))?.is_match(came),
        None => expected == came,
    };
    if equal { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {came:?}")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use tonic::metadata::MetadataMap;

    use super::*;

    fn outcome(status: Status, responses: Vec<Value>) -> Outcome {
        let bytes = BTreeMap::from([("payload".to_owned(), 3)]);
        Outcome { count: responses.len(), responses, bytes, status, trailers: MetadataMap::new() }
    }

    fn expect(json: Value) -> Expect {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn response_is_matched_as_a_subset() {
        let came =
            outcome(Status::ok(""), vec![json!({"message": "hello", "seen": {"timeLeft": "9.5s", "scopes": ["a"]}})]);
        let responses = |expected: Value| check(&expect(json!({"responses": [expected]})), &came);
        assert_eq!(responses(json!({"seen": {"timeLeft": "~s$"}})), Ok(()));
        assert!(responses(json!({"message": "other"})).unwrap_err().contains("response 0.message"));
        assert!(responses(json!({"seen": {"scopes": []}})).is_err());
        assert!(responses(json!({"missing": 1})).is_err());
    }

    #[test]
    fn count_is_that_of_the_responses_unless_given() {
        let came = outcome(Status::ok(""), vec![json!({}), json!({})]);
        assert!(check(&expect(json!({"responses": [{}]})), &came).is_err());
        assert_eq!(check(&expect(json!({"responses": [{}], "count": 2})), &came), Ok(()));
        assert_eq!(check(&expect(json!({})), &came), Ok(()));
        assert!(check(&expect(json!({"bytes": {"payload": 4}})), &came).is_err());
    }

    #[test]
    fn status_is_compared_in_every_part() {
        use uait_gen::check::Violation;
        let violation = |field: &str, rule: &'static str| Violation {
            field: field.to_owned(),
            rule: rule.into(),
            description: "bad".into(),
        };
        let status = uait_gen::codec::invalid(vec![violation("a", "string.min_len"), violation("b", "string.pattern")]);
        let came = outcome(status, vec![]);
        let with = |fields: Value| {
            let mut json = json!({"code": "INVALID_ARGUMENT"});
            json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            check(&expect(json), &came)
        };
        assert_eq!(
            with(json!({"reason": "FIELD_INVALID", "violations": [{"field": "b", "reason": "~^string"}]})),
            Ok(())
        );
        assert!(with(json!({"violations": [{"field": "b", "reason": "~."}, {"field": "a", "reason": "~."}]})).is_err());
        assert!(with(json!({"reason": "OTHER"})).is_err());
        assert!(with(json!({"metadata": {"key": "value"}})).is_err());
        assert!(with(json!({"message": "~nothing"})).is_err());
        assert!(with(json!({"hides": "bad"})).is_err());
        assert!(with(json!({"trailers": {"x-echo-a": "~."}})).is_err());
        assert!(check(&expect(json!({})), &came).unwrap_err().contains("expected code OK"));
    }
}
