//! Beliefs about the scores of an arm: conjugate priors, their posteriors, and draws from them.
//!
//! The normal-inverse-gamma posterior is that of section 3.4.3.3 of Murphy, "Probabilistic Machine Learning: Advanced Topics"
//! (2023), in the form in which "Wider or Deeper?" (Inoue et al., 2025) and treequest use it.

use rand::Rng;
use rand_distr::{Beta, Distribution, Gamma, StandardNormal};

/// What is believed of an arm's scores before any was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prior {
    /// Of a mean and a variance that are both unknown: normal-inverse-gamma.
    Gaussian {
        /// Mean of the mean.
        mean: f64,
        /// Observations that the mean is worth.
        kappa: f64,
        /// Observations that the variance is worth.
        nu: f64,
        /// Scale of the variance.
        tau_squared: f64,
    },
    /// Of the probability that an attempt succeeds.
    Beta {
        /// Successes that it is worth.
        alpha: f64,
        /// Failures that it is worth.
        beta: f64,
    },
}

impl Prior {
    /// treequest's and the paper's default.
    pub const GAUSSIAN: Self = Self::Gaussian { mean: 0.0, kappa: 1.0, nu: 1.0, tau_squared: 0.1 };
    /// Jeffreys.
    pub const BETA: Self = Self::Beta { alpha: 0.5, beta: 0.5 };

    /// Expected score.
    pub fn mean(self) -> f64 {
        match self {
            Self::Gaussian { mean, .. } => mean,
            Self::Beta { alpha, beta } => alpha / (alpha + beta),
        }
    }

    /// Observations that the expected score is worth.
    pub fn weight(self) -> f64 {
        match self {
            Self::Gaussian { kappa, .. } => kappa,
            Self::Beta { alpha, beta } => alpha + beta,
        }
    }

    /// The same strength of belief in another expected score: 0 to 1.
    #[must_use]
    pub fn with_mean(self, mean: f64) -> Self {
        /// A beta distribution has both of its parameters above 0.
        const LEAST: f64 = 1e-6;
        match self {
            Self::Gaussian { kappa, nu, tau_squared, .. } => Self::Gaussian { mean, kappa, nu, tau_squared },
            Self::Beta { alpha, beta } => {
                let (mean, weight) = (mean.clamp(LEAST, 1.0 - LEAST), alpha + beta);
                Self::Beta { alpha: mean * weight, beta: (1.0 - mean) * weight }
            }
        }
    }
}

/// Scores that were seen, as sufficient statistics (Welford, 1962).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observations {
    /// How many.
    pub count: u32,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// Sum of the squared deviations from the mean.
    pub deviation: f64,
}

impl Observations {
    /// Takes one in.
    pub fn add(&mut self, score: f64) {
        self.count += 1;
        let delta = score - self.mean;
        self.mean += delta / f64::from(self.count);
        self.deviation += delta * (score - self.mean);
    }
}

/// What is believed of an arm's scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior(Prior);

impl Posterior {
    /// After some observations.
    pub fn new(prior: Prior, seen: &Observations) -> Self {
        let Observations { mean: average, deviation, .. } = *seen;
        let count = f64::from(seen.count);
        Self(match prior {
            Prior::Gaussian { mean, kappa, nu, tau_squared } => {
                let (new_kappa, new_nu) = (kappa + count, nu + count);
                let between = count * kappa * (mean - average).powi(2) / new_kappa;
                Prior::Gaussian {
                    mean: (kappa * mean + count * average) / new_kappa,
                    kappa: new_kappa,
                    nu: new_nu,
                    tau_squared: (nu * tau_squared + deviation + between) / new_nu,
                }
            }
            Prior::Beta { alpha, beta } => {
                let successes = count * average;
                Prior::Beta { alpha: alpha + successes, beta: beta + count - successes }
            }
        })
    }

    /// As parameters, by which it is the prior of what comes next.
    pub fn parameters(self) -> Prior {
        self.0
    }

    /// As if `count` attempts had scored, one after the other, a standard deviation below what is expected: a virtual loss
    /// (Chaslot et al., "Parallel Monte-Carlo Tree Search", 2008) in the posterior's own units. It makes an arm that has
    /// attempts under way less likely to be drawn, the less the better the arm is known.
    #[must_use]
    pub fn with_pending(mut self, count: u32) -> Self {
        for _ in 0..count {
            let mut virtual_loss = Observations::default();
            virtual_loss.add(match self.0 {
                Prior::Gaussian { mean, tau_squared, .. } => mean - tau_squared.sqrt(),
                Prior::Beta { .. } => {
                    let mean = self.0.mean();
                    (mean - (mean * (1.0 - mean)).sqrt()).max(0.0)
                }
            });
            self = Self::new(self.0, &virtual_loss);
        }
        self
    }

    /// Expected score.
    pub fn mean(self) -> f64 {
        self.0.mean()
    }

    /// Standard deviation of the mean score; infinite where the posterior has none (a Student-t of up to two degrees).
    pub fn standard_deviation(self) -> f64 {
        match self.0 {
            Prior::Gaussian { kappa, nu, tau_squared, .. } if nu > 2.0 => {
                (tau_squared / kappa * nu / (nu - 2.0)).sqrt()
            }
            Prior::Gaussian { .. } => f64::INFINITY,
            Prior::Beta { alpha, beta } => {
                let total = alpha + beta;
                (alpha * beta / (total * total * (total + 1.0))).sqrt()
            }
        }
    }

    /// Draws a mean score.
    pub fn draw(self, random: &mut impl Rng) -> f64 {
        match self.0 {
            Prior::Gaussian { mean, kappa, .. } => {
                let normal: f64 = StandardNormal.sample(random);
                mean + (self.draw_variance(random) / kappa).sqrt() * normal
            }
            Prior::Beta { alpha, beta } => Beta::new(alpha, beta).map_or(self.mean(), |beta| beta.sample(random)),
        }
    }

    /// Draws the score of the next attempt. A beta posterior tells of no spread around the mean, so it is the mean there.
    pub fn draw_score(self, random: &mut impl Rng) -> f64 {
        match self.0 {
            Prior::Gaussian { mean, kappa, .. } => {
                let variance = self.draw_variance(random);
                let (of_mean, of_score): (f64, f64) = (StandardNormal.sample(random), StandardNormal.sample(random));
                mean + (variance / kappa).sqrt() * of_mean + variance.sqrt() * of_score
            }
            Prior::Beta { .. } => self.draw(random),
        }
    }

    /// Inverse gamma of shape nu/2 and scale nu tau²/2.
    fn draw_variance(self, random: &mut impl Rng) -> f64 {
        let Prior::Gaussian { nu, tau_squared, .. } = self.0 else { return 0.0 };
        // A draw of 0 would make the variance infinite, and the score no number.
        let gamma = Gamma::new(nu / 2.0, 1.0).map_or(nu / 2.0, |gamma| gamma.sample(random)).max(f64::MIN_POSITIVE);
        (nu * tau_squared / 2.0 / gamma).min(f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    use super::*;

    fn observed(scores: &[f64]) -> Observations {
        let mut seen = Observations::default();
        for score in scores {
            seen.add(*score);
        }
        seen
    }

    fn numbers(of: Prior) -> Vec<f64> {
        match of {
            Prior::Gaussian { mean, kappa, nu, tau_squared } => vec![mean, kappa, nu, tau_squared],
            Prior::Beta { alpha, beta } => vec![alpha, beta],
        }
    }

    #[test]
    fn posterior_of_nothing_is_the_prior() {
        for prior in [Prior::GAUSSIAN, Prior::BETA, Prior::GAUSSIAN.with_mean(0.7)] {
            assert_eq!(Posterior::new(prior, &Observations::default()), Posterior(prior));
        }
    }

    #[test]
    fn posterior_does_not_depend_on_how_observations_are_grouped() {
        let scores = [0.2, 0.9, 0.4, 0.4, 1.0, 0.0];
        for prior in [Prior::GAUSSIAN, Prior::BETA] {
            let at_once = Posterior::new(prior, &observed(&scores));
            let one_by_one =
                scores.iter().fold(prior, |prior, score| Posterior::new(prior, &observed(&[*score])).parameters());
            let (at_once, one_by_one) = (numbers(at_once.0), numbers(one_by_one));
            assert_eq!(at_once.len(), one_by_one.len());
            assert!(at_once.iter().zip(&one_by_one).all(|(a, b)| (a - b).abs() < 1e-12), "{at_once:?} {one_by_one:?}");
        }
    }

    #[test]
    fn draws_have_the_moments_of_the_posterior() {
        const DRAWS: usize = 200_000;
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for prior in [Prior::GAUSSIAN, Prior::BETA] {
            let posterior = Posterior::new(prior, &observed(&[0.5, 0.7, 0.9, 0.6, 0.4, 0.8]));
            let draws = observed(&(0..DRAWS).map(|_| posterior.draw(&mut random)).collect::<Vec<_>>());
            let deviation = (draws.deviation / f64::from(draws.count)).sqrt();
            assert!((draws.mean - posterior.mean()).abs() < 0.003, "{prior:?}: {} {}", draws.mean, posterior.mean());
            let expected = posterior.standard_deviation();
            assert!((deviation - expected).abs() < 0.03 * expected, "{prior:?}: {deviation} {expected}");
        }
    }

    #[test]
    fn pending_attempts_lower_what_is_expected_the_less_the_more_is_known() {
        for prior in [Prior::GAUSSIAN.with_mean(0.5), Prior::BETA] {
            let fall = |scores: &[f64]| {
                let posterior = Posterior::new(prior, &observed(scores));
                let falls: Vec<f64> = (0..5).map(|n| posterior.with_pending(n).mean()).collect();
                assert!(falls.windows(2).all(|pair| pair[1] < pair[0]), "{falls:?}");
                falls[0] - falls[1]
            };
            assert!(fall(&[0.5]) > fall(&[0.5; 5]));
            assert!(fall(&[0.5; 5]) > fall(&[0.5; 50]));
        }
    }

    #[test]
    fn draws_of_extreme_parameters_are_numbers() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for nu in [1e-9, 1e6] {
            for kappa in [1e-9, 1e6] {
                let posterior = Posterior(Prior::Gaussian { mean: 0.5, kappa, nu, tau_squared: 100.0 });
                for _ in 0..1000 {
                    assert!(!posterior.draw(&mut random).is_nan() && !posterior.draw_score(&mut random).is_nan());
                }
            }
        }
        let certain = Posterior(Prior::BETA.with_mean(1.0));
        assert!((0..1000).all(|_| (0.0..=1.0).contains(&certain.draw(&mut random))));
    }
}
