//! What a search is, fixed when it is created.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::error::Error;
use crate::posterior::Prior;
use crate::usage::Budget;

/// No search has more nodes: what the contract allows as a limit.
pub const MOST_NODES: u32 = 100_000;
const DEFAULT_NODES: u32 = 10_000;
const DEFAULT_ASK_TTL: Duration = Duration::from_mins(10);
const DEFAULT_DEPTH: u32 = 1000;

/// What the caller wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Kind of task; empty for none.
    pub task_type: String,
    /// At least one, with different names.
    pub actions: Vec<Action>,
    /// How the next attempt is chosen.
    pub algorithm: Algorithm,
    /// Seed of every random choice.
    pub seed: u64,
    /// When to end.
    pub budget: Option<Budget>,
    /// The score that ends it: 0 to 1.
    pub target_score: Option<f64>,
    /// How long an ask stays pending.
    pub ask_ttl: Option<Duration>,
    /// Deepest node; 0 for the default.
    pub max_depth: u32,
    /// The caller's own words.
    pub labels: BTreeMap<String, String>,
}

/// One way to make an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Unique in the search.
    pub name: String,
    /// Mean of the prior of its scores: 0 to 1.
    pub expected_score: Option<f64>,
}

/// How the next attempt is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Algorithm {
    /// AB-MCTS-A with a Gaussian prior, as nothing else was said.
    Default,
    /// AB-MCTS-A with a normal-inverse-gamma prior.
    Gaussian {
        /// Prior mean.
        mean: Option<f64>,
        /// Observations that it is worth.
        kappa: Option<f64>,
        /// Degrees of freedom of the variance.
        nu: Option<f64>,
        /// Scale of the variance.
        tau_squared: Option<f64>,
    },
    /// AB-MCTS-A with a beta prior.
    Beta {
        /// Successes.
        alpha: Option<f64>,
        /// Failures.
        beta: Option<f64>,
    },
    /// AB-MCTS-M.
    Mixed,
}

impl Spec {
    /// Checks what no rule of the contract says.
    ///
    /// # Errors
    /// Two actions of one name; an algorithm that is not built.
    pub fn check(&self) -> Result<(), Error> {
        let mut names = HashSet::new();
        if let Some(action) = self.actions.iter().find(|action| !names.insert(action.name.as_str())) {
            return Err(Error::ActionTwice { name: action.name.clone() });
        }
        if self.algorithm == Algorithm::Mixed { Err(Error::MixedModel) } else { Ok(()) }
    }

    /// Prior of every arm that is no action's.
    pub fn prior(&self) -> Prior {
        let (default_alpha, default_beta) = (0.5, 0.5);
        match self.algorithm {
            // A mixed model is refused; its arms would have the same prior.
            Algorithm::Default | Algorithm::Mixed => Prior::GAUSSIAN,
            Algorithm::Gaussian { mean, kappa, nu, tau_squared } => Prior::Gaussian {
                mean: mean.unwrap_or(0.0),
                kappa: kappa.unwrap_or(1.0),
                nu: nu.unwrap_or(1.0),
                tau_squared: tau_squared.unwrap_or(0.1),
            },
            Algorithm::Beta { alpha, beta } => {
                Prior::Beta { alpha: alpha.unwrap_or(default_alpha), beta: beta.unwrap_or(default_beta) }
            }
        }
    }

    /// Priors of the actions: the caller's mean, else what earlier searches taught, else the prior of every arm.
    pub fn action_priors(&self, taught: &BTreeMap<String, f64>) -> Vec<Prior> {
        let prior = self.prior();
        let mean = |action: &Action| action.expected_score.or_else(|| taught.get(&action.name).copied());
        self.actions.iter().map(|action| mean(action).map_or(prior, |mean| prior.with_mean(mean))).collect()
    }

    /// Attempts that it may make, failed ones included.
    pub fn max_nodes(&self) -> u32 {
        match &self.budget {
            None => DEFAULT_NODES,
            Some(budget) => budget.max_nodes.unwrap_or(MOST_NODES).min(MOST_NODES),
        }
    }

    /// How long an ask stays pending.
    pub fn ask_ttl(&self) -> Duration {
        self.ask_ttl.unwrap_or(DEFAULT_ASK_TTL)
    }

    /// Depth of the deepest node.
    pub fn max_depth(&self) -> u32 {
        if self.max_depth == 0 { DEFAULT_DEPTH } else { self.max_depth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(algorithm: Algorithm, expected: [Option<f64>; 2]) -> Spec {
        let action = |(name, expected_score): (&str, _)| Action { name: name.to_owned(), expected_score };
        Spec {
            task_type: String::new(),
            actions: ["a", "b"].into_iter().zip(expected).map(action).collect(),
            algorithm,
            seed: 0,
            budget: None,
            target_score: None,
            ask_ttl: None,
            max_depth: 0,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn action_prior_is_the_callers_else_the_taught_else_the_algorithms() {
        let taught = [("a".to_owned(), 0.2), ("b".to_owned(), 0.9)].into();
        let priors = spec(Algorithm::Default, [Some(0.6), None]).action_priors(&taught);
        assert_eq!(priors.iter().map(|prior| prior.mean()).collect::<Vec<_>>(), [0.6, 0.9]);
        let own = Algorithm::Gaussian { mean: Some(0.4), kappa: None, nu: None, tau_squared: None };
        let untaught = spec(own, [None, Some(0.1)]).action_priors(&BTreeMap::new());
        assert_eq!(untaught.iter().map(|prior| prior.mean()).collect::<Vec<_>>(), [0.4, 0.1]);
        let beta = Algorithm::Beta { alpha: Some(3.0), beta: Some(1.0) };
        let counts = spec(beta, [None, Some(0.5)]).action_priors(&BTreeMap::new());
        assert_eq!(counts, [Prior::Beta { alpha: 3.0, beta: 1.0 }, Prior::Beta { alpha: 2.0, beta: 2.0 }]);
    }

    #[test]
    fn spec_with_a_name_twice_or_a_mixed_model_is_refused() {
        let mut twice = spec(Algorithm::Default, [None; 2]);
        assert!(twice.check().is_ok());
        twice.actions[1].name = "a".to_owned();
        assert!(matches!(twice.check(), Err(Error::ActionTwice { name }) if name == "a"));
        assert!(matches!(spec(Algorithm::Mixed, [None; 2]).check(), Err(Error::MixedModel)));
    }

    #[test]
    fn budget_without_nodes_is_as_large_as_any() {
        let mut spec = spec(Algorithm::Default, [None; 2]);
        assert_eq!(spec.max_nodes(), 10_000);
        spec.budget = Some(Budget::default());
        assert_eq!(spec.max_nodes(), MOST_NODES);
        spec.budget = Some(Budget { max_nodes: Some(3), ..Budget::default() });
        assert_eq!(spec.max_nodes(), 3);
    }
}
