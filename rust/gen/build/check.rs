//! Static checks of protovalidate rules: one `impl Check` a message that has any, itself or in what it holds.
//!
//! Ids and descriptions are those of `buf/validate/validate.proto`, and `tests/agreement.rs` holds the generated code to
//! the reflective validator of prost-protovalidate. What is not covered here (CEL, mostly) is left to that validator.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use uait_rules::field_rules::Type;
use uait_rules::{FieldRules, Ignore, MapRules, MessageRules, OneofRules, RepeatedRules};

use crate::names;
use crate::scalar::{self, Patterns};
use crate::schema::Schema;

/// What the static generator cannot express, as the reason.
pub struct Unsupported(pub String);

pub struct Checks {
    pub code: String,
    /// `check_by_name`, for the test that compares with the reflective validator.
    pub table: String,
    pub messages: BTreeSet<String>,
    pub reflected: BTreeMap<String, String>,
}

/// Generates the checks of every message of the schema.
///
/// # Errors
/// An option that does not decode.
pub fn generate(schema: &Schema) -> Result<Checks, Box<dyn Error>> {
    let rules = Rules { pool: schema.pool() };
    let messages = schema.messages();
    let ruled = ruled(&messages, &rules)?;
    let mut checks =
        Checks { code: String::new(), table: String::new(), messages: ruled.clone(), reflected: BTreeMap::new() };
    let mut patterns = Patterns::default();
    let mut arms = String::new();
    for message in messages.iter().filter(|m| ruled.contains(m.full_name())) {
        let (name, rust) = (message.full_name(), names::message(message));
        let body = match (Emitter { rules: &rules, ruled: &ruled, patterns: &mut patterns }).message(message)? {
            Ok(body) => body,
            Err(Unsupported(why)) => {
                checks.reflected.insert(name.to_owned(), why);
                format!("crate::reflective::check(self, {name:?}, at, out);")
            }
        };
        writeln!(
            checks.code,
            "impl Check for {rust} {{\n    fn check(&self, at: &Path<'_>, out: &mut Vec<Violation>) {{\n{body}    }}\n}}"
        )?;
        let rust = rust.replacen("crate", "uait_gen", 1);
        writeln!(arms, "        {name:?} => check::<{rust}>(bytes),")?;
    }
    checks.code.push_str(&patterns.statics());
    checks.table = format!(
        "pub(super) fn check_by_name(name: &str, bytes: &[u8]) -> Vec<uait_gen::check::Violation> {{
    match name {{\n{arms}        other => panic!(\"{{other}} has no check\"),\n    }}\n}}\n
pub(super) const CHECKED: &[&str] = &{:?};\n",
        ruled.iter().collect::<Vec<_>>()
    );
    Ok(checks)
}

/// Messages with a rule of their own, or holding a message that has one.
fn ruled(messages: &[MessageDescriptor], rules: &Rules<'_>) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut ruled = BTreeSet::new();
    for message in messages {
        let mut own = rules.message(message)?.is_some();
        for field in message.fields() {
            own |= rules.field(&field)?.is_some();
        }
        for oneof in message.oneofs() {
            own |= rules.oneof(&oneof)?.is_some();
        }
        if own {
            ruled.insert(message.full_name().to_owned());
        }
    }
    loop {
        let holders: Vec<String> = messages
            .iter()
            .filter(|m| !ruled.contains(m.full_name()))
            .filter(|m| m.fields().any(|f| held(&f).is_some_and(|t| ruled.contains(t.full_name()))))
            .map(|m| m.full_name().to_owned())
            .collect();
        if holders.is_empty() {
            return Ok(ruled);
        }
        ruled.extend(holders);
    }
}

/// The message type that a field holds, as its value, its items or its map's values.
fn held(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(message) = field.kind() else { return None };
    if !message.is_map_entry() {
        return Some(message);
    }
    match message.map_entry_value_field().kind() {
        Kind::Message(value) => Some(value),
        _ => None,
    }
}

struct Rules<'a> {
    pool: &'a DescriptorPool,
}

impl Rules<'_> {
    fn field(&self, field: &FieldDescriptor) -> Result<Option<FieldRules>, Box<dyn Error>> {
        self.decode(&field.options(), "buf.validate.field")
    }

    fn message(&self, message: &MessageDescriptor) -> Result<Option<MessageRules>, Box<dyn Error>> {
        self.decode(&message.options(), "buf.validate.message")
    }

    fn oneof(&self, oneof: &OneofDescriptor) -> Result<Option<OneofRules>, Box<dyn Error>> {
        self.decode(&oneof.options(), "buf.validate.oneof")
    }

    fn decode<T: Message + Default>(&self, options: &DynamicMessage, name: &str) -> Result<Option<T>, Box<dyn Error>> {
        let Some(extension) = self.pool.get_extension_by_name(name) else { return Ok(None) };
        if !options.has_extension(&extension) {
            return Ok(None);
        }
        match options.get_extension(&extension).as_message() {
            Some(message) => Ok(Some(message.transcode_to::<T>()?)),
            None => Ok(None),
        }
    }
}

struct Emitter<'a> {
    rules: &'a Rules<'a>,
    ruled: &'a BTreeSet<String>,
    patterns: &'a mut Patterns,
}

type Emitted = Result<String, Unsupported>;

impl Emitter<'_> {
    fn message(&mut self, message: &MessageDescriptor) -> Result<Emitted, Box<dyn Error>> {
        if self.rules.message(message)?.is_some() {
            return Ok(Err(Unsupported("rules on the message itself".to_owned())));
        }
        let mut body = String::new();
        for field in message.fields().filter(|f| f.containing_oneof().is_none_or(|o| o.is_synthetic())) {
            let rules = self.rules.field(&field)?.unwrap_or_default();
            match self.field(&field, &rules) {
                Ok(code) => body.push_str(&code),
                Err(Unsupported(why)) => return Ok(Err(Unsupported(format!("{}: {why}", field.name())))),
            }
        }
        for oneof in message.oneofs().filter(|o| !o.is_synthetic()) {
            match self.oneof(&oneof)? {
                Ok(code) => body.push_str(&code),
                Err(unsupported) => return Ok(Err(unsupported)),
            }
        }
        Ok(Ok(body))
    }

    fn oneof(&mut self, oneof: &OneofDescriptor) -> Result<Emitted, Box<dyn Error>> {
        let member = names::member(oneof.name());
        let mut code = String::new();
        if self.rules.oneof(oneof)?.is_some_and(|r| r.required()) {
            let name = oneof.name();
            let _ = writeln!(
                code,
                "if self.{member}.is_none() {{ out.push(at.field({name:?}).broken(\"required\", \"exactly one field is required in oneof\")); }}"
            );
        }
        let mut arms = String::new();
        for field in oneof.fields() {
            let rules = self.rules.field(&field)?.unwrap_or_default();
            let value = match self.value(&rules, &field.kind()) {
                Ok(value) => value,
                Err(Unsupported(why)) => return Ok(Err(Unsupported(format!("{}: {why}", field.name())))),
            };
            if !value.is_empty() {
                let _ = writeln!(
                    arms,
                    "Some({}::{}(v)) => {{ let at = &at.field({:?}); {value} }}",
                    names::oneof_enum(oneof),
                    names::variant(&field),
                    field.name()
                );
            }
        }
        if !arms.is_empty() {
            let _ = writeln!(code, "match &self.{member} {{\n{arms}_ => {{}}\n}}");
        }
        Ok(Ok(code))
    }

    fn field(&mut self, field: &FieldDescriptor, rules: &FieldRules) -> Emitted {
        if rules.ignore() == Ignore::Always {
            return Ok(String::new());
        }
        let (name, member) = (field.name(), names::member(field.name()));
        let required = if rules.required() { "out.push(at.broken(\"required\", \"value is required\"));" } else { "" };
        if field.is_list() || field.is_map() {
            let inner = if field.is_map() { self.map(field, rules)? } else { self.list(field, rules)? };
            let skip_empty = rules.required() || rules.ignore() == Ignore::IfZeroValue;
            let inner = if skip_empty { format!("if v.is_empty() {{ {required} }} else {{ {inner} }}") } else { inner };
            return Ok(block(name, &member, &inner));
        }
        let is_message = matches!(field.kind(), Kind::Message(_));
        if is_message || field.supports_presence() {
            let inner = self.value(rules, &field.kind())?;
            if inner.is_empty() && required.is_empty() {
                return Ok(String::new());
            }
            let inner = if inner.is_empty() {
                format!("if v.is_none() {{ {required} }}")
            } else if required.is_empty() {
                format!("if let Some(v) = v {{ {inner} }}")
            } else {
                format!("if let Some(v) = v {{ {inner} }} else {{ {required} }}")
            };
            return Ok(block(name, &member, &inner));
        }
        let inner = self.value(rules, &field.kind())?;
        if required.is_empty() {
            return Ok(block(name, &member, &inner));
        }
        let zero = scalar::is_zero(&field.kind());
        Ok(block(name, &member, &format!("if {zero} {{ {required} }} else {{ {inner} }}")))
    }

    /// Checks of one value that is there, behind the reference `v`.
    fn value(&mut self, rules: &FieldRules, kind: &Kind) -> Emitted {
        if !rules.cel.is_empty() || !rules.cel_expression.is_empty() {
            return Err(Unsupported("a CEL rule".to_owned()));
        }
        if rules.ignore() == Ignore::Always {
            return Ok(String::new());
        }
        let mut code = match &rules.r#type {
            Some(kind_rules) => scalar::checks(kind_rules, kind, self.patterns)?,
            None => String::new(),
        };
        if let Kind::Message(message) = kind
            && self.ruled.contains(message.full_name())
        {
            code.push_str("v.check(at, out);\n");
        }
        if rules.ignore() == Ignore::IfZeroValue && !code.is_empty() && !matches!(kind, Kind::Message(_)) {
            code = format!("if !({}) {{ {code} }}", scalar::is_zero(kind));
        }
        Ok(code)
    }

    fn list(&mut self, field: &FieldDescriptor, rules: &FieldRules) -> Emitted {
        if !rules.cel.is_empty() || !rules.cel_expression.is_empty() {
            return Err(Unsupported("a CEL rule".to_owned()));
        }
        let none = RepeatedRules::default();
        let rules = match &rules.r#type {
            Some(Type::Repeated(rules)) => rules.as_ref(),
            None => &none,
            Some(_) => return Err(Unsupported("a rule of another type on a list".to_owned())),
        };
        let mut code = String::new();
        if let Some(min) = rules.min_items {
            code.push_str(&broken(
                &format!("v.len() < {min}"),
                "repeated.min_items",
                &format!("must contain at least {min} item(s)"),
            ));
        }
        if let Some(max) = rules.max_items {
            code.push_str(&broken(
                &format!("v.len() > {max}"),
                "repeated.max_items",
                &format!("must contain no more than {max} item(s)"),
            ));
        }
        if rules.unique() {
            let duplicates = match field.kind() {
                Kind::Message(_) => return Err(Unsupported("repeated.unique of messages".to_owned())),
                Kind::Float | Kind::Double => "crate::check::has_duplicate_numbers(v)",
                _ => "crate::check::has_duplicates(v)",
            };
            code.push_str(&broken(duplicates, "repeated.unique", "repeated value must contain unique items"));
        }
        let items = rules.items.as_deref().cloned().unwrap_or_default();
        let each = self.value(&items, &field.kind())?;
        if !each.is_empty() {
            let name = field.name();
            let _ = writeln!(
                code,
                "for (index, v) in v.iter().enumerate() {{ let at = &parent.index({name:?}, index); {each} }}"
            );
        }
        Ok(code)
    }

    fn map(&mut self, field: &FieldDescriptor, rules: &FieldRules) -> Emitted {
        if !rules.cel.is_empty() || !rules.cel_expression.is_empty() {
            return Err(Unsupported("a CEL rule".to_owned()));
        }
        let none = MapRules::default();
        let rules = match &rules.r#type {
            Some(Type::Map(rules)) => rules.as_ref(),
            None => &none,
            Some(_) => return Err(Unsupported("a rule of another type on a map".to_owned())),
        };
        let Kind::Message(entry) = field.kind() else { return Err(Unsupported("a map without entries".to_owned())) };
        let mut code = String::new();
        if let Some(min) = rules.min_pairs {
            code.push_str(&broken(
                &format!("v.len() < {min}"),
                "map.min_pairs",
                &format!("map must be at least {min} entries"),
            ));
        }
        if let Some(max) = rules.max_pairs {
            code.push_str(&broken(
                &format!("v.len() > {max}"),
                "map.max_pairs",
                &format!("map must be at most {max} entries"),
            ));
        }
        let keys =
            self.value(&rules.keys.as_deref().cloned().unwrap_or_default(), &entry.map_entry_key_field().kind())?;
        let values =
            self.value(&rules.values.as_deref().cloned().unwrap_or_default(), &entry.map_entry_value_field().kind())?;
        if !keys.is_empty() || !values.is_empty() {
            let name = field.name();
            let keys = if keys.is_empty() { keys } else { format!("{{ let v = key; {keys} }}") };
            let _ = writeln!(code, "for (key, v) in v {{ let at = &parent.key({name:?}, key); {keys} {values} }}");
        }
        Ok(code)
    }
}

/// Code that reports a rule as broken when `condition` holds.
pub fn broken(condition: &str, id: &str, description: &str) -> String {
    format!("if {condition} {{ out.push(at.broken({id:?}, {description:?})); }}\n")
}

fn block(name: &str, member: &str, inner: &str) -> String {
    if inner.is_empty() {
        return String::new();
    }
    format!("{{ let parent = at; let at = &parent.field({name:?}); let v = &self.{member}; {inner} }}\n")
}
