//! Which answer to give, and what is believed of the actions.
//!
//! A single high score may be luck. What an attempt is worth is believed by the search's own prior with the mean that its
//! action's scores have: one observation, its score, moves that. So of two attempts with close scores the one of the better
//! action is recommended.

use rand::Rng;

use crate::attempt::Node;
use crate::posterior::{Observations, Posterior};
use crate::search::Search;
use crate::tree::Arm;

/// Nodes that are compared by draws: those of the highest expected scores.
const COMPARED: usize = 256;

/// What to answer with.
#[derive(Debug, PartialEq)]
pub struct Recommendation {
    /// The node, with its expected score and the probability that no other is better.
    pub node: Option<(Node, f64, f64)>,
    /// The actions, the most promising first.
    pub actions: Vec<ActionBelief>,
}

/// What is believed of an action.
#[derive(Debug, PartialEq)]
pub struct ActionBelief {
    /// Its name.
    pub name: String,
    /// Expected score: 0 to 1.
    pub mean: f64,
    /// Standard deviation of that; at most 0.5, as of any value between 0 and 1.
    pub standard_deviation: f64,
    /// Scored attempts.
    pub attempts: u32,
    /// Probability that its next attempt scores highest.
    pub best_probability: f64,
}

/// The beliefs of a search, taken out of it to be drawn from elsewhere.
#[derive(Debug)]
pub struct Beliefs {
    nodes: Vec<(Node, Posterior)>,
    actions: Vec<(String, u32, Posterior)>,
}

impl Beliefs {
    /// Those of a search.
    pub fn of(search: &Search) -> Self {
        let tree = search.tree();
        let actions: Vec<(String, u32, Posterior)> = (0..search.spec.actions.len())
            .map(|at| (search.action_name(at).to_owned(), tree.attempts(at), tree.posterior(Arm::Action(at))))
            .collect();
        let posterior = |node: &Node| {
            let mut score = Observations::default();
            score.add(node.score);
            Posterior::new(search.spec.prior().with_mean(within(actions[node.action].2.mean())), &score)
        };
        let mut nodes: Vec<(&Node, Posterior)> = search.nodes().map(|(_, node)| (node, posterior(node))).collect();
        // Stable, so that of equals the earlier comes first.
        nodes.sort_by(|(_, a), (_, b)| b.mean().total_cmp(&a.mean()));
        nodes.truncate(COMPARED);
        Self { nodes: nodes.into_iter().map(|(node, posterior)| (node.clone(), posterior)).collect(), actions }
    }

    /// Estimates probabilities by `draws` draws.
    pub fn recommend(self, draws: u32, random: &mut impl Rng) -> Recommendation {
        let node_shares = shares(&self.nodes, draws, |(_, posterior)| posterior.draw(random));
        let action_shares = shares(&self.actions, draws, |(_, _, posterior)| posterior.draw_score(random));
        let node = self.nodes.into_iter().zip(node_shares).next();
        let mut actions: Vec<ActionBelief> = self
            .actions
            .into_iter()
            .zip(action_shares)
            .map(|((name, attempts, posterior), best_probability)| ActionBelief {
                name,
                mean: within(posterior.mean()),
                standard_deviation: posterior.standard_deviation().min(0.5),
                attempts,
                best_probability,
            })
            .collect();
        actions.sort_by(|a, b| b.best_probability.total_cmp(&a.best_probability).then(b.mean.total_cmp(&a.mean)));
        Recommendation { node: node.map(|((node, posterior), share)| (node, within(posterior.mean()), share)), actions }
    }
}

/// How often each has the highest draw, as a share.
fn shares<T>(of: &[T], draws: u32, mut draw: impl FnMut(&T) -> f64) -> Vec<f64> {
    let mut wins = vec![0_u32; of.len()];
    for _ in 0..draws {
        let highest = of.iter().map(&mut draw).enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        if let Some((at, _)) = highest {
            wins[at] += 1;
        }
    }
    wins.into_iter().map(|count| f64::from(count) / f64::from(draws.max(1))).collect()
}

/// A Gaussian mean may lie outside of where scores can.
fn within(score: f64) -> f64 {
    score.clamp(0.0, 1.0)
}
