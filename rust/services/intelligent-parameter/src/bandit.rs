//! The arms of one task type, with what is known of each; older feedback weighs less.

use std::collections::BTreeMap;

use crate::posterior::{Evidence, Family, Posterior};

/// How many feedbacks halve the weight of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfLife(f64);

impl HalfLife {
    /// So many feedbacks of the task type, whichever arms they are of.
    pub fn of_feedbacks(feedbacks: u32) -> Self {
        Self(f64::from(feedbacks.max(1)))
    }

    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn weight_after(self, feedbacks: u64) -> f64 {
        (-(feedbacks as f64) / self.0).exp2()
    }
}

/// How an arm did once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// How well: 0 to 1.
    pub reward: f64,
    /// How long it took, in seconds, where that is known.
    pub latency_s: Option<f64>,
    /// What it cost, where that is known.
    pub cost_micro_usd: Option<f64>,
}

/// What is believed of an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// Of its expected reward.
    pub posterior: Posterior,
    /// How much feedback that is learnt from, older ones discounted.
    pub observations: f64,
    /// Mean cost of the outcomes that told theirs.
    pub mean_cost_micro_usd: Option<f64>,
    /// Mean latency of the outcomes that told theirs, in seconds.
    pub mean_latency_s: Option<f64>,
}

/// A mean in which older values weigh less.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Mean {
    weight: f64,
    sum: f64,
}

impl Mean {
    fn discount(&mut self, factor: f64) {
        self.weight *= factor;
        self.sum *= factor;
    }

    fn add(&mut self, value: f64) {
        self.weight += 1.0;
        self.sum += value;
    }

    fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Arm ids are kept in order, so that a seeded draw is the same everywhere.
#[derive(Debug, Clone)]
pub struct Bandit<P> {
    half_life: HalfLife,
    arms: BTreeMap<String, Arm<P>>,
    feedbacks: u64,
    /// Whether a reward other than 0 and 1 was ever seen. All arms have one likelihood, so that their draws compare.
    graded: bool,
}

#[derive(Debug, Clone)]
struct Arm<P> {
    parameters: P,
    evidence: Evidence,
    cost: Mean,
    latency: Mean,
    /// Number of the feedback as of which the sums are discounted.
    as_of: u64,
}

/// Evidence of less weight than this is as good as none.
const FORGOTTEN: f64 = 1e-3;
/// How often, in feedbacks, forgotten arms are looked for.
const SWEEP: u64 = 1024;

impl<P: Clone> Bandit<P> {
    /// A bandit that knows of no arm.
    pub fn new(half_life: HalfLife) -> Self {
        Self { half_life, arms: BTreeMap::new(), feedbacks: 0, graded: false }
    }

    /// Learns how an arm did. All arms' earlier feedback loses weight, as if it had been a while ago.
    pub fn record(&mut self, arm_id: &str, parameters: impl FnOnce() -> P, outcome: &Outcome) {
        self.feedbacks += 1;
        self.graded |= outcome.reward > 0.0 && outcome.reward < 1.0;
        let (half_life, now) = (self.half_life, self.feedbacks);
        let arm = self.arms.entry(arm_id.to_owned()).or_insert_with(|| Arm {
            parameters: parameters(),
            evidence: Evidence::default(),
            cost: Mean::default(),
            latency: Mean::default(),
            as_of: now,
        });
        arm.discount(half_life, now);
        arm.evidence.weight += 1.0;
        arm.evidence.reward += outcome.reward;
        arm.evidence.squared_reward += outcome.reward * outcome.reward;
        if let Some(cost) = outcome.cost_micro_usd {
            arm.cost.add(cost);
        }
        if let Some(latency) = outcome.latency_s {
            arm.latency.add(latency);
        }
        if now.is_multiple_of(SWEEP) {
            self.arms.retain(|_, arm| arm.evidence.weight * half_life.weight_after(now - arm.as_of) >= FORGOTTEN);
        }
    }

    /// What is believed of an arm; of an unknown one, the prior.
    pub fn belief(&self, arm_id: &str) -> Belief {
        let family = if self.graded { Family::Gaussian } else { Family::Bernoulli };
        let Some(arm) = self.arms.get(arm_id) else { return Belief::prior(family) };
        let factor = self.half_life.weight_after(self.feedbacks - arm.as_of);
        let Evidence { weight, reward, squared_reward } = arm.evidence;
        let evidence =
            Evidence { weight: weight * factor, reward: reward * factor, squared_reward: squared_reward * factor };
        Belief {
            posterior: Posterior::given(family, &evidence),
            observations: evidence.weight,
            mean_cost_micro_usd: arm.cost.value(),
            mean_latency_s: arm.latency.value(),
        }
    }

    /// The parameters of an arm that is known.
    pub fn parameters(&self, arm_id: &str) -> Option<&P> {
        self.arms.get(arm_id).map(|arm| &arm.parameters)
    }

    /// The arms that are known, by id.
    pub fn arms(&self) -> impl Iterator<Item = (&str, &P)> {
        self.arms.iter().map(|(id, arm)| (id.as_str(), &arm.parameters))
    }
}

impl<P> Arm<P> {
    fn discount(&mut self, half_life: HalfLife, now: u64) {
        let factor = half_life.weight_after(now - self.as_of);
        self.as_of = now;
        self.evidence.weight *= factor;
        self.evidence.reward *= factor;
        self.evidence.squared_reward *= factor;
        self.cost.discount(factor);
        self.latency.discount(factor);
    }
}

impl Belief {
    /// What is believed before any feedback.
    pub fn prior(family: Family) -> Self {
        Self {
            posterior: Posterior::given(family, &Evidence::default()),
            observations: 0.0,
            mean_cost_micro_usd: None,
            mean_latency_s: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewarded(reward: f64) -> Outcome {
        Outcome { reward, latency_s: None, cost_micro_usd: None }
    }

    fn bandit(half_life: u32) -> Bandit<()> {
        Bandit::new(HalfLife::of_feedbacks(half_life))
    }

    fn record(bandit: &mut Bandit<()>, arm: &str, reward: f64) {
        bandit.record(arm, || (), &rewarded(reward));
    }

    #[test]
    fn feedback_of_any_arm_ages_the_feedback_of_all() {
        let mut bandit = bandit(10);
        record(&mut bandit, "a", 1.0);
        for _ in 0..10 {
            record(&mut bandit, "b", 0.0);
        }
        assert!((bandit.belief("a").observations - 0.5).abs() < 1e-12);
        let by_hand: f64 = (0..10).map(|age| (-f64::from(age) / 10.0).exp2()).sum();
        assert!((bandit.belief("b").observations - by_hand).abs() < 1e-12);
    }

    #[test]
    fn feedback_without_end_weighs_at_most_what_the_half_life_allows() {
        let mut bandit = bandit(10);
        for _ in 0..2000 {
            record(&mut bandit, "a", 1.0);
        }
        let limit = 1.0 / (1.0 - (-0.1_f64).exp2());
        assert!((bandit.belief("a").observations - limit).abs() < 1e-9);
    }

    #[test]
    fn arm_that_changed_is_learnt_anew() {
        let mut bandit = bandit(20);
        for reward in [1.0, 0.0] {
            for _ in 0..200 {
                record(&mut bandit, "a", reward);
            }
        }
        assert!(bandit.belief("a").posterior.moments().0 < 0.05);
    }

    #[test]
    fn one_graded_reward_makes_the_whole_task_type_graded() {
        let mut bandit = bandit(1000);
        record(&mut bandit, "a", 1.0);
        assert!(matches!(bandit.belief("a").posterior, Posterior::Beta { .. }));
        record(&mut bandit, "b", 0.5);
        for arm in ["a", "b", "unseen"] {
            assert!(matches!(bandit.belief(arm).posterior, Posterior::NormalInverseGamma { .. }), "{arm}");
        }
    }

    #[test]
    fn means_of_cost_and_latency_are_of_those_that_told() {
        let mut bandit = bandit(1_000_000);
        record(&mut bandit, "a", 1.0);
        assert_eq!(bandit.belief("a").mean_cost_micro_usd, None);
        for (cost, latency) in [(Some(100.0), None), (Some(300.0), Some(2.0))] {
            bandit.record("a", || (), &Outcome { reward: 1.0, cost_micro_usd: cost, latency_s: latency });
        }
        let belief = bandit.belief("a");
        assert!((belief.mean_cost_micro_usd.unwrap() - 200.0).abs() < 0.01);
        assert!((belief.mean_latency_s.unwrap() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn arm_whose_feedback_weighs_nothing_any_more_is_forgotten() {
        let mut bandit = bandit(10);
        record(&mut bandit, "old", 1.0);
        for _ in 0..SWEEP {
            record(&mut bandit, "new", 1.0);
        }
        assert_eq!(bandit.arms().map(|(id, ())| id).collect::<Vec<_>>(), ["new"]);
        assert_eq!(bandit.belief("old"), Belief::prior(Family::Bernoulli));
    }
}
