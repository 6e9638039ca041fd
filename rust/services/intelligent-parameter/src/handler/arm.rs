//! The id of an arm: the same for the same set of parameters, on any machine and in any version.

use std::fmt::Write as _;

use prost::Message as _;
use ring::digest::{Context, SHA256};
use uait_gen::intelligent_parameter::v1::ParameterSet;
use uait_gen::types::v1::{Sampling, Value, value::Kind};

/// Derives the id of a set of parameters: the first 128 bits of the SHA-256 of its canonical form, in hexadecimal.
///
/// The canonical form is the protobuf encoding in the order of field numbers without `extra`, then each of `extra` by name,
/// length, name, length and value. An empty sampling is none, zeros have no sign, and the stop texts are a set.
pub fn arm_id(parameters: &ParameterSet) -> String {
    let ParameterSet { model, prompt, sampling, extra } = parameters;
    let plain = ParameterSet {
        model: model.clone(),
        prompt: prompt.clone(),
        sampling: sampling.as_ref().map(canonical_sampling).filter(|sampling| *sampling != Sampling::default()),
        extra: std::collections::HashMap::new(),
    };
    let mut hash = Context::new(&SHA256);
    hash.update(&plain.encode_length_delimited_to_vec());
    let mut extra: Vec<_> = extra.iter().collect();
    extra.sort_by_key(|(name, _)| *name);
    for (name, value) in extra {
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update(&canonical_value(value).encode_length_delimited_to_vec());
    }
    let mut id = String::with_capacity(32);
    for byte in &hash.finish().as_ref()[..16] {
        // Writing to a string does not fail.
        write!(id, "{byte:02x}").ok();
    }
    id
}

fn canonical_sampling(sampling: &Sampling) -> Sampling {
    let mut sampling = sampling.clone();
    for number in [
        &mut sampling.temperature,
        &mut sampling.top_p,
        &mut sampling.min_p,
        &mut sampling.frequency_penalty,
        &mut sampling.presence_penalty,
        &mut sampling.repeat_penalty,
    ] {
        *number = number.map(unsigned_zero);
    }
    sampling.stop.sort();
    sampling.stop.dedup();
    sampling
}

fn canonical_value(value: &Value) -> Value {
    match value.kind {
        Some(Kind::Number(number)) => Value { kind: Some(Kind::Number(unsigned_zero(number))) },
        _ => value.clone(),
    }
}

/// -0 + 0 is 0.
fn unsigned_zero(number: f64) -> f64 {
    number + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(model: &str, temperature: Option<f64>) -> ParameterSet {
        let sampling = Sampling { temperature, ..Sampling::default() };
        ParameterSet { model: model.to_owned(), sampling: Some(sampling), ..ParameterSet::default() }
    }

    fn number(value: f64) -> Value {
        Value { kind: Some(Kind::Number(value)) }
    }

    /// Story: journals hold these ids for good, so that a change of the canonical form would split every arm in two.
    #[test]
    fn arm_id_never_changes() {
        let mut parameters = set("smollm2-135m-instruct", Some(0.7));
        parameters.prompt = "reasoner".to_owned();
        parameters.extra.insert("depth".to_owned(), number(2.0));
        assert_eq!(arm_id(&parameters), "d60a921a2fd792f6996f6033c8caf747");
        // The same ids stand in a test of ts/services/agent-selector/src/candidate.test.ts.
        let of = |model: &str, prompt: &str| {
            arm_id(&ParameterSet { model: model.to_owned(), prompt: prompt.to_owned(), ..ParameterSet::default() })
        };
        assert_eq!(of("smollm2-135m-instruct", "direct"), "b82a9e12312efee0e585c0c0594424e1");
        assert_eq!(of(&"m".repeat(128), &"p".repeat(128)), "b7eb9d82bf2e46a4e50c7cf837295345");
        // The SHA-256 of one byte, the length 0.
        assert_eq!(arm_id(&ParameterSet::default()), "6e340b9cffb37a989ca544e6bb780a2c");
    }

    #[test]
    fn arm_id_is_the_same_for_the_same_set_in_another_spelling() {
        let id = arm_id(&set("m", Some(0.0)));
        assert_eq!(arm_id(&set("m", Some(-0.0))), id);
        assert_eq!(arm_id(&set("m", None)), arm_id(&ParameterSet { model: "m".to_owned(), ..ParameterSet::default() }));
        let stopping = |stop: &[&str]| {
            let mut parameters = set("m", None);
            parameters.sampling.as_mut().unwrap().stop = stop.iter().map(|&text| text.to_owned()).collect();
            arm_id(&parameters)
        };
        assert_eq!(stopping(&["a", "b"]), stopping(&["b", "a", "b"]));
        let with_extra = |names: &[&str]| {
            let mut parameters = set("m", None);
            for (name, value) in names.iter().zip([1.0, 2.0]) {
                parameters.extra.insert((*name).to_owned(), number(value));
            }
            arm_id(&parameters)
        };
        assert_eq!(with_extra(&["a", "b"]), with_extra(&["a", "b"]));
        assert_ne!(with_extra(&["a", "b"]), with_extra(&["b", "a"]));
    }

    #[test]
    fn arm_id_differs_for_absent_and_zero_and_for_every_field() {
        let mut prompted = set("m", None);
        prompted.prompt = "p".to_owned();
        let ids = [
            arm_id(&set("m", None)),
            arm_id(&set("m", Some(0.0))),
            arm_id(&set("m", Some(0.1))),
            arm_id(&set("n", None)),
            arm_id(&prompted),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
