//! Messages held to their protovalidate rules by generated code, without reflection.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Debug, Write as _};
use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};

/// One broken rule of one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Where the field is, such as `behaviour.trailers["a key"]` or `route[1]`.
    pub field: String,
    /// Id of the rule, such as `string.min_len`.
    pub rule: Cow<'static, str>,
    /// What the rule asks for, in words.
    pub description: Cow<'static, str>,
}

/// A message that has rules, itself or in what it holds.
pub trait Check {
    /// Adds every rule that the message, found at `at`, breaks.
    fn check(&self, at: &Path<'_>, out: &mut Vec<Violation>);
}

/// Every rule that the message breaks, in the order of its fields.
pub fn violations<T: Check>(message: &T) -> Vec<Violation> {
    let mut out = Vec::new();
    message.check(&Path::Root, &mut out);
    out
}

/// Where a value is in the message under check; written out only when a rule is broken.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    /// The message itself.
    Root,
    /// A field of the parent.
    Field(&'a Path<'a>, &'static str),
    /// An item of a list field of the parent.
    Index(&'a Path<'a>, &'static str, usize),
    /// A value of a map field of the parent, or its key.
    Key(&'a Path<'a>, &'static str, &'a dyn Debug),
}

impl Path<'_> {
    /// The field `name` below this path.
    pub fn field(&self, name: &'static str) -> Path<'_> {
        Path::Field(self, name)
    }

    /// The item `index` of the list `name` below this path.
    pub fn index(&self, name: &'static str, index: usize) -> Path<'_> {
        Path::Index(self, name, index)
    }

    /// The entry `key` of the map `name` below this path.
    pub fn key<'a>(&'a self, name: &'static str, key: &'a dyn Debug) -> Path<'a> {
        Path::Key(self, name, key)
    }

    /// A violation of the rule `id` at this path.
    pub fn broken(&self, rule: &'static str, description: &'static str) -> Violation {
        Violation { field: self.to_string(), rule: rule.into(), description: description.into() }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parent, name) = match self {
            Self::Root => return Ok(()),
            Self::Field(parent, name) | Self::Index(parent, name, _) | Self::Key(parent, name, _) => (parent, name),
        };
        fmt::Display::fmt(parent, f)?;
        if !matches!(parent, Self::Root) {
            f.write_char('.')?;
        }
        f.write_str(name)?;
        match self {
            Self::Index(_, _, index) => write!(f, "[{index}]"),
            Self::Key(_, _, key) => write!(f, "[{key:?}]"),
            Self::Root | Self::Field(..) => Ok(()),
        }
    }
}

/// Whether `text` consists of these runs: characters of an ASCII set, between a least and a most number of them.
/// Only the last run may vary in length.
pub fn spelled(text: &str, runs: &[(u128, usize, usize)]) -> bool {
    let mut rest = text.as_bytes();
    for &(set, least, most) in runs {
        let run = rest.iter().take(most).take_while(|b| b.is_ascii() && set >> **b & 1 == 1).count();
        if run < least {
            return false;
        }
        rest = &rest[run..];
    }
    rest.is_empty()
}

/// Whether two items are equal.
pub fn has_duplicates<T: Eq + Hash>(items: &[T]) -> bool {
    let mut seen = HashSet::with_capacity(items.len());
    !items.iter().all(|item| seen.insert(item))
}

/// As `has_duplicates`, for numbers that have no hash: both zeros are equal, a NaN equals nothing.
pub fn has_duplicate_numbers<T: Copy + Into<f64>>(items: &[T]) -> bool {
    let mut seen = HashSet::with_capacity(items.len());
    !items.iter().map(|item| (*item).into() + 0.0).all(|number: f64| number.is_nan() || seen.insert(number.to_bits()))
}

/// Whether `text` is an IPv4 or IPv6 address.
pub fn is_ip(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || is_ipv6(text)
}

/// Whether `text` is an IPv6 address, with or without a zone (RFC 4007).
pub fn is_ipv6(text: &str) -> bool {
    let address = match text.split_once('%') {
        Some((_, "")) => return false,
        Some((address, _)) => address,
        None => text,
    };
    address.parse::<Ipv6Addr>().is_ok()
}

/// Whether `text` is a UUID in its 36-character form.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

#[allow(clippy::all, clippy::pedantic, clippy::expect_used, unused_variables)]
mod generated {
    use super::{Check, Path, Violation};

    include!(concat!(env!("OUT_DIR"), "/checks.rs"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_nested_values_reads_like_protovalidate() {
        let root = Path::Root;
        let behaviour = root.field("behaviour");
        assert_eq!(behaviour.key("trailers", &"bad key").to_string(), r#"behaviour.trailers["bad key"]"#);
        assert_eq!(root.index("route", 1).to_string(), "route[1]");
        assert_eq!(root.index("hops", 2).field("tenant").to_string(), "hops[2].tenant");
        assert_eq!(root.key("ports", &7_u32).to_string(), "ports[7]");
    }

    #[test]
    fn spelled_runs_bound_their_lengths() {
        let lower = (0..26).fold(0, |set, i| set | 1 << (b'a' + i));
        let runs = [(lower, 1, 1), (lower | 1 << b'-', 0, 2)];
        for (text, fits) in [("a", true), ("a-b", true), ("a-bc", false), ("", false), ("-a", false), ("aä", false)] {
            assert_eq!(spelled(text, &runs), fits, "{text}");
        }
    }
}
