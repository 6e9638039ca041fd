//! One text being written: its tokens so far, how they are chosen, and who hears of them.

use std::time::{Duration, Instant};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::sampler::{Logprob, Sampler, Stuck};
use super::text::Text;
use super::{Ending, Event, Listener, Piece, Request, TokenLogprob};
use crate::error::Error;

/// A text that has a slot.
pub struct Sequence {
    /// Slot of the cache.
    pub slot: usize,
    /// Number of its admission: the lower the older.
    pub order: u64,
    /// The prompt, and what was written.
    pub tokens: Vec<LlamaToken>,
    /// Its cells were given to an older text; it waits until there is room for them again.
    pub paused: bool,
    listener: Box<dyn Listener>,
    sampler: Sampler,
    text: Text,
    piece: Piece,
    input_tokens: usize,
    cached_tokens: usize,
    most: usize,
    arrived: Instant,
    admitted: Instant,
    first_token: Option<Instant>,
}

/// Whether a text goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Its last token is to be read.
    GoesOn,
    /// It has ended, and its listener was told.
    Ended,
}

impl Sequence {
    /// Begins a text in a slot, `cached_tokens` of whose prompt are in the cache.
    pub fn begin(
        model: &LlamaModel,
        request: Request,
        (slot, order): (usize, u64),
        cached_tokens: usize,
        context: usize,
        now: Instant,
    ) -> Self {
        let window = u32::try_from(context).unwrap_or(u32::MAX);
        let mut sampler = Sampler::new(model, request.sampling, request.grammar, request.logprobs, window);
        request.prompt.iter().for_each(|token| sampler.seen(*token));
        let left = context.saturating_sub(request.prompt.len());
        Self {
            slot,
            order,
            input_tokens: request.prompt.len(),
            cached_tokens,
            tokens: request.prompt,
            paused: false,
            listener: request.listener,
            sampler,
            text: Text::new(request.stop),
            piece: Piece::default(),
            most: request.max_output_tokens.map_or(left, |most| most.min(left)),
            arrived: request.arrived,
            admitted: now,
            first_token: None,
        }
    }

    /// Whether nobody listens any more.
    pub fn is_gone(&self) -> bool {
        self.listener.is_gone()
    }

    /// Tokens of the prompt, and of these those that the cache held.
    pub fn input(&self) -> (usize, usize) {
        (self.input_tokens, self.cached_tokens)
    }

    /// Chooses the next token by the logits after the last, and tells what comes of it.
    pub fn advance(&mut self, model: &LlamaModel, logits: &[f32], now: Instant) -> Result<Next, Stuck> {
        if self.first_token.is_none() {
            self.first_token = Some(now);
            self.listener.tell(Event::Started {
                queued: self.admitted.saturating_duration_since(self.arrived),
                input_tokens: self.input_tokens,
                cached_tokens: self.cached_tokens,
            });
        }
        let chosen = self.sampler.choose(logits)?;
        if model.vocab().is_eog(chosen.token) {
            self.end(false, String::new(), now);
            return Ok(Next::Ended);
        }
        self.tokens.push(chosen.token);
        let bytes = |token| model.vocab().token_to_piece(token, false, None);
        let own = bytes(chosen.token);
        self.piece.tokens += 1;
        if let Some((own_logprob, alternatives)) = chosen.logprobs {
            let with_bytes = |logprob: Logprob| (bytes(logprob.token), logprob);
            self.piece.logprobs.push(TokenLogprob {
                chosen: (own.clone(), own_logprob),
                alternatives: alternatives.into_iter().map(with_bytes).collect(),
            });
        }
        let added = self.text.push(&own);
        self.piece.text.push_str(&added.text);
        if let Some(stop) = added.stop {
            self.end(false, stop, now);
            return Ok(Next::Ended);
        }
        if self.output_tokens() >= self.most {
            self.end(true, String::new(), now);
            return Ok(Next::Ended);
        }
        if !self.piece.text.is_empty() {
            self.send();
        }
        Ok(Next::GoesOn)
    }

    /// Gives the text up.
    pub fn fail(&mut self, error: Error) {
        self.listener.tell(Event::Failed(error));
    }

    fn output_tokens(&self) -> usize {
        self.tokens.len() - self.input_tokens
    }

    fn send(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        self.listener.tell(Event::Piece(piece));
    }

    fn end(&mut self, cut: bool, stop: String, now: Instant) {
        if stop.is_empty() {
            let rest = self.text.finish();
            self.piece.text.push_str(&rest);
        }
        if self.piece.tokens > 0 {
            self.send();
        }
        let since = |moment: Option<Instant>| {
            moment.map_or(Duration::ZERO, |moment| moment.saturating_duration_since(self.arrived))
        };
        let ending = Ending {
            cut,
            stop,
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            output_tokens: self.output_tokens(),
            time_to_first_token: since(self.first_token),
            elapsed: since(Some(now)),
        };
        self.listener.tell(Event::Ended(ending));
    }
}
