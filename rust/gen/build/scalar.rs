//! Checks of single values: numbers, strings, bytes, enums, durations and timestamps.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

use prost_reflect::Kind;
use uait_rules::field_rules::Type;
use uait_rules::{BytesRules, EnumRules, StringRules, duration_rules, string_rules::WellKnown, timestamp_rules};

use crate::check::{Unsupported, broken};

/// The patterns that need a regular expression at run time, each compiled once.
#[derive(Default)]
pub struct Patterns(BTreeMap<String, usize>);

impl Patterns {
    /// An expression that is true when `v` does not match.
    fn mismatch(&mut self, pattern: &str) -> String {
        if let Some(runs) = character_runs(pattern) {
            return format!("!crate::check::spelled(v, &{runs:?})");
        }
        let next = self.0.len();
        let number = *self.0.entry(pattern.to_owned()).or_insert(next);
        format!("!PATTERN_{number}.is_match(v)")
    }

    pub fn statics(&self) -> String {
        let mut code = String::new();
        for (pattern, number) in &self.0 {
            let _ = writeln!(
                code,
                "static PATTERN_{number}: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| \
                 regex::Regex::new({pattern:?}).expect(\"the build script compiled it\"));"
            );
        }
        code
    }
}

/// `^[a-z][a-z0-9-]{0,62}$` as runs of (ASCII set, least, most), so that the usual patterns cost a table look-up a byte
/// and no automaton. Only the last run may vary in length, so that no backtracking is needed. `None` for other shapes.
fn character_runs(pattern: &str) -> Option<Vec<(u128, usize, usize)>> {
    let mut rest = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let mut runs: Vec<(u128, usize, usize)> = Vec::new();
    while !rest.is_empty() {
        let (class, after) = rest.strip_prefix('[')?.split_once(']')?;
        if class.starts_with('^') || !class.is_ascii() || class.contains(['\\', '[', '&', '~']) || class.is_empty() {
            // Of the classes with `~` only the plain range is meant, never set arithmetic.
            if class != " -~" {
                return None;
            }
        }
        let (least, most, after) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
            Some((count, after)) => match count.split_once(',') {
                Some((least, most)) => (least.parse().ok()?, most.parse().ok()?, after),
                None => (count.parse().ok()?, count.parse().ok()?, after),
            },
            None if after.starts_with(['*', '+', '?', '{', '(', '|']) => return None,
            None => (1, 1, after),
        };
        if runs.last().is_some_and(|(_, least, most)| least != most) {
            return None;
        }
        runs.push((class_mask(class.as_bytes()), least, most));
        rest = after;
    }
    (!runs.is_empty()).then_some(runs)
}

fn class_mask(class: &[u8]) -> u128 {
    let mut mask = 0;
    let mut at = 0;
    while let Some(&from) = class.get(at) {
        let to = match class.get(at + 1..at + 3) {
            Some([b'-', to]) => *to,
            _ => from,
        };
        at += if to == from { 1 } else { 3 };
        for byte in from..=to {
            mask |= 1 << byte;
        }
    }
    mask
}

/// An expression over `v` that is true for the kind's zero value.
pub fn is_zero(kind: &Kind) -> &'static str {
    match kind {
        Kind::String | Kind::Bytes => "v.is_empty()",
        Kind::Bool => "!*v",
        Kind::Float | Kind::Double => "*v == 0.0",
        Kind::Message(_) => "false",
        _ => "*v == 0",
    }
}

/// Code that checks the value behind the reference `v`.
///
/// # Errors
/// A rule that has no static form here.
pub fn checks(rules: &Type, kind: &Kind, patterns: &mut Patterns) -> Result<String, Unsupported> {
    macro_rules! number {
        ($name:literal, $rules:expr, $module:ident) => {{
            use uait_rules::$module::{GreaterThan, LessThan};
            let lower = $rules.greater_than.map(|bound| match bound {
                GreaterThan::Gt(b) => Bound { value: b, closed: false },
                GreaterThan::Gte(b) => Bound { value: b, closed: true },
            });
            let upper = $rules.less_than.map(|bound| match bound {
                LessThan::Lt(b) => Bound { value: b, closed: false },
                LessThan::Lte(b) => Bound { value: b, closed: true },
            });
            let mut code = equal($name, $rules.r#const);
            code.push_str(&range($name, lower.as_ref(), upper.as_ref(), "*v", |b| format!("{b}")));
            code.push_str(&membership($name, &$rules.r#in, &$rules.not_in));
            Ok(code)
        }};
    }
    match rules {
        Type::Int32(r) => number!("int32", r, int32_rules),
        Type::Int64(r) => number!("int64", r, int64_rules),
        Type::Uint32(r) => number!("uint32", r, u_int32_rules),
        Type::Uint64(r) => number!("uint64", r, u_int64_rules),
        Type::Sint32(r) => number!("sint32", r, s_int32_rules),
        Type::Sint64(r) => number!("sint64", r, s_int64_rules),
        Type::Fixed32(r) => number!("fixed32", r, fixed32_rules),
        Type::Fixed64(r) => number!("fixed64", r, fixed64_rules),
        Type::Sfixed32(r) => number!("sfixed32", r, s_fixed32_rules),
        Type::Sfixed64(r) => number!("sfixed64", r, s_fixed64_rules),
        Type::Float(r) => number!("float", r, float_rules).map(|code: String| floating("float", r.finite(), &code)),
        Type::Double(r) => number!("double", r, double_rules).map(|code: String| floating("double", r.finite(), &code)),
        Type::Bool(r) => Ok(equal("bool", r.r#const)),
        Type::String(r) => text(r, patterns),
        Type::Bytes(r) => octets(r),
        Type::Enum(r) => Ok(enumerated(r, kind)),
        Type::Duration(r) => {
            if r.r#const.is_some() || !r.r#in.is_empty() || !r.not_in.is_empty() {
                return Err(Unsupported("duration.const, in or not_in".to_owned()));
            }
            let bound = |d: &prost_types::Duration, closed| Bound { value: (d.seconds, d.nanos), closed };
            let lower = r.greater_than.as_ref().map(|b| match b {
                duration_rules::GreaterThan::Gt(d) => bound(d, false),
                duration_rules::GreaterThan::Gte(d) => bound(d, true),
            });
            let upper = r.less_than.as_ref().map(|b| match b {
                duration_rules::LessThan::Lt(d) => bound(d, false),
                duration_rules::LessThan::Lte(d) => bound(d, true),
            });
            Ok(range("duration", lower.as_ref(), upper.as_ref(), "(v.seconds, v.nanos)", seconds))
        }
        Type::Timestamp(r) => {
            use timestamp_rules::{GreaterThan, LessThan};
            let relative = matches!(r.greater_than, Some(GreaterThan::GtNow(_)))
                || matches!(r.less_than, Some(LessThan::LtNow(_)));
            if relative || r.r#const.is_some() || r.within.is_some() {
                return Err(Unsupported("timestamp.const, within, lt_now or gt_now".to_owned()));
            }
            let bound = |t: &prost_types::Timestamp, closed| Bound { value: (t.seconds, t.nanos), closed };
            let lower = r.greater_than.as_ref().and_then(|b| match b {
                GreaterThan::Gt(t) => Some(bound(t, false)),
                GreaterThan::Gte(t) => Some(bound(t, true)),
                GreaterThan::GtNow(_) => None,
            });
            let upper = r.less_than.as_ref().and_then(|b| match b {
                LessThan::Lt(t) => Some(bound(t, false)),
                LessThan::Lte(t) => Some(bound(t, true)),
                LessThan::LtNow(_) => None,
            });
            Ok(range("timestamp", lower.as_ref(), upper.as_ref(), "(v.seconds, v.nanos)", |(s, n)| {
                format!("timestamp {s}.{n:09}")
            }))
        }
        Type::Repeated(_) | Type::Map(_) | Type::Any(_) | Type::FieldMask(_) => {
            Err(Unsupported("a rule of a type without static checks".to_owned()))
        }
    }
}

struct Bound<T> {
    value: T,
    closed: bool,
}

fn equal<T: Debug>(name: &str, want: Option<T>) -> String {
    want.map(|w| broken(&format!("*v != {w:?}"), &format!("{name}.const"), &format!("must equal {w:?}")))
        .unwrap_or_default()
}

fn membership<T: Debug>(name: &str, allowed: &[T], denied: &[T]) -> String {
    let mut code = String::new();
    if !allowed.is_empty() {
        code.push_str(&broken(
            &format!("!{allowed:?}.contains(v)"),
            &format!("{name}.in"),
            &format!("must be in list {allowed:?}"),
        ));
    }
    if !denied.is_empty() {
        let description = format!("must not be in list {denied:?}");
        code.push_str(&broken(&format!("{denied:?}.contains(v)"), &format!("{name}.not_in"), &description));
    }
    code
}

/// A lower bound above the upper one asks for a value outside of the two, as `validate.proto` defines it.
fn range<T: Debug + PartialOrd>(
    name: &str,
    lower: Option<&Bound<T>>,
    upper: Option<&Bound<T>>,
    value: &str,
    shown: impl Fn(&T) -> String,
) -> String {
    let below = |b: &Bound<T>| format!("{value} {} {:?}", if b.closed { "<" } else { "<=" }, b.value);
    let above = |b: &Bound<T>| format!("{value} {} {:?}", if b.closed { ">" } else { ">=" }, b.value);
    let (low, high) =
        (|b: &Bound<T>| if b.closed { "gte" } else { "gt" }, |b: &Bound<T>| if b.closed { "lte" } else { "lt" });
    let or_equal = |b: &Bound<T>| if b.closed { " or equal to" } else { "" };
    let at_least = |b: &Bound<T>| format!("greater than{} {}", or_equal(b), shown(&b.value));
    let at_most = |b: &Bound<T>| format!("less than{} {}", or_equal(b), shown(&b.value));
    match (lower, upper) {
        (None, None) => String::new(),
        (Some(l), None) => broken(&below(l), &format!("{name}.{}", low(l)), &format!("must be {}", at_least(l))),
        (None, Some(u)) => broken(&above(u), &format!("{name}.{}", high(u)), &format!("must be {}", at_most(u))),
        (Some(l), Some(u)) => {
            let inside = u.value >= l.value;
            let (operator, word, suffix) = if inside { ("||", "and", "") } else { ("&&", "or", "_exclusive") };
            broken(
                &format!("{} {operator} {}", below(l), above(u)),
                &format!("{name}.{}_{}{suffix}", low(l), high(u)),
                &format!("must be {} {word} {}", at_least(l), at_most(u)),
            )
        }
    }
}

fn seconds(&(seconds, nanos): &(i64, i32)) -> String {
    if nanos == 0 { format!("{seconds}s") } else { format!("{seconds}.{:09}s", nanos.unsigned_abs()) }
}

/// A value that is not finite breaks `finite` alone; a NaN breaks every range, since no comparison holds for it.
fn floating(name: &str, finite: bool, code: &str) -> String {
    let code = code.replace("if *v <", "if v.is_nan() || *v <").replace("if *v >", "if v.is_nan() || *v >");
    if !finite {
        return code;
    }
    let report = broken("!v.is_finite()", &format!("{name}.finite"), "must be finite");
    if code.is_empty() { report } else { format!("{} else {{ {code} }}\n", report.trim_end()) }
}

fn enumerated(rules: &EnumRules, kind: &Kind) -> String {
    let mut code = equal("enum", rules.r#const);
    if rules.defined_only()
        && let Kind::Enum(descriptor) = kind
    {
        let defined: Vec<i32> = descriptor.values().map(|v| v.number()).collect();
        code.push_str(&broken(
            &format!("!{defined:?}.contains(v)"),
            "enum.defined_only",
            "must be one of the defined enum values",
        ));
    }
    code.push_str(&membership("enum", &rules.r#in, &rules.not_in));
    code
}

fn text(r: &StringRules, patterns: &mut Patterns) -> Result<String, Unsupported> {
    let mut code = String::new();
    let mut add = |condition: String, id: &str, description: String| {
        code.push_str(&broken(&condition, &format!("string.{id}"), &description));
    };
    if let Some(want) = &r.r#const {
        add(format!("v != {want:?}"), "const", format!("must equal `{want}`"));
    }
    if let Some(n) = r.len {
        add(format!("v.chars().count() != {n}"), "len", format!("must be {n} characters"));
    }
    if let Some(n) = r.min_len {
        let short = if n == 1 { "v.is_empty()".to_owned() } else { format!("v.chars().count() < {n}") };
        add(short, "min_len", format!("must be at least {n} characters"));
    }
    if let Some(n) = r.max_len {
        // A string has at least as many bytes as characters, so most need no counting.
        add(format!("v.len() > {n} && v.chars().count() > {n}"), "max_len", format!("must be at most {n} characters"));
    }
    if let Some(n) = r.len_bytes {
        add(format!("v.len() != {n}"), "len_bytes", format!("must be {n} bytes"));
    }
    if let Some(n) = r.min_bytes {
        add(format!("v.len() < {n}"), "min_bytes", format!("must be at least {n} bytes"));
    }
    if let Some(n) = r.max_bytes {
        add(format!("v.len() > {n}"), "max_bytes", format!("must be at most {n} bytes"));
    }
    if let Some(pattern) = &r.pattern {
        regex::Regex::new(pattern).map_err(|e| Unsupported(format!("a pattern that does not compile: {e}")))?;
        add(patterns.mismatch(pattern), "pattern", format!("does not match regex pattern `{pattern}`"));
    }
    if let Some(s) = &r.prefix {
        add(format!("!v.starts_with({s:?})"), "prefix", format!("does not have prefix `{s}`"));
    }
    if let Some(s) = &r.suffix {
        add(format!("!v.ends_with({s:?})"), "suffix", format!("does not have suffix `{s}`"));
    }
    if let Some(s) = &r.contains {
        add(format!("!v.contains({s:?})"), "contains", format!("does not contain substring `{s}`"));
    }
    if let Some(s) = &r.not_contains {
        add(format!("v.contains({s:?})"), "not_contains", format!("contains substring `{s}`"));
    }
    if !r.r#in.is_empty() {
        add(format!("!{:?}.contains(&v.as_str())", r.r#in), "in", format!("must be in list [{}]", r.r#in.join(", ")));
    }
    if !r.not_in.is_empty() {
        add(
            format!("{:?}.contains(&v.as_str())", r.not_in),
            "not_in",
            format!("must not be in list [{}]", r.not_in.join(", ")),
        );
    }
    let (name, what, parses) = match &r.well_known {
        None => return Ok(code),
        Some(WellKnown::Ip(true)) => ("ip", "IP address", "crate::check::is_ip(v)"),
        Some(WellKnown::Ipv4(true)) => ("ipv4", "IPv4 address", "v.parse::<std::net::Ipv4Addr>().is_ok()"),
        Some(WellKnown::Ipv6(true)) => ("ipv6", "IPv6 address", "crate::check::is_ipv6(v)"),
        Some(WellKnown::Uuid(true)) => ("uuid", "UUID", "crate::check::is_uuid(v)"),
        Some(other) => return Err(Unsupported(format!("the string format {other:?}"))),
    };
    add("v.is_empty()".to_owned(), &format!("{name}_empty"), format!("value is empty, which is not a valid {what}"));
    add(format!("!v.is_empty() && !{parses}"), name, format!("must be a valid {what}"));
    Ok(code)
}

fn octets(r: &BytesRules) -> Result<String, Unsupported> {
    let lengths_only = BytesRules { len: r.len, min_len: r.min_len, max_len: r.max_len, ..BytesRules::default() };
    if *r != lengths_only {
        return Err(Unsupported("a bytes rule other than a length".to_owned()));
    }
    let mut code = String::new();
    if let Some(n) = r.len {
        code.push_str(&broken(&format!("v.len() != {n}"), "bytes.len", &format!("must be {n} bytes")));
    }
    if let Some(n) = r.min_len {
        code.push_str(&broken(&format!("v.len() < {n}"), "bytes.min_len", &format!("must be at least {n} bytes")));
    }
    if let Some(n) = r.max_len {
        code.push_str(&broken(&format!("v.len() > {n}"), "bytes.max_len", &format!("must be at most {n} bytes")));
    }
    Ok(code)
}
