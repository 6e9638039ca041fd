//! Thompson sampling: each choice draws an expected reward for every arm, and takes the arm with the highest.

use rand::Rng;

use crate::posterior::Posterior;

/// A choice among arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Which arm, by its place.
    pub arm: usize,
    /// The expected reward drawn for it.
    pub drawn_reward: f64,
}

/// Chooses among arms once; `None` where there are none.
pub fn choose(posteriors: &[Posterior], random: &mut impl Rng) -> Option<Choice> {
    let mut best: Option<Choice> = None;
    for (arm, posterior) in posteriors.iter().enumerate() {
        let drawn_reward = posterior.draw(random);
        if best.is_none_or(|best| drawn_reward > best.drawn_reward) {
            best = Some(Choice { arm, drawn_reward });
        }
    }
    best
}

/// Draws from every arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    /// Of each arm, its draws.
    pub rewards: Vec<Vec<f64>>,
    /// Of each arm, the share of draws in which it was the best; 0 without draws.
    pub best: Vec<f64>,
}

/// Draws so many times from every arm; the n-th draws of all are compared with each other.
pub fn draw(posteriors: &[Posterior], count: usize, random: &mut impl Rng) -> Draws {
    let mut rewards = vec![Vec::with_capacity(count); posteriors.len()];
    let mut wins = vec![0_u32; posteriors.len()];
    for _ in 0..count {
        let mut best: Option<Choice> = None;
        for (arm, (posterior, rewards)) in posteriors.iter().zip(&mut rewards).enumerate() {
            let drawn_reward = posterior.draw(random);
            rewards.push(drawn_reward);
            if best.is_none_or(|best| drawn_reward > best.drawn_reward) {
                best = Some(Choice { arm, drawn_reward });
            }
        }
        if let Some(best) = best {
            wins[best.arm] += 1;
        }
    }
    let total = f64::from(wins.iter().sum::<u32>()).max(1.0);
    Draws { rewards, best: wins.into_iter().map(|wins| f64::from(wins) / total).collect() }
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_distr::{Beta, Distribution as _};

    use super::*;
    use crate::bandit::{Bandit, HalfLife, Outcome};
    use crate::propensity::propensities;

    const ARMS: [&str; 5] = ["a", "b", "c", "d", "e"];
    const MEANS: [f64; 5] = [0.3, 0.45, 0.5, 0.6, 0.75];

    /// A reward whose mean is the arm's: 0 or 1, or graded.
    fn reward(mean: f64, graded: bool, random: &mut ChaCha8Rng) -> f64 {
        if graded {
            Beta::new(8.0 * mean, 8.0 * (1.0 - mean)).unwrap().sample(random)
        } else {
            f64::from(random.random_bool(mean))
        }
    }

    /// The regret of each round of one simulated bandit.
    fn play(rounds: u32, graded: bool, seed: u64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut bandit = Bandit::new(HalfLife::of_feedbacks(1000));
        (0..rounds)
            .map(|_| {
                let posteriors = ARMS.map(|arm| bandit.belief(arm).posterior);
                let chosen = choose(&posteriors, &mut random).unwrap().arm;
                let reward = reward(MEANS[chosen], graded, &mut random);
                bandit.record(ARMS[chosen], || (), &Outcome { reward, latency_s: None, cost_micro_usd: None });
                MEANS[4] - MEANS[chosen]
            })
            .collect()
    }

    fn mean_and_error(values: &[f64]) -> (f64, f64) {
        let n = f64::from(u32::try_from(values.len()).unwrap());
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, (variance / n).sqrt())
    }

    /// The regret of a round falls from phase to phase, by more than five standard errors over 40 runs, and in the end is a
    /// small part of what choosing blindly costs.
    #[test]
    fn regret_falls_as_feedback_comes_in() {
        let blind = MEANS[4] - MEANS.iter().sum::<f64>() / 5.0;
        for graded in [false, true] {
            let phases: Vec<Vec<f64>> = (0..40)
                .map(|seed| play(1500, graded, seed).chunks(500).map(|phase| mean_and_error(phase).0).collect())
                .collect();
            let fall: Vec<f64> = phases.iter().map(|phase| phase[0] - phase[2]).collect();
            let (mean, error) = mean_and_error(&fall);
            assert!(mean > 5.0 * error, "graded {graded}: {mean} with an error of {error}");
            let last: Vec<f64> = phases.iter().map(|phase| phase[2]).collect();
            let (mean, error) = mean_and_error(&last);
            assert!(mean + 5.0 * error < blind / 5.0, "graded {graded}: {mean} ± {error} of {blind}");
        }
    }

    /// What propensities are for: weighting observed rewards by them estimates an arm's mean without the bias that choosing
    /// by past rewards brings.
    #[test]
    fn rewards_weighted_by_propensity_estimate_an_arms_mean_without_bias() {
        let estimates: Vec<f64> = (0..300)
            .map(|seed| {
                let mut random = ChaCha8Rng::seed_from_u64(1000 + seed);
                let mut bandit = Bandit::new(HalfLife::of_feedbacks(1000));
                let mut sum = 0.0;
                for _ in 0..40 {
                    let posteriors = ARMS.map(|arm| bandit.belief(arm).posterior);
                    let chosen = choose(&posteriors, &mut random).unwrap().arm;
                    let reward = reward(MEANS[chosen], false, &mut random);
                    if chosen == 3 {
                        sum += reward / propensities(&posteriors)[3];
                    }
                    bandit.record(ARMS[chosen], || (), &Outcome { reward, latency_s: None, cost_micro_usd: None });
                }
                sum / 40.0
            })
            .collect();
        let (mean, error) = mean_and_error(&estimates);
        assert!((mean - MEANS[3]).abs() < 4.0 * error && error < 0.03, "{mean} ± {error}");
    }

    #[test]
    fn choice_of_a_seed_is_always_the_same() {
        let posteriors = [Posterior::Beta { alpha: 2.0, beta: 3.0 }, Posterior::Beta { alpha: 3.0, beta: 2.0 }];
        let chosen = |seed| choose(&posteriors, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        assert_eq!(chosen(5), chosen(5));
        assert!((0..50).any(|seed| chosen(seed).arm != chosen(5).arm), "and others choose otherwise");
        assert_eq!(choose(&[], &mut ChaCha8Rng::seed_from_u64(1)), None);
    }

    #[test]
    fn draws_say_how_often_each_arm_was_best() {
        let posteriors = [Posterior::Beta { alpha: 2.0, beta: 1.0 }, Posterior::Beta { alpha: 1.0, beta: 1.0 }];
        let drawn = draw(&posteriors, 20_000, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(drawn.rewards.iter().map(Vec::len).collect::<Vec<_>>(), [20_000, 20_000]);
        assert!((drawn.best[0] - 2.0 / 3.0).abs() < 0.02 && (drawn.best.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let nothing = draw(&posteriors, 0, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(nothing, Draws { rewards: vec![vec![], vec![]], best: vec![0.0, 0.0] });
    }
}
