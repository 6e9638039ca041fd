//! `${name}` in a case: a fresh word of the run, the service, and what earlier cases saved.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use serde_json::Value;

use crate::case::Call;

pub(crate) struct Variables {
    values: HashMap<String, String>,
}

impl Variables {
    /// Those of a new run.
    pub(crate) fn new(service: &str) -> Self {
        let values = [("unique", word()), ("service", service.to_owned())];
        Self { values: values.map(|(name, value)| (name.to_owned(), value)).into() }
    }

    /// The run's own word, with something behind it.
    pub(crate) fn unique(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.values["unique"])
    }

    /// The call with every variable replaced.
    pub(crate) fn resolve(&self, call: &Call) -> Result<Call, String> {
        let mut value = serde_json::to_value(call).map_err(|e| e.to_string())?;
        self.replace_in(&mut value)?;
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    /// Keeps a value of a response, found by its path of fields.
    pub(crate) fn save(&mut self, name: &str, path: &str, response: Option<&Value>) -> Result<(), String> {
        let response = response.ok_or("there is no response to save from")?;
        let found = path.split('.').try_fold(response, |value, field| value.get(field));
        let text = match found {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => return Err(format!("the response has no {path} to save")),
        };
        self.values.insert(name.to_owned(), text);
        Ok(())
    }

    fn replace_in(&self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::String(text) => *text = self.replace(text)?,
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.replace_in(item))?,
            Value::Object(fields) => fields.values_mut().try_for_each(|field| self.replace_in(field))?,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    fn replace(&self, text: &str) -> Result<String, String> {
        let mut replaced = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("{text}: a variable without an end"))?;
            let value = self.values.get(name).ok_or_else(|| format!("${{{name}}} was not saved by an earlier case"))?;
            replaced.push_str(before);
            replaced.push_str(value);
            rest = after;
        }
        replaced.push_str(rest);
        Ok(replaced)
    }
}

/// 16 of [a-z0-9], from the operating system's randomness.
fn word() -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut word = String::new();
    for _ in 0..2 {
        let mut bits = RandomState::new().build_hasher().finish();
        for _ in 0..8 {
            word.push(char::from(LETTERS[usize::try_from(bits % 36).unwrap_or(0)]));
            bits /= 36;
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_replaced_wherever_they_stand() {
        let mut variables = Variables::new("echo-go");
        variables.save("event", "a.b", Some(&json!({"a": {"b": 7}}))).unwrap();
        let mut value = json!({"x": ["${service}", {"y": "<${event}${event}>"}], "n": 1});
        variables.replace_in(&mut value).unwrap();
        assert_eq!(value, json!({"x": ["echo-go", {"y": "<77>"}], "n": 1}));
    }

    #[test]
    fn variable_never_saved_is_an_error() {
        let variables = Variables::new("");
        assert!(variables.replace("${event}").unwrap_err().contains("event"));
        assert!(variables.replace("${event").is_err());
    }

    #[test]
    fn word_of_a_run_is_fresh() {
        assert_ne!(word(), word());
        assert!(word().len() == 16 && word().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }
}
