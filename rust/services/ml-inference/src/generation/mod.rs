//! Text generation by llama.cpp: several requests at once in one batch, each token streamed as it is chosen.

mod batch;
mod cache;
pub mod constraint;
pub mod conversation;
mod queue;
mod regex;
pub mod sampler;
mod sequence;
mod text;
pub mod tools;
mod worker;

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use crate::config::Limits;
use crate::error::{Error, Fault};
use crate::statistics::Statistics;
use constraint::Constraint;
use conversation::Template;
pub use sampler::{Logprob, Sampling};

/// What is to be written.
pub struct Request {
    /// The prompt's tokens: at least one, and fewer than the context has.
    pub prompt: Vec<LlamaToken>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Whether the caller gave the seed, and so wants the same text again.
    pub seeded: bool,
    /// The form of the text.
    pub grammar: Option<LlamaSampler>,
    /// The text ends before any of these.
    pub stop: Vec<String>,
    /// Most tokens to write; what the context leaves, when absent.
    pub max_output_tokens: Option<usize>,
    /// Alternatives to report for each token; 0 reports no log probabilities.
    pub logprobs: usize,
    /// Higher ones get a free slot first.
    pub priority: i32,
    /// When the request came.
    pub arrived: Instant,
    /// Who hears of it.
    pub listener: Box<dyn Listener>,
}

/// Who hears of a text. Called from the thread that computes, so it must not block.
pub trait Listener: Send {
    /// Something happened.
    fn tell(&mut self, event: Event);
    /// Whether nobody listens any more; the text is given up before its next token.
    fn is_gone(&self) -> bool;
}

/// What happens to a text.
#[derive(Debug)]
pub enum Event {
    /// A slot was found and the prompt was read.
    Started {
        /// Time in the queue.
        queued: Duration,
        /// Tokens of the prompt.
        input_tokens: usize,
        /// Of these, those whose key-value cache was reused.
        cached_tokens: usize,
    },
    /// The next piece.
    Piece(Piece),
    /// The text has ended.
    Ended(Ending),
    /// The text was given up.
    Failed(Error),
}

/// A piece of a text.
#[derive(Debug, Default, PartialEq)]
pub struct Piece {
    /// Whole code points.
    pub text: String,
    /// Tokens it is made of.
    pub tokens: usize,
    /// Those tokens, where they were asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// A token of a text, and what it could have been.
#[derive(Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token's bytes and logarithm.
    pub chosen: (Vec<u8>, Logprob),
    /// The likeliest tokens, likeliest first.
    pub alternatives: Vec<(Vec<u8>, Logprob)>,
}

/// How a text ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// Whether a limit cut it.
    pub cut: bool,
    /// The stop text that ended it; empty for none.
    pub stop: String,
    /// Tokens of the prompt.
    pub input_tokens: usize,
    /// Of these, those whose key-value cache was reused.
    pub cached_tokens: usize,
    /// Tokens written.
    pub output_tokens: usize,
    /// From the arrival of the request to the first token.
    pub time_to_first_token: Duration,
    /// From the arrival of the request to the last token.
    pub elapsed: Duration,
}

/// What a model's file says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Such as "llama".
    pub architecture: String,
    /// Such as "Q4_1"; empty where the weights are not quantized.
    pub quantization: String,
    /// Number of weights.
    pub parameters: u64,
    /// Weights, key-value cache: bytes.
    pub memory_bytes: u64,
    /// Longest input and output together.
    pub context_tokens: usize,
    /// Requests decoded at once.
    pub slots: usize,
}

/// A model in memory, with the thread that computes with it.
pub struct Generator {
    name: String,
    model: Arc<LlamaModel>,
    template: Option<Template>,
    facts: Facts,
    requests: Option<Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Generator {
    /// Loads a model; this takes about a second for each gigabyte.
    ///
    /// # Errors
    /// The file is no model that llama.cpp knows, or there is no memory for its cache.
    pub fn load(name: &str, file: &Path, limits: Limits, statistics: Arc<Statistics>) -> Result<Self, Fault> {
        let fault = |what: String| Fault { file: file.to_owned(), what };
        let backend = backend().map_err(fault)?;
        let model = LlamaModel::load_from_file(backend, file, &LlamaModelParams::default())
            .map_err(|error| fault(format!("llama.cpp cannot load it: {error}")))?;
        let model = Arc::new(model);
        let template = template_of(&model).map_err(|error| fault(format!("its chat template: {error}")))?;
        let (ready, loaded) = channel();
        let (requests, waiting) = channel();
        let work = worker::Work { name: name.to_owned(), model: model.clone(), limits, statistics, requests: waiting };
        let thread = thread::Builder::new()
            .name("llama".to_owned())
            .spawn(move || worker::run(backend, work, &ready))
            .map_err(|error| fault(error.to_string()))?;
        let context_tokens = loaded
            .recv()
            .map_err(|_| fault("its thread ended".to_owned()))?
            .map_err(|error| fault(format!("llama.cpp makes no context of it: {error}")))?;
        let facts = facts(&model, context_tokens, limits.slots);
        Ok(Self { name: name.to_owned(), model, template, facts, requests: Some(requests), thread: Some(thread) })
    }

    /// What the file says of the model.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The model's chat template.
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    /// The tokens of a prompt. In one that a template has `rendered`, the texts of control tokens are those.
    ///
    /// # Errors
    /// There are none, or more than the model takes.
    pub fn tokenize(&self, prompt: &str, rendered: bool) -> Result<Vec<LlamaToken>, Error> {
        // Many templates write the begin token themselves.
        let begins = |template: &Template| !template.bos().is_empty() && prompt.starts_with(template.bos());
        let begun = rendered && self.template.as_ref().is_some_and(begins);
        let tokens = self.model.vocab().tokenize(prompt.as_bytes(), !begun, rendered);
        let limit = self.facts.context_tokens.saturating_sub(1);
        if tokens.len() > limit {
            return Err(Error::InputTooLong { model: self.name.clone(), tokens: tokens.len(), limit });
        }
        if tokens.is_empty() {
            return Err(Error::Conflict { field: "prompt", text: "it has no tokens".to_owned() });
        }
        Ok(tokens)
    }

    /// A constraint as the sampler takes it.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn grammar(&self, constraint: &Constraint) -> Result<LlamaSampler, Error> {
        let grammar = constraint.to_gbnf()?;
        LlamaSampler::grammar(&self.model, &grammar, "root").map_err(|error| Error::Expression {
            field: constraint.field(),
            kind: constraint.kind(),
            position: String::new(),
            text: error.to_string(),
        })
    }

    /// Queues a request. Whatever becomes of it is told to its listener.
    pub fn submit(&self, request: Request) {
        let refused = match &self.requests {
            Some(requests) => requests.send(request).err().map(|error| error.0),
            None => Some(request),
        };
        if let Some(mut request) = refused {
            request.listener.tell(Event::Failed(Error::Internal("the thread that computes has ended".to_owned())));
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// llama.cpp's own start, once a process.
fn backend() -> Result<&'static LlamaBackend, String> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let started = BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().map_err(|error| error.to_string())
    });
    started.as_ref().map_err(Clone::clone)
}

/// Contexts are made one after the other: making one writes to its model (llama-cpp-2, `LlamaModel::new_context`).
fn making_contexts() -> std::sync::MutexGuard<'static, ()> {
    static MAKING: Mutex<()> = Mutex::new(());
    MAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn template_of(model: &LlamaModel) -> Result<Option<Template>, String> {
    let Ok(source) = model.meta_val_str("tokenizer.chat_template") else { return Ok(None) };
    let text = |token: LlamaToken| {
        if token.0 < 0 {
            return String::new();
        }
        String::from_utf8_lossy(&model.vocab().token_to_piece(token, true, None)).into_owned()
    };
    Template::new(source, text(model.vocab().bos()), text(model.vocab().eos())).map(Some)
}

fn facts(model: &LlamaModel, context_tokens: usize, slots: usize) -> Facts {
    let meta = |key: &str| model.meta_val_str(key).unwrap_or_default();
    let width = |what: &str| -> u64 {
        let own = meta(&format!("{}.attention.{what}_length", meta("general.architecture"))).parse();
        own.unwrap_or_else(|_| u64::try_from(model.n_embd()).unwrap_or(0) / u64::from(model.n_head().max(1)))
    };
    let halves = u64::from(model.n_layer()) * u64::from(model.n_head_kv()) * (width("key") + width("value"));
    Facts {
        architecture: meta("general.architecture"),
        quantization: file_type(meta("general.file_type").parse().ok()),
        parameters: model.n_params(),
        memory_bytes: model.size() + 2 * halves * u64::try_from(context_tokens).unwrap_or(0),
        context_tokens,
        slots,
    }
}

/// Names of `general.file_type` (llama.h, `llama_ftype`).
fn file_type(number: Option<u32>) -> String {
    match number {
        None | Some(0 | 1 | 32) => "",
        Some(2) => "Q4_0",
        Some(3) => "Q4_1",
        Some(7) => "Q8_0",
        Some(8) => "Q5_0",
        Some(9) => "Q5_1",
        Some(10) => "Q2_K",
        Some(11) => "Q3_K_S",
        Some(12) => "Q3_K_M",
        Some(13) => "Q3_K_L",
        Some(14) => "Q4_K_S",
        Some(15) => "Q4_K_M",
        Some(16) => "Q5_K_S",
        Some(17) => "Q5_K_M",
        Some(18) => "Q6_K",
        Some(19) => "IQ2_XXS",
        Some(20) => "IQ2_XS",
        Some(23) => "IQ3_XXS",
        Some(25) => "IQ4_NL",
        Some(26) => "IQ3_S",
        Some(30) => "IQ4_XS",
        Some(other) => return format!("file type {other}"),
    }
    .to_owned()
}
