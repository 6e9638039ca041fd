//! Tools for any model: the model is told of them in words, and held by a schema to answer either with text or with a call.
//!
//! Native formats of calls differ from model to model, and small models miss them; constrained decoding cannot be missed.

use serde_json::{Value, json};

use crate::error::Error;

/// A function that the model may ask the caller to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments; empty means that it takes none.
    pub parameters: String,
}

/// Whether and which tools the model must call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It may call one.
    Auto,
    /// It must call one.
    Required,
    /// It must call this one.
    Named(String),
}

/// Tools that a conversation has.
#[derive(Debug, Clone, PartialEq)]
pub struct Toolbox {
    tools: Vec<(Tool, Value)>,
    choice: Choice,
}

/// What a model answered that has tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Plain text.
    Text(String),
    /// A call of a tool.
    Call {
        /// Name of the tool.
        name: String,
        /// Its arguments, a JSON object.
        arguments: String,
    },
}

impl Toolbox {
    /// Takes the tools that the choice leaves.
    ///
    /// # Errors
    /// A tool's schema is not well-formed, or no tool has the chosen name.
    pub fn new(tools: Vec<Tool>, choice: Choice) -> Result<Self, Error> {
        let chosen: Vec<Tool> = match &choice {
            Choice::Auto | Choice::Required => tools,
            Choice::Named(name) => tools.into_iter().filter(|tool| tool.name == *name).collect(),
        };
        if chosen.is_empty() {
            return Err(Error::Conflict { field: "tool_choice", text: "no such tool is among the tools".to_owned() });
        }
        let with_schema = |tool: Tool| {
            let schema = if tool.parameters.is_empty() {
                Ok(json!({"type": "object", "properties": {}, "additionalProperties": false}))
            } else {
                serde_json::from_str(&tool.parameters)
            };
            match schema {
                Ok(schema) => Ok((tool, schema)),
                Err(error) => Err(Error::Expression {
                    field: "tools.parameters_json_schema",
                    kind: "json_schema",
                    position: format!("{}:{}", error.line(), error.column()),
                    text: format!("of tool {}: {error}", tool.name),
                }),
            }
        };
        Ok(Self { tools: chosen.into_iter().map(with_schema).collect::<Result<_, _>>()?, choice })
    }

    /// What the model is told.
    pub fn instructions(&self) -> String {
        let mut text = String::from("You can call these tools:\n");
        for (tool, schema) in &self.tools {
            let line = json!({"name": tool.name, "description": tool.description, "parameters": schema});
            text.push_str(&line.to_string());
            text.push('\n');
        }
        text.push_str(r#"To call a tool, answer {"tool_call": {"name": ..., "arguments": ...}}."#);
        if self.choice == Choice::Auto {
            text.push_str(r#" To answer without a tool, answer {"response": "..."}."#);
        }
        text
    }

    /// The schema that the answer has.
    pub fn schema(&self) -> String {
        let calls: Vec<Value> =
            self.tools.iter().map(|(tool, schema)| object("tool_call", &call(tool, schema))).collect();
        let response = (self.choice == Choice::Auto).then(|| object("response", &json!({"type": "string"})));
        json!({"anyOf": calls.into_iter().chain(response).collect::<Vec<_>>()}).to_string()
    }

    /// Reads an answer that has the schema; `None` for one that was cut short.
    pub fn read(&self, answer: &str) -> Option<Answer> {
        let answer: Value = serde_json::from_str(answer).ok()?;
        if let Some(text) = answer.get("response") {
            return Some(Answer::Text(text.as_str()?.to_owned()));
        }
        let call = answer.get("tool_call")?;
        let name = call.get("name")?.as_str()?.to_owned();
        Some(Answer::Call { name, arguments: call.get("arguments")?.to_string() })
    }
}

fn call(tool: &Tool, schema: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": schema},
        "required": ["name", "arguments"],
        "additionalProperties": false,
    })
}

fn object(name: &str, schema: &Value) -> Value {
    json!({"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Tool {
        let parameters = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#.to_owned();
        Tool { name: name.to_owned(), description: "Tells the weather".to_owned(), parameters }
    }

    #[test]
    fn toolbox_reads_calls_and_responses() {
        let toolbox = Toolbox::new(vec![tool("weather")], Choice::Auto).unwrap();
        let call = toolbox.read(r#"{"tool_call": {"name": "weather", "arguments": {"city": "Bern"}}}"#).unwrap();
        assert_eq!(call, Answer::Call { name: "weather".to_owned(), arguments: r#"{"city":"Bern"}"#.to_owned() });
        assert_eq!(toolbox.read(r#"{"response": "Hi"}"#), Some(Answer::Text("Hi".to_owned())));
        assert_eq!(toolbox.read(r#"{"response": "H"#), None);
    }

    #[test]
    fn toolbox_offers_a_response_only_where_no_call_is_required() {
        let schema = |choice| Toolbox::new(vec![tool("weather"), tool("news")], choice).unwrap().schema();
        assert!(schema(Choice::Auto).contains("response"));
        assert!(!schema(Choice::Required).contains("response"));
        let named = schema(Choice::Named("news".to_owned()));
        assert!(named.contains("news") && !named.contains("weather"), "{named}");
    }

    #[test]
    fn toolbox_of_an_unknown_choice_or_a_broken_schema_is_refused() {
        let named = Toolbox::new(vec![tool("weather")], Choice::Named("news".to_owned()));
        assert!(matches!(named, Err(Error::Conflict { field: "tool_choice", .. })));
        let broken = Toolbox::new(vec![Tool { parameters: "{".to_owned(), ..tool("weather") }], Choice::Auto);
        assert!(matches!(broken, Err(Error::Expression { kind: "json_schema", .. })));
    }
}
