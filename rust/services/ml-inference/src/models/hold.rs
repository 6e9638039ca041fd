//! What a call has of a model while it lasts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{Loaded, Model};
use crate::error::Error;
use crate::generation::Generator;
use crate::keep_alive::Usage;
use crate::onnx::embedding::Embedder;
use crate::onnx::tensor::TensorModel;
use crate::repository::Entry;

/// Somebody's use of a model: one that is in memory is not released before it ends.
pub struct InUse(Arc<Model>);

impl InUse {
    /// Begins to use a model, whatever its state.
    pub(super) fn begin(model: Arc<Model>) -> Self {
        model.usage.send_modify(Usage::begin);
        Self(model)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.usage.send_modify(|usage| usage.end(Instant::now()));
    }
}

/// A call's hold on a model: while it lasts the model stays in memory. Counts the call when it ends.
pub struct Hold {
    /// Ends first: with the use nobody has what was loaded any more.
    loaded: Option<Loaded>,
    model: InUse,
    succeeded: bool,
}

impl Hold {
    /// A call begins; from here on it counts, however it ends.
    pub(super) fn begin(model: Arc<Model>) -> Self {
        Self { loaded: None, model: InUse::begin(model), succeeded: false }
    }

    /// The model is in memory.
    pub(super) fn take(&mut self, loaded: Loaded) {
        self.loaded = Some(loaded);
    }

    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.model.0.entry.name
    }

    /// What the repository says of the model.
    pub fn entry(&self) -> &Entry {
        &self.model.0.entry
    }

    /// The model as a generator.
    ///
    /// # Errors
    /// It is none, which the kind asked for rules out.
    pub fn generator(&self) -> Result<&Generator, Error> {
        match &self.loaded {
            Some(Loaded::Generator(generator)) => Ok(generator),
            _ => Err(Error::Internal("the hold is on no generator".to_owned())),
        }
    }

    /// The model as an embedder.
    ///
    /// # Errors
    /// It is none, which the kind asked for rules out.
    pub fn embedder(&self) -> Result<&Embedder, Error> {
        match &self.loaded {
            Some(Loaded::Embedder(embedder)) => Ok(embedder),
            _ => Err(Error::Internal("the hold is on no embedder".to_owned())),
        }
    }

    /// The model as one of tensors.
    ///
    /// # Errors
    /// It is none, which the kind asked for rules out.
    pub fn tensor(&self) -> Result<&TensorModel, Error> {
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
        let statistics = &self.model.0.statistics;
        let counter = if self.succeeded { &statistics.calls } else { &statistics.failed_calls };
        counter.fetch_add(1, Relaxed);
    }
}
