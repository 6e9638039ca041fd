//! The generated checks and the reflective validator of prost-protovalidate find the same rules broken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test fail it")]

use prost::Message;
use prost_protovalidate::{Error, Validator};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use uait_gen::check::{Check, violations};

#[allow(clippy::too_many_lines)]
mod table {
    use super::check;

    include!(concat!(env!("OUT_DIR"), "/check_table.rs"));
}
use table::{CHECKED, check_by_name};

const MESSAGES_OF_EACH_TYPE: u64 = 200;
const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "echo-go",
    "NOT A NAME",
    "bad key",
    "x-echo-colour",
    "x_1",
    "-",
    "Grüße, 世界",
    "127.0.0.1",
    "::1",
    "fe80::1%eth0",
    "300.1.1.1",
    "acme",
    "3f0c8d4e-6d5c-7a5e-8d43-1b2c3d4e5f60",
    "user@example.com",
    "https://example.com/a?b",
    "0123456789abcdef",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "a/b",
    "a.b",
    "say \"hi\"",
    "line\nbreak",
    "text/plain",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

fn check<T: Message + Default + Check>(bytes: &[u8]) -> Vec<uait_gen::check::Violation> {
    violations(&T::decode(bytes).unwrap())
}

#[test]
fn generated_checks_agree_with_the_reflective_validator() {
    let pool = DescriptorPool::decode(uait_gen::DESCRIPTORS).unwrap();
    let validator = Validator::new();
    let (mut valid, mut invalid) = (0, 0);
    for name in CHECKED {
        let descriptor = pool.get_message_by_name(name).unwrap();
        for seed in 0..MESSAGES_OF_EACH_TYPE {
            let message = message(&descriptor, &mut Random(seed), 0);
            let mut expected: Vec<(String, String)> = match validator.validate(&message) {
                Ok(()) => Vec::new(),
                Err(Error::Validation(error)) => {
                    error.violations().iter().map(|v| (v.field_path(), v.rule_id().to_owned())).collect()
                }
                Err(error) => panic!("{name}: {error}"),
            };
            let mut found: Vec<(String, String)> = check_by_name(name, &message.encode_to_vec())
                .into_iter()
                .map(|v| (v.field, v.rule.into_owned()))
                .collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{name}, seed {seed}");
            *(if found.is_empty() { &mut valid } else { &mut invalid }) += 1;
        }
    }
    // Both outcomes must have been compared often, or the generator of messages is too tame or too wild.
    assert!(valid > 100 && invalid > 100, "{valid} valid, {invalid} invalid");
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

fn message(descriptor: &MessageDescriptor, random: &mut Random, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        "google.protobuf.Duration" => {
            message.set_field_by_name(
                "seconds",
                Value::I64(random.pick(&[0, 1, 59, 60, 61, 3600, 7200, 86400, 90000, -1])),
            );
            return message;
        }
        "google.protobuf.Timestamp" => {
            message.set_field_by_name("seconds", Value::I64(random.pick(&[0, 1_700_000_000, 4_000_000_000])));
            return message;
        }
        _ => {}
    }
    for field in descriptor.fields() {
        let skip = if matches!(field.kind(), Kind::Message(_)) && depth > 2 { 4 } else { random.below(4) };
        if skip >= 3 {
            continue;
        }
        let value = if field.is_map() {
            map(&field, random, depth)
        } else if field.is_list() {
            let count = random.pick(&[0, 1, 2, 9]);
            Value::List((0..count).map(|_| value(&field.kind(), random, depth)).collect())
        } else {
            value(&field.kind(), random, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn map(field: &FieldDescriptor, random: &mut Random, depth: usize) -> Value {
    let Kind::Message(entry) = field.kind() else { panic!("{} is no map", field.full_name()) };
    let count = random.pick(&[0, 1, 10]);
    let entries = (0..count).map(|_| {
        let key = match value(&entry.map_entry_key_field().kind(), random, depth) {
            Value::String(s) => MapKey::String(s),
            Value::I32(n) => MapKey::I32(n),
            Value::I64(n) => MapKey::I64(n),
            Value::U32(n) => MapKey::U32(n),
            Value::U64(n) => MapKey::U64(n),
            Value::Bool(b) => MapKey::Bool(b),
            other => panic!("{other:?} is no map key"),
        };
        (key, value(&entry.map_entry_value_field().kind(), random, depth))
    });
    Value::Map(entries.collect())
}

fn value(kind: &Kind, random: &mut Random, depth: usize) -> Value {
    match kind {
        Kind::Double => Value::F64(random.pick(&[0.0, -0.0, 0.5, 1.0, 1.5, 2.0, -1.0, 1e9, f64::INFINITY, f64::NAN])),
        Kind::Float => Value::F32(random.pick(&[0.0, 0.5, 1.0, 1.5, -1.0, f32::NEG_INFINITY, f32::NAN])),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(random.pick(&[0, 1, -1, 7, 8, 9, 100, 1000, 1001, 65535, 100_000, 100_001, i32::MAX, i32::MIN]))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(random.pick(&[0, 1, -1, 1000, 1 << 20, 1 << 40, i64::MAX, i64::MIN]))
        }
        Kind::Uint32 | Kind::Fixed32 => Value::U32(random.pick(&[0, 1, 2, 100, 65535, 65536, u32::MAX])),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(random.pick(&[0, 1, 1000, 1 << 20, 1 << 40, u64::MAX])),
        Kind::Bool => Value::Bool(random.below(2) == 1),
        Kind::String => Value::String(match random.below(8) {
            0 => "x".repeat(random.pick(&[63, 64, 65, 128, 129, 256, 257, 4096, 4097])),
            1 => "ä".repeat(random.pick(&[64, 65, 128, 256])),
            _ => random.pick(TEXTS).to_owned(),
        }),
        Kind::Bytes => Value::Bytes(vec![7; random.pick(&[0, 1, 16, 32, 33, 70_000])].into()),
        Kind::Message(descriptor) => Value::Message(message(descriptor, random, depth + 1)),
        Kind::Enum(descriptor) => {
            let numbers: Vec<i32> = descriptor.values().map(|v| v.number()).chain([99]).collect();
            Value::EnumNumber(random.pick(&numbers))
        }
    }
}
