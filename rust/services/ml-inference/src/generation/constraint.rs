//! Forms that a text must have, as GBNF.

use serde_json::Value;

use super::regex;
use crate::error::Error;

/// A form that a text must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// JSON that satisfies this JSON Schema.
    JsonSchema(String),
    /// A sentence of this GBNF grammar.
    Grammar(String),
    /// A full match of this regular expression.
    Regex(String),
    /// Any JSON value.
    Json,
}

/// Keywords of JSON Schema that narrow what is valid and that llama.cpp's converter leaves out without a word: a text written by
/// its grammar could break them.
const LEFT_OUT: [&str; 17] = [
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxProperties",
    "minProperties",
    "multipleOf",
    "not",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "$dynamicRef",
    "$recursiveRef",
];
/// How the converter writes exponents: up to sixteen digits, which make numbers that nobody can read (RFC 8259, section 6).
const EXPONENT: &str = "[eE] [-+]? integral-part";
/// With sixteen digits before it, this stays within IEEE 754 doubles.
const SMALL_EXPONENT: &str = "[eE] [-+]? [0-9] [0-9]?";
/// Keywords whose value is a map of names to schemas.
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];
/// Keywords whose value is data, not a schema.
const DATA: [&str; 5] = ["const", "default", "enum", "examples", "required"];
/// Bounds that the converter keeps for integers, and leaves out for numbers.
const BOUNDS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];

impl Constraint {
    /// The form as a GBNF grammar with the rule `root`.
    ///
    /// # Errors
    /// It is not well-formed, or its keyword cannot be held to.
    pub fn to_gbnf(&self) -> Result<String, Error> {
        match self {
            Self::JsonSchema(schema) => schema_to_gbnf(schema),
            Self::Grammar(grammar) => Ok(grammar.clone()),
            Self::Regex(expression) => regex::to_gbnf(expression).map_err(|error| Error::Expression {
                field: self.field(),
                kind: self.kind(),
                position: error.position.map(|at| at.to_string()).unwrap_or_default(),
                text: error.text,
            }),
            Self::Json => schema_to_gbnf("{}"),
        }
    }

    /// The field of the request.
    pub fn field(&self) -> &'static str {
        match self {
            Self::JsonSchema(_) => "constraint.json_schema",
            Self::Grammar(_) => "constraint.grammar",
            Self::Regex(_) => "constraint.regex",
            Self::Json => "constraint.json",
        }
    }

    /// What the form is written in.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::JsonSchema(_) | Self::Json => "json_schema",
            Self::Grammar(_) => "grammar",
            Self::Regex(_) => "regex",
        }
    }
}

fn schema_to_gbnf(schema: &str) -> Result<String, Error> {
    let malformed = |position: String, text: String| Error::Expression {
        field: "constraint.json_schema",
        kind: "json_schema",
        position,
        text,
    };
    let parsed: Value = serde_json::from_str(schema)
        .map_err(|error| malformed(format!("{}:{}", error.line(), error.column()), error.to_string()))?;
    if !parsed.is_object() {
        return Err(malformed("1:1".to_owned(), "a schema is an object".to_owned()));
    }
    check(&parsed, "#", &malformed)?;
    // The converter takes an object without any keyword for an object of any kind; a list of types it takes as it stands.
    let any = r#"{"type":["object","array","string","number","boolean","null"]}"#;
    let schema = if parsed.as_object().is_some_and(serde_json::Map::is_empty) { any } else { schema };
    let grammar = llama_cpp_2::json_schema_to_grammar(schema);
    let grammar = grammar.map_err(|error| malformed(String::new(), error.to_string()))?;
    Ok(grammar.replace(EXPONENT, SMALL_EXPONENT))
}

/// Refuses what the converter would leave out.
fn check(schema: &Value, path: &str, malformed: &dyn Fn(String, String) -> Error) -> Result<(), Error> {
    let Value::Object(keywords) = schema else { return Ok(()) };
    let unsupported = |keyword: &str| Error::NotImplemented {
        what: format!("JSON Schema keyword {keyword} at {path}"),
        why: "the text could not be held to it while it is written",
    };
    for (keyword, value) in keywords {
        if LEFT_OUT.contains(&keyword.as_str()) {
            return Err(unsupported(keyword));
        }
        if BOUNDS.contains(&keyword.as_str()) && keywords.get("type") != Some(&Value::from("integer")) {
            return Err(unsupported(keyword));
        }
        if keyword == "$ref" && !value.as_str().is_some_and(|reference| reference.starts_with('#')) {
            return Err(malformed(path.to_owned(), format!("{value} is no reference within the schema")));
        }
        let within = format!("{path}/{keyword}");
        match value {
            _ if DATA.contains(&keyword.as_str()) => {}
            Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                for (name, schema) in named {
                    check(schema, &format!("{within}/{name}"), malformed)?;
                }
            }
            Value::Array(list) => {
                for (index, schema) in list.iter().enumerate() {
                    check(schema, &format!("{within}/{index}"), malformed)?;
                }
            }
            other => check(other, &within, malformed)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_schema(schema: &str) -> Result<String, Error> {
        Constraint::JsonSchema(schema.to_owned()).to_gbnf()
    }

    #[test]
    fn schema_becomes_a_grammar_with_a_root() {
        for schema in [
            r#"{"type":"object","properties":{"not":{"type":"string"}},"required":["not"]}"#,
            r#"{"enum":["if","then"]}"#,
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"integer","minimum":3}}}"##,
        ] {
            assert!(of_schema(schema).unwrap().contains("root ::= "), "{schema}");
        }
        assert!(Constraint::Json.to_gbnf().unwrap().contains("root ::= "));
    }

    #[test]
    fn schema_of_a_number_makes_only_numbers_that_fit_a_double() {
        let grammar = of_schema(r#"{"type":"number"}"#).unwrap();
        assert!(grammar.contains(SMALL_EXPONENT) && !grammar.contains(EXPONENT), "{grammar}");
    }

    #[test]
    fn schema_that_is_malformed_says_where() {
        for (schema, position) in [("{", "1:1"), ("[1]", "1:1"), (r#"{"$ref":"https://example.org/a"}"#, "#")] {
            match of_schema(schema) {
                Err(Error::Expression { position: found, kind: "json_schema", .. }) => assert_eq!(found, position),
                other => panic!("{schema}: {other:?}"),
            }
        }
    }

    #[test]
    fn schema_keyword_that_no_grammar_holds_is_named() {
        for (schema, what) in [
            (r#"{"not":{"type":"string"}}"#, "JSON Schema keyword not at #"),
            (r#"{"properties":{"a":{"type":"number","minimum":1}}}"#, "JSON Schema keyword minimum at #/properties/a"),
            (r#"{"items":[{"uniqueItems":true}]}"#, "JSON Schema keyword uniqueItems at #/items/0"),
        ] {
            match of_schema(schema) {
                Err(Error::NotImplemented { what: found, .. }) => assert_eq!(found, what),
                other => panic!("{schema}: {other:?}"),
            }
        }
    }
}
