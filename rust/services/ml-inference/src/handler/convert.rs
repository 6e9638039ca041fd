//! Between the contract's messages and the domain's types.

use std::fmt::Write as _;
use std::time::Duration;

use uait_gen::types::v1::chat_message::part::Content;
use uait_gen::types::v1::output_constraint::Form;
use uait_gen::types::v1::tool_choice;
use uait_gen::types::v1::{
    ChatMessage, FinishReason, GenerationEnd, OutputConstraint, Role, Sampling as SamplingMessage, TextDelta,
    TokenLogprob as LogprobMessage, Tool as ToolMessage, ToolChoice, Usage,
};

use crate::error::Error;
use crate::generation::constraint::Constraint;
use crate::generation::conversation::Message;
use crate::generation::tools::{Choice, Tool, Toolbox};
use crate::generation::{Ending, Logprob, Piece, Sampling, TokenLogprob};
use crate::repository::SamplingDefaults;

/// A duration as it travels.
pub fn duration(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

/// A count as it travels.
pub fn count32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count as it travels.
pub fn count64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How tokens are chosen, with the model's defaults where the request does not say.
#[allow(clippy::cast_possible_truncation, reason = "the samplers have single precision")]
pub fn sampling(message: &SamplingMessage, defaults: SamplingDefaults, seed: u64) -> Sampling {
    Sampling {
        temperature: message.temperature.map_or(defaults.temperature, |value| value as f32),
        top_p: message.top_p.map_or(defaults.top_p, |value| value as f32),
        top_k: message.top_k.unwrap_or(defaults.top_k),
        min_p: message.min_p.map_or(defaults.min_p, |value| value as f32),
        seed,
        frequency_penalty: message.frequency_penalty.unwrap_or(0.0) as f32,
        presence_penalty: message.presence_penalty.unwrap_or(0.0) as f32,
        repeat_penalty: message.repeat_penalty.unwrap_or(1.0) as f32,
    }
}

/// The form that a text must have.
///
/// # Errors
/// `json` is set to false, which asks for nothing.
pub fn constraint(message: Option<OutputConstraint>) -> Result<Option<Constraint>, Error> {
    Ok(match message.and_then(|message| message.form) {
        None => None,
        Some(Form::JsonSchema(schema)) => Some(Constraint::JsonSchema(schema)),
        Some(Form::Grammar(grammar)) => Some(Constraint::Grammar(grammar)),
        Some(Form::Regex(expression)) => Some(Constraint::Regex(expression)),
        Some(Form::Json(true)) => Some(Constraint::Json),
        Some(Form::Json(false)) => {
            return Err(Error::Conflict { field: "constraint.json", text: "false asks for no form".to_owned() });
        }
    })
}

/// Tools, where there are any and the model may call them.
///
/// # Errors
/// A tool's schema is not well-formed, or no tool is there that is to be called.
pub fn toolbox(tools: Vec<ToolMessage>, choice: Option<ToolChoice>) -> Result<Option<Toolbox>, Error> {
    let choice = match choice.and_then(|choice| choice.choice) {
        Some(tool_choice::Choice::Tool(name)) => Choice::Named(name),
        Some(tool_choice::Choice::Mode(mode)) => match tool_choice::Mode::try_from(mode) {
            Ok(tool_choice::Mode::None) => return Ok(None),
            Ok(tool_choice::Mode::Required) => Choice::Required,
            Ok(tool_choice::Mode::Auto | tool_choice::Mode::Unspecified) | Err(_) => Choice::Auto,
        },
        None => Choice::Auto,
    };
    if tools.is_empty() && choice == Choice::Auto {
        return Ok(None);
    }
    let tool = |tool: ToolMessage| Tool {
        name: tool.name,
        description: tool.description,
        parameters: tool.parameters_json_schema,
    };
    Toolbox::new(tools.into_iter().map(tool).collect(), choice).map(Some)
}

/// A conversation as chat templates know it. What tools returned is told by the user where the template has no place for tools.
///
/// # Errors
/// It holds images, which none of these models sees.
pub fn conversation(messages: Vec<ChatMessage>, takes_tools: bool) -> Result<Vec<Message>, Error> {
    let mut conversation = Vec::with_capacity(messages.len());
    for message in messages {
        let role = match message.role() {
            Role::System => "system",
            Role::Assistant => "assistant",
            Role::Tool if takes_tools => "tool",
            Role::Tool | Role::User | Role::Unspecified => "user",
        };
        let mut content = String::new();
        for part in message.parts {
            if !content.is_empty() {
                content.push('\n');
            }
            match part.content {
                Some(Content::Text(text)) => content.push_str(&text),
                Some(Content::ToolCall(call)) => {
                    let arguments: serde_json::Value =
                        serde_json::from_str(&call.arguments_json).unwrap_or(serde_json::Value::Null);
                    let call = serde_json::json!({"tool_call": {"name": call.name, "arguments": arguments}});
                    content.push_str(&call.to_string());
                }
                Some(Content::ToolResult(result)) if takes_tools => content.push_str(&result.text),
                Some(Content::ToolResult(result)) => {
                    let how = if result.failed { "failed" } else { "returned" };
                    _ = write!(content, "The tool call {} {how}: {}", result.tool_call_id, result.text);
                }
                Some(Content::Image(_)) => {
                    return Err(Error::NotImplemented {
                        what: "messages.parts.image".to_owned(),
                        why: "no model here sees images; vision-analysis describes them",
                    });
                }
                None => {}
            }
        }
        conversation.push(Message { role, content });
    }
    Ok(conversation)
}

/// Tells the model something before the conversation begins: at the end of what the system says, which is made if there is none.
pub fn instruct(conversation: &mut Vec<Message>, instructions: &str) {
    match conversation.first_mut().filter(|first| first.role == "system") {
        Some(system) => {
            system.content.push_str("\n\n");
            system.content.push_str(instructions);
        }
        None => conversation.insert(0, Message { role: "system", content: instructions.to_owned() }),
    }
}

/// A piece of text as it travels.
pub fn delta(piece: Piece) -> TextDelta {
    TextDelta {
        text: piece.text,
        tokens: count32(piece.tokens),
        logprobs: piece.logprobs.into_iter().map(logprob).collect(),
    }
}

fn logprob(token: TokenLogprob) -> LogprobMessage {
    let one = |(bytes, Logprob { token, logprob }): (Vec<u8>, Logprob)| LogprobMessage {
        token: bytes,
        token_id: token.0,
        logprob,
        alternatives: Vec::new(),
    };
    let alternatives = token.alternatives.into_iter().map(one).collect();
    LogprobMessage { alternatives, ..one(token.chosen) }
}

/// The end of a text as it travels.
pub fn end(ending: &Ending, calls_tool: bool) -> GenerationEnd {
    let reason = match (calls_tool, ending.cut) {
        (true, _) => FinishReason::ToolCalls,
        (false, true) => FinishReason::Length,
        (false, false) => FinishReason::Stop,
    };
    GenerationEnd {
        finish_reason: reason.into(),
        stop: ending.stop.clone(),
        usage: Some(Usage {
            input_tokens: count64(ending.input_tokens),
            cached_input_tokens: count64(ending.cached_tokens),
            output_tokens: count64(ending.output_tokens),
            calls: 1,
            ..Usage::default()
        }),
        time_to_first_token: duration(ending.time_to_first_token),
        elapsed: duration(ending.elapsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_takes_the_models_default_for_what_is_absent_only() {
        let defaults = SamplingDefaults { temperature: 0.2, ..SamplingDefaults::default() };
        let taken = sampling(&SamplingMessage { top_k: Some(0), ..SamplingMessage::default() }, defaults, 7);
        assert_eq!((taken.temperature, taken.top_k, taken.top_p, taken.seed), (0.2, 0, 0.95, 7));
        let greedy = sampling(&SamplingMessage { temperature: Some(0.0), ..SamplingMessage::default() }, defaults, 7);
        assert!(greedy.temperature.abs() < f32::EPSILON);
    }

    #[test]
    fn instructions_join_what_the_system_says() {
        let mut conversation = vec![Message { role: "user", content: "Hi".to_owned() }];
        instruct(&mut conversation, "A");
        instruct(&mut conversation, "B");
        assert_eq!(conversation.first(), Some(&Message { role: "system", content: "A\n\nB".to_owned() }));
        assert_eq!(conversation.len(), 2);
    }
}
