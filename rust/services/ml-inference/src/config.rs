//! The service's own part of the environment; the kit's part is the kit's.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use uait_kit::config::{ConfigError, Defaults, Environment};

/// What the catalogue says of this service.
pub const DEFAULTS: Defaults = Defaults { service: "ml-inference", port: 8023 };

/// The service's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folders of models and lists of models.
    pub models: Vec<PathBuf>,
    /// Generates where a request names no model.
    pub generation_model: String,
    /// Embeds and ranks where a request names no model.
    pub embedding_model: String,
    /// How a generation model is run.
    pub generation: Limits,
    /// Threads of one ONNX model: 1 to 256.
    pub onnx_threads: usize,
    /// How long a model that no call uses stays in memory: 1 ms to a day; for ever when absent.
    pub keep_alive: Option<Duration>,
}

/// How a generation model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Threads that compute while one sequence writes: 1 to 256.
    pub threads: i32,
    /// Threads that compute while prompts are read, or several sequences write: 1 to 256.
    pub batch_threads: i32,
    /// Cells of the key-value cache, shared by all slots; also the longest input and output together: 256 to 1,048,576 tokens.
    pub context_tokens: u32,
    /// Requests decoded at once: 1 to 64.
    pub slots: usize,
    /// Requests of one model that may wait for a slot: 0 to 10,000.
    pub queue: usize,
}

impl Config {
    /// Reads the service's variables.
    ///
    /// # Errors
    /// The first variable that is outside of its range.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        const NAME: &str = "[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}";
        let name =
            |variable, default| environment.parsed(variable, default, NAME, |s| is_model_name(s).then(|| s.to_owned()));
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(256);
        let threads = i32::try_from(cores).unwrap_or(256);
        let models = environment.parsed(
            "UAIT_MODELS",
            ".uait/models",
            "folders and YAML lists of models that exist, separated by colons",
            |text| {
                let paths: Vec<PathBuf> = text.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
                (!paths.is_empty() && paths.iter().all(|path| path.exists())).then_some(paths)
            },
        )?;
        Ok(Self {
            models,
            generation_model: name("UAIT_INFERENCE_MODEL", "smollm2-135m-instruct")?,
            embedding_model: name("UAIT_INFERENCE_EMBEDDING_MODEL", "minilm-l6-v2")?,
            generation: Limits {
                // A thread for each core would leave none for the rest of the machine, and slows down when one is taken away.
                threads: environment.number("UAIT_INFERENCE_THREADS", (threads / 2).max(1), 1..=256)?,
                batch_threads: environment.number("UAIT_INFERENCE_BATCH_THREADS", threads, 1..=256)?,
                context_tokens: environment.number("UAIT_INFERENCE_CONTEXT_TOKENS", 4096, 256..=1_048_576)?,
                slots: environment.number("UAIT_INFERENCE_SLOTS", 4, 1..=64)?,
                queue: environment.number("UAIT_INFERENCE_QUEUE", 64, 0..=10_000)?,
            },
            onnx_threads: environment.number("UAIT_INFERENCE_ONNX_THREADS", cores, 1..=256)?,
            keep_alive: Some(environment.milliseconds("UAIT_INFERENCE_KEEP_ALIVE_MS", 300_000, 0..=86_400_000)?)
                .filter(|time| !time.is_zero()),
        })
    }
}

/// Whether `text` can name a model in a request.
pub fn is_model_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_of_an_empty_environment_is_the_default() {
        let config = Config::read(&Environment::from([("UAIT_MODELS", ".")])).unwrap();
        assert_eq!(
            (config.generation_model.as_str(), config.embedding_model.as_str()),
            ("smollm2-135m-instruct", "minilm-l6-v2")
        );
        assert_eq!((config.generation.context_tokens, config.generation.slots, config.generation.queue), (4096, 4, 64));
        assert_eq!(config.keep_alive, Some(Duration::from_mins(5)));
    }

    #[test]
    fn keep_alive_of_0_is_for_ever() {
        let of =
            |value| Config::read(&Environment::from([("UAIT_MODELS", "."), ("UAIT_INFERENCE_KEEP_ALIVE_MS", value)]));
        assert_eq!(of("0").unwrap().keep_alive, None);
        assert_eq!(of("1").unwrap().keep_alive, Some(Duration::from_millis(1)));
        assert_eq!(of("86400000").unwrap().keep_alive, Some(Duration::from_hours(24)));
    }

    #[test]
    fn config_out_of_range_is_refused_with_its_name() {
        let paths = "folders and YAML lists of models that exist, separated by colons";
        for (variable, value, range) in [
            ("UAIT_MODELS", "/nowhere/at/all", paths),
            ("UAIT_MODELS", ".:/nowhere/at/all", paths),
            ("UAIT_INFERENCE_MODEL", "a model", "[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"),
            ("UAIT_INFERENCE_THREADS", "0", "1 to 256"),
            ("UAIT_INFERENCE_BATCH_THREADS", "257", "1 to 256"),
            ("UAIT_INFERENCE_CONTEXT_TOKENS", "255", "256 to 1048576"),
            ("UAIT_INFERENCE_SLOTS", "65", "1 to 64"),
            ("UAIT_INFERENCE_QUEUE", "-1", "0 to 10000"),
            ("UAIT_INFERENCE_ONNX_THREADS", "many", "1 to 256"),
            ("UAIT_INFERENCE_KEEP_ALIVE_MS", "86400001", "0 to 86400000"),
            ("UAIT_INFERENCE_KEEP_ALIVE_MS", "-1", "0 to 86400000"),
            ("UAIT_INFERENCE_KEEP_ALIVE_MS", "5m", "0 to 86400000"),
        ] {
            let error = Config::read(&Environment::from([("UAIT_MODELS", "."), (variable, value)])).unwrap_err();
            assert_eq!(error.to_string(), format!("{variable}={value}: must be {range}"));
        }
    }
}
