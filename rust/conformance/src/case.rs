//! The cases as data.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// A case of the file.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    Call(Box<Call>),
    Probe(Probe),
}

/// A call, and what shall come of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    #[serde(rename = "call")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) send: Vec<Value>,
    #[serde(default)]
    pub(crate) fill: BTreeMap<String, usize>,
    pub(crate) compress: Option<Compression>,
    #[serde(default = "ten_seconds")]
    pub(crate) deadline_ms: u64,
    #[serde(default = "once")]
    pub(crate) repeat: usize,
    #[serde(default)]
    pub(crate) save: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) expect: Expect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    Gzip,
}

/// What a call shall end with; what is not given is not looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    #[serde(default = "ok")]
    pub(crate) code: String,
    pub(crate) responses: Option<Vec<Value>>,
    pub(crate) count: Option<usize>,
    #[serde(default)]
    pub(crate) bytes: BTreeMap<String, usize>,
    pub(crate) message: Option<String>,
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) violations: Option<Vec<Violation>>,
    pub(crate) hides: Option<String>,
    #[serde(default)]
    pub(crate) trailers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) reason: String,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            code: ok(),
            responses: None,
            count: None,
            bytes: BTreeMap::new(),
            message: None,
            reason: None,
            metadata: BTreeMap::new(),
            violations: None,
            hides: None,
            trailers: BTreeMap::new(),
        }
    }
}

/// A procedure with parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "probe", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Probe {
    Cancel { tries: usize, within_ms: u64 },
    Streams { count: usize },
    Drain { calls: usize, delay_ms: u64, within_ms: u64, gone_ms: u64 },
}

fn ten_seconds() -> u64 {
    10_000
}

fn once() -> usize {
    1
}

fn ok() -> String {
    "OK".to_owned()
}

#[derive(Deserialize)]
struct File {
    cases: Vec<Map<String, Value>>,
}

/// Reads the file. A field that this client does not know is an error, since to pass over it would pass the case.
pub(crate) fn read(path: &Path) -> Result<Vec<Case>, Error> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| Error::File { path: shown.clone(), source })?;
    parse(&text).map_err(|reason| Error::Cases { path: shown, reason })
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    // YAML 1.2, in which `y` is a text.
    let options = serde_saphyr::options! { strict_booleans: true };
    let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string())?;
    file.cases.into_iter().map(case).collect()
}

fn case(mut fields: Map<String, Value>) -> Result<Case, String> {
    let Some(Value::String(name)) = fields.remove("name") else { return Err("a case without a name".to_owned()) };
    let is_probe = fields.contains_key("probe");
    let work =
        if is_probe { typed(fields).map(Work::Probe) } else { typed(fields).map(|call| Work::Call(Box::new(call))) };
    Ok(Case { work: work.map_err(|e| format!("{name}: {e}"))?, name })
}

fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, serde_json::Error> {
    serde_json::from_value(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_the_contract_is_understood() {
        let cases = parse(&std::fs::read_to_string("../../proto/uait/echo/v1/cases.yaml").unwrap()).unwrap();
        assert!(cases.len() >= 40);
        assert_eq!(cases.iter().filter(|case| matches!(case.work, Work::Probe(_))).count(), 3);
    }

    #[test]
    fn single_letter_stays_a_text() {
        let cases = parse("cases: [{name: a, call: Echo, send: [{message: y}]}]").unwrap();
        let Work::Call(call) = &cases[0].work else { panic!("a call") };
        assert_eq!(call.send[0]["message"], "y");
    }

    #[test]
    fn case_with_an_unknown_field_is_refused() {
        let error = |text: &str| parse(text).err().unwrap();
        assert!(error("cases: [{name: a, call: Echo, sendd: []}]").contains("sendd"));
        assert!(error("cases: [{name: a, call: Echo, expect: {coode: OK}}]").contains("coode"));
        assert!(error("cases: [{name: a, probe: cancle}]").contains("cancle"));
    }
}
