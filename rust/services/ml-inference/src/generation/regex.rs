//! Regular expressions as GBNF, so that a text can be held to one while it is written.

use std::fmt::Write as _;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// A regular expression that cannot be held to.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsuitable {
    /// Byte offset in the expression, where that is known.
    pub position: Option<usize>,
    /// What is wrong.
    pub text: String,
}

/// A GBNF grammar whose sentences are the full matches of `expression`.
///
/// # Errors
/// It is not well-formed, or looks around in a way that no grammar expresses (word boundaries, anchors inside).
pub fn to_gbnf(expression: &str) -> Result<String, Unsuitable> {
    let (ascii, origins) = with_ascii_classes(expression);
    let hir = ParserBuilder::new().build().parse(&ascii).map_err(|error| {
        let position = match &error {
            regex_syntax::Error::Parse(error) => Some(error.span().start.offset),
            regex_syntax::Error::Translate(error) => Some(error.span().start.offset),
            _ => None,
        };
        let position = position.map(|at| origins.get(at).copied().unwrap_or(expression.len()));
        // The error's own text draws a picture of several lines; what is wrong stands in the last.
        let text = error.to_string();
        let text = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Unsuitable { position, text }
    })?;
    let mut grammar = String::from("root ::= ");
    write_hir(&hir, Place { first: true, last: true }, &mut grammar)?;
    grammar.push('\n');
    Ok(grammar)
}

/// RE2's `\d`, `\w` and `\s` are of ASCII, those of the parser are of Unicode: they are spelt out. Returns also where each byte of
/// the result came from.
fn with_ascii_classes(expression: &str) -> (String, Vec<usize>) {
    let (mut spelt, mut origins) = (String::with_capacity(expression.len()), Vec::with_capacity(expression.len()));
    let mut rest = expression.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let escaped = if c == '\\' { rest.next().map(|(_, escaped)| escaped) } else { None };
        match escaped {
            Some('d') => spelt.push_str("[0-9]"),
            Some('D') => spelt.push_str("[^0-9]"),
            Some('w') => spelt.push_str("[0-9A-Za-z_]"),
            Some('W') => spelt.push_str("[^0-9A-Za-z_]"),
            Some('s') => spelt.push_str(r"[\t\n\f\r ]"),
            Some('S') => spelt.push_str(r"[^\t\n\f\r ]"),
            Some(other) => spelt.extend([c, other]),
            None => spelt.push(c),
        }
        origins.resize(spelt.len(), at);
    }
    (spelt, origins)
}

/// Whether nothing stands before, and nothing after: there, anchors say what a full match means anyway.
#[derive(Clone, Copy)]
struct Place {
    first: bool,
    last: bool,
}

fn write_hir(hir: &Hir, place: Place, out: &mut String) -> Result<(), Unsuitable> {
    match hir.kind() {
        HirKind::Empty => out.push_str("\"\""),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).map_err(|_| unsuitable("bytes that are no UTF-8"))?;
            out.push('"');
            text.chars().for_each(|c| write_char(c, out));
            out.push('"');
        }
        HirKind::Class(Class::Unicode(class)) => {
            if class.ranges().is_empty() {
                return Err(unsuitable("a class of no characters"));
            }
            out.push('[');
            for range in class.ranges() {
                write_char(range.start(), out);
                if range.end() > range.start() {
                    out.push('-');
                    write_char(range.end(), out);
                }
            }
            out.push(']');
        }
        HirKind::Class(Class::Bytes(_)) => return Err(unsuitable("bytes that are no UTF-8")),
        HirKind::Look(Look::Start | Look::StartLF | Look::StartCRLF) if place.first => out.push_str("\"\""),
        HirKind::Look(Look::End | Look::EndLF | Look::EndCRLF) if place.last => out.push_str("\"\""),
        HirKind::Look(look) => return Err(unsuitable(format!("the assertion {look:?} inside of the expression"))),
        HirKind::Repetition(Repetition { min, max, sub, .. }) => {
            out.push('(');
            write_hir(sub, Place { first: false, last: false }, out)?;
            out.push(')');
            match (min, max) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (min, None) => _ = write!(out, "{{{min},}}"),
                (min, Some(max)) => _ = write!(out, "{{{min},{max}}}"),
            }
        }
        HirKind::Capture(capture) => {
            out.push('(');
            write_hir(&capture.sub, place, out)?;
            out.push(')');
        }
        HirKind::Concat(parts) => {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                let place = Place {
                    first: place.first && parts.iter().take(index).all(is_look),
                    last: place.last && parts.iter().skip(index + 1).all(is_look),
                };
                write_hir(part, place, out)?;
            }
        }
        HirKind::Alternation(parts) => {
            out.push('(');
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.push_str(" | ");
                }
                write_hir(part, place, out)?;
            }
            out.push(')');
        }
    }
    Ok(())
}

fn is_look(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Look(_) | HirKind::Empty)
}

/// A character as GBNF takes it in literals and in classes alike.
fn write_char(c: char, out: &mut String) {
    match u32::from(c) {
        0x30..=0x39 | 0x41..=0x5A | 0x61..=0x7A | 0x20 => out.push(c),
        code @ 0..=0xFF => _ = write!(out, "\\x{code:02X}"),
        code @ 0..=0xFFFF => _ = write!(out, "\\u{code:04X}"),
        code => _ = write!(out, "\\U{code:08X}"),
    }
}

fn unsuitable(text: impl Into<String>) -> Unsuitable {
    Unsuitable { position: None, text: text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regex_becomes_a_grammar() {
        for (expression, grammar) in [
            ("abc", "\"abc\""),
            ("^a$", "\"\" \"a\" \"\""),
            ("a|b c", "(\"a\" | \"b c\")"),
            ("[a-c]{2,3}x?", "([a-c]){2,3} (\"x\")?"),
            (r"\d+", "([0-9])+"),
            (r"[\da]\\d", r#"[0-9a] "\x5Cd""#),
            (r"\s", r"[\x09-\x0A\x0C-\x0D ]"),
            ("(yes|no)!", "((\"yes\" | \"no\")) \"\\x21\""),
            ("\u{20ac}", "\"\\u20AC\""),
            ("\u{1f600}", "\"\\U0001F600\""),
        ] {
            let found = to_gbnf(expression).unwrap();
            let expected = format!("root ::= {grammar}\n");
            assert_eq!(found, expected, "{expression}");
        }
    }

    #[test]
    fn regex_that_no_grammar_expresses_is_refused() {
        for (expression, position) in [
            ("(a", Some(0)),
            ("a{3,1}", Some(1)),
            (r"\ba", None),
            ("a^b", None),
            ("(?=a)", Some(0)),
            (r"(a)\1", Some(3)),
        ] {
            let error = to_gbnf(expression).unwrap_err();
            assert_eq!(error.position, position, "{expression}: {}", error.text);
            assert!(!error.text.is_empty());
        }
    }
}
