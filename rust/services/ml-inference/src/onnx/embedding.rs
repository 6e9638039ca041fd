//! Embedding models: texts to vectors of unit length.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ort::session::SessionInputValue;
use ort::value::Tensor;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::Graph;
use super::pooling::{cosine_score, mean, normalise};
use crate::error::{Error, Fault};
use crate::repository::Entry;
use crate::statistics::Statistics;

/// Longest text where neither list nor tokenizer says: BERT's positions.
const CONTEXT_TOKENS: usize = 512;
/// Texts computed at once. More wait no longer for memory than for each other.
const BATCH: usize = 16;

/// What a vector is for; some models prefix their texts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be found.
    Document,
    /// To find with.
    Query,
}

/// Vectors, and what they took.
#[derive(Debug, Default, PartialEq)]
pub struct Embedded {
    /// One for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens read.
    pub tokens: usize,
    /// Texts that were cut.
    pub truncated: usize,
}

/// A document with its relevance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Its place among the documents.
    pub index: usize,
    /// 0 to 1.
    pub score: f64,
}

/// An embedding model in memory.
pub struct Embedder {
    entry: Entry,
    tokenizer: Tokenizer,
    graph: Mutex<Graph>,
    wants_types: bool,
    dimensions: usize,
    context_tokens: usize,
    statistics: Arc<Statistics>,
}

impl Embedder {
    /// Loads a model and its tokenizer.
    ///
    /// # Errors
    /// A file is not what it should be; the fault says which.
    pub fn load(entry: &Entry, library: &Path, threads: usize, statistics: Arc<Statistics>) -> Result<Self, Fault> {
        let file = entry.tokenizer.as_ref().map(|listed| listed.file.clone()).unwrap_or_default();
        let fault = |what: String| Fault { file: file.clone(), what };
        let mut tokenizer =
            Tokenizer::from_file(&file).map_err(|error| fault(format!("it is no tokenizer: {error}")))?;
        let own = tokenizer.get_truncation().map(|truncation| truncation.max_length);
        let context_tokens = entry.context_tokens.or(own).unwrap_or(CONTEXT_TOKENS);
        let truncation = TruncationParams { max_length: context_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| fault(error.to_string()))?;
        tokenizer.with_padding(None);
        let graph = Graph::read(library, &entry.model.file, threads)?;
        let wants_types = graph.session.inputs().iter().any(|input| input.name() == "token_type_ids");
        let mut embedder = Self {
            entry: entry.clone(),
            tokenizer,
            graph: Mutex::new(graph),
            wants_types,
            dimensions: 0,
            context_tokens,
            statistics,
        };
        // The graph does not always tell its width, and a model that cannot embed shall fail now.
        let fault = |what: String| Fault { file: entry.model.file.clone(), what };
        let probe = embedder
            .embed(&["a"], Purpose::Document, false, &|| false)
            .map_err(|error| fault(format!("it does not embed: {error}")))?;
        embedder.dimensions = probe.vectors.first().map_or(0, Vec::len);
        if embedder.dimensions == 0 {
            return Err(fault("its vectors are empty".to_owned()));
        }
        Ok(embedder)
    }

    /// Length of its vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Longest text, in tokens.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Embeds texts, on the calling thread. `gone` is asked between batches whether anybody still waits.
    ///
    /// # Errors
    /// A text is too long and shall not be cut; or a fault of ours.
    pub fn embed(
        &self,
        texts: &[&str],
        purpose: Purpose,
        refuse_truncation: bool,
        gone: &dyn Fn() -> bool,
    ) -> Result<Embedded, Error> {
        let prefix = match purpose {
            Purpose::Document => self.entry.document_prefix.as_str(),
            Purpose::Query => self.entry.query_prefix.as_str(),
        };
        let mut encodings = Vec::with_capacity(texts.len());
        for text in texts {
            let text = format!("{prefix}{text}");
            let encoding = encode(&self.tokenizer, &text)?;
            if refuse_truncation && is_cut(&encoding) {
                return Err(self.too_long(&text));
            }
            encodings.push(encoding);
        }
        let mut embedded = Embedded {
            vectors: vec![Vec::new(); texts.len()],
            tokens: encodings.iter().map(Encoding::len).sum(),
            truncated: encodings.iter().filter(|encoding| is_cut(encoding)).count(),
        };
        // Texts of like length together: what a batch is padded with is computed for nothing.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|index| encodings.get(*index).map_or(0, Encoding::len));
        for batch in order.chunks(BATCH) {
            if gone() {
                return Ok(Embedded::default());
            }
            let of_batch: Vec<&Encoding> = batch.iter().filter_map(|index| encodings.get(*index)).collect();
            let began = Instant::now();
            let vectors = self.run(&of_batch)?;
            let read: usize = of_batch.iter().map(|encoding| encoding.len()).sum();
            let now = Instant::now();
            let read = u64::try_from(read).unwrap_or(u64::MAX);
            self.statistics.step(now, now.saturating_duration_since(began), read, 0);
            for (index, vector) in batch.iter().zip(vectors) {
                if let Some(place) = embedded.vectors.get_mut(*index) {
                    *place = vector;
                }
            }
        }
        add(&self.statistics.input_tokens, embedded.tokens);
        Ok(embedded)
    }

    /// Ranks documents by the cosine of their vectors with the query's: most relevant first, equals in their order.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn rank(
        &self,
        query: &str,
        documents: &[&str],
        gone: &dyn Fn() -> bool,
    ) -> Result<(Vec<Ranked>, usize), Error> {
        let query = self.embed(&[query], Purpose::Query, false, gone)?;
        let documents = self.embed(documents, Purpose::Document, false, gone)?;
        let wanted = query.vectors.first().map(Vec::as_slice).unwrap_or_default();
        let mut ranked: Vec<Ranked> = (0..)
            .zip(&documents.vectors)
            .map(|(index, vector)| Ranked { index, score: cosine_score(wanted, vector) })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok((ranked, query.tokens + documents.tokens))
    }

    fn too_long(&self, text: &str) -> Error {
        let mut whole = self.tokenizer.clone();
        if let Err(error) = whole.with_truncation(None) {
            return Error::Internal(error.to_string());
        }
        match encode(&whole, text) {
            Ok(encoding) => Error::InputTooLong {
                model: self.entry.name.clone(),
                tokens: encoding.len(),
                limit: self.context_tokens,
            },
            Err(error) => error,
        }
    }

    fn run(&self, batch: &[&Encoding]) -> Result<Vec<Vec<f32>>, Error> {
        let internal = |error: ort::Error| Error::Internal(format!("ONNX Runtime fails: {error}"));
        let length = batch.iter().map(|encoding| encoding.len()).max().unwrap_or(0);
        let padded = |of: fn(&Encoding) -> &[u32]| -> Result<Tensor<i64>, Error> {
            let mut values = Vec::with_capacity(batch.len() * length);
            for encoding in batch {
                let row = of(encoding);
                values.extend(row.iter().map(|value| i64::from(*value)));
                values.resize(values.len() + length - row.len(), 0);
            }
            Tensor::from_array(([batch.len(), length], values)).map_err(internal)
        };
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![
            ("input_ids", padded(Encoding::get_ids)?.into()),
            ("attention_mask", padded(Encoding::get_attention_mask)?.into()),
        ];
        if self.wants_types {
            inputs.push(("token_type_ids", padded(Encoding::get_type_ids)?.into()));
        }
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = graph.run(inputs).map_err(internal)?;
        let Some((_, output)) = outputs.iter().next() else {
            return Err(Error::Internal("the model has no output".to_owned()));
        };
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(internal)?;
        let width = shape.last().and_then(|width| usize::try_from(*width).ok()).filter(|width| *width > 0);
        let Some(width) = width else { return Err(Error::Internal("the model's output has no width".to_owned())) };
        // Three dimensions are vectors of tokens, two are vectors of texts, pooled by the graph itself.
        if shape.len() == 2 {
            let mut vectors: Vec<Vec<f32>> = values.chunks_exact(width).map(<[f32]>::to_vec).collect();
            for vector in &mut vectors {
                normalise(vector);
            }
            return Ok(vectors);
        }
        let pooled = values.chunks_exact(length * width).zip(batch).map(|(hidden, encoding)| {
            let mask: Vec<bool> = encoding.get_attention_mask().iter().map(|mask| *mask == 1).collect();
            mean(hidden, &mask, width)
        });
        Ok(pooled.collect())
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoding, Error> {
    tokenizer.encode(text, true).map_err(|error| Error::Internal(format!("the tokenizer fails: {error}")))
}

fn is_cut(encoding: &Encoding) -> bool {
    !encoding.get_overflowing().is_empty()
}

fn add(counter: &AtomicI64, amount: usize) {
    counter.fetch_add(i64::try_from(amount).unwrap_or(0), Relaxed);
}
