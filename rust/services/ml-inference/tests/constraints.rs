//! Texts that are held to a form: every one has it, whatever the model would rather say.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use serde_json::Value;
use support::{Service, all, constraint, greedy, reason, says};
use tonic::{Code, Status};
use uait_gen::ml_inference::v1::{ChatRequest, GenerateRequest};
use uait_gen::types::v1::output_constraint::Form;
use uait_gen::types::v1::tool_choice::{Choice, Mode};
use uait_gen::types::v1::{FinishReason, Role, Sampling, Tool, ToolChoice};

/// A schema, and whether a value has it, said again in Rust.
type Case = (&'static str, &'static str, fn(&Value) -> bool);

fn is_object(value: &Value, names: &[&str]) -> bool {
    value.as_object().is_some_and(|object| object.keys().all(|key| names.contains(&key.as_str())))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

const CASES: [Case; 20] = [
    ("Is the sky blue?", r#"{"type":"boolean"}"#, Value::is_boolean),
    ("How many legs has a dog?", r#"{"type":"integer","minimum":0,"maximum":9}"#, |v| {
        v.as_i64().is_some_and(|n| (0..=9).contains(&n))
    }),
    ("A temperature below zero.", r#"{"type":"integer","minimum":-40,"maximum":-1}"#, |v| {
        v.as_i64().is_some_and(|n| (-40..0).contains(&n))
    }),
    ("What is pi?", r#"{"type":"number"}"#, Value::is_number),
    ("Say nothing.", r#"{"type":"null"}"#, Value::is_null),
    ("Is this review good or bad? 'I loved it.'", r#"{"enum":["good","bad","mixed"]}"#, |v| {
        ["good", "bad", "mixed"].contains(&v.as_str().unwrap_or(""))
    }),
    ("What is it?", r#"{"const":{"kind":"constant"}}"#, |v| v["kind"] == "constant"),
    ("Name a colour.", r#"{"type":"string","minLength":2,"maxLength":12}"#, |v| {
        v.as_str().is_some_and(|s| (2..=12).contains(&s.chars().count()))
    }),
    ("A code of three letters and two digits.", r#"{"type":"string","pattern":"^[A-Z]{3}-[0-9]{2}$"}"#, |v| {
        v.as_str().is_some_and(|s| {
            s.len() == 6
                && s.as_bytes()[3] == b'-'
                && s[..3].bytes().all(|b| b.is_ascii_uppercase())
                && s[4..].bytes().all(|b| b.is_ascii_digit())
        })
    }),
    ("When was the moon landing?", r#"{"type":"string","format":"date"}"#, |v| {
        v.as_str().is_some_and(|s| {
            s.len() == 10
                && s.split('-')
                    .map(|part| part.parse::<u32>().unwrap_or(0))
                    .nth(1)
                    .is_some_and(|month| (1..=12).contains(&month))
        })
    }),
    ("An id.", r#"{"type":"string","format":"uuid"}"#, |v| {
        v.as_str().is_some_and(|s| s.len() == 36 && s.split('-').map(str::len).eq([8, 4, 4, 4, 12]))
    }),
    (
        "Who is Ada Lovelace?",
        r#"{"type":"object","properties":{"name":{"type":"string","maxLength":30},"born":{"type":"integer","minimum":1000,"maximum":2100}},"required":["name","born"],"additionalProperties":false}"#,
        |v| {
            is_object(v, &["name", "born"])
                && v["name"].is_string()
                && v["born"].as_i64().is_some_and(|year| (1000..=2100).contains(&year))
        },
    ),
    (
        "A person; the nickname may be missing.",
        r#"{"type":"object","properties":{"name":{"type":"string","maxLength":20},"nick":{"type":"string","maxLength":10}},"required":["name"],"additionalProperties":false}"#,
        |v| is_object(v, &["name", "nick"]) && v["name"].is_string(),
    ),
    (
        "Three numbers.",
        r#"{"type":"array","items":{"type":"integer","minimum":0,"maximum":99},"minItems":3,"maxItems":3}"#,
        |v| items(v).len() == 3 && items(v).iter().all(Value::is_i64),
    ),
    (
        "One or two words.",
        r#"{"type":"array","items":{"type":"string","maxLength":12},"minItems":1,"maxItems":2}"#,
        |v| (1..=2).contains(&items(v).len()) && items(v).iter().all(Value::is_string),
    ),
    (
        "A pair: a word and whether it is short.",
        r#"{"type":"array","prefixItems":[{"type":"string","maxLength":9},{"type":"boolean"}]}"#,
        |v| items(v).len() == 2 && v[0].is_string() && v[1].is_boolean(),
    ),
    (
        "A number or a yes or no.",
        r#"{"anyOf":[{"type":"integer","minimum":0,"maximum":99},{"type":"boolean"}]}"#,
        |v| v.is_i64() || v.is_boolean(),
    ),
    (
        "A point and its label.",
        r##"{"type":"object","properties":{"at":{"$ref":"#/$defs/point"},"label":{"enum":["a","b"]}},"required":["at","label"],"additionalProperties":false,"$defs":{"point":{"type":"object","properties":{"x":{"type":"integer","minimum":0,"maximum":9},"y":{"type":"integer","minimum":0,"maximum":9}},"required":["x","y"],"additionalProperties":false}}}"##,
        |v| {
            is_object(v, &["at", "label"])
                && is_object(&v["at"], &["x", "y"])
                && v["at"]["x"].is_i64()
                && v["at"]["y"].is_i64()
        },
    ),
    ("Is it here, or not known?", r#"{"type":["boolean","null"]}"#, |v| v.is_boolean() || v.is_null()),
    (
        "The invoice: number, paid, lines.",
        r#"{"type":"object","properties":{"number":{"type":"string","pattern":"^INV-[0-9]{3}$"},"paid":{"type":"boolean"},"lines":{"type":"array","maxItems":2,"items":{"type":"object","properties":{"item":{"type":"string","maxLength":15},"count":{"type":"integer","minimum":1,"maximum":20}},"required":["item","count"],"additionalProperties":false}}},"required":["number","paid","lines"],"additionalProperties":false}"#,
        |v| {
            is_object(v, &["number", "paid", "lines"])
                && v["number"].as_str().is_some_and(|s| s.starts_with("INV-"))
                && items(&v["lines"]).len() <= 2
                && items(&v["lines"]).iter().all(|line| line["item"].is_string() && line["count"].is_i64())
        },
    ),
];

fn asks(text: &str, seed: u64) -> ChatRequest {
    let sampling =
        Sampling { temperature: Some(0.9), seed: Some(seed), max_output_tokens: Some(300), ..Sampling::default() };
    ChatRequest { messages: vec![says(Role::User, text)], sampling: Some(sampling), ..ChatRequest::default() }
}

#[tokio::test]
async fn text_has_its_json_schema_in_twenty_cases() {
    let service = Service::start(&[]);
    let one = |(seed, (question, schema, has)): (u64, Case)| async move {
        let request =
            ChatRequest { constraint: constraint(Form::JsonSchema(schema.to_owned())), ..asks(question, seed) };
        let written = service.chat(request).await.unwrap();
        assert_eq!(written.end.finish_reason(), FinishReason::Stop, "{schema}: {}", written.text);
        let value: Value =
            serde_json::from_str(&written.text).unwrap_or_else(|error| panic!("{schema}: {error}: {}", written.text));
        assert!(has(&value), "{schema}: {value}");
    };
    all((1..).zip(CASES).map(one)).await;
}

#[tokio::test]
async fn text_is_json_of_any_kind_where_that_is_asked_for() {
    let request = GenerateRequest { constraint: constraint(Form::Json(true)), ..greedy("[1, 2] and {\"a\": ", 120) };
    let written = Service::shared().generate(request).await.unwrap();
    if written.end.finish_reason() == FinishReason::Stop {
        serde_json::from_str::<Value>(&written.text).unwrap();
    } else {
        // Cut by its limit: the beginning of a value is no value.
        assert_eq!((written.end.finish_reason(), written.output_tokens()), (FinishReason::Length, 120));
    }
}

#[tokio::test]
async fn text_is_a_full_match_of_its_regex_or_a_sentence_of_its_grammar() {
    let of = |form: Form| GenerateRequest { constraint: constraint(form), ..greedy("The answer: ", 60) };
    let regex = Form::Regex(r"^(yes|no), [a-f]{2,4}[0-9]\.$".to_owned());
    let text = Service::shared().generate(of(regex)).await.unwrap().text;
    let rest = text.strip_prefix("yes, ").or(text.strip_prefix("no, ")).unwrap_or_else(|| panic!("{text}"));
    let letters = rest.bytes().take_while(|b| (b'a'..=b'f').contains(b)).count();
    assert!((2..=4).contains(&letters) && rest.len() == letters + 2 && rest.ends_with('.'), "{text}");

    let grammar = Form::Grammar("root ::= move (\" \" move)? \nmove ::= [a-h] [1-8]".to_owned());
    let text = Service::shared().generate(of(grammar)).await.unwrap().text;
    let is_move =
        |m: &str| m.len() == 2 && (b'a'..=b'h').contains(&m.as_bytes()[0]) && (b'1'..=b'8').contains(&m.as_bytes()[1]);
    assert!((1..=2).contains(&text.split(' ').count()) && text.split(' ').all(is_move), "{text}");
}

#[tokio::test]
async fn form_that_is_not_well_formed_is_refused() {
    let refused = |form: Form| async move {
        let request = GenerateRequest { constraint: constraint(form), ..greedy("a", 1) };
        let status: Status = Service::shared().generate(request).await.unwrap_err();
        let (code, reason, metadata) = reason(&status);
        assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "EXPRESSION_INVALID"), "{status:?}");
        (metadata["field"].clone(), metadata["kind"].clone())
    };
    for grammar in ["root ::= missing", "root ::= (", "no root", "root ::= root \"a\""] {
        assert_eq!(
            refused(Form::Grammar(grammar.to_owned())).await,
            ("constraint.grammar".to_owned(), "grammar".to_owned()),
            "{grammar}"
        );
    }
    assert_eq!(refused(Form::JsonSchema("{]".to_owned())).await.0, "constraint.json_schema");
    assert_eq!(refused(Form::Regex("(a".to_owned())).await.1, "regex");
    // The service goes on.
    Service::shared().generate(greedy("a", 1)).await.unwrap();
}

fn weather() -> Tool {
    let parameters = r#"{"type":"object","properties":{"city":{"enum":["Bern","Rome"]},"days":{"type":"integer","minimum":1,"maximum":7}},"required":["city","days"],"additionalProperties":false}"#;
    Tool {
        name: "weather".to_owned(),
        description: "Tells the weather".to_owned(),
        parameters_json_schema: parameters.to_owned(),
    }
}

#[tokio::test]
async fn tool_that_must_be_called_is_called_with_arguments_of_its_schema() {
    for choice in [Choice::Mode(Mode::Required.into()), Choice::Tool("weather".to_owned())] {
        let mut request = asks("What will the weather be in Rome tomorrow?", 5);
        request.tools = vec![weather()];
        request.tool_choice = Some(ToolChoice { choice: Some(choice) });
        let written = Service::shared().chat(request).await.unwrap();
        assert_eq!(written.end.finish_reason(), FinishReason::ToolCalls);
        assert_eq!((written.calls.len(), written.text.as_str()), (1, ""));
        let call = &written.calls[0];
        assert!(call.name == "weather" && call.tool_call_id.starts_with("call_"), "{call:?}");
        let arguments: Value = serde_json::from_str(&call.arguments_json).unwrap();
        assert!(
            is_object(&arguments, &["city", "days"])
                && arguments["days"].as_i64().is_some_and(|n| (1..=7).contains(&n)),
            "{arguments}"
        );
    }
}

#[tokio::test]
async fn tool_that_may_be_called_leaves_a_text_or_a_call() {
    let mut request = asks("Say hello.", 5);
    request.sampling.as_mut().unwrap().max_output_tokens = Some(120);
    request.tools = vec![weather()];
    let written = Service::shared().chat(request.clone()).await.unwrap();
    match written.end.finish_reason() {
        FinishReason::ToolCalls => assert_eq!((written.calls.len(), written.text.as_str()), (1, "")),
        FinishReason::Stop => assert!(written.calls.is_empty() && !written.text.starts_with('{'), "{written:?}"),
        FinishReason::Length => assert_eq!((written.calls.len(), written.output_tokens()), (0, 120)),
        other => panic!("{other:?}"),
    }
    request.tool_choice = Some(ToolChoice { choice: Some(Choice::Mode(Mode::None.into())) });
    assert_eq!(Service::shared().chat(request.clone()).await.unwrap().calls, []);
    request.tool_choice = Some(ToolChoice { choice: Some(Choice::Tool("news".to_owned())) });
    let status = Service::shared().chat(request).await.unwrap_err();
    assert_eq!((reason(&status).0, reason(&status).1.as_str()), (Code::InvalidArgument, "VALUE_CONFLICT"));
}
