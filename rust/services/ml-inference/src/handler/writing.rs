//! A text on its way to the caller: from the thread that computes to the stream of the call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::Status;
use uait_gen::ml_inference::v1::GenerationStart;
use uait_gen::types::v1::{GenerationEnd, Sampling as SamplingMessage, TextDelta, ToolCall};

use super::convert;
use crate::digest::hex;
use crate::error::Error;
use crate::generation::constraint::Constraint;
use crate::generation::tools::{Answer, Toolbox};
use crate::generation::{Event, Listener, Piece, Request};
use crate::models::Hold;

/// What a caller is told of its text.
pub enum Told {
    /// The first.
    Start(GenerationStart),
    /// A piece.
    Delta(TextDelta),
    /// A call of a tool.
    Call(ToolCall),
    /// The last.
    End(GenerationEnd),
}

/// A text to be written.
pub struct Order {
    /// What the text goes on from.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: SamplingMessage,
    /// Its form.
    pub constraint: Option<Constraint>,
    /// Tools that may be called instead.
    pub toolbox: Option<Toolbox>,
    /// Alternatives to report.
    pub logprobs: i32,
    /// Higher ones first.
    pub priority: i32,
}

/// What a text goes on from.
pub enum Prompt {
    /// A text as it stands.
    Text(String),
    /// What a chat template made: its control tokens are such.
    Rendered(String),
}

struct ToStream(UnboundedSender<Event>);

impl Listener for ToStream {
    fn tell(&mut self, event: Event) {
        // The receiver is gone when nobody listens, which is asked for separately. What waits is bounded by the model's context.
        self.0.send(event).ok();
    }

    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// Begins a text; the stream ends with its end, or with why there is none.
///
/// # Errors
/// The order cannot be carried out.
pub async fn begin(hold: Hold, order: Order) -> Result<BoxStream<'static, Result<Told, Status>>, Status> {
    let arrived = Instant::now();
    let seed = match order.sampling.seed {
        Some(seed) => seed,
        None => u64::from_ne_bytes(random()?),
    };
    let sampling = convert::sampling(&order.sampling, hold.entry().sampling, seed);
    let (sender, events) = unbounded_channel();
    let toolbox = order.toolbox.map(Arc::new);
    let constraint = match &toolbox {
        Some(toolbox) => Some(Constraint::JsonSchema(toolbox.schema())),
        None => order.constraint,
    };
    let (hold, prepared) = prepare(hold, order.prompt, constraint).await?;
    hold.generator()?.submit(Request {
        prompt: prepared.0,
        sampling,
        seeded: order.sampling.seed.is_some(),
        grammar: prepared.1,
        stop: order.sampling.stop,
        max_output_tokens: order.sampling.max_output_tokens.and_then(|most| usize::try_from(most).ok()),
        logprobs: usize::try_from(order.logprobs).unwrap_or(0),
        priority: order.priority,
        arrived,
        listener: Box::new(ToStream(sender)),
    });
    let telling = Telling { hold, events, seed, toolbox, whole: Piece::default(), next: VecDeque::new(), over: false };
    Ok(stream::unfold(telling, Telling::tell).boxed())
}

type Prepared = (Vec<llama_cpp_2::token::LlamaToken>, Option<llama_cpp_2::sampling::LlamaSampler>);

/// Long prompts and grammars take their time, so this runs beside the calls of others.
async fn prepare(hold: Hold, prompt: Prompt, constraint: Option<Constraint>) -> Result<(Hold, Prepared), Error> {
    super::compute_with(hold, move |hold, _| {
        let generator = hold.generator()?;
        let tokens = match prompt {
            Prompt::Text(text) => generator.tokenize(&text, false)?,
            Prompt::Rendered(text) => generator.tokenize(&text, true)?,
        };
        let grammar = constraint.as_ref().map(|constraint| generator.grammar(constraint)).transpose()?;
        Ok((tokens, grammar))
    })
    .await
}

struct Telling {
    hold: Hold,
    events: UnboundedReceiver<Event>,
    seed: u64,
    toolbox: Option<Arc<Toolbox>>,
    /// With tools, the whole answer: only its end says what it is.
    whole: Piece,
    next: VecDeque<Result<Told, Status>>,
    over: bool,
}

impl Telling {
    async fn tell(mut self) -> Option<(Result<Told, Status>, Self)> {
        loop {
            if let Some(told) = self.next.pop_front() {
                return Some((told, self));
            }
            if self.over {
                return None;
            }
            match self.events.recv().await {
                Some(event) => self.hear(event),
                None => self.fail(Error::Internal("the text was left without an end".to_owned())),
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Started { queued, input_tokens, cached_tokens } => {
                self.next.push_back(Ok(Told::Start(GenerationStart {
                    model: self.hold.name().to_owned(),
                    seed: self.seed,
                    queued: convert::duration(queued),
                    input_tokens: convert::count32(input_tokens),
                    cached_input_tokens: convert::count32(cached_tokens),
                })));
            }
            Event::Piece(piece) if self.toolbox.is_some() => {
                self.whole.text.push_str(&piece.text);
                self.whole.tokens += piece.tokens;
                self.whole.logprobs.extend(piece.logprobs);
            }
            Event::Piece(piece) => self.next.push_back(Ok(Told::Delta(convert::delta(piece)))),
            Event::Ended(ending) => {
                let calls_tool = match self.answer() {
                    Ok(calls_tool) => calls_tool,
                    Err(error) => return self.fail(error),
                };
                self.next.push_back(Ok(Told::End(convert::end(&ending, calls_tool))));
                self.hold.succeed();
                self.over = true;
            }
            Event::Failed(error) => self.fail(error),
        }
    }

    /// Tells what a model with tools has answered; returns whether it calls one.
    fn answer(&mut self) -> Result<bool, Error> {
        let Some(toolbox) = &self.toolbox else { return Ok(false) };
        let whole = std::mem::take(&mut self.whole);
        let (told, calls_tool) = match toolbox.read(&whole.text) {
            Some(Answer::Call { name, arguments }) => {
                let tool_call_id = format!("call_{}", hex(&random::<12>()?));
                (Told::Call(ToolCall { tool_call_id, name, arguments_json: arguments }), true)
            }
            Some(Answer::Text(text)) => (Told::Delta(convert::delta(Piece { text, ..whole })), false),
            // Cut short: what there is, as it is.
            None => (Told::Delta(convert::delta(whole)), false),
        };
        self.next.push_back(Ok(told));
        Ok(calls_tool)
    }

    fn fail(&mut self, error: Error) {
        self.next.push_back(Err(error.into()));
        self.over = true;
    }
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Internal("no random numbers".to_owned()))?;
    Ok(bytes)
}
