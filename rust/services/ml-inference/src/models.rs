//! Models through their lives: on disk, checked, read, ready, unloaded; each for itself, so that one that is unsound harms no other.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::Config;
use crate::digest::sha256;
use crate::error::{Error, Fault};
use crate::generation::Generator;
use crate::onnx::embedding::Embedder;
use crate::onnx::tensor::TensorModel;
use crate::repository::{Entry, Kind, Listed, Repository};
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
    /// Lets its running calls end.
    Unloading,
    /// Could not be loaded.
    Failed,
}

/// A model in memory.
#[derive(Clone)]
pub enum Loaded {
    /// Writes text.
    Generator(Arc<Generator>),
    /// Turns text into vectors.
    Embedder(Arc<Embedder>),
    /// Maps tensors to tensors.
    Tensor(Arc<TensorModel>),
}

enum Life {
    /// `by_hand` when UnloadModel put it there: then only LoadModel brings it back, otherwise the next call does.
    Unloaded {
        by_hand: bool,
    },
    Loading,
    Ready(Loaded),
    Unloading,
    Failed(Fault),
}

/// A model of the repository, whatever its state.
pub struct Model {
    entry: Entry,
    life: Mutex<Life>,
    /// SHA-256 of the model's file, once it was computed.
    sum: Mutex<Option<String>>,
    /// Calls that hold it.
    held: watch::Sender<usize>,
    /// Turned at each change of life.
    changed: watch::Sender<u64>,
    statistics: Arc<Statistics>,
}

/// Every model.
pub struct Models {
    config: Config,
    onnxruntime: Option<Listed>,
    by_name: BTreeMap<String, Arc<Model>>,
}

/// A call's hold on a model: while it lasts the model stays in memory. Counts the call when it ends.
pub struct Hold {
    model: Arc<Model>,
    loaded: Option<Loaded>,
    succeeded: bool,
}

impl Models {
    /// The models of a repository, none of them loaded.
    pub fn new(config: Config, repository: Repository) -> Arc<Self> {
        let model = |entry: Entry| {
            Arc::new(Model {
                entry,
                life: Mutex::new(Life::Unloaded { by_hand: false }),
                sum: Mutex::new(None),
                held: watch::Sender::new(0),
                changed: watch::Sender::new(0),
                statistics: Arc::default(),
            })
        };
        let by_name = repository.entries.into_iter().map(|(name, entry)| (name, model(entry))).collect();
        Arc::new(Self { config, onnxruntime: repository.onnxruntime, by_name })
    }

    /// Checks every model's files, one after the other, without loading any: what is missing or unsound is FAILED from then on.
    /// Blocks while it reads.
    pub fn check_all(&self) {
        for (name, model) in &self.by_name {
            if let Err(fault) = model.check() {
                tracing::error!(model = name, file = %fault.file.display(), what = fault.what, "a model is unsound");
                let mut life = model.life();
                if matches!(*life, Life::Unloaded { .. }) {
                    *life = Life::Failed(fault);
                }
            }
        }
    }

    /// All models by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.by_name.values()
    }

    /// A model by its name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn get(&self, name: &str) -> Result<&Arc<Model>, Error> {
        self.by_name.get(name).ok_or_else(|| Error::NoModel { name: name.to_owned() })
    }

    /// Name of the model that a request means that names none.
    pub fn default_of(&self, kind: Kind) -> &str {
        match kind {
            Kind::Generation => &self.config.generation_model,
            Kind::Embedding | Kind::Tensor => &self.config.embedding_model,
        }
    }

    /// Holds a model for a call, loading it if it was not yet; an empty name is the default of the kind.
    ///
    /// # Errors
    /// There is no such model, it is of another kind, or it cannot be used now.
    pub async fn hold(&self, name: &str, kind: Kind) -> Result<Hold, Error> {
        let name = if name.is_empty() { self.default_of(kind) } else { name };
        let model = self.get(name)?;
        if model.entry.kind != kind {
            return Err(Error::WrongKind {
                model: name.to_owned(),
                kind: model.entry.kind.name(),
                needed: kind.name(),
            });
        }
        // From here on the call counts, however it ends.
        model.held.send_modify(|held| *held += 1);
        let mut hold = Hold { model: model.clone(), loaded: None, succeeded: false };
        hold.loaded = Some(self.ready(model, false).await?);
        Ok(hold)
    }

    /// Loads a model, and waits until it is ready.
    ///
    /// # Errors
    /// There is no such model, or it cannot be loaded.
    pub async fn load(&self, name: &str) -> Result<(), Error> {
        self.ready(self.get(name)?, true).await.map(|_| ())
    }

    /// Takes a model out of memory once its running calls have ended, and waits for that.
    ///
    /// # Errors
    /// There is no such model.
    pub async fn unload(&self, name: &str) -> Result<(), Error> {
        let model = self.get(name)?.clone();
        let mut changes = model.changed.subscribe();
        loop {
            changes.borrow_and_update();
            {
                let mut life = model.life();
                match &*life {
                    Life::Unloaded { .. } => {
                        *life = Life::Unloaded { by_hand: true };
                        return Ok(());
                    }
                    Life::Ready(_) => {
                        if let Life::Ready(loaded) = std::mem::replace(&mut *life, Life::Unloading) {
                            tokio::spawn(model.clone().let_go(loaded));
                        }
                    }
                    Life::Failed(_) => return Ok(()),
                    Life::Loading | Life::Unloading => {}
                }
            }
            // The sender lives as long as the model.
            changes.changed().await.ok();
        }
    }

    /// Takes every model out of memory, and waits for their threads, so that none computes while the process ends. For when no
    /// calls are taken any more: texts that were cut off by then end before their next token.
    pub async fn close(&self) {
        for model in self.by_name.values() {
            let life = std::mem::replace(&mut *model.life(), Life::Unloading);
            tokio::task::spawn_blocking(move || drop(life)).await.ok();
        }
    }

    async fn ready(&self, model: &Arc<Model>, by_hand: bool) -> Result<Loaded, Error> {
        let name = &model.entry.name;
        let mut changes = model.changed.subscribe();
        let mut tried = false;
        loop {
            changes.borrow_and_update();
            {
                let mut life = model.life();
                match &*life {
                    Life::Ready(loaded) => return Ok(loaded.clone()),
                    Life::Failed(fault) if tried || !by_hand => {
                        return Err(Error::Unsound { model: name.clone(), fault: fault.clone() });
                    }
                    Life::Unloaded { by_hand: true } if !by_hand => {
                        return Err(Error::NotLoaded { model: name.clone(), state: "unloaded" });
                    }
                    Life::Unloading if !by_hand => {
                        return Err(Error::NotLoaded { model: name.clone(), state: "unloading" });
                    }
                    Life::Unloaded { .. } | Life::Failed(_) => {
                        tried = true;
                        *life = Life::Loading;
                        drop(life);
                        self.begin_to_load(model);
                    }
                    Life::Loading | Life::Unloading => {}
                }
            }
            changes.changed().await.ok();
        }
    }

    /// Loads on a thread of its own, whether or not somebody goes on waiting.
    fn begin_to_load(&self, model: &Arc<Model>) {
        let (model, config, onnxruntime) = (model.clone(), self.config.clone(), self.onnxruntime.clone());
        tokio::task::spawn_blocking(move || {
            let began = std::time::Instant::now();
            let name = model.entry.name.clone();
            let loaded = model.check().and_then(|()| model.read(&config, onnxruntime.as_ref()));
            match &loaded {
                Ok(_) => tracing::info!(model = name, seconds = began.elapsed().as_secs_f64(), "a model is ready"),
                Err(fault) => {
                    let (file, what) = (fault.file.display(), &fault.what);
                    tracing::error!(model = name, %file, what, "a model cannot be loaded");
                }
            }
            model.live(match loaded {
                Ok(loaded) => Life::Ready(loaded),
                Err(fault) => Life::Failed(fault),
            });
        });
    }
}

impl Model {
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

    /// Its state, why it is FAILED, and itself while READY.
    pub fn state(&self) -> (State, Option<Fault>, Option<Loaded>) {
        match &*self.life() {
            Life::Unloaded { .. } => (State::Unloaded, None, None),
            Life::Loading => (State::Loading, None, None),
            Life::Ready(loaded) => (State::Ready, None, Some(loaded.clone())),
            Life::Unloading => (State::Unloading, None, None),
            Life::Failed(fault) => (State::Failed, Some(fault.clone()), None),
        }
    }

    /// Whether a call would be taken, after loading if need be.
    pub fn takes_calls(&self) -> bool {
        matches!(*self.life(), Life::Unloaded { by_hand: false } | Life::Loading | Life::Ready(_))
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, life: Life) {
        *self.life() = life;
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Compares its files with their sums.
    fn check(&self) -> Result<(), Fault> {
        for listed in self.entry.files() {
            let computed = check(listed)?;
            if listed == &self.entry.model {
                *self.sum.lock().unwrap_or_else(PoisonError::into_inner) = Some(computed);
            }
        }
        Ok(())
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
        check(library)?;
        Ok(if entry.kind == Kind::Embedding {
            Loaded::Embedder(Arc::new(Embedder::load(entry, &library.file, config.onnx_threads, statistics)?))
        } else {
            let model = TensorModel::load(&entry.model.file, &library.file, config.onnx_threads, statistics)?;
            Loaded::Tensor(Arc::new(model))
        })
    }

    async fn let_go(self: Arc<Self>, loaded: Loaded) {
        let mut held = self.held.subscribe();
        held.wait_for(|held| *held == 0).await.ok();
        // Waits for the model's thread.
        tokio::task::spawn_blocking(move || drop(loaded)).await.ok();
        self.live(Life::Unloaded { by_hand: true });
    }
}

/// The sum of a file, which is as listed where a list states one.
fn check(listed: &Listed) -> Result<String, Fault> {
    let fault = |what: String| Fault { file: listed.file.clone(), what };
    let computed = sha256(&listed.file).map_err(|error| fault(format!("it cannot be read: {error}")))?;
    match &listed.sha256 {
        Some(expected) if *expected != computed => Err(fault(format!(
            "its sha256 is {computed}, the list says {expected}; `make install` fetches the models of the project anew"
        ))),
        _ => Ok(computed),
    }
}

impl Hold {
    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.model.entry.name
    }

    /// What the repository says of the model.
    pub fn entry(&self) -> &Entry {
        &self.model.entry
    }

    /// The model as a generator.
    ///
    /// # Errors
    /// It is none, which the kind asked for rules out.
    pub fn generator(&self) -> Result<&Arc<Generator>, Error> {
        match &self.loaded {
            Some(Loaded::Generator(generator)) => Ok(generator),
            _ => Err(Error::Internal("the hold is on no generator".to_owned())),
        }
    }

    /// The model as an embedder.
    ///
    /// # Errors
    /// It is none, which the kind asked for rules out.
    pub fn embedder(&self) -> Result<&Arc<Embedder>, Error> {
        match &self.loaded {
            Some(Loaded::Embedder(embedder)) => Ok(embedder),
            _ => Err(Error::Internal("the hold is on no embedder".to_owned())),
        }
    }

    /// The model as one of tensors.
    ///
    /// # Errors
    /// It is none, which the kind asked for rules out.
    pub fn tensor(&self) -> Result<&Arc<TensorModel>, Error> {
        match &self.loaded {
            Some(Loaded::Tensor(model)) => Ok(model),
            _ => Err(Error::Internal("the hold is on no tensor model".to_owned())),
        }
    }

    /// The call ended well; without this, it counts as failed.
    pub fn succeed(&mut self) {
        self.succeeded = true;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let statistics = &self.model.statistics;
        let counter = if self.succeeded { &statistics.calls } else { &statistics.failed_calls };
        counter.fetch_add(1, Relaxed);
        // Before the count of holds says that nobody needs the model.
        self.loaded.take();
        self.model.held.send_modify(|held| *held -= 1);
    }
}
