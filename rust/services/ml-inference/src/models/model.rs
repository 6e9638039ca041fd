//! One model, from life to life.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;

use crate::config::Config;
use crate::digest::Sums;
use crate::error::Fault;
use crate::generation::Generator;
use crate::keep_alive::Usage;
use crate::onnx::embedding::Embedder;
use crate::onnx::tensor::TensorModel;
use crate::repository::{Entry, Kind, Listed};
use crate::statistics::Statistics;

/// State of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On disk.
    Unloaded,
    /// Being checked and read.
    Loading,
    /// Takes calls.
    Ready,
    /// Lets its running calls end, and gives its memory back.
    Unloading,
    /// Could not be loaded.
    Failed,
}

/// A model in memory. Only its life and the holds on it have it, so that it leaves memory when its life lets it go and none is left.
#[derive(Clone)]
pub enum Loaded {
    /// Writes text.
    Generator(Arc<Generator>),
    /// Turns text into vectors.
    Embedder(Arc<Embedder>),
    /// Maps tensors to tensors.
    Tensor(Arc<TensorModel>),
}

pub(super) enum Life {
    /// `by_hand` when UnloadModel put it there: then only LoadModel brings it back, otherwise the next call does.
    Unloaded {
        by_hand: bool,
    },
    Loading,
    Ready(Loaded),
    /// UnloadModel lets the running calls end, and takes no others.
    Unloading,
    /// Nobody used it for long; calls wait until it is gone, and read it again.
    Releasing,
    Failed(Fault),
}

/// A model of the repository, whatever its state.
pub struct Model {
    pub(super) entry: Entry,
    life: Mutex<Life>,
    sums: Arc<Sums>,
    /// SHA-256 of the model's file, once it was computed.
    sum: Mutex<Option<String>>,
    /// Calls that hold it.
    pub(super) usage: watch::Sender<Usage>,
    /// Turned at each change of life.
    pub(super) changed: watch::Sender<u64>,
    pub(super) statistics: Arc<Statistics>,
    released: Counter,
}

impl Model {
    /// A model on disk. `released` counts how often nobody used it for long.
    pub(super) fn new(entry: Entry, sums: Arc<Sums>, released: Counter) -> Self {
        Self {
            entry,
            life: Mutex::new(Life::Unloaded { by_hand: false }),
            sums,
            sum: Mutex::new(None),
            usage: watch::Sender::new(Usage::new(Instant::now())),
            changed: watch::Sender::new(0),
            statistics: Arc::default(),
            released,
        }
    }

    /// What the repository says of it.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// What it has done.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// SHA-256 of its file: as computed, or else as listed; empty when neither is known yet.
    pub fn sum(&self) -> String {
        let computed = self.sum.lock().unwrap_or_else(PoisonError::into_inner).clone();
        computed.or_else(|| self.entry.model.sha256.clone()).unwrap_or_default()
    }

    /// Shows its state, why it is FAILED, and itself while READY; it stays as it is meanwhile.
    pub fn show<T>(&self, to: impl FnOnce(State, Option<&Fault>, Option<&Loaded>) -> T) -> T {
        match &*self.life() {
            Life::Unloaded { .. } => to(State::Unloaded, None, None),
            Life::Loading => to(State::Loading, None, None),
            Life::Ready(loaded) => to(State::Ready, None, Some(loaded)),
            Life::Unloading | Life::Releasing => to(State::Unloading, None, None),
            Life::Failed(fault) => to(State::Failed, Some(fault), None),
        }
    }

    /// Whether a call would be taken, after loading if need be.
    pub fn takes_calls(&self) -> bool {
        matches!(*self.life(), Life::Unloaded { by_hand: false } | Life::Loading | Life::Ready(_) | Life::Releasing)
    }

    pub(super) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn live(&self, life: Life) {
        *self.life() = life;
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Compares its files with their sums.
    pub(super) fn check(&self) -> Result<(), Fault> {
        for listed in self.entry.files() {
            let computed = check(&self.sums, listed)?;
            if listed == &self.entry.model {
                *self.sum.lock().unwrap_or_else(PoisonError::into_inner) = Some(computed);
            }
        }
        Ok(())
    }

    /// Checks its files and reads them.
    pub(super) fn load(&self, config: &Config, onnxruntime: Option<&Listed>) {
        let (began, name) = (Instant::now(), &self.entry.name);
        let loaded = self.check().and_then(|()| self.read(config, onnxruntime));
        match &loaded {
            Ok(_) => tracing::info!(model = name, seconds = began.elapsed().as_secs_f64(), "a model is ready"),
            Err(fault) => {
                let (file, what) = (fault.file.display(), &fault.what);
                tracing::error!(model = name, %file, what, "a model cannot be loaded");
            }
        }
        // It is kept from now on, if nobody uses it.
        self.usage.send_modify(|usage| usage.touch(Instant::now()));
        self.live(match loaded {
            Ok(loaded) => Life::Ready(loaded),
            Err(fault) => Life::Failed(fault),
        });
    }

    fn read(&self, config: &Config, onnxruntime: Option<&Listed>) -> Result<Loaded, Fault> {
        let (entry, statistics) = (&self.entry, self.statistics.clone());
        if entry.kind == Kind::Generation {
            let generator = Generator::load(&entry.name, &entry.model.file, config.generation, statistics)?;
            return Ok(Loaded::Generator(Arc::new(generator)));
        }
        let library = onnxruntime.ok_or_else(|| Fault {
            file: entry.model.file.clone(),
            what: "no list of UAIT_MODELS names ONNX Runtime's library (onnxruntime)".to_owned(),
        })?;
        check(&self.sums, library)?;
        Ok(if entry.kind == Kind::Embedding {
            Loaded::Embedder(Arc::new(Embedder::load(entry, &library.file, config.onnx_threads, statistics)?))
        } else {
            let model = TensorModel::load(&entry.model.file, &library.file, config.onnx_threads, statistics)?;
            Loaded::Tensor(Arc::new(model))
        })
    }

    /// UnloadModel: waits for the running calls, and for the model's thread.
    pub(super) async fn let_go(self: Arc<Self>, loaded: Loaded) {
        let mut usage = self.usage.subscribe();
        usage.wait_for(Usage::is_free).await.ok();
        give_back(loaded).await;
        self.live(Life::Unloaded { by_hand: true });
    }

    /// Releases the model whenever no call has used it for as long as it is kept. However many calls there are meanwhile, it wakes
    /// about once in that time.
    pub(super) async fn release_when_unused(self: Arc<Self>, keep_alive: Duration) {
        let (mut usage, mut changes) = (self.usage.subscribe(), self.changed.subscribe());
        loop {
            // The senders live as long as the model.
            changes.wait_for(|_| matches!(*self.life(), Life::Ready(_))).await.ok();
            let until = usage.wait_for(Usage::is_free).await.ok().and_then(|usage| usage.kept_until(keep_alive));
            if let Some(until) = until {
                tokio::time::sleep_until(until.into()).await;
            }
            if let Some(loaded) = self.take_unused(keep_alive, Instant::now()) {
                self.release(loaded).await;
            }
        }
    }

    /// Takes the model out of its life if it is over. A call that begins meanwhile either was counted before, or finds it Releasing.
    fn take_unused(&self, keep_alive: Duration, now: Instant) -> Option<Loaded> {
        let mut life = self.life();
        if !matches!(*life, Life::Ready(_)) || !self.usage.borrow().is_over(keep_alive, now) {
            return None;
        }
        match std::mem::replace(&mut *life, Life::Releasing) {
            Life::Ready(loaded) => Some(loaded),
            _ => None,
        }
    }

    async fn release(&self, loaded: Loaded) {
        let idle_seconds = self.usage.borrow().idle(Instant::now()).as_secs_f64();
        give_back(loaded).await;
        self.released.inc();
        tracing::info!(model = self.entry.name, idle_seconds, "a model that nobody used is released");
        self.live(Life::Unloaded { by_hand: false });
    }
}

/// Gives a model's memory back to the machine, once its thread has ended.
async fn give_back(loaded: Loaded) {
    let give = move || {
        drop(loaded);
        uait_ml_inference_heap::trim();
    };
    tokio::task::spawn_blocking(give).await.ok();
}

/// The sum of a file, which is as listed where a list states one.
fn check(sums: &Sums, listed: &Listed) -> Result<String, Fault> {
    let fault = |what: String| Fault { file: listed.file.clone(), what };
    let computed =
        sums.sha256(&listed.file, SystemTime::now()).map_err(|error| fault(format!("it cannot be read: {error}")))?;
    match &listed.sha256 {
        Some(expected) if *expected != computed => Err(fault(format!(
            "its sha256 is {computed}, the list says {expected}; `make install` fetches the models of the project anew"
        ))),
        _ => Ok(computed),
    }
}
