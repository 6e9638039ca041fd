//! Texts: how they begin, go on and end; over gRPC, with the real model. What it writes differs from build to build, so that only
//! what holds for every text is asserted.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::time::Duration;

use support::{LLM, Service, Written, all, endless, greedy, of_acme, reason, says};
use tonic::Code;
use uait_gen::ml_inference::v1::{ChatRequest, GenerateRequest, generate_response};
use uait_gen::types::v1::{FinishReason, Role, Sampling};

const STORY: &str = "Once upon a time, in a small village by the sea, there lived";

fn sampled(seed: Option<u64>, most: i32) -> GenerateRequest {
    let sampling = Sampling { temperature: Some(1.0), seed, max_output_tokens: Some(most), ..Sampling::default() };
    GenerateRequest { sampling: Some(sampling), ..greedy(STORY, most) }
}

#[tokio::test]
async fn text_is_streamed_with_its_usage() {
    let written = Service::shared().generate(endless(STORY, 24)).await.unwrap();
    assert_eq!(written.start.model, LLM);
    let usage = written.end.usage.unwrap();
    assert_eq!((usage.output_tokens, usage.calls), (24, 1));
    assert_eq!(i64::from(written.start.input_tokens), usage.input_tokens);
    assert!(usage.input_tokens > 5, "{usage:?}");
    assert_eq!(written.tokens, 24);
    assert!(written.pieces > 8, "{} pieces", written.pieces);
    assert_eq!(written.end.finish_reason(), FinishReason::Length);
    let time = |duration: Option<prost_types::Duration>| Duration::try_from(duration.unwrap()).unwrap();
    let (first, last) = (time(written.end.time_to_first_token), time(written.end.elapsed));
    assert!(Duration::ZERO < first && first < last, "{first:?} {last:?}");
}

#[tokio::test]
async fn text_of_one_seed_is_the_same_each_time() {
    let service = Service::start(&[]);
    let first = service.generate(sampled(Some(7), 24)).await.unwrap();
    // A text between them leaves other cells behind.
    let other = service.generate(sampled(None, 30)).await.unwrap();
    let second = service.generate(sampled(Some(7), 24)).await.unwrap();
    assert_eq!(first.text, second.text);
    assert_eq!((first.start.seed, second.start.cached_input_tokens), (7, 0));
    assert_ne!(other.start.seed, 7);
    let mut texts = vec![first.text];
    for seed in 1..4 {
        texts.push(service.generate(sampled(Some(seed), 24)).await.unwrap().text);
    }
    texts.sort();
    texts.dedup();
    assert!(texts.len() > 1, "four seeds wrote one text: {texts:?}");
}

#[tokio::test]
async fn text_ends_before_its_stop() {
    let service = Service::start(&[]);
    let seeded = |stop: Vec<String>| {
        let mut request = sampled(Some(3), 40);
        request.sampling.as_mut().unwrap().stop = stop;
        request
    };
    let whole = service.generate(seeded(vec![])).await.unwrap().text;
    // A stop from the middle of the text that spans its words.
    let from = whole.char_indices().nth(whole.chars().count() / 2).unwrap().0;
    let stop: String = whole[from..].chars().take(7).collect();
    let stopped = service.generate(seeded(vec!["\u{1F980}".to_owned(), stop.clone()])).await.unwrap();
    assert_eq!(stopped.text, whole[..whole.find(&stop).unwrap()]);
    assert_eq!((stopped.end.stop.as_str(), stopped.end.finish_reason()), (stop.as_str(), FinishReason::Stop));
}

#[tokio::test]
async fn text_of_many_bytes_a_character_is_never_cut() {
    let grammar = "root ::= [\u{1F600}-\u{1F64F}\u{20AC}\u{E9}] root".to_owned();
    let form = uait_gen::types::v1::output_constraint::Form::Grammar(grammar);
    let request = GenerateRequest { constraint: support::constraint(form), ..greedy("Faces: ", 40) };
    let written = Service::shared().generate(request).await.unwrap();
    // Half a character at the end of the budget is no text; what is there is whole.
    assert!(written.text.chars().count() >= 8, "{:?}", written.text);
    let allowed = |c: char| ('\u{1F600}'..='\u{1F64F}').contains(&c) || c == '\u{20AC}' || c == '\u{E9}';
    assert!(written.text.chars().all(allowed), "{:?}", written.text);
    assert!(written.pieces < 40, "pieces of several tokens");
}

#[tokio::test]
async fn prompt_longer_than_the_context_is_refused_with_the_limit() {
    let status = Service::shared().generate(greedy(&"word ".repeat(3000), 4)).await.unwrap_err();
    let (code, reason, metadata) = reason(&status);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INPUT_TOO_LONG"));
    assert_eq!((metadata["limit"].as_str(), metadata["model"].as_str()), ("2047", LLM));
    assert!(metadata["tokens"].parse::<usize>().unwrap() > 2047);
}

#[tokio::test]
async fn text_that_fills_the_context_ends_with_length() {
    let service = Service::start(&[("UAIT_INFERENCE_CONTEXT_TOKENS", "256")]);
    let mut request = endless(STORY, 1);
    request.sampling.as_mut().unwrap().max_output_tokens = None;
    let written = service.generate(request).await.unwrap();
    assert_eq!(written.end.finish_reason(), FinishReason::Length);
    assert_eq!(i64::from(written.start.input_tokens) + written.output_tokens(), 256);
}

#[tokio::test]
async fn conversation_is_answered_and_ended_by_the_model() {
    let request = ChatRequest {
        messages: vec![
            says(Role::System, "Answer in one short sentence."),
            says(Role::User, "What is the capital of France?"),
        ],
        sampling: Some(Sampling { temperature: Some(0.0), max_output_tokens: Some(200), ..Sampling::default() }),
        ..ChatRequest::default()
    };
    let written = Service::shared().chat(request).await.unwrap();
    assert_eq!(written.end.finish_reason(), FinishReason::Stop, "{written:?}");
    assert!(!written.text.trim().is_empty());
    assert!(!written.text.contains("<|im_end|>"), "{}", written.text);
}

#[tokio::test]
async fn logprobs_are_of_each_token_likeliest_first() {
    let request = GenerateRequest { logprobs: 4, ..greedy(STORY, 12) };
    let written = Service::shared().generate(request).await.unwrap();
    assert_eq!(i64::try_from(written.logprobs.len()).unwrap(), written.output_tokens());
    let mut text = Vec::new();
    for token in &written.logprobs {
        text.extend_from_slice(&token.token);
        assert_eq!(token.alternatives.len(), 4);
        assert!(token.alternatives.is_sorted_by(|a, b| a.logprob >= b.logprob));
        // Greedy: what was chosen is the likeliest.
        assert_eq!((token.token_id, token.logprob), (token.alternatives[0].token_id, token.alternatives[0].logprob));
        let sum: f64 = token.alternatives.iter().map(|alternative| alternative.logprob.exp()).sum();
        assert!(token.logprob <= 0.0 && sum <= 1.0 + 1e-9, "{token:?}");
    }
    assert_eq!(String::from_utf8_lossy(&text), written.text);
}

#[tokio::test]
async fn texts_at_once_do_not_mix() {
    // Six on four slots, each held to a form of its own.
    let service = Service::start(&[]);
    let words = ["ant", "bee", "cat", "dog", "eel", "fox"];
    let one = |word: &'static str| async move {
        let form = uait_gen::types::v1::output_constraint::Form::Regex(format!("{word}( {word}){{9}}"));
        let request =
            GenerateRequest { constraint: support::constraint(form), ..greedy(&format!("{word} {STORY} {word}"), 60) };
        (word, service.generate(request).await.unwrap())
    };
    for (word, written) in all(words.map(|word| Box::pin(one(word)))).await {
        assert_eq!(written.text, [word; 10].join(" "));
    }
    let statistics = service.until("all have ended", |statistics| statistics.running == 0).await;
    assert_eq!((statistics.calls, statistics.failed_calls), (6, 0));
}

#[tokio::test]
async fn text_alone_and_in_company_is_of_one_kind() {
    // A batch's sums differ in their last bits, so that the words may, but not by much at once.
    let service = Service::start(&[]);
    let alone = service.generate(greedy(STORY, 8)).await.unwrap().text;
    let together = all((0..3).map(|_| service.generate(greedy(STORY, 8)))).await;
    let first = |text: &str| text.split_whitespace().next().map(str::to_owned);
    assert!(
        together.iter().any(|written| first(&written.as_ref().unwrap().text) == first(&alone)),
        "{alone}: {together:?}"
    );
}

#[tokio::test]
async fn cells_that_do_not_suffice_for_all_are_given_to_the_oldest_first() {
    // Together they would need 4 * 200 tokens of 512.
    let service = Service::start(&[("UAIT_INFERENCE_CONTEXT_TOKENS", "512")]);
    let texts = all((0..4).map(|n| service.generate(endless(&format!("{n} {STORY}"), 180)))).await;
    for written in texts {
        assert_eq!(written.unwrap().output_tokens(), 180);
    }
}

#[tokio::test]
async fn prompt_that_was_read_before_is_not_read_again() {
    let service = Service::start(&[]);
    let long = format!("{} {STORY}", "The sea was calm that day.".repeat(8));
    let first = service.generate(endless(&long, 4)).await.unwrap();
    let second = service.generate(endless(&format!("{long} a fisherman"), 4)).await.unwrap();
    assert_eq!(first.start.cached_input_tokens, 0);
    assert!(second.start.cached_input_tokens > first.start.input_tokens - 4, "{:?} {:?}", first.start, second.start);
    let statistics = service.statistics(LLM).await;
    assert_eq!(statistics.usage.unwrap().cached_input_tokens, i64::from(second.start.cached_input_tokens));
    assert!(statistics.cache_utilisation > 0.0 && statistics.cache_utilisation < 0.5, "{statistics:?}");
}

#[tokio::test]
async fn calls_beyond_the_queue_are_refused() {
    let service = Service::start(&[("UAIT_INFERENCE_SLOTS", "1"), ("UAIT_INFERENCE_QUEUE", "1")]);
    let mut running = service.client().generate(of_acme(endless(STORY, 1500))).await.unwrap().into_inner();
    assert!(running.message().await.unwrap().is_some());
    let queued = service.client().generate(of_acme(endless(STORY, 1))).await.unwrap().into_inner();
    service.until("one waits", |statistics| (statistics.running, statistics.queued) == (1, 1)).await;
    let status = service.generate(endless(STORY, 1)).await.unwrap_err();
    let (code, reason, metadata) = reason(&status);
    assert_eq!((code, reason.as_str(), metadata["limit"].as_str()), (Code::ResourceExhausted, "OVERLOADED", "1"));
    // Who waits and goes away leaves its place.
    drop(queued);
    service.until("none waits", |statistics| statistics.queued == 0).await;
    drop(running);
    service.generate(endless(STORY, 1)).await.unwrap();
}

#[tokio::test]
async fn call_of_higher_priority_gets_the_slot_first() {
    let service = Service::start(&[("UAIT_INFERENCE_SLOTS", "1")]);
    let mut running = service.client().generate(of_acme(endless(STORY, 1500))).await.unwrap().into_inner();
    assert!(running.message().await.unwrap().is_some());
    let order: support::Shared<Vec<&str>> = support::Shared::default();
    let waits = |name: &'static str, priority: i32| {
        let order = order.clone();
        tokio::spawn(async move {
            service.generate(GenerateRequest { priority, ..endless(STORY, 2) }).await.unwrap();
            order.lock().unwrap().push(name);
        })
    };
    let low = waits("low", -1);
    service.until("one waits", |statistics| statistics.queued == 1).await;
    let high = waits("high", 1);
    service.until("two wait", |statistics| statistics.queued == 2).await;
    drop(running);
    low.await.unwrap();
    high.await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["high", "low"]);
}

#[tokio::test]
async fn call_that_is_cancelled_frees_its_slot() {
    let service = Service::start(&[]);
    let mut stream = service.client().generate(of_acme(endless(STORY, 1800))).await.unwrap().into_inner();
    let mut pieces = 0;
    while pieces < 3 {
        if let Some(generate_response::Event::Delta(_)) = stream.message().await.unwrap().unwrap().event {
            pieces += 1;
        }
    }
    drop(stream);
    let statistics = service.until("the slot is free", |statistics| statistics.running == 0).await;
    assert!(statistics.usage.unwrap().output_tokens < 1800, "{statistics:?}");
    let statistics = service.until("it counts", |statistics| statistics.failed_calls == 1).await;
    assert_eq!(statistics.calls, 0);
}

#[tokio::test]
async fn call_whose_deadline_passes_ends_and_frees_its_slot() {
    let service = Service::start(&[]);
    service.generate(endless(STORY, 1)).await.unwrap();
    let mut request = of_acme(endless(STORY, 1900));
    request.set_timeout(Duration::from_millis(400));
    let mut stream = service.client().generate(request).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("1,900 tokens in 400 ms"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let statistics = service.until("the slot is free", |statistics| statistics.running == 0).await;
    assert!(statistics.usage.unwrap().output_tokens < 1900, "{statistics:?}");
}

#[tokio::test]
async fn texts_of_two_tenants_are_apart() {
    let mut request = tonic::Request::new(greedy(STORY, 1));
    let status = Service::shared().client().generate(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    request = tonic::Request::new(greedy(STORY, 1));
    request.metadata_mut().insert("x-uait-tenant", "other".parse().unwrap());
    Service::shared().client().generate(request).await.unwrap();
}

#[tokio::test]
async fn model_of_another_kind_or_none_is_refused() {
    let of = |model: &str| GenerateRequest { model: model.to_owned(), ..greedy(STORY, 1) };
    let status = Service::shared().generate(of("nobody")).await.unwrap_err();
    assert_eq!((reason(&status).0, reason(&status).1.as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
    let status = Service::shared().generate(of(support::EMBEDDING)).await.unwrap_err();
    assert_eq!((reason(&status).0, reason(&status).1.as_str()), (Code::InvalidArgument, "VALUE_CONFLICT"));
    assert_eq!(Written::default().calls, []);
}
