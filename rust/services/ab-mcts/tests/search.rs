//! Searches as facts make them: whatever is asked and told, in whatever order, nothing is lost, doubled or overspent.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test fail it")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use uait_ab_mcts::attempt::{Fate, Taken};
use uait_ab_mcts::error::Error;
use uait_ab_mcts::fact::{Fact, Failure, Outcome};
use uait_ab_mcts::history::{Ended, Standing, What};
use uait_ab_mcts::recommendation::Beliefs;
use uait_ab_mcts::search::Search;
use uait_ab_mcts::searches::{KEPT, MAX_AGE, Searches};
use uait_ab_mcts::spec::{Action, Algorithm, Spec};
use uait_ab_mcts::usage::{Budget, Limit, Usage};

const START: SystemTime = UNIX_EPOCH;

fn after(ms: u64) -> SystemTime {
    START + Duration::from_millis(ms)
}

fn spec() -> Spec {
    Spec {
        task_type: "code".to_owned(),
        actions: ["a", "b", "c"].map(|name| Action { name: name.to_owned(), expected_score: None }).to_vec(),
        algorithm: Algorithm::Default,
        seed: 42,
        budget: None,
        target_score: None,
        ask_ttl: Some(Duration::from_secs(10)),
        max_depth: 0,
        labels: BTreeMap::new(),
    }
}

fn budget(budget: Budget) -> Spec {
    Spec { budget: Some(budget), ..spec() }
}

fn new(spec: Spec) -> Search {
    Search::new("s".to_owned(), "r".to_owned(), spec, &BTreeMap::new(), START)
}

fn apply(search: &mut Search, facts: &[Fact], now: SystemTime) {
    for fact in facts {
        search.apply(fact, now);
    }
}

fn ask(search: &mut Search, request: &str, count: u32, now: SystemTime) -> Vec<String> {
    let (facts, numbers) = search.ask_next(request, count, now).unwrap();
    apply(search, &facts, now);
    numbers.iter().map(|number| search.ask(*number).unwrap().id.clone()).collect()
}

fn scored(score: f64) -> Outcome {
    Outcome::Scored { score, state: Vec::new(), usage: Usage::default() }
}

fn tell(search: &mut Search, ask: &str, outcome: Outcome, now: SystemTime) -> Taken {
    let (facts, taken) = search.tell(vec![(ask.to_owned(), outcome)], now);
    apply(search, &facts, now);
    taken[0]
}

#[derive(Debug, Clone)]
enum Step {
    Ask { count: u32 },
    Tell { which: usize, score: f64 },
    Fail { which: usize },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6_u32).prop_map(|count| Step::Ask { count }),
        6 => (any::<usize>(), 0.0..=1.0_f64).prop_map(|(which, score)| Step::Tell { which, score }),
        1 => any::<usize>().prop_map(|which| Step::Fail { which }),
        2 => (0..6000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// Runs steps on a search; the facts with their times, and what each tell came to.
fn run(search: &mut Search, steps: &[Step]) -> (Vec<(Fact, SystemTime)>, Vec<Taken>) {
    let (mut facts, mut taken, mut asked, mut ms) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (n, step) in steps.iter().enumerate() {
        let now = after(ms);
        let new = match step {
            Step::Ask { count } => {
                let (new, numbers) = search.ask_next(&format!("r{n}"), *count, now).unwrap();
                assert!(numbers.len() <= *count as usize);
                asked.extend(numbers.iter().map(|number| format!("s-{number}")));
                new
            }
            Step::Tell { which, .. } | Step::Fail { which } if !asked.is_empty() => {
                let outcome = match step {
                    Step::Tell { score, .. } => scored(*score),
                    _ => Outcome::Failed(Failure::default()),
                };
                let (new, what) = search.tell(vec![(asked[which % asked.len()].clone(), outcome)], now);
                taken.extend(what);
                new
            }
            Step::Tell { .. } | Step::Fail { .. } => Vec::new(),
            Step::Wait { ms: passed } => {
                ms += passed;
                Vec::new()
            }
        };
        apply(search, &new, now);
        facts.extend(new.into_iter().map(|fact| (fact, now)));
    }
    (facts, taken)
}

fn fates(search: &Search) -> [usize; 4] {
    let mut counts = [0; 4];
    let asks = (1..).map_while(|number| search.ask(number));
    for ask in asks {
        counts[match ask.fate {
            Fate::Pending => 0,
            Fate::Scored(_) => 1,
            Fate::Failed(_) => 2,
            Fate::Expired => 3,
        }] += 1;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn search_accounts_for_every_ask_and_keeps_its_budget(
        steps in prop::collection::vec(step(), 1..120), max_nodes in 1..40_u32, max_depth in 0..4_u32,
    ) {
        let nodes = Some(max_nodes);
        let mut search = new(Spec { max_depth, ..budget(Budget { max_nodes: nodes, ..Budget::default() }) });
        let (_, taken) = run(&mut search, &steps);
        let standing = search.standing();
        let [pending, scored, failed, _] = fates(&search);
        prop_assert_eq!((standing.pending, standing.nodes, standing.failed as usize), (pending, scored, failed));
        prop_assert_eq!(taken.iter().filter(|taken| **taken == Taken::Fresh).count(), scored + failed);
        prop_assert!(pending + scored + failed <= max_nodes as usize);
        prop_assert_eq!(standing.ended.is_some(), scored + failed == max_nodes as usize);
        prop_assert_eq!(standing.sequence, search.changes(0).count() as u64);
        let deepest = if max_depth == 0 { 1000 } else { max_depth };
        for (place, node) in search.nodes() {
            prop_assert_eq!(search.place(&node.id).unwrap(), place);
            prop_assert!(node.depth <= deepest);
        }
        let best = search.nodes().map(|(_, node)| node.score).fold(None, |best: Option<f64>, s| Some(best.map_or(s, |b| b.max(s))));
        prop_assert_eq!(standing.best.map(|place| search.node(place).unwrap().score), best);
    }

    #[test]
    fn search_is_what_its_facts_make_it_again(steps in prop::collection::vec(step(), 1..120)) {
        let mut search = new(spec());
        let (facts, _) = run(&mut search, &steps);
        let mut replayed = new(spec());
        for (fact, time) in &facts {
            replayed.apply(fact, *time);
        }
        prop_assert_eq!(replayed.standing(), search.standing());
        prop_assert!(replayed.nodes().eq(search.nodes()));
        // And what it would do next.
        let later = after(10_000_000);
        prop_assert_eq!(replayed.ask_next("next", 5, later).unwrap(), search.ask_next("next", 5, later).unwrap());
        // Facts that come twice change nothing but what was asked; the journal stores none twice.
        let told: Vec<_> = facts.iter().filter(|(fact, _)| !matches!(fact, Fact::Asked { .. })).collect();
        let before = replayed.standing();
        for (fact, time) in told {
            replayed.apply(fact, *time);
        }
        prop_assert_eq!(Standing { update_time: before.update_time, ..replayed.standing() }, before);
    }

    #[test]
    fn same_seed_and_order_grow_the_same_tree(steps in prop::collection::vec(step(), 1..60), seed: u64) {
        let grow = || {
            let mut search = new(Spec { seed, ..spec() });
            run(&mut search, &steps);
            search.nodes().map(|(_, node)| node.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(grow(), grow());
    }

    #[test]
    fn batch_is_what_its_asks_one_by_one_would_be(steps in prop::collection::vec(step(), 0..60), count in 1..20_u32) {
        let (mut batched, mut single) = (new(spec()), new(spec()));
        run(&mut batched, &steps);
        run(&mut single, &steps);
        let now = after(1_000_000);
        let of = |search: &Search, ids: Vec<String>| ids.iter().map(|id| {
            let ask = search.ask(search.ask_number(id).unwrap()).unwrap();
            (ask.parent, ask.action)
        }).collect::<Vec<_>>();
        let ids = ask(&mut batched, "all", count, now);
        let at_once = of(&batched, ids);
        let mut one_by_one = Vec::new();
        for n in 0..count {
            let ids = ask(&mut single, &format!("one{n}"), 1, now);
            one_by_one.extend(of(&single, ids));
        }
        prop_assert_eq!(at_once, one_by_one);
    }
}

#[test]
fn seeds_differ_in_what_they_grow() {
    let grow = |seed| {
        let mut search = new(Spec { seed, ..spec() });
        ask(&mut search, "r", 20, START);
        (1..=20).map(|number| search.ask(number).unwrap().action).collect::<Vec<_>>()
    };
    assert_ne!(grow(1), grow(2));
}

#[test]
fn ask_repeated_is_the_same_and_its_id_serves_no_other() {
    let mut search = new(spec());
    let first = ask(&mut search, "r", 3, START);
    let (facts, numbers) = search.ask_next("r", 3, after(5)).unwrap();
    assert_eq!((facts, numbers), (vec![], vec![1, 2, 3]));
    assert_eq!(first, ["s-1", "s-2", "s-3"]);
    assert!(matches!(search.ask_next("r", 2, START), Err(Error::RequestIdReused { .. })));
    tell(&mut search, "s-1", scored(0.5), START);
    assert!(matches!(search.feedback("r", "n1", 1.0, ""), Err(Error::RequestIdReused { .. })));
    let given = search.feedback("f", "n1", 1.0, "good").unwrap().unwrap();
    search.apply(&given, START);
    assert_eq!(search.feedback("f", "n1", 1.0, "good").unwrap(), None);
    assert!(matches!(search.feedback("f", "n1", 0.5, "good"), Err(Error::RequestIdReused { .. })));
    assert!(matches!(search.feedback("g", "n2", 0.5, ""), Err(Error::NoNode { .. })), "it was not told yet");
    assert!(matches!(search.feedback("g", "root", 0.5, ""), Err(Error::Root)));
}

#[test]
fn ask_not_told_in_time_is_given_up_and_leaves_its_place_in_the_budget() {
    let mut search = new(budget(Budget { max_nodes: Some(2), ..Budget::default() }));
    assert_eq!(ask(&mut search, "r1", 5, START).len(), 2);
    assert_eq!(ask(&mut search, "r2", 1, after(9_999)).len(), 0, "what is pending has the rest of the budget");
    assert_eq!(search.due(), Some(after(10_000)));
    assert_eq!(tell(&mut search, "s-2", scored(0.5), after(10_000)), Taken::Expired);
    assert_eq!((search.standing().pending, search.due()), (0, None));
    assert_eq!(ask(&mut search, "r3", 5, after(10_001)), ["s-3", "s-4"]);
    assert_eq!(tell(&mut search, "s-1", scored(0.5), after(10_001)), Taken::Expired);
    assert_eq!(tell(&mut search, "s-9", scored(0.5), after(10_001)), Taken::Missing);
    assert_eq!(tell(&mut search, "t-3", scored(0.5), after(10_001)), Taken::Missing);
    let (facts, taken) =
        search.tell(vec![("s-3".to_owned(), scored(0.1)), ("s-3".to_owned(), scored(0.2))], after(10_001));
    assert_eq!(taken, [Taken::Fresh, Taken::Before]);
    apply(&mut search, &facts, after(10_001));
    assert!((search.node(1).unwrap().score - 0.1).abs() < 1e-12, "the first outcome counts");
}

#[test]
fn each_limit_ends_the_search_and_pending_asks_can_still_be_told() {
    let using = |usage| Outcome::Scored { score: 0.5, state: Vec::new(), usage };
    let tokens = Usage { input_tokens: 60, output_tokens: 50, ..Usage::default() };
    let cost = Usage { cost_micro_usd: 7, ..Usage::default() };
    let limits = [
        (budget(Budget { max_nodes: Some(1), ..Budget::default() }), scored(0.5), Ended::Budget(Limit::Nodes)),
        (
            budget(Budget { max_nodes: Some(1), ..Budget::default() }),
            Outcome::Failed(Failure::default()),
            Ended::Budget(Limit::Nodes),
        ),
        (budget(Budget { max_tokens: Some(110), ..Budget::default() }), using(tokens), Ended::Budget(Limit::Tokens)),
        (budget(Budget { max_cost_micro_usd: Some(7), ..Budget::default() }), using(cost), Ended::Budget(Limit::Cost)),
        (Spec { target_score: Some(0.5), ..spec() }, scored(0.5), Ended::Target),
    ];
    for (spec, outcome, expected) in limits {
        let one_node = spec.max_nodes() == 1;
        let mut search = new(spec);
        let asks = ask(&mut search, "r", if one_node { 1 } else { 2 }, START);
        assert_eq!(search.standing().ended, None);
        assert_eq!(tell(&mut search, &asks[0], outcome, START), Taken::Fresh);
        assert_eq!(search.standing().ended, Some(expected));
        assert_eq!(ask(&mut search, "r2", 1, START).len(), 0);
        if !one_node {
            assert!(!search.is_over());
            assert_eq!(tell(&mut search, &asks[1], scored(1.0), START), Taken::Fresh);
        }
        assert!(search.is_over());
        assert_eq!(search.standing().ended, Some(expected), "the first one stays");
        assert_eq!(search.changes(0).filter(|(_, change)| matches!(change.what, What::Ended(_))).count(), 1);
    }
}

#[test]
fn wall_time_ends_the_search_when_it_is_over() {
    let mut search = new(budget(Budget { max_wall_time: Some(Duration::from_secs(3)), ..Budget::default() }));
    let asks = ask(&mut search, "r", 1, after(2_999));
    assert_eq!((search.due(), search.lapse(after(2_999))), (Some(after(3_000)), vec![]));
    assert_eq!(ask(&mut search, "late", 1, after(3_000)).len(), 0);
    assert_eq!(search.standing().ended, Some(Ended::Budget(Limit::WallTime)));
    assert_eq!(tell(&mut search, &asks[0], scored(0.9), after(4_000)), Taken::Fresh);
    assert!(search.is_over());
}

#[test]
fn recommendation_prefers_the_better_action_to_a_lucky_score() {
    let mut search = new(spec());
    // Facts, so that the actions are the test's: `a` scores well each time, `b` badly but for one lucky score.
    let scores = [("a", 0.80), ("a", 0.82), ("a", 0.81), ("a", 0.83), ("b", 0.1), ("b", 0.2), ("b", 0.84), ("b", 0.15)];
    for (n, (action, score)) in (1..).zip(scores) {
        let ask_id = format!("s-{n}");
        let asked = uait_ab_mcts::fact::Asked {
            ask_id: ask_id.clone(),
            parent_id: "root".to_owned(),
            action: action.to_owned(),
            expire_time: after(10_000),
        };
        search.apply(&Fact::Asked { request_id: format!("r{n}"), count: 1, asks: vec![asked] }, START);
        search.apply(&Fact::Told { ask_id, node_id: format!("n{n}"), outcome: scored(score) }, START);
    }
    assert_eq!(search.node(search.standing().best.unwrap()).unwrap().id, "n7", "the highest score is the lucky one");
    let recommend = |draws| {
        let mut random = <rand::rngs::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(1);
        Beliefs::of(&search).recommend(draws, &mut random)
    };
    let found = recommend(2_000);
    assert_eq!(found, recommend(2_000));
    let (node, expected, best) = found.node.unwrap();
    assert_eq!(node.id, "n4");
    assert!((0.6..0.83).contains(&expected) && best > 0.1, "{expected} {best}");
    let names: Vec<&str> = found.actions.iter().map(|action| action.name.as_str()).collect();
    assert_eq!((names[0], found.actions[0].attempts), ("a", 4));
    let total: f64 = found.actions.iter().map(|action| action.best_probability).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
    let untried = found.actions.iter().find(|action| action.name == "c").unwrap();
    assert_eq!((untried.mean, untried.attempts), (0.0, 0));
    assert!(found.actions.iter().all(|action| (0.0..=0.5).contains(&action.standard_deviation)));
    assert_eq!(Beliefs::of(&new(spec())).recommend(10, &mut search_random()).node, None);
}

fn search_random() -> rand::rngs::ChaCha8Rng {
    <rand::rngs::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(0)
}

fn create(searches: &mut Searches, number: u64, request: &str, spec: &Spec, time: SystemTime) -> String {
    let (id, fact) = searches.create("acme", request, spec, &format!("s{number}")).unwrap();
    if let Some(fact) = fact {
        searches.apply(number, "acme", &id, &fact, time);
    }
    id
}

#[test]
fn feedback_teaches_later_searches_of_the_task_type_and_no_others() {
    let mut searches = Searches::default();
    create(&mut searches, 1, "r1", &spec(), START);
    let given = |action: &str, reward| Fact::Feedback {
        request_id: format!("f{action}{reward}"),
        task_type: "code".to_owned(),
        node_id: "n1".to_owned(),
        action: action.to_owned(),
        reward,
        comment: String::new(),
    };
    for (number, fact) in (2..).zip([given("a", 1.0), given("a", 0.8), given("b", 0.1), given("c", 0.9)]) {
        searches.apply(number, "acme", "s1", &fact, START);
    }
    let taught = |tenant: &str, spec: &Spec| match searches.create(tenant, "r2", spec, "s9").unwrap().1.unwrap() {
        Fact::Created { taught, .. } => taught,
        other => panic!("{other:?}"),
    };
    let mut next = spec();
    next.actions[2].expected_score = Some(0.5);
    let learned = taught("acme", &next);
    // One observation of the prior's mean, 0, and the rewards.
    assert!((learned["a"] - 0.6).abs() < 1e-12 && (learned["b"] - 0.05).abs() < 1e-12, "{learned:?}");
    assert!(!learned.contains_key("c"), "the caller knows better");
    assert_eq!(taught("globex", &next), BTreeMap::new());
    assert_eq!(taught("acme", &Spec { task_type: "writing".to_owned(), ..spec() }), BTreeMap::new());
}

#[test]
fn searches_are_created_once_for_a_request_and_deleted_once() {
    let mut searches = Searches::default();
    let id = create(&mut searches, 1, "r", &spec(), START);
    assert_eq!(create(&mut searches, 2, "r", &spec(), START), id);
    let other = Spec { seed: 1, ..spec() };
    assert!(matches!(searches.create("acme", "r", &other, "x"), Err(Error::RequestIdReused { .. })));
    assert_eq!(searches.create("globex", "r", &other, "x").unwrap().0, "x", "request ids are the tenant's");
    assert!(matches!(searches.get("globex", &id), Err(Error::NoSearch { .. })));
    let deleted = searches.delete("acme", "d", &id).unwrap().unwrap();
    searches.apply(3, "acme", &id, &deleted, START);
    assert!(matches!(searches.get("acme", &id), Err(Error::NoSearch { .. })));
    assert_eq!(searches.delete("acme", "d", &id).unwrap(), None);
    assert!(matches!(searches.delete("acme", "e", &id), Err(Error::NoSearch { .. })));
    assert!(matches!(searches.delete("acme", "d", "other"), Err(Error::RequestIdReused { .. })));
    assert_eq!(searches.next_due(), None);
}

#[test]
fn searches_are_listed_newest_first_and_forgotten_when_old_or_too_many() {
    let mut searches = Searches::default();
    for number in 1..=3 {
        create(&mut searches, number, &format!("r{number}"), &spec(), START + Duration::from_secs(number));
    }
    let listed = |searches: &Searches, before| {
        searches.newest_first("acme", before).map(|(number, search)| (number, search.id.clone())).collect::<Vec<_>>()
    };
    let names = |numbers: &[u64]| numbers.iter().map(|n| (*n, format!("s{n}"))).collect::<Vec<_>>();
    assert_eq!(listed(&searches, u64::MAX), names(&[3, 2, 1]));
    assert_eq!(listed(&searches, 3), names(&[2, 1]));
    let later = START + MAX_AGE + Duration::from_millis(2_500);
    create(&mut searches, 4, "r4", &spec(), later);
    assert_eq!(listed(&searches, u64::MAX), names(&[4, 3]));
    // Of too many the oldest that is over goes first.
    let over = Spec { budget: Some(Budget { max_wall_time: Some(Duration::ZERO), ..Budget::default() }), ..spec() };
    create(&mut searches, 5, "r5", &over, later);
    searches.apply(6, "acme", "s5", &Fact::Ended, later);
    for number in 7..7 + u64::try_from(KEPT).unwrap() - 2 {
        create(&mut searches, number, &format!("r{number}"), &spec(), later);
    }
    assert_eq!(listed(&searches, 8), names(&[7, 4, 3]));
    assert_eq!(searches.newest_first("acme", u64::MAX).count(), KEPT);
}
