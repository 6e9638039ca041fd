//! ONNX models by ONNX Runtime, whose library is loaded when the first of them is.

pub mod embedding;
mod pooling;
pub mod tensor;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{RunOptions, Session, SessionInputs, SessionOutputs};

use crate::error::Fault;

/// ONNX Runtime in this process: the library that was loaded first stays.
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

fn environment(library: &Path) -> Result<Environment, Fault> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let fault = |what: String| Fault { file: library.to_owned(), what };
    let environment = ort::init_from(library)
        .map_err(|error| fault(format!("ONNX Runtime cannot be loaded: {error}")))?
        .with_name("uait")
        .with_telemetry(false)
        .build()
        .map_err(|error| fault(format!("ONNX Runtime does not start: {error}")))?;
    *loaded = Some(environment.clone());
    Ok(environment)
}

/// A model in memory.
struct Graph {
    session: Session,
    options: RunOptions,
}

impl Graph {
    /// Reads a model, to be computed with `threads` threads.
    fn read(library: &Path, file: &Path, threads: usize) -> Result<Self, Fault> {
        let environment = environment(library)?;
        let build = || -> Result<Self, ort::Error> {
            let session = Session::builder(&environment)?
                .with_execution_providers([ort::ep::CPU::default().with_arena_allocator(true).build()])?
                // Weights among what a run needs would keep the arena from giving that back.
                .with_device_allocated_initializers()?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(threads)?
                // Spinning threads take their cores from the language model's.
                .with_intra_op_spinning(false)?
                .with_inter_op_spinning(false)?
                // Inputs differ in length: a pattern of one shape is memory kept for nothing.
                .with_memory_pattern(false)?
                .commit_from_file(file)?;
            // The arena would keep what the largest batch took for ever, 350 MB of MiniLM's after 16 texts of 242 tokens. Without
            // one, each tensor of a run takes its own pages, and a third of the run's time goes to that (decision 0178).
            let mut options = RunOptions::new()?;
            options.set("memory.enable_memory_arena_shrinkage", "cpu:0")?;
            Ok(Self { session, options })
        };
        build()
            .map_err(|error| Fault { file: PathBuf::from(file), what: format!("ONNX Runtime cannot load it: {error}") })
    }

    fn run<'i, 'v: 'i, const N: usize>(
        &mut self,
        inputs: impl Into<SessionInputs<'i, 'v, N>>,
    ) -> Result<SessionOutputs<'_>, ort::Error> {
        self.session.run_with_options(inputs, &self.options)
    }
}
