//! The tree, and the choice of what to try next: AB-MCTS-A of "Wider or Deeper?" (Inoue et al., 2025), as treequest 0.3.3
//! implements it by default.
//!
//! Every node has an arm GEN (a fresh child) against an arm CONT (one of the children it has), and each child an arm of its
//! own. Thompson sampling decides GEN or CONT, then which child, down to a node that generates; there the action is chosen by
//! the scores that it got anywhere in the tree. A score is told to GEN of the node that generated, to its own arm, to its
//! action, and on the way up to each ancestor's own arm and to CONT of the node above.

use std::collections::HashMap;

use rand::Rng;

use crate::posterior::{Observations, Posterior, Prior};

/// Index of the root.
pub const ROOT: usize = 0;

/// Something that scores are told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arm {
    /// A fresh child of a node.
    Gen(usize),
    /// A child that a node has.
    Cont(usize),
    /// A node, among its siblings.
    Node(usize),
    /// An action, anywhere.
    Action(usize),
}

/// Attempts under way, by the arms that their scores will be told to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending(HashMap<Arm, u32>);

impl Pending {
    /// Counts an attempt below `parent`.
    pub fn add(&mut self, tree: &Tree, parent: usize, action: usize) {
        tree.backup(parent, action, |arm| *self.0.entry(arm).or_default() += 1);
    }

    /// Counts one no longer.
    pub fn remove(&mut self, tree: &Tree, parent: usize, action: usize) {
        tree.backup(parent, action, |arm| {
            if let Some(count) = self.0.get_mut(&arm) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&arm);
                }
            }
        });
    }

    fn of(&self, arm: Arm) -> u32 {
        if self.0.is_empty() { 0 } else { self.0.get(&arm).copied().unwrap_or(0) }
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    parent: usize,
    depth: u32,
    children: Vec<usize>,
    generated: Observations,
    continued: Observations,
    own: Observations,
}

/// The scores of all arms. Nodes are numbered in the order in which they were told.
#[derive(Debug, Clone)]
pub struct Tree {
    prior: Prior,
    /// Of each action its prior and scores.
    actions: Vec<(Prior, Observations)>,
    nodes: Vec<Node>,
    max_depth: u32,
}

impl Tree {
    /// A root without children. `actions` are the priors of the actions, at least one; `max_depth` is at least 1.
    pub fn new(prior: Prior, actions: impl IntoIterator<Item = Prior>, max_depth: u32) -> Self {
        let actions = actions.into_iter().map(|prior| (prior, Observations::default())).collect();
        Self { prior, actions, nodes: vec![Node::default()], max_depth }
    }

    /// Steps from the root.
    pub fn depth(&self, node: usize) -> u32 {
        self.nodes[node].depth
    }

    /// Takes in a scored attempt, and numbers its node.
    pub fn tell(&mut self, parent: usize, action: usize, score: f64) -> usize {
        let node = self.nodes.len();
        let mut arms = Vec::new();
        self.backup(parent, action, |arm| arms.push(arm));
        for arm in arms {
            self.seen_mut(arm).add(score);
        }
        let depth = self.nodes[parent].depth + 1;
        let mut own = Observations::default();
        own.add(score);
        self.nodes.push(Node { parent, depth, own, ..Node::default() });
        self.nodes[parent].children.push(node);
        node
    }

    /// Chooses where and how to make the next attempt: a node to refine, and an action.
    pub fn select(&self, pending: &Pending, random: &mut impl Rng) -> (usize, usize) {
        let mut at = ROOT;
        loop {
            let node = &self.nodes[at];
            // A child of the deepest level could not have one of its own.
            let can_continue = !node.children.is_empty() && node.depth + 1 < self.max_depth;
            if !can_continue || self.best([Arm::Gen(at), Arm::Cont(at)], pending, random) == Some(0) {
                break;
            }
            match self.best(node.children.iter().map(|child| Arm::Node(*child)), pending, random) {
                Some(child) => at = node.children[child],
                None => break,
            }
        }
        (at, self.select_action(pending, random))
    }

    fn select_action(&self, pending: &Pending, random: &mut impl Rng) -> usize {
        if self.actions.len() == 1 {
            return 0;
        }
        self.best((0..self.actions.len()).map(Arm::Action), pending, random).unwrap_or(0)
    }

    /// Draws from each arm's posterior; the place of the highest draw, of equal ones the first.
    fn best(&self, arms: impl IntoIterator<Item = Arm>, pending: &Pending, random: &mut impl Rng) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (place, arm) in arms.into_iter().enumerate() {
            let drawn = self.posterior(arm).with_pending(pending.of(arm)).draw(random);
            if best.is_none_or(|(_, highest)| drawn > highest) {
                best = Some((place, drawn));
            }
        }
        best.map(|(place, _)| place)
    }

    /// What is believed of an arm, without regard to what is pending.
    pub fn posterior(&self, arm: Arm) -> Posterior {
        let (prior, seen) = match arm {
            Arm::Gen(node) => (self.prior, &self.nodes[node].generated),
            Arm::Cont(node) => (self.prior, &self.nodes[node].continued),
            Arm::Node(node) => (self.prior, &self.nodes[node].own),
            Arm::Action(action) => (self.actions[action].0, &self.actions[action].1),
        };
        Posterior::new(prior, seen)
    }

    /// Scored attempts that an action made.
    pub fn attempts(&self, action: usize) -> u32 {
        self.actions[action].1.count
    }

    /// The arms that exist before an attempt below `parent` is told and learn from its score.
    fn backup(&self, parent: usize, action: usize, mut learn: impl FnMut(Arm)) {
        learn(Arm::Gen(parent));
        learn(Arm::Action(action));
        let mut at = parent;
        while at != ROOT {
            learn(Arm::Node(at));
            at = self.nodes[at].parent;
            learn(Arm::Cont(at));
        }
    }

    fn seen_mut(&mut self, arm: Arm) -> &mut Observations {
        match arm {
            Arm::Gen(node) => &mut self.nodes[node].generated,
            Arm::Cont(node) => &mut self.nodes[node].continued,
            Arm::Node(node) => &mut self.nodes[node].own,
            Arm::Action(action) => &mut self.actions[action].1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    use super::*;

    fn tree(actions: usize, max_depth: u32) -> Tree {
        Tree::new(Prior::GAUSSIAN, vec![Prior::GAUSSIAN; actions], max_depth)
    }

    fn random(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    proptest! {
        #[test]
        fn tree_grown_by_its_own_choices_keeps_its_invariants(
            seed: u64, actions in 1_usize..5, max_depth in 1_u32..6, scores in prop::collection::vec(0.0..=1.0_f64, 1..80),
        ) {
            let (mut tree, mut random) = (tree(actions, max_depth), random(seed));
            for score in &scores {
                let (parent, action) = tree.select(&Pending::default(), &mut random);
                prop_assert!(action < actions && parent < tree.nodes.len() && tree.depth(parent) < max_depth);
                let node = tree.tell(parent, action, *score);
                prop_assert_eq!(tree.depth(node), tree.depth(parent) + 1);
            }
            let count = u32::try_from(scores.len()).unwrap();
            prop_assert_eq!(tree.actions.iter().map(|(_, seen)| seen.count).sum::<u32>(), count);
            for (at, node) in tree.nodes.iter().enumerate() {
                // Each node heard of all that happened below: GEN of its children, CONT of the rest.
                prop_assert_eq!(node.generated.count as usize, node.children.len());
                let below: u32 = node.children.iter().map(|c| tree.nodes[*c].own.count - 1).sum();
                prop_assert_eq!(node.continued.count, below);
                if at != ROOT {
                    prop_assert_eq!(node.own.count, 1 + node.generated.count + node.continued.count);
                }
            }
            prop_assert_eq!(tree.nodes[ROOT].generated.count + tree.nodes[ROOT].continued.count, count);
        }

        #[test]
        fn pending_added_and_removed_in_any_order_is_nothing(
            seed: u64, scores in prop::collection::vec(0.0..=1.0_f64, 0..30), order in prop::collection::vec(any::<usize>(), 20),
        ) {
            let (mut tree, mut random) = (tree(3, 10), random(seed));
            for score in scores {
                let (parent, action) = tree.select(&Pending::default(), &mut random);
                tree.tell(parent, action, score);
            }
            let (mut pending, mut asked) = (Pending::default(), Vec::new());
            for _ in &order {
                let (parent, action) = tree.select(&pending, &mut random);
                pending.add(&tree, parent, action);
                asked.push((parent, action));
            }
            for at in order {
                let (parent, action) = asked.remove(at % asked.len());
                pending.remove(&tree, parent, action);
            }
            prop_assert_eq!(pending, Pending::default());
        }
    }

    #[test]
    fn tree_that_may_be_one_deep_only_widens() {
        let (mut tree, mut random) = (tree(2, 1), random(3));
        for _ in 0..50 {
            let (parent, action) = tree.select(&Pending::default(), &mut random);
            assert_eq!(parent, ROOT);
            tree.tell(parent, action, 0.9);
        }
    }

    /// Share of 4,000 choices in which each action is chosen at the root.
    fn shares(tree: &Tree, pending: &Pending) -> Vec<f64> {
        let mut random = random(11);
        let mut counts = vec![0.0; tree.actions.len()];
        for _ in 0..4000 {
            counts[tree.select(pending, &mut random).1] += 1.0 / 4000.0;
        }
        counts
    }

    #[test]
    fn pending_attempts_of_an_action_leave_the_next_ones_to_the_others() {
        let mut tree = tree(3, 10);
        for (action, score) in [(0, 0.6), (1, 0.5), (2, 0.55)] {
            tree.tell(ROOT, action, score);
        }
        let mut pending = Pending::default();
        let mut before = shares(&tree, &pending)[0];
        for _ in 0..4 {
            pending.add(&tree, ROOT, 0);
            let now = shares(&tree, &pending)[0];
            assert!(now < before, "{now} {before}");
            before = now;
        }
    }

    #[test]
    fn batch_that_knows_of_itself_differs_more_than_one_that_does_not() {
        let (mut aware, mut unaware) = (0, 0);
        let tree = tree(4, 10);
        for seed in 0..300 {
            let distinct = |knows: bool| {
                let (mut random, mut pending, mut seen) = (random(seed), Pending::default(), [false; 4]);
                for _ in 0..4 {
                    let (parent, action) = tree.select(&pending, &mut random);
                    seen[action] = true;
                    if knows {
                        pending.add(&tree, parent, action);
                    }
                }
                seen.iter().filter(|seen| **seen).count()
            };
            aware += distinct(true);
            unaware += distinct(false);
        }
        assert!(aware > unaware + 60, "{aware} and {unaware} of {}", 300 * 4);
    }

    #[test]
    fn pending_child_leaves_the_next_refinement_to_its_siblings() {
        let mut tree = tree(1, 10);
        let nodes = [0.8, 0.8].map(|score| tree.tell(ROOT, 0, score));
        // So that the search goes deeper.
        for node in nodes {
            tree.tell(node, 0, 0.95);
        }
        let share = |pending: &Pending| {
            let mut random = random(5);
            let below = |mut at: usize| {
                while tree.nodes[at].parent != ROOT {
                    at = tree.nodes[at].parent;
                }
                at
            };
            let chosen: Vec<usize> =
                (0..4000).map(|_| tree.select(pending, &mut random).0).filter(|at| *at != ROOT).map(below).collect();
            let count = |count: usize| f64::from(u32::try_from(count).unwrap());
            count(chosen.iter().filter(|at| **at == nodes[0]).count()) / count(chosen.len())
        };
        let even = share(&Pending::default());
        assert!((even - 0.5).abs() < 0.05, "{even}");
        let mut pending = Pending::default();
        pending.add(&tree, nodes[0], 0);
        pending.add(&tree, nodes[0], 0);
        assert!(share(&pending) < even - 0.1, "{}", share(&pending));
    }
}
