//! Which models there are: lists in YAML, and what lies in folders beside them. README.md describes the format.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::is_model_name;

/// Name of the list that a folder of models may hold.
pub const LIST: &str = "models.yaml";

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Writes text; a GGUF file.
    Generation,
    /// Turns text into vectors; an ONNX file and its tokenizer.
    Embedding,
    /// Maps tensors to tensors; an ONNX file.
    Tensor,
}

impl Kind {
    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Embedding => "embedding",
            Self::Tensor => "tensors",
        }
    }
}

/// A file with the sum that it must have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Where it is; in a list, from the list's folder.
    pub file: PathBuf,
    /// SHA-256 in lower-case hex; none where nobody stated one.
    pub sha256: Option<String>,
}

/// How tokens are chosen where a request does not say.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingDefaults {
    /// 0 to 2.
    pub temperature: f32,
    /// Above 0, to 1.
    pub top_p: f32,
    /// 0 (all) or more.
    pub top_k: i32,
    /// 0 (all) to 1.
    pub min_p: f32,
}

impl Default for SamplingDefaults {
    /// llama.cpp's own (common/common.h).
    fn default() -> Self {
        Self { temperature: 0.8, top_p: 0.95, top_k: 40, min_p: 0.05 }
    }
}

/// A model that is on disk, or ought to be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name in requests.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// SPDX expression; empty when not known.
    #[serde(default)]
    pub licence: String,
    /// The model's file.
    pub model: Listed,
    /// tokenizer.json of an embedding model.
    pub tokenizer: Option<Listed>,
    /// Longest text of an embedding model, in tokens; the tokenizer's own limit, else 512, when absent.
    pub context_tokens: Option<usize>,
    /// What an embedding model wants before a text to find with.
    #[serde(default)]
    pub query_prefix: String,
    /// What an embedding model wants before a text to be found.
    #[serde(default)]
    pub document_prefix: String,
    /// How a generation model's tokens are chosen where a request does not say.
    #[serde(default)]
    pub sampling: SamplingDefaults,
}

impl Entry {
    /// Every file that it needs.
    pub fn files(&self) -> impl Iterator<Item = &Listed> {
        std::iter::once(&self.model).chain(&self.tokenizer)
    }

    /// `gguf` or `onnx`.
    pub fn format(&self) -> &'static str {
        if self.kind == Kind::Generation { "gguf" } else { "onnx" }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    models: Vec<Entry>,
    onnxruntime: Option<Listed>,
}

/// Every model by its name.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Repository {
    /// The models.
    pub entries: BTreeMap<String, Entry>,
    /// ONNX Runtime's library.
    pub onnxruntime: Option<Listed>,
}

/// A list that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", list.display())]
pub struct ListError {
    /// The list.
    pub list: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl Repository {
    /// Reads lists and folders, in order; of two models of one name the first counts.
    ///
    /// # Errors
    /// A list that is not readable or not well-formed. A model's file that is missing is no error here.
    pub fn read(paths: &[PathBuf]) -> Result<Self, ListError> {
        let mut repository = Self::default();
        for path in paths {
            if path.is_dir() {
                let list = path.join(LIST);
                if list.exists() {
                    repository.add_list(&list)?;
                }
                repository.add_folder(path);
            } else {
                repository.add_list(path)?;
            }
        }
        Ok(repository)
    }

    fn add_list(&mut self, path: &Path) -> Result<(), ListError> {
        let refuse = |what: String| ListError { list: path.to_owned(), what };
        let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        let List { models, onnxruntime } = serde_saphyr::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let place = |listed: &mut Listed| listed.file = folder.join(&listed.file);
        for mut entry in models {
            if !is_model_name(&entry.name) {
                return Err(refuse(format!("{:?} is no name of a model", entry.name)));
            }
            if (entry.kind == Kind::Embedding) != entry.tokenizer.is_some() {
                return Err(refuse(format!("{}: embedding models, and only they, have a tokenizer", entry.name)));
            }
            place(&mut entry.model);
            entry.tokenizer.as_mut().map(place);
            self.entries.entry(entry.name.clone()).or_insert(entry);
        }
        if let Some(mut library) = onnxruntime {
            place(&mut library);
            self.onnxruntime.get_or_insert(library);
        }
        Ok(())
    }

    /// Adds the `.gguf` and `.onnx` files of a folder and its subfolders that no list names.
    fn add_folder(&mut self, folder: &Path) {
        let listed: Vec<PathBuf> =
            self.entries.values().filter_map(|entry| fs::canonicalize(&entry.model.file).ok()).collect();
        let mut files = files_of(folder);
        files.sort();
        for file in files {
            let found = fs::canonicalize(&file).is_ok_and(|path| listed.contains(&path));
            if let Some(entry) = (!found).then(|| unlisted(&file)).flatten() {
                self.entries.entry(entry.name.clone()).or_insert(entry);
            }
        }
    }
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(folder).flat_map(|path| if path.is_dir() { entries(&path).collect() } else { vec![path] }).collect()
}

/// What a file that nobody listed is, by its name and its neighbours.
fn unlisted(file: &Path) -> Option<Entry> {
    let extension = file.extension()?.to_str()?;
    let stem = file.file_stem()?.to_str()?;
    // `<name>/model.onnx` is how models are published.
    let name = if stem == "model" { file.parent()?.file_name()?.to_str()? } else { stem };
    let tokenizer = file.with_file_name("tokenizer.json");
    let (kind, tokenizer) = match extension {
        "gguf" => (Kind::Generation, None),
        "onnx" if tokenizer.exists() => (Kind::Embedding, Some(Listed { file: tokenizer, sha256: None })),
        "onnx" => (Kind::Tensor, None),
        _ => return None,
    };
    let name = name.to_lowercase();
    is_model_name(&name).then(|| Entry {
        name,
        kind,
        licence: String::new(),
        model: Listed { file: file.to_owned(), sha256: None },
        tokenizer,
        context_tokens: None,
        query_prefix: String::new(),
        document_prefix: String::new(),
        sampling: SamplingDefaults::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    #[test]
    fn folder_without_a_list_is_read_by_names_and_neighbours() {
        let dir = folder(&[
            ("Tiny.Q4_1.gguf", ""),
            ("e5/model.onnx", ""),
            ("e5/tokenizer.json", ""),
            ("resize.onnx", ""),
            ("notes.txt", ""),
        ]);
        let repository = Repository::read(&[dir.path().to_owned()]).unwrap();
        let found: Vec<_> = repository.entries.values().map(|entry| (entry.name.as_str(), entry.kind)).collect();
        assert_eq!(found, [("e5", Kind::Embedding), ("resize", Kind::Tensor), ("tiny.q4_1", Kind::Generation)]);
    }

    #[test]
    fn list_places_its_files_beside_itself_and_counts_before_the_folder() {
        let list = "
models:
  - {name: small, kind: generation, licence: MIT, model: {file: a/small.gguf, sha256: abc}, sampling: {temperature: 0.2}}
onnxruntime: {file: lib.so}
";
        let dir = folder(&[("models.yaml", list), ("a/small.gguf", ""), ("a/other.gguf", "")]);
        let repository = Repository::read(&[dir.path().to_owned()]).unwrap();
        assert_eq!(repository.entries.keys().collect::<Vec<_>>(), ["other", "small"]);
        let small = &repository.entries["small"];
        assert_eq!(small.model, Listed { file: dir.path().join("a/small.gguf"), sha256: Some("abc".to_owned()) });
        assert_eq!(small.sampling, SamplingDefaults { temperature: 0.2, ..SamplingDefaults::default() });
        assert_eq!(repository.onnxruntime.unwrap().file, dir.path().join("lib.so"));
    }

    #[test]
    fn list_that_is_wrong_is_named() {
        for (list, what) in [
            ("models: 3", "models"),
            ("models:\n  - {name: 'a b', kind: generation, model: {file: x}}", "no name of a model"),
            ("models:\n  - {name: a, kind: embedding, model: {file: x}}", "have a tokenizer"),
            ("models:\n  - {name: a, kind: poetry, model: {file: x}}", "poetry"),
        ] {
            let dir = folder(&[("mine.yaml", list)]);
            let error = Repository::read(&[dir.path().join("mine.yaml")]).unwrap_err();
            assert_eq!(error.list, dir.path().join("mine.yaml"));
            assert!(error.what.contains(what), "{list}: {error}");
        }
    }
}
