//! ONNX models by ONNX Runtime, whose library is loaded when the first of them is.

pub mod embedding;
mod pooling;
pub mod tensor;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

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

/// Reads a model into a session of `threads` threads.
fn session(library: &Path, file: &Path, threads: usize) -> Result<Session, Fault> {
    let environment = environment(library)?;
    let build = || -> Result<Session, ort::Error> {
        Session::builder(&environment)?
            // The arena keeps what the largest batch took for ever: 469 MB of MiniLM's after 16 texts of 256 tokens, 173 without.
            .with_execution_providers([ort::ep::CPU::default().with_arena_allocator(false).build()])?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            // Spinning threads take their cores from the language model's.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            // Inputs differ in length: a pattern of one shape is memory kept for nothing.
            .with_memory_pattern(false)?
            .commit_from_file(file)
    };
    build().map_err(|error| Fault { file: PathBuf::from(file), what: format!("ONNX Runtime cannot load it: {error}") })
}
