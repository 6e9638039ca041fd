//! Which token comes next: llama.cpp's samplers, and log probabilities.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 (greedy) to 2.
    pub temperature: f32,
    /// Above 0, to 1.
    pub top_p: f32,
    /// 0 (all) or more.
    pub top_k: i32,
    /// 0 (all) to 1.
    pub min_p: f32,
    /// Of the random numbers.
    pub seed: u64,
    /// -2 to 2.
    pub frequency_penalty: f32,
    /// -2 to 2.
    pub presence_penalty: f32,
    /// 0.5 to 2; 1 is none.
    pub repeat_penalty: f32,
}

impl Sampling {
    #[allow(clippy::float_cmp, reason = "one is what a request that wants none says")]
    fn penalises(&self) -> bool {
        self.frequency_penalty != 0.0 || self.presence_penalty != 0.0 || self.repeat_penalty != 1.0
    }

    /// llama.cpp's generator takes 32 bits, of which it reads all ones as "draw one".
    fn seed32(&self) -> u32 {
        let folded = u32::try_from((self.seed ^ (self.seed >> 32)) & u64::from(u32::MAX)).unwrap_or_default();
        folded.min(u32::MAX - 1)
    }

    fn chain(&self, vocabulary: i32, context: u32) -> LlamaSampler {
        let mut samplers = Vec::new();
        if self.penalises() {
            let last = i32::try_from(context).unwrap_or(i32::MAX);
            samplers.push(LlamaSampler::penalties(
                vocabulary,
                last,
                self.repeat_penalty,
                self.frequency_penalty,
                self.presence_penalty,
            ));
        }
        if self.temperature > 0.0 {
            // The order of llama.cpp's own chain (common/sampling.cpp).
            samplers.push(LlamaSampler::top_k(self.top_k));
            samplers.push(LlamaSampler::top_p(self.top_p, 1));
            samplers.push(LlamaSampler::min_p(self.min_p, 1));
            samplers.push(LlamaSampler::temp(self.temperature));
            samplers.push(LlamaSampler::dist(self.seed32()));
        } else {
            samplers.push(LlamaSampler::greedy());
        }
        LlamaSampler::chain(samplers, true)
    }
}

/// A token with the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logprob {
    /// The token.
    pub token: LlamaToken,
    /// At most 0.
    pub logprob: f64,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The token.
    pub token: LlamaToken,
    /// Its log probability, and the likeliest alternatives; where they were asked for.
    pub logprobs: Option<(Logprob, Vec<Logprob>)>,
}

/// A grammar that no further token fits, though the text could not end.
#[derive(Debug, thiserror::Error)]
#[error("the grammar refuses its own token")]
pub struct Stuck;

/// Chooses the tokens of one text.
pub struct Sampler {
    sampling: Sampling,
    chain: LlamaSampler,
    grammar: Option<LlamaSampler>,
    alternatives: usize,
}

impl Sampler {
    /// A sampler of a fresh text; `context` is the number of tokens over which penalties look back.
    pub fn new(
        model: &LlamaModel,
        sampling: Sampling,
        grammar: Option<LlamaSampler>,
        alternatives: usize,
        context: u32,
    ) -> Self {
        Self { sampling, chain: sampling.chain(model.n_vocab(), context), grammar, alternatives }
    }

    /// Counts a token of the prompt for the penalties.
    pub fn seen(&mut self, token: LlamaToken) {
        if self.sampling.penalises() {
            self.chain.accept(token);
        }
    }

    /// Chooses from the logits of the whole vocabulary, in its order.
    ///
    /// # Errors
    /// The grammar has come to a dead end.
    pub fn choose(&mut self, logits: &[f32]) -> Result<Chosen, Stuck> {
        let token = self.pick(logits);
        let token = match &mut self.grammar {
            None => token,
            Some(grammar) => {
                // Asking the grammar for one token is a thousand times cheaper than for the whole vocabulary, and most tokens pass.
                let mut one = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 1.0, 0.0)], false);
                one.apply_sampler(grammar);
                let fits = one.data.first().is_some_and(|data| data.logit().is_finite());
                let token = if fits {
                    token
                } else {
                    let mut all = candidates(logits);
                    all.apply_sampler(grammar);
                    all.data.retain(|data| data.logit().is_finite());
                    all.apply_sampler(&mut self.chain);
                    all.selected_token().ok_or(Stuck)?
                };
                grammar.try_accept(token).map_err(|_| Stuck)?;
                token
            }
        };
        self.chain.accept(token);
        let logprobs = (self.alternatives > 0).then(|| self.logprobs(logits, token));
        Ok(Chosen { token, logprobs })
    }

    fn pick(&mut self, logits: &[f32]) -> LlamaToken {
        if self.sampling.temperature <= 0.0 && !self.sampling.penalises() {
            return likeliest(logits);
        }
        let mut all = candidates(logits);
        all.apply_sampler(&mut self.chain);
        all.selected_token().unwrap_or_else(|| likeliest(logits))
    }

    fn logprobs(&self, logits: &[f32], token: LlamaToken) -> (Logprob, Vec<Logprob>) {
        // A greedy text has no temperature; its model's own distribution is more telling than ones and zeros.
        let temperature = if self.sampling.temperature > 0.0 { self.sampling.temperature } else { 1.0 };
        log_softmax(logits, f64::from(temperature), token, self.alternatives)
    }
}

fn candidates(logits: &[f32]) -> LlamaTokenDataArray {
    let data = (0..).zip(logits).map(|(id, logit)| LlamaTokenData::new(LlamaToken(id), *logit, 0.0));
    LlamaTokenDataArray::new(data.collect(), false)
}

fn likeliest(logits: &[f32]) -> LlamaToken {
    let best = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b));
    LlamaToken(best.map_or(0, |(id, _)| id))
}

/// The log probability of `token` and of the `alternatives` likeliest, over the whole vocabulary.
fn log_softmax(logits: &[f32], temperature: f64, token: LlamaToken, alternatives: usize) -> (Logprob, Vec<Logprob>) {
    let scaled = |logit: f32| f64::from(logit) / temperature;
    let most = logits.iter().copied().map(scaled).fold(f64::NEG_INFINITY, f64::max);
    let log_sum = most + logits.iter().map(|logit| (scaled(*logit) - most).exp()).sum::<f64>().ln();
    let of = |id: i32, logit: f32| Logprob { token: LlamaToken(id), logprob: (scaled(logit) - log_sum).min(0.0) };
    let mut order: Vec<(i32, f32)> = (0..).zip(logits.iter().copied()).collect();
    let count = alternatives.min(order.len());
    if count > 0 && count < order.len() {
        order.select_nth_unstable_by(count - 1, |(_, a), (_, b)| b.total_cmp(a));
    }
    order.truncate(count);
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let chosen = usize::try_from(token.0).ok().and_then(|id| logits.get(id)).copied().unwrap_or(f32::NEG_INFINITY);
    (of(token.0, chosen), order.into_iter().map(|(id, logit)| of(id, logit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_softmax_sums_to_one_and_lists_the_likeliest_first() {
        let logits = [0.0, 3.0, 1.0, -2.0];
        let (chosen, all) = log_softmax(&logits, 1.0, LlamaToken(2), 4);
        assert!((all.iter().map(|p| p.logprob.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(all.iter().map(|p| p.token.0).collect::<Vec<_>>(), [1, 2, 0, 3]);
        assert_eq!(chosen, all[1]);
        let (_, two) = log_softmax(&logits, 1.0, LlamaToken(2), 2);
        assert_eq!(two, all[..2]);
        let (hot, _) = log_softmax(&logits, 2.0, LlamaToken(1), 1);
        assert!(hot.logprob < all[0].logprob);
    }

    #[test]
    fn likeliest_is_the_greatest_logit() {
        assert_eq!(likeliest(&[0.5, -1.0, 7.0, 6.9]), LlamaToken(2));
    }

    #[test]
    fn seed_of_64_bits_is_folded_and_never_the_one_that_means_any() {
        let sampling = |seed| Sampling {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            seed,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repeat_penalty: 1.0,
        };
        assert_eq!(sampling(7).seed32(), 7);
        assert_ne!(sampling(7 << 32).seed32(), sampling(8 << 32).seed32());
        assert_ne!(sampling(u64::from(u32::MAX)).seed32(), u32::MAX);
    }
}
