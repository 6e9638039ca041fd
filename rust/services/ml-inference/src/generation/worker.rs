//! The thread that owns a model's context: it takes requests, computes step by step, and tells listeners what comes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::batch::{Pending, Plan, Share, plan, to_resume};
use super::cache::Cache;
use super::queue::Queue;
use super::sequence::{Next, Sequence};
use super::{Event, Request, making_contexts};
use crate::config::Limits;
use crate::error::Error;
use crate::statistics::Statistics;

/// Most tokens of one step.
const BATCH: usize = 512;
/// Room for an answer that a request must find beside its prompt to be let in while others run.
const HEADROOM: usize = 64;

/// What the thread is given.
pub struct Work {
    /// The model's name.
    pub name: String,
    /// The model.
    pub model: Arc<LlamaModel>,
    /// How it is run.
    pub limits: Limits,
    /// Where it counts.
    pub statistics: Arc<Statistics>,
    /// What is to be done; its end is the thread's.
    pub requests: Receiver<Request>,
}

/// Runs until the requests' sender is gone and all texts have ended. Says first whether there is a context, and of how many tokens.
pub fn run(backend: &LlamaBackend, work: Work, ready: &Sender<Result<usize, String>>) {
    let trained = work.model.n_ctx_train();
    let context_tokens = work.limits.context_tokens.min(if trained == 0 { u32::MAX } else { trained });
    let size = u32::try_from(BATCH).unwrap_or(u32::MAX).min(context_tokens);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(context_tokens))
        .with_n_batch(size)
        .with_n_ubatch(size)
        .with_n_seq_max(u32::try_from(work.limits.slots).unwrap_or(1))
        .with_kv_unified(true)
        .with_n_threads(work.limits.threads)
        .with_n_threads_batch(work.limits.batch_threads)
        .with_no_perf(true);
    let model = work.model.clone();
    let context = {
        let _one_at_a_time = making_contexts();
        model.new_context(backend, params)
    };
    let context = match context {
        Ok(context) => context,
        Err(error) => {
            ready.send(Err(error.to_string())).ok();
            return;
        }
    };
    let cells = usize::try_from(context_tokens).unwrap_or(usize::MAX);
    work.statistics.cells.1.store(u64::from(context_tokens), Relaxed);
    ready.send(Ok(cells)).ok();
    let mut worker = Worker {
        name: work.name,
        model: &model,
        context,
        batch: LlamaBatch::new(BATCH.min(cells), 1),
        cache: Cache::new(work.limits.slots, cells),
        queue: Queue::new(work.limits.queue.saturating_add(work.limits.slots)),
        queue_limit: work.limits.queue,
        texts: Vec::new(),
        admissions: 0,
        statistics: &work.statistics,
    };
    worker.serve(&work.requests);
    worker.statistics.cells.0.store(0, Relaxed);
    worker.statistics.cells.1.store(0, Relaxed);
}

struct Worker<'m> {
    name: String,
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'m>,
    cache: Cache<LlamaToken>,
    queue: Queue<Request>,
    queue_limit: usize,
    texts: Vec<Sequence>,
    admissions: u64,
    statistics: &'m Statistics,
}

impl Worker<'_> {
    fn serve(&mut self, requests: &Receiver<Request>) {
        loop {
            if self.texts.is_empty() && self.queue.is_empty() {
                match requests.recv() {
                    Ok(request) => self.enqueue(request),
                    Err(_) => return,
                }
            }
            while let Ok(request) = requests.try_recv() {
                self.enqueue(request);
            }
            self.give_up_unheard();
            self.admit();
            self.step();
            self.count();
        }
    }

    fn enqueue(&mut self, request: Request) {
        // A request that a free slot waits for does not count as waiting.
        self.admit();
        let limit = if self.cache.has_room() && self.queue.is_empty() { usize::MAX } else { self.queue_limit };
        if self.queue.len() >= limit {
            return self.refuse(request);
        }
        let priority = request.priority;
        if let Err(request) = self.queue.push(priority, request) {
            self.refuse(request);
        }
        self.admit();
        self.count();
    }

    fn refuse(&self, mut request: Request) {
        let overloaded = Error::Overloaded { model: self.name.clone(), limit: self.queue_limit };
        request.listener.tell(Event::Failed(overloaded));
    }

    fn count(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.statistics.running.store(number(self.texts.len()), Relaxed);
        self.statistics.queued.store(number(self.queue.len()), Relaxed);
        self.statistics.cells.0.store(u64::try_from(self.cache.used()).unwrap_or(u64::MAX), Relaxed);
    }

    fn give_up_unheard(&mut self) {
        self.queue.retain(|request| !request.listener.is_gone());
        let cache = &mut self.cache;
        self.texts.retain(|text| {
            let gone = text.is_gone();
            if gone {
                cache.release(text.slot);
            }
            !gone
        });
    }

    /// Cells that are not held for a text that is being written.
    fn free_cells(&self) -> usize {
        let busy: usize = self.texts.iter().map(|text| self.cache.held(text.slot)).sum();
        self.cache.cells().saturating_sub(busy)
    }

    fn admit(&mut self) {
        while self.cache.has_room() {
            let alone = self.texts.is_empty();
            let promised: usize = self.texts.iter().map(|text| text.tokens.len() - self.cache.held(text.slot)).sum();
            let free = self.free_cells().saturating_sub(promised);
            let Some(request) = self.queue.pop() else { return };
            if !alone && request.prompt.len() + HEADROOM > free {
                // Whoever is next in line stays so: its place among its priority is the first, since all others came later.
                self.put_back(request);
                return;
            }
            self.begin(request);
        }
    }

    fn put_back(&mut self, request: Request) {
        let priority = request.priority;
        let rest: Vec<Request> = std::iter::from_fn(|| self.queue.pop()).collect();
        for request in std::iter::once(request).chain(rest) {
            let own = request.priority;
            debug_assert!(own <= priority);
            if let Err(request) = self.queue.push(own, request) {
                self.refuse(request);
            }
        }
    }

    fn begin(&mut self, request: Request) {
        if request.seeded && self.cache.is_idle() {
            // The same text again needs the same sums in the same order: an empty cache, and the whole prompt read anew.
            self.forget_all();
        }
        let Some(place) = self.cache.place(&request.prompt, !request.seeded) else { return };
        let mut reused = place.reused;
        if self.keep_beginning(place.slot, place.donor, reused).is_err() {
            // Recurrent models keep a state, not cells: their sequences cannot be cut.
            self.cache.clear(place.slot);
            self.clear_cells(place.slot);
            reused = 0;
        }
        self.admissions += 1;
        let at = (place.slot, self.admissions);
        let text = Sequence::begin(self.model, request, at, reused, self.cache.cells(), Instant::now());
        let (input, cached) = text.input();
        self.statistics.input_tokens.fetch_add(i64::try_from(input).unwrap_or(0), Relaxed);
        self.statistics.cached_input_tokens.fetch_add(i64::try_from(cached).unwrap_or(0), Relaxed);
        self.texts.push(text);
    }

    fn keep_beginning(&mut self, slot: usize, donor: Option<usize>, tokens: usize) -> Result<(), ()> {
        let Ok(end) = u32::try_from(tokens) else { return Err(()) };
        match donor {
            None => self.context.kv_cache_seq_rm(id(slot), Some(end), None).map_err(|_| ()),
            Some(donor) => {
                self.clear_cells(slot);
                self.context.kv_cache_seq_cp(id(donor), id(slot), Some(0), Some(end)).map_err(|_| ())
            }
        }
    }

    fn clear_cells(&mut self, slot: usize) {
        // Taking out a whole sequence cannot fail.
        self.context.kv_cache_seq_rm(id(slot), None, None).ok();
    }

    fn forget_all(&mut self) {
        while let Some(slot) = self.cache.least_useful() {
            self.cache.clear(slot);
            self.clear_cells(slot);
        }
    }

    fn pending(&self) -> Vec<Pending> {
        let of = |(index, text): (usize, &Sequence)| Pending {
            index,
            order: text.order,
            tokens: text.tokens.len() - self.cache.held(text.slot),
            paused: text.paused,
        };
        self.texts.iter().enumerate().map(of).collect()
    }

    fn step(&mut self) {
        if let Some(index) = to_resume(&self.pending(), self.free_cells())
            && let Some(text) = self.texts.get_mut(index)
        {
            text.paused = false;
        }
        let size = BATCH.min(self.cache.cells());
        match plan(&self.pending(), size, self.free_cells()) {
            Plan::Nothing => {}
            Plan::Pause(index) => self.pause(index),
            Plan::Read(shares) => self.read(&shares),
        }
    }

    fn pause(&mut self, index: usize) {
        let Some(text) = self.texts.get_mut(index) else { return };
        text.paused = true;
        let slot = text.slot;
        tracing::debug!(model = self.name, slot, "the cache is full: the youngest text waits");
        self.cache.clear(slot);
        self.clear_cells(slot);
    }

    fn read(&mut self, shares: &[Share]) {
        let wanted: usize = shares.iter().map(|share| share.tokens).sum();
        while self.cache.used() + wanted > self.cache.cells() {
            let Some(slot) = self.cache.least_useful() else { break };
            self.cache.clear(slot);
            self.clear_cells(slot);
        }
        let began = Instant::now();
        let outputs = match self.fill(shares) {
            Ok(outputs) => outputs,
            Err(error) => return self.fail_all(&error),
        };
        match self.context.decode(&mut self.batch) {
            Ok(()) => {}
            Err(DecodeError::NoKvCacheSlot) if self.texts.len() > 1 => {
                // Cells are counted here, so this does not happen; if it did, the youngest would have to wait.
                let youngest = self.texts.iter().enumerate().max_by_key(|(_, text)| text.order).map(|(index, _)| index);
                return youngest.map_or((), |index| self.pause(index));
            }
            Err(error) => return self.fail_all(&error.to_string()),
        }
        for share in shares {
            if let Some(text) = self.texts.get(share.index) {
                let held = self.cache.held(text.slot);
                self.cache.extend(text.slot, text.tokens.get(held..held + share.tokens).unwrap_or_default());
            }
        }
        let written = self.write(&outputs);
        let now = Instant::now();
        let read = wanted.saturating_sub(outputs.len());
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.statistics.step(now, now.saturating_duration_since(began), number(read), number(written));
    }

    /// Fills the batch; returns which text's logits come at which place of it.
    fn fill(&mut self, shares: &[Share]) -> Result<Vec<(usize, i32)>, String> {
        self.batch.clear();
        let mut outputs = Vec::with_capacity(shares.len());
        for share in shares {
            let Some(text) = self.texts.get(share.index) else { continue };
            let held = self.cache.held(text.slot);
            let tokens = text.tokens.get(held..held + share.tokens).unwrap_or_default();
            for (position, token) in (held..).zip(tokens) {
                let last = position + 1 == text.tokens.len();
                if last {
                    outputs.push((share.index, self.batch.n_tokens()));
                }
                let position = i32::try_from(position).map_err(|error| error.to_string())?;
                self.batch.add(*token, position, &[id(text.slot)], last).map_err(|error| error.to_string())?;
            }
        }
        Ok(outputs)
    }

    /// Chooses a token of each text whose logits were computed; returns how many were written.
    fn write(&mut self, outputs: &[(usize, i32)]) -> usize {
        let mut ended = Vec::new();
        let mut written = 0;
        for (index, place) in outputs {
            let Some(text) = self.texts.get_mut(*index) else { continue };
            if text.is_gone() {
                continue;
            }
            let before = text.tokens.len();
            match text.advance(self.model, self.context.get_logits_ith(*place), Instant::now()) {
                Ok(Next::GoesOn) => {}
                Ok(Next::Ended) => ended.push(text.order),
                Err(stuck) => {
                    text.fail(Error::Internal(stuck.to_string()));
                    ended.push(text.order);
                }
            }
            written += text.tokens.len() - before;
        }
        self.statistics.output_tokens.fetch_add(i64::try_from(written).unwrap_or(0), Relaxed);
        let cache = &mut self.cache;
        self.texts.retain(|text| {
            let over = ended.contains(&text.order);
            if over {
                cache.release(text.slot);
            }
            !over
        });
        written
    }

    fn fail_all(&mut self, error: &str) {
        tracing::error!(model = self.name, error, "a step failed");
        for mut text in self.texts.drain(..) {
            text.fail(Error::Internal(error.to_owned()));
            self.cache.release(text.slot);
        }
        self.forget_all();
    }
}

fn id(slot: usize) -> i32 {
    i32::try_from(slot).unwrap_or(i32::MAX)
}
