//! What is believed of one arm's expected reward.

use rand::Rng;
use rand_distr::{Beta, Distribution as _, StudentT};

use crate::quadrature::{NODES, WEIGHTS, cells, weighted};

/// Which likelihood the rewards have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Rewards are 0 or 1.
    Bernoulli,
    /// Rewards are graded: normal, with a mean between 0 and 1 and a variance that is not known either.
    Gaussian,
}

/// Feedback of one arm, as sums in which older feedback weighs less.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Evidence {
    /// Sum of the weights: how much feedback there is.
    pub weight: f64,
    /// Weighted sum of the rewards.
    pub reward: f64,
    /// Weighted sum of their squares.
    pub squared_reward: f64,
}

/// A distribution of the expected reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Posterior {
    /// Beta(alpha, beta), conjugate to Bernoulli rewards.
    Beta {
        /// Pseudo-count of success: at least 1.
        alpha: f64,
        /// Pseudo-count of failure: at least 1.
        beta: f64,
    },
    /// Normal-inverse-gamma, conjugate to normal rewards of unknown mean and variance. The expected reward is known to be
    /// between 0 and 1, so its distribution is the marginal of the mean, Student's t with `2 alpha` degrees of freedom, given
    /// that interval.
    NormalInverseGamma {
        /// Location of the mean: 0 to 1.
        mean: f64,
        /// Pseudo-observations of the mean: at least 1.
        kappa: f64,
        /// Shape of the variance: at least 2.
        alpha: f64,
        /// Scale of the variance: above 0.
        beta: f64,
    },
}

/// The prior of graded rewards: as many pseudo-observations, and the same mean 1/2 and variance 1/12 of the expected reward
/// (before the interval is imposed), as Beta(1, 1) has, so that the two families begin alike. `beta / (alpha - 1)`, the
/// expected variance of a reward, is that of a uniform one.
const PRIOR_MEAN: f64 = 0.5;
const PRIOR_KAPPA: f64 = 1.0;
const PRIOR_ALPHA: f64 = 2.0;
const PRIOR_BETA: f64 = 1.0 / 12.0;

/// Standard deviations from the centre between which a density is taken for a polynomial; dense where the mass is, and far
/// enough for the tails of Student's t.
const STEPS: [f64; 23] = [
    0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0,
    64.0, 128.0,
];

impl Posterior {
    /// What follows from the evidence (Murphy, "Conjugate Bayesian analysis of the Gaussian distribution", 2007, section 3.3).
    pub fn given(family: Family, evidence: &Evidence) -> Self {
        let Evidence { weight, reward, squared_reward } = *evidence;
        match family {
            Family::Bernoulli => Self::Beta { alpha: 1.0 + reward, beta: 1.0 + (weight - reward).max(0.0) },
            Family::Gaussian => {
                let kappa = PRIOR_KAPPA + weight;
                let average = if weight > 0.0 { reward / weight } else { PRIOR_MEAN };
                // Rounding must not make a sum of squares negative.
                let scatter = (squared_reward - reward * average).max(0.0);
                let shift = PRIOR_KAPPA * weight * (average - PRIOR_MEAN).powi(2) / kappa;
                Self::NormalInverseGamma {
                    mean: ((PRIOR_KAPPA * PRIOR_MEAN + reward) / kappa).clamp(0.0, 1.0),
                    kappa,
                    alpha: PRIOR_ALPHA + weight / 2.0,
                    beta: PRIOR_BETA + f64::midpoint(scatter, shift),
                }
            }
        }
    }

    /// Mean and standard deviation of the expected reward.
    pub fn moments(&self) -> (f64, f64) {
        match *self {
            Self::Beta { alpha, beta } => {
                let count = alpha + beta;
                (alpha / count, (alpha * beta / (count + 1.0)).sqrt() / count)
            }
            Self::NormalInverseGamma { .. } => {
                let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
                let centre = self.location();
                for (left, width) in cells(&partition(&[*self])) {
                    let nodes = NODES.map(|node| left + width * node);
                    let density = nodes.map(|x| self.density(x));
                    mass += width * weighted(&WEIGHTS, &density);
                    let moment = |power| {
                        let at = |i: usize| density[i] * (nodes[i] - centre).powi(power);
                        width * weighted(&WEIGHTS, &[at(0), at(1), at(2)])
                    };
                    first += moment(1);
                    second += moment(2);
                }
                let shift = first / mass;
                (centre + shift, (second / mass - shift * shift).max(0.0).sqrt())
            }
        }
    }

    /// Draws an expected reward: 0 to 1.
    pub fn draw(&self, random: &mut impl Rng) -> f64 {
        match *self {
            // Both parameters are at least 1, which the constructor takes; were they not, the mean is the honest draw.
            Self::Beta { alpha, beta } => {
                Beta::new(alpha, beta).map_or_else(|_| self.moments().0, |beta| beta.sample(random))
            }
            Self::NormalInverseGamma { mean, alpha, .. } => {
                let Ok(student) = StudentT::new(2.0 * alpha) else { return self.moments().0 };
                let scale = self.scale();
                // The location is inside of the interval and the scale at most a fifth of it: four draws of ten at least are
                // taken.
                loop {
                    let drawn = mean + scale * student.sample(random);
                    if (0.0..=1.0).contains(&drawn) {
                        return drawn;
                    }
                }
            }
        }
    }

    /// The density at a point inside of the interval, up to a factor that makes it 1 at the mode.
    pub(crate) fn density(&self, x: f64) -> f64 {
        match *self {
            Self::Beta { alpha, beta } => {
                let (ones, zeros) = (alpha - 1.0, beta - 1.0);
                let mode = if ones + zeros > 0.0 { ones / (ones + zeros) } else { 0.5 };
                (times_ln(ones, x) + times_ln(zeros, 1.0 - x) - times_ln(ones, mode) - times_ln(zeros, 1.0 - mode))
                    .exp()
            }
            Self::NormalInverseGamma { mean, alpha, .. } => {
                let freedom = 2.0 * alpha;
                let distance = (x - mean) / self.scale();
                (-f64::midpoint(freedom, 1.0) * (distance * distance / freedom).ln_1p()).exp()
            }
        }
    }

    fn location(&self) -> f64 {
        match *self {
            Self::Beta { .. } => self.moments().0,
            Self::NormalInverseGamma { mean, .. } => mean,
        }
    }

    fn scale(&self) -> f64 {
        match *self {
            Self::Beta { .. } => self.moments().1,
            Self::NormalInverseGamma { kappa, alpha, beta, .. } => (beta / (alpha * kappa)).sqrt(),
        }
    }
}

/// `factor * ln(x)`, where nothing times minus infinity is nothing.
fn times_ln(factor: f64, x: f64) -> f64 {
    if factor == 0.0 { 0.0 } else { factor * x.ln() }
}

/// Points from 0 to 1 between which every one of the densities is smooth. Of points that lie much closer than their own
/// density asks for, one is kept.
pub(crate) fn partition(posteriors: &[Posterior]) -> Vec<f64> {
    let mut points = Vec::with_capacity(posteriors.len() * (2 * STEPS.len() + 1) + 2);
    for posterior in posteriors {
        let (centre, scale) = (posterior.location(), posterior.scale());
        points.push((centre, scale * STEPS[0]));
        let mut before = 0.0;
        for step in STEPS {
            let width = scale * (step - before);
            points.extend([(centre - scale * step, width), (centre + scale * step, width)]);
            before = step;
        }
    }
    points.retain(|(x, _)| *x > 0.0 && *x < 1.0);
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut kept = vec![0.0];
    for (x, width) in points {
        if kept.last().is_none_or(|last| x - last >= width / 2.0) {
            kept.push(x);
        }
    }
    kept.push(1.0);
    kept
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn evidence(rewards: &[f64]) -> Evidence {
        rewards.iter().fold(Evidence::default(), |sum, reward| Evidence {
            weight: sum.weight + 1.0,
            reward: sum.reward + reward,
            squared_reward: sum.squared_reward + reward * reward,
        })
    }

    /// Mean and standard deviation of draws.
    fn drawn(posterior: &Posterior, draws: u32, seed: u64) -> (f64, f64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..draws {
            let draw = posterior.draw(&mut random);
            assert!((0.0..=1.0).contains(&draw));
            sum += draw;
            squares += draw * draw;
        }
        let mean = sum / f64::from(draws);
        (mean, (squares / f64::from(draws) - mean * mean).sqrt())
    }

    #[test]
    fn bernoulli_evidence_gives_the_beta_of_its_counts() {
        let posterior = Posterior::given(Family::Bernoulli, &evidence(&[1.0, 0.0, 1.0, 1.0]));
        assert_eq!(posterior, Posterior::Beta { alpha: 4.0, beta: 2.0 });
        let (mean, deviation) = posterior.moments();
        // Mean a/(a+b) and variance ab/((a+b)^2 (a+b+1)).
        assert!((mean - 4.0 / 6.0).abs() < 1e-15 && (deviation.powi(2) - 8.0 / (36.0 * 7.0)).abs() < 1e-15);
    }

    #[test]
    fn gaussian_evidence_gives_the_conjugate_update_by_hand() {
        let Posterior::NormalInverseGamma { mean, kappa, alpha, beta } =
            Posterior::given(Family::Gaussian, &evidence(&[0.2, 0.4, 0.9]))
        else {
            panic!("graded rewards are Gaussian")
        };
        // n = 3, average 0.5, scatter 0.26, and no shift from the prior's mean.
        assert!((mean - 0.5).abs() < 1e-15 && (kappa - 4.0).abs() < 1e-15 && (alpha - 3.5).abs() < 1e-15);
        assert!((beta - (1.0 / 12.0 + 0.13)).abs() < 1e-15, "{beta}");
    }

    /// Updating with one reward after the other, each posterior being the next one's prior, is the same as all at once.
    #[test]
    fn gaussian_evidence_at_once_equals_updates_one_by_one() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..100 {
            let rewards: Vec<f64> = (0..random.random_range(1..40)).map(|_| random.random()).collect();
            let (mut m, mut k, mut a, mut b) = (PRIOR_MEAN, PRIOR_KAPPA, PRIOR_ALPHA, PRIOR_BETA);
            for reward in &rewards {
                b += k * (reward - m).powi(2) / (2.0 * (k + 1.0));
                m = (k * m + reward) / (k + 1.0);
                k += 1.0;
                a += 0.5;
            }
            let Posterior::NormalInverseGamma { mean, kappa, alpha, beta } =
                Posterior::given(Family::Gaussian, &evidence(&rewards))
            else {
                panic!("graded rewards are Gaussian")
            };
            for (one, other) in [(mean, m), (kappa, k), (alpha, a), (beta, b)] {
                assert!((one - other).abs() < 1e-12, "{one} {other}");
            }
        }
    }

    #[test]
    fn priors_of_both_families_begin_with_the_same_moments() {
        let nothing = Evidence::default();
        assert_eq!(Posterior::given(Family::Bernoulli, &nothing), Posterior::Beta { alpha: 1.0, beta: 1.0 });
        let graded = Posterior::given(Family::Gaussian, &nothing);
        // Variance of Student's t: scale^2 * nu / (nu - 2).
        assert!((graded.scale().powi(2) * 4.0 / 2.0 - 1.0 / 12.0).abs() < 1e-15);
        assert!((graded.moments().0 - 0.5).abs() < 1e-12);
    }

    /// The moments of Student's t between bounds have a closed form for the mean:
    /// E[t; a<t<b] = nu/(nu-1) * ((1 + a^2/nu) f(a) - (1 + b^2/nu) f(b)).
    #[test]
    fn moments_of_the_truncated_t_agree_with_the_closed_form() {
        for rewards in [&[0.9, 0.8][..], &[0.1], &[0.5, 0.5, 0.6], &[1.0, 1.0, 0.99], &[0.0; 20]] {
            let posterior = Posterior::given(Family::Gaussian, &evidence(rewards));
            let Posterior::NormalInverseGamma { mean, alpha, .. } = posterior else { panic!("it is graded") };
            let (freedom, scale) = (2.0 * alpha, posterior.scale());
            let mass: f64 = cells(&partition(&[posterior]))
                .map(|(left, width)| {
                    width * weighted(&WEIGHTS, &NODES.map(|node| posterior.density(left + width * node)))
                })
                .sum();
            let edge = |x: f64| (1.0 + ((x - mean) / scale).powi(2) / freedom) * posterior.density(x);
            let expected = mean + scale * scale * freedom / (freedom - 1.0) * (edge(0.0) - edge(1.0)) / mass;
            assert!(
                (posterior.moments().0 - expected).abs() < 1e-6,
                "{rewards:?} {expected} {:?}",
                posterior.moments()
            );
        }
    }

    #[test]
    fn draws_have_the_moments_that_the_posterior_tells() {
        const DRAWS: u32 = 200_000;
        let cases = [
            Posterior::Beta { alpha: 1.0, beta: 1.0 },
            Posterior::Beta { alpha: 40.0, beta: 2.5 },
            Posterior::Beta { alpha: 900.0, beta: 1.0 },
            Posterior::given(Family::Gaussian, &Evidence::default()),
            Posterior::given(Family::Gaussian, &evidence(&[1.0, 0.97, 0.99])),
            Posterior::given(Family::Gaussian, &evidence(&[0.3; 50])),
        ];
        for (seed, posterior) in (1..).zip(&cases) {
            let ((mean, deviation), (expected, spread)) = (drawn(posterior, DRAWS, seed), posterior.moments());
            let error = spread / f64::from(DRAWS).sqrt();
            assert!((mean - expected).abs() < 5.0 * error, "{posterior:?}: {mean} is not {expected}");
            assert!((deviation / spread - 1.0).abs() < 0.02, "{posterior:?}: {deviation} is not {spread}");
        }
    }

    #[test]
    fn posterior_narrows_with_evidence_and_stays_between_0_and_1() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for family in [Family::Bernoulli, Family::Gaussian] {
            let rewards: Vec<f64> = (0..2000).map(|_| f64::from(random.random_bool(0.7))).collect();
            let deviations: Vec<f64> = [0, 20, 200, 2000]
                .map(|n| Posterior::given(family, &evidence(&rewards[..n])).moments())
                .map(|(mean, deviation)| {
                    assert!((0.0..=1.0).contains(&mean));
                    deviation
                })
                .to_vec();
            assert!(deviations.is_sorted_by(|a, b| a > b), "{family:?} {deviations:?}");
            let (mean, deviation) = Posterior::given(family, &evidence(&rewards)).moments();
            assert!((mean - 0.7).abs() < 5.0 * deviation && deviation < 0.015, "{family:?} {mean} {deviation}");
        }
    }
}
