//! The thread that computes, by itself: what it does not do any more for whom nobody listens.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use uait_ml_inference::config::Limits;
use uait_ml_inference::generation::constraint::Constraint;
use uait_ml_inference::generation::{Event, Generator, Listener, Request, Sampling};
use uait_ml_inference::statistics::Statistics;

const LIMITS: Limits = Limits { threads: 1, batch_threads: 1, context_tokens: 1024, slots: 2, queue: 4 };
const GREEDY: Sampling = Sampling {
    temperature: 0.0,
    top_p: 1.0,
    top_k: 0,
    min_p: 0.0,
    seed: 0,
    frequency_penalty: 0.0,
    presence_penalty: 0.0,
    repeat_penalty: 1.0,
};

/// Goes away after some tokens, and notes what it hears.
struct Leaving {
    after: usize,
    heard: Arc<AtomicUsize>,
    ended: Sender<()>,
}

impl Listener for Leaving {
    fn tell(&mut self, event: Event) {
        match event {
            Event::Started { .. } => {}
            Event::Piece(piece) => _ = self.heard.fetch_add(piece.tokens, SeqCst),
            Event::Ended(_) | Event::Failed(_) => self.ended.send(()).unwrap(),
        }
    }

    fn is_gone(&self) -> bool {
        self.heard.load(SeqCst) >= self.after
    }
}

fn request(
    generator: &Generator,
    after: usize,
    most: usize,
) -> (Request, Arc<AtomicUsize>, std::sync::mpsc::Receiver<()>) {
    let (heard, (ended, end)) = (Arc::new(AtomicUsize::new(0)), channel());
    let request = Request {
        prompt: generator.tokenize("Once upon a time", false).unwrap(),
        sampling: GREEDY,
        seeded: false,
        grammar: Some(generator.grammar(&Constraint::Grammar("root ::= [a-z ] root".to_owned())).unwrap()),
        stop: Vec::new(),
        max_output_tokens: Some(most),
        logprobs: 0,
        priority: 0,
        arrived: Instant::now(),
        listener: Box::new(Leaving { after, heard: heard.clone(), ended }),
    };
    (request, heard, end)
}

#[test]
fn text_that_nobody_hears_is_given_up_before_its_next_token() {
    let statistics = Arc::new(Statistics::default());
    let file = support::models().join(support::LLM).join("model.gguf");
    let generator = Generator::load(support::LLM, &file, LIMITS, statistics.clone()).unwrap();
    // Beside it, another goes on to its end.
    let (other, _, other_end) = request(&generator, usize::MAX, 40);
    let (left, heard, left_end) = request(&generator, 5, 500);
    generator.submit(left);
    generator.submit(other);
    other_end.recv_timeout(support::PATIENCE).unwrap();
    // The thread's end: its texts are over, and its figures final.
    drop(generator);
    assert_eq!(heard.load(SeqCst), 5, "no token after it left");
    assert!(left_end.try_recv().is_err(), "and no end");
    assert_eq!(statistics.output_tokens.load(SeqCst), 45);
    assert_eq!((statistics.running.load(SeqCst), statistics.queued.load(SeqCst)), (0, 0));
}
