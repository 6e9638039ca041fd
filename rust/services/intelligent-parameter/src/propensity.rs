//! How likely a Thompson draw is to choose each of several arms.
//!
//! With independent posteriors of densities f and distribution functions F, arm k has the highest draw with probability
//! ∫ f_k(x) ∏_{j≠k} F_j(x) dx. Counting simulated draws would be unbiased too, but says 0 of an arm that is rarely drawn, and
//! inverse-propensity weights need every arm's share: so this integrates, with an error below 1e-6.

use crate::posterior::{Posterior, partition};
use crate::quadrature::{NODES, UP_TO, WEIGHTS, cells, weighted};

/// Arms that are believed the same of, as unseen ones are.
struct Group {
    posterior: Posterior,
    arms: f64,
    /// What the density integrates to.
    mass: f64,
    /// Of the distribution function, at the left end of the cell.
    below: f64,
    /// Probability that one of these arms is chosen.
    chosen: f64,
    density: [f64; 3],
    distribution: [f64; 3],
}

/// The probability of each arm to have the highest draw, in the arms' order: above 0, and 1 in sum.
pub fn propensities(posteriors: &[Posterior]) -> Vec<f64> {
    let (mut groups, group_of) = grouped(posteriors);
    let distinct: Vec<Posterior> = groups.iter().map(|group| group.posterior).collect();
    let partition = partition(&distinct);
    for group in &mut groups {
        group.mass = cells(&partition)
            .map(|(left, width)| {
                width * weighted(&WEIGHTS, &NODES.map(|node| group.posterior.density(left + width * node)))
            })
            .sum();
    }
    for (left, width) in cells(&partition) {
        for group in &mut groups {
            group.enter(left, width);
        }
        for (node, weight) in WEIGHTS.iter().enumerate() {
            let all: f64 = groups.iter().map(|group| group.arms * group.distribution[node].ln()).sum();
            for group in &mut groups {
                let others = (all - group.distribution[node].ln()).exp();
                group.chosen += weight * width * group.density[node] * others;
            }
        }
        for group in &mut groups {
            group.below += width * weighted(&WEIGHTS, &group.density);
        }
    }
    let total: f64 = groups.iter().map(|group| group.arms * group.chosen).sum();
    group_of.iter().map(|group| (groups[*group].chosen / total).max(f64::MIN_POSITIVE)).collect()
}

impl Group {
    /// Computes density and distribution function at the nodes of a cell.
    fn enter(&mut self, left: f64, width: f64) {
        self.density = NODES.map(|node| self.posterior.density(left + width * node) / self.mass);
        self.distribution = UP_TO.each_ref().map(|up_to| {
            // Where a parabola undershoots, in a tail of no weight, the logarithm must still exist.
            (self.below + width * weighted(up_to, &self.density)).clamp(f64::MIN_POSITIVE, 1.0)
        });
    }
}

/// The distinct posteriors, and the group of each arm.
fn grouped(posteriors: &[Posterior]) -> (Vec<Group>, Vec<usize>) {
    let mut groups: Vec<Group> = Vec::new();
    let group_of = posteriors
        .iter()
        .map(|posterior| {
            if let Some(at) = groups.iter().position(|group| group.posterior == *posterior) {
                groups[at].arms += 1.0;
                return at;
            }
            groups.push(Group {
                posterior: *posterior,
                arms: 1.0,
                mass: 0.0,
                below: 0.0,
                chosen: 0.0,
                density: [0.0; 3],
                distribution: [0.0; 3],
            });
            groups.len() - 1
        })
        .collect();
    (groups, group_of)
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::posterior::{Evidence, Family};

    fn beta(alpha: f64, beta: f64) -> Posterior {
        Posterior::Beta { alpha, beta }
    }

    fn graded(weight: f64, average: f64, variance: f64) -> Posterior {
        let squared_reward = weight * (variance + average * average);
        Posterior::given(Family::Gaussian, &Evidence { weight, reward: weight * average, squared_reward })
    }

    #[test]
    fn propensity_of_equal_arms_is_their_share() {
        for n in [1, 2, 3, 17, 256] {
            for posterior in [beta(1.0, 1.0), beta(300.0, 7.0), graded(12.0, 0.4, 0.02)] {
                let shares = propensities(&vec![posterior; n]);
                let expected = 1.0 / f64::from(u32::try_from(n).unwrap());
                assert!(shares.iter().all(|share| (share - expected).abs() < 1e-9), "{n} {posterior:?} {}", shares[0]);
            }
        }
    }

    /// For whole numbers, P(X > Y) of two Betas has a closed form (Cook, "Exact calculation of beta inequalities", 2005);
    /// of Beta(a, 1) against Beta(b, 1) it is a / (a + b).
    #[test]
    fn propensity_of_two_betas_agrees_with_the_closed_form() {
        for (a, b) in [(1.0, 1.0), (2.0, 1.0), (5.0, 3.0), (80.0, 1.0), (500.0, 400.0), (1.0, 1000.0)] {
            let shares = propensities(&[beta(a, 1.0), beta(b, 1.0)]);
            assert!((shares[0] - a / (a + b)).abs() < 1e-6, "{a} {b}: {shares:?}");
        }
        let mirrored = propensities(&[beta(3.0, 8.0), beta(8.0, 3.0)]);
        let reversed = propensities(&[beta(8.0, 3.0), beta(3.0, 8.0)]);
        assert!((mirrored[0] - reversed[1]).abs() < 1e-12);
    }

    /// Of n arms Beta(a_i, 1) the first is highest with probability a_1 / sum a_i.
    #[test]
    fn propensity_of_many_betas_agrees_with_the_closed_form() {
        let weights: Vec<f64> = (1..=40).map(f64::from).collect();
        let posteriors: Vec<Posterior> = weights.iter().map(|a| beta(*a, 1.0)).collect();
        let total: f64 = weights.iter().sum();
        for (share, weight) in propensities(&posteriors).iter().zip(&weights) {
            assert!((share - weight / total).abs() < 1e-6, "{share} {weight}");
        }
    }

    #[test]
    fn propensity_is_the_frequency_with_which_draws_choose() {
        const DRAWS: u32 = 200_000;
        let sets = [
            vec![beta(1.0, 1.0), beta(3.0, 2.0), beta(60.0, 40.0), beta(7.0, 9.0)],
            vec![graded(0.0, 0.0, 0.0), graded(3.0, 0.9, 0.01), graded(200.0, 0.7, 0.05), graded(40.0, 0.72, 0.2)],
        ];
        for (seed, posteriors) in (1..).zip(sets) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut chosen = vec![0_u32; posteriors.len()];
            for _ in 0..DRAWS {
                let draws: Vec<f64> = posteriors.iter().map(|posterior| posterior.draw(&mut random)).collect();
                let best = (0..draws.len()).max_by(|a, b| draws[*a].total_cmp(&draws[*b])).unwrap();
                chosen[best] += 1;
            }
            for (count, share) in chosen.iter().zip(propensities(&posteriors)) {
                let frequency = f64::from(*count) / f64::from(DRAWS);
                let error = (share * (1.0 - share) / f64::from(DRAWS)).sqrt();
                assert!((frequency - share).abs() < 5.0 * error, "{frequency} is not {share}");
            }
        }
    }

    #[test]
    fn propensity_of_a_hopeless_arm_is_above_0() {
        let shares = propensities(&[beta(1.0, 5000.0), beta(5000.0, 1.0)]);
        assert!(shares[0] > 0.0 && shares[0] < 1e-12, "{shares:?}");
        assert!((shares[1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn propensities_of_any_arms_are_positive_and_1_in_sum() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..200 {
            let posteriors: Vec<Posterior> = (0..random.random_range(1..30))
                .map(|_| {
                    let (weight, average) = (random.random::<f64>().powi(4) * 5000.0, random.random::<f64>());
                    if random.random() {
                        graded(weight, average, random.random::<f64>() * 0.2)
                    } else {
                        beta(1.0 + weight * average, 1.0 + weight * (1.0 - average))
                    }
                })
                .collect();
            let shares = propensities(&posteriors);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(shares.iter().all(|share| *share > 0.0 && *share <= 1.0), "{shares:?}");
        }
    }
}
