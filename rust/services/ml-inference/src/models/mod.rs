//! Models through their lives: on disk, checked, read, ready, released, unloaded; each for itself, so that one that is unsound
//! harms no other.

mod hold;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use uait_kit::telemetry::Metrics;

use crate::config::Config;
use crate::digest::Sums;
use crate::error::Error;
use crate::repository::{Kind, Listed, Repository};
pub use hold::{Hold, InUse};
use model::Life;
pub use model::{Loaded, Model, State};

/// Every model.
pub struct Models {
    config: Config,
    onnxruntime: Option<Listed>,
    by_name: BTreeMap<String, Arc<Model>>,
    released: Family<ModelLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

impl Models {
    /// The models of a repository, none of them loaded.
    pub fn new(config: Config, repository: Repository) -> Arc<Self> {
        let (sums, released) = (Arc::<Sums>::default(), Family::<ModelLabel, Counter>::default());
        let by_name = repository.entries.into_iter().map(|(name, entry)| {
            let count = released.get_or_create_owned(&ModelLabel { model: name.clone() });
            (name, Arc::new(Model::new(entry, sums.clone(), count)))
        });
        let by_name = by_name.collect();
        Arc::new(Self { config, onnxruntime: repository.onnxruntime, by_name, released })
    }

    /// From now on models that nobody uses are released, and counted in `metrics`. To be called inside of the runtime.
    pub fn release_unused(&self, metrics: &Metrics) {
        let help = "Models that left memory because no call used them for the keep-alive time";
        metrics.register("inference_models_released", help, self.released.clone());
        if let Some(keep_alive) = self.config.keep_alive {
            for model in self.by_name.values() {
                tokio::spawn(model.clone().release_when_unused(keep_alive));
            }
        }
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
        let mut hold = Hold::begin(model.clone());
        hold.take(self.ready(model, false).await?);
        Ok(hold)
    }

    /// Loads a model, and waits until it is ready, which it stays while it is in use.
    ///
    /// # Errors
    /// There is no such model, or it cannot be loaded.
    pub async fn load(&self, name: &str) -> Result<InUse, Error> {
        let model = self.get(name)?;
        loop {
            let in_use = InUse::begin(model.clone());
            match self.ready(model, true).await {
                // Who unloads it waits for those who use it.
                Err(Error::NotLoaded { .. }) => drop(in_use),
                ended => return ended.map(|_| in_use),
            }
            let mut changes = model.changed.subscribe();
            changes.wait_for(|_| !matches!(*model.life(), Life::Unloading)).await.ok();
        }
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
                    Life::Loading | Life::Unloading | Life::Releasing => {}
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
            model.changed.subscribe().wait_for(|_| !matches!(*model.life(), Life::Releasing)).await.ok();
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
                    Life::Unloading => {
                        return Err(Error::NotLoaded { model: name.clone(), state: "unloading" });
                    }
                    Life::Unloaded { .. } | Life::Failed(_) => {
                        tried = true;
                        *life = Life::Loading;
                        drop(life);
                        self.begin_to_load(model);
                    }
                    Life::Loading | Life::Releasing => {}
                }
            }
            changes.changed().await.ok();
        }
    }

    /// Loads on a thread of its own, whether or not somebody goes on waiting.
    fn begin_to_load(&self, model: &Arc<Model>) {
        let (model, config, onnxruntime) = (model.clone(), self.config.clone(), self.onnxruntime.clone());
        tokio::task::spawn_blocking(move || model.load(&config, onnxruntime.as_ref()));
    }
}
