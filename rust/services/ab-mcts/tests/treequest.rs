//! Beliefs and choices against those of treequest 0.3.3, the reference implementation by the authors of "Wider or Deeper?";
//! tests/data/record_treequest.py says how they were recorded.
#![allow(clippy::unwrap_used, reason = "helpers of a test fail it")]

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::Value;
use uait_ab_mcts::posterior::Prior;
use uait_ab_mcts::tree::{Arm, Pending, Tree};

fn recorded() -> Vec<Value> {
    let text = include_str!("data/treequest-0.3.3.json");
    let Value::Array(cases) = serde_json::from_str::<Value>(text).unwrap()["cases"].take() else { panic!("no cases") };
    assert_eq!(cases.len(), 5);
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn parameters(of: &Value) -> Prior {
    if of.get("a").is_some() {
        return Prior::Beta { alpha: number(&of["a"]), beta: number(&of["b"]) };
    }
    let [mean, kappa, nu, tau_squared] = ["m", "kappa", "nu", "tau_square"].map(|name| number(&of[name]));
    Prior::Gaussian { mean, kappa, nu, tau_squared }
}

fn grown(case: &Value) -> Tree {
    let prior = match case["distribution"].as_str().unwrap() {
        "beta" => Prior::BETA,
        _ if case["prior"].is_object() => parameters(&case["prior"]),
        _ => Prior::GAUSSIAN,
    };
    let actions = (0..index(&case["actions"])).map(|action| match &case["expected"] {
        Value::Array(expected) => prior.with_mean(number(&expected[action])),
        _ => prior,
    });
    let mut tree = Tree::new(prior, actions, 1000);
    for told in case["told"].as_array().unwrap() {
        tree.tell(index(&told["parent"]), index(&told["action"]), number(&told["score"]));
    }
    tree
}

fn flat(prior: Prior) -> Vec<f64> {
    match prior {
        Prior::Gaussian { mean, kappa, nu, tau_squared } => vec![mean, kappa, nu, tau_squared],
        Prior::Beta { alpha, beta } => vec![alpha, beta],
    }
}

#[test]
fn posteriors_are_those_of_treequest() {
    let mut compared = 0;
    for case in recorded() {
        let tree = grown(&case);
        for recorded in case["arms"].as_array().unwrap() {
            let at = index(&recorded["at"]);
            let arm = match recorded["arm"].as_str().unwrap() {
                "gen" => Arm::Gen(at),
                "cont" => Arm::Cont(at),
                _ => Arm::Node(at),
            };
            let (ours, theirs) = (flat(tree.posterior(arm).parameters()), flat(parameters(&recorded["parameters"])));
            assert_eq!(ours.len(), theirs.len());
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() < 1e-9, "{}: {arm:?} {ours:?} {theirs:?}", case["name"]);
            }
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn choices_are_as_frequent_as_those_of_treequest() {
    for case in recorded() {
        let (tree, draws) = (grown(&case), number(&case["draws"]));
        let mut random = ChaCha8Rng::seed_from_u64(2025);
        let mut shares: BTreeMap<(usize, usize), [f64; 2]> = BTreeMap::new();
        for _ in 0..index(&case["draws"]) {
            shares.entry(tree.select(&Pending::default(), &mut random)).or_default()[0] += 1.0 / draws;
        }
        for chosen in case["chosen"].as_array().unwrap() {
            shares.entry((index(&chosen["at"]), index(&chosen["action"]))).or_default()[1] =
                number(&chosen["times"]) / draws;
        }
        for (choice, [ours, theirs]) in shares {
            let share = f64::midpoint(ours, theirs);
            // Five standard deviations of the difference of two shares of so many draws.
            let most = 5.0 * (2.0 * share * (1.0 - share) / draws).sqrt();
            assert!((ours - theirs).abs() < most, "{}: {choice:?} {ours} {theirs} {most}", case["name"]);
        }
    }
}
