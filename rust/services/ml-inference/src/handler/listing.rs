//! Models and their statistics as they travel, and lists of them page by page.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use uait_gen::ml_inference::v1::get_statistics_response::ModelStatistics;
use uait_gen::ml_inference::v1::{ListModelsRequest, ListModelsResponse, Model as ModelMessage, ModelKind, ModelState};
use uait_gen::types::v1::{Failure, Usage};

use super::convert::{count32, count64, duration};
use crate::error::Error;
use crate::generation::conversation::Template;
use crate::models::{Loaded, Model, Models, State};
use crate::repository::Kind;

/// Models of a page where the request does not say.
const PAGE: usize = 100;

/// A model as it travels.
pub fn model(model: &Model) -> ModelMessage {
    let entry = model.entry();
    let size: u64 = std::fs::metadata(&entry.model.file).map_or(0, |metadata| metadata.len());
    let mut message = ModelMessage {
        name: entry.name.clone(),
        kind: kind(entry.kind).into(),
        format: entry.format().to_owned(),
        licence: entry.licence.clone(),
        sha256: model.sum(),
        size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
        ..ModelMessage::default()
    };
    model.show(|state, fault, loaded| {
        message.state = state_of(state).into();
        message.failure = fault.map(|fault| failure(&entry.name, fault.clone()));
        if let Some(loaded) = loaded {
            describe(&mut message, loaded);
        }
    });
    message
}

/// What only the model itself tells, in memory.
fn describe(message: &mut ModelMessage, loaded: &Loaded) {
    match loaded {
        Loaded::Generator(generator) => {
            let facts = generator.facts();
            message.architecture.clone_from(&facts.architecture);
            message.quantization.clone_from(&facts.quantization);
            message.memory_bytes = i64::try_from(facts.memory_bytes).unwrap_or(i64::MAX);
            message.parameters = i64::try_from(facts.parameters).unwrap_or(i64::MAX);
            message.context_tokens = count32(facts.context_tokens);
            message.slots = count32(facts.slots);
            message.chat = generator.template().is_some();
            message.tools = generator.template().is_some_and(Template::takes_tools);
        }
        Loaded::Embedder(embedder) => {
            // The weights are nearly all of it; what ONNX Runtime keeps beside them it does not tell.
            message.memory_bytes = message.size_bytes;
            message.context_tokens = count32(embedder.context_tokens());
            message.dimensions = count32(embedder.dimensions());
            message.slots = 1;
        }
        Loaded::Tensor(_) => {
            message.memory_bytes = message.size_bytes;
            message.slots = 1;
        }
    }
}

fn kind(kind: Kind) -> ModelKind {
    match kind {
        Kind::Generation => ModelKind::Generation,
        Kind::Embedding => ModelKind::Embedding,
        Kind::Tensor => ModelKind::Tensor,
    }
}

fn state_of(state: State) -> ModelState {
    match state {
        State::Unloaded => ModelState::Unloaded,
        State::Loading => ModelState::Loading,
        State::Ready => ModelState::Ready,
        State::Unloading => ModelState::Unloading,
        State::Failed => ModelState::Failed,
    }
}

fn failure(name: &str, fault: crate::error::Fault) -> Failure {
    let error = Error::Unsound { model: name.to_owned(), fault };
    let message = error.to_string();
    let status = tonic::Status::from(error);
    let reason = uait_kit::status::error_info(&status).map(|info| info.reason).unwrap_or_default();
    Failure { code: status.code().into(), reason, message, field_violations: Vec::new() }
}

/// A page of the models that a request asks for.
///
/// # Errors
/// The page token was not issued for this request.
pub fn page(models: &Models, request: &ListModelsRequest) -> Result<ListModelsResponse, Error> {
    let size = usize::try_from(request.page_size).ok().filter(|size| *size > 0).unwrap_or(PAGE);
    // The token is the request's filter and the last name of the page before.
    let filter = format!("{}.{}.", request.kind, request.state);
    let after = match request.page_token.as_str() {
        "" => "",
        token => token.strip_prefix(filter.as_str()).filter(|name| !name.is_empty()).ok_or(Error::PageToken)?,
    };
    let mut wanted = models
        .all()
        .filter(|model| model.entry().name.as_str() > after)
        .map(|entry| model(entry))
        .filter(|model| [model.kind, ModelKind::Unspecified.into()].contains(&request.kind))
        .filter(|model| [model.state, ModelState::Unspecified.into()].contains(&request.state));
    let page: Vec<ModelMessage> = wanted.by_ref().take(size).collect();
    let more = wanted.next().is_some();
    let last = page.last().filter(|_| more);
    let next_page_token = last.map(|last| format!("{filter}{}", last.name)).unwrap_or_default();
    Ok(ListModelsResponse { models: page, next_page_token })
}

/// What a model has done, as it travels.
pub fn statistics(model: &Model, now: Instant) -> ModelStatistics {
    let statistics = model.statistics();
    let (input_tokens_per_second, output_tokens_per_second) = statistics.tokens_per_second(now);
    let (calls, failed_calls) = (statistics.calls.load(Relaxed), statistics.failed_calls.load(Relaxed));
    let narrow = |count: i64| count32(usize::try_from(count).unwrap_or(0));
    ModelStatistics {
        model: model.entry().name.clone(),
        calls,
        failed_calls,
        usage: Some(Usage {
            input_tokens: statistics.input_tokens.load(Relaxed),
            cached_input_tokens: statistics.cached_input_tokens.load(Relaxed),
            output_tokens: statistics.output_tokens.load(Relaxed),
            calls: narrow(calls + failed_calls),
            ..Usage::default()
        }),
        running: narrow(statistics.running.load(Relaxed)),
        queued: narrow(statistics.queued.load(Relaxed)),
        cache_utilisation: statistics.cache_utilisation(),
        input_tokens_per_second,
        output_tokens_per_second,
        busy: duration(statistics.busy()),
    }
}

/// What a piece of embedding work used, as it travels.
pub fn usage_of_input(tokens: usize) -> Usage {
    Usage { input_tokens: count64(tokens), calls: 1, ..Usage::default() }
}
