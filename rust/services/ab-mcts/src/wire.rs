//! Between the contract's messages and the terms of this service; with `handler` the only file that knows generated code.

use std::time::{Duration, SystemTime};

use uait_gen::ab_mcts::v1 as api;
use uait_gen::ab_mcts::v1::outcome::Scored;
use uait_gen::ab_mcts::v1::watch_search_response::{AskGone, Event as Happened, FeedbackGiven};
use uait_gen::types::v1 as types;
use uait_kit::events::{
    Event, Payload, SearchAsked, SearchAsksExpired, SearchCreated, SearchDeleted, SearchEnded, SearchFeedbackGiven,
    SearchTold, search_asked,
};

use crate::attempt::{Fate, Node};
use crate::fact::{Asked, Fact, Failure, Outcome};
use crate::history::{Change, Ended, Standing, What};
use crate::recommendation::Recommendation;
use crate::search::{ROOT_ID, Search};
use crate::spec::{Action, Algorithm, Spec};
use crate::usage::{Budget, Limit, Usage};

/// The fact that an event of the journal tells, with its search and time; `None` where it is of another kind or not whole.
pub fn fact(event: &Event) -> Option<(String, Fact, SystemTime)> {
    let time = time(event.time?)?;
    let (id, fact) = match event.payload.clone()? {
        Payload::SearchCreated(SearchCreated { search_id, request_id, spec, taught_scores }) => {
            let (spec, taught) = (Box::new(spec_of(spec?)), taught_scores.into_iter().collect());
            (search_id, Fact::Created { request_id, spec, taught })
        }
        Payload::SearchAsked(SearchAsked { search_id, request_id, asks, count }) => {
            let asks = asks.into_iter().map(asked_of).collect::<Option<Vec<_>>>()?;
            (search_id, Fact::Asked { request_id, count: u32::try_from(count).ok()?, asks })
        }
        Payload::SearchTold(SearchTold { search_id, node_id, outcome }) => {
            let (ask_id, outcome) = outcome_of(outcome?)?;
            (search_id, Fact::Told { ask_id, node_id, outcome })
        }
        Payload::SearchAsksExpired(SearchAsksExpired { search_id, ask_ids }) => (search_id, Fact::Expired { ask_ids }),
        Payload::SearchFeedbackGiven(given) => {
            let SearchFeedbackGiven { search_id, task_type, request_id, node_id, action, reward, comment } = given;
            (search_id, Fact::Feedback { request_id, task_type, node_id, action, reward, comment })
        }
        Payload::SearchEnded(SearchEnded { search_id }) => (search_id, Fact::Ended),
        Payload::SearchDeleted(SearchDeleted { search_id, request_id }) => (search_id, Fact::Deleted { request_id }),
        // The area has no others.
        _ => return None,
    };
    Some((id, fact, time))
}

/// The event of a fact.
pub fn payload(id: &str, fact: Fact) -> Payload {
    let search_id = id.to_owned();
    match fact {
        Fact::Created { request_id, spec, taught } => {
            let (spec, taught_scores) = (Some(spec_to(*spec)), taught.into_iter().collect());
            Payload::SearchCreated(SearchCreated { search_id, request_id, spec, taught_scores })
        }
        Fact::Asked { request_id, count, asks } => {
            let asks = asks.into_iter().map(asked_to).collect();
            Payload::SearchAsked(SearchAsked { search_id, request_id, asks, count: signed(count) })
        }
        Fact::Told { ask_id, node_id, outcome } => {
            Payload::SearchTold(SearchTold { search_id, node_id, outcome: Some(outcome_to(ask_id, outcome)) })
        }
        Fact::Expired { ask_ids } => Payload::SearchAsksExpired(SearchAsksExpired { search_id, ask_ids }),
        Fact::Feedback { request_id, task_type, node_id, action, reward, comment } => {
            Payload::SearchFeedbackGiven(SearchFeedbackGiven {
                search_id,
                task_type,
                request_id,
                node_id,
                action,
                reward,
                comment,
            })
        }
        Fact::Ended => Payload::SearchEnded(SearchEnded { search_id }),
        Fact::Deleted { request_id } => Payload::SearchDeleted(SearchDeleted { search_id, request_id }),
    }
}

fn asked_of(asked: search_asked::Asked) -> Option<Asked> {
    let search_asked::Asked { ask_id, parent_id, action, expire_time } = asked;
    Some(Asked { ask_id, parent_id, action, expire_time: time(expire_time?)? })
}

fn asked_to(asked: Asked) -> search_asked::Asked {
    let Asked { ask_id, parent_id, action, expire_time } = asked;
    search_asked::Asked { ask_id, parent_id, action, expire_time: Some(expire_time.into()) }
}

/// An outcome with the ask that it is of; `None` where it says nothing.
pub fn outcome_of(outcome: api::Outcome) -> Option<(String, Outcome)> {
    let how = match outcome.outcome? {
        api::outcome::Outcome::Scored(Scored { score, state, usage }) => {
            Outcome::Scored { score, state, usage: usage.map(usage_of).unwrap_or_default() }
        }
        api::outcome::Outcome::Failed(failure) => Outcome::Failed(failure_of(failure)),
    };
    Some((outcome.ask_id, how))
}

fn outcome_to(ask_id: String, outcome: Outcome) -> api::Outcome {
    let outcome = match outcome {
        Outcome::Scored { score, state, usage } => {
            api::outcome::Outcome::Scored(Scored { score, state, usage: Some(usage_to(usage)) })
        }
        Outcome::Failed(failure) => api::outcome::Outcome::Failed(failure_to(failure)),
    };
    api::Outcome { ask_id, outcome: Some(outcome) }
}

fn failure_of(failure: types::Failure) -> Failure {
    let types::Failure { code, reason, message, field_violations } = failure;
    let violations = field_violations.into_iter().map(|v| [v.field, v.description, v.reason]).collect();
    Failure { code, reason, message, violations }
}

fn failure_to(failure: Failure) -> types::Failure {
    let Failure { code, reason, message, violations } = failure;
    let violation =
        |[field, description, reason]: [String; 3]| types::failure::FieldViolation { field, description, reason };
    types::Failure { code, reason, message, field_violations: violations.into_iter().map(violation).collect() }
}

fn usage_of(usage: types::Usage) -> Usage {
    let types::Usage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, calls, cost_micro_usd } =
        usage;
    Usage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, calls, cost_micro_usd }
}

fn usage_to(usage: Usage) -> types::Usage {
    let Usage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, calls, cost_micro_usd } = usage;
    types::Usage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, calls, cost_micro_usd }
}

/// A specification as the caller wrote it.
pub fn spec_of(spec: api::SearchSpec) -> Spec {
    let api::SearchSpec { task_type, actions, algorithm, seed, budget, target_score, ask_ttl, max_depth, labels } =
        spec;
    let algorithm = match algorithm {
        None => Algorithm::Default,
        Some(api::search_spec::Algorithm::Gaussian(api::GaussianPrior { mean, kappa, nu, tau_squared })) => {
            Algorithm::Gaussian { mean, kappa, nu, tau_squared }
        }
        Some(api::search_spec::Algorithm::Beta(api::BetaPrior { alpha, beta })) => Algorithm::Beta { alpha, beta },
        Some(api::search_spec::Algorithm::Mixed(_)) => Algorithm::Mixed,
    };
    let action = |api::Action { name, expected_score }| Action { name, expected_score };
    Spec {
        task_type,
        actions: actions.into_iter().map(action).collect(),
        algorithm,
        seed,
        budget: budget.map(budget_of),
        target_score,
        ask_ttl: ask_ttl.and_then(duration),
        max_depth: u32::try_from(max_depth).unwrap_or(0),
        labels: labels.into_iter().collect(),
    }
}

fn spec_to(spec: Spec) -> api::SearchSpec {
    let Spec { task_type, actions, algorithm, seed, budget, target_score, ask_ttl, max_depth, labels } = spec;
    let algorithm = match algorithm {
        Algorithm::Default => None,
        Algorithm::Gaussian { mean, kappa, nu, tau_squared } => {
            Some(api::search_spec::Algorithm::Gaussian(api::GaussianPrior { mean, kappa, nu, tau_squared }))
        }
        Algorithm::Beta { alpha, beta } => Some(api::search_spec::Algorithm::Beta(api::BetaPrior { alpha, beta })),
        Algorithm::Mixed => Some(api::search_spec::Algorithm::Mixed(api::MixedModel::default())),
    };
    let action = |Action { name, expected_score }| api::Action { name, expected_score };
    api::SearchSpec {
        task_type,
        actions: actions.into_iter().map(action).collect(),
        algorithm,
        seed,
        budget: budget.map(budget_to),
        target_score,
        ask_ttl: ask_ttl.and_then(|ttl| ttl.try_into().ok()),
        max_depth: signed(max_depth),
        labels: labels.into_iter().collect(),
    }
}

fn budget_of(budget: types::Budget) -> Budget {
    let types::Budget { max_nodes, max_tokens, max_cost_micro_usd, max_wall_time } = budget;
    let max_nodes = max_nodes.and_then(|nodes| u32::try_from(nodes).ok());
    Budget { max_nodes, max_tokens, max_cost_micro_usd, max_wall_time: max_wall_time.and_then(duration) }
}

fn budget_to(budget: Budget) -> types::Budget {
    let Budget { max_nodes, max_tokens, max_cost_micro_usd, max_wall_time } = budget;
    let max_wall_time = max_wall_time.and_then(|time| time.try_into().ok());
    types::Budget { max_nodes: max_nodes.map(signed), max_tokens, max_cost_micro_usd, max_wall_time }
}

/// A search as it is.
pub fn search(search: &Search) -> api::Search {
    search_at(search, &search.standing())
}

fn search_at(search: &Search, standing: &Standing) -> api::Search {
    let (state, ended_by) = state(standing.ended);
    api::Search {
        search_id: search.id.clone(),
        spec: Some(spec_to(search.spec.clone())),
        state: state.into(),
        ended_by: ended_by.into(),
        nodes: signed(standing.nodes),
        failed: signed(standing.failed),
        pending: signed(standing.pending),
        usage: Some(usage_to(standing.usage)),
        best: standing.best.map(|place| node_at(search, place)),
        sequence: standing.sequence,
        create_time: Some(search.create_time.into()),
        update_time: Some(standing.update_time.into()),
    }
}

/// State of a search, and the limit that ended it.
pub fn state(ended: Option<Ended>) -> (api::SearchState, types::BudgetLimit) {
    let limit = match ended {
        None => return (api::SearchState::Running, types::BudgetLimit::Unspecified),
        Some(Ended::Target) => types::BudgetLimit::Unspecified,
        Some(Ended::Budget(Limit::Nodes)) => types::BudgetLimit::Nodes,
        Some(Ended::Budget(Limit::Tokens)) => types::BudgetLimit::Tokens,
        Some(Ended::Budget(Limit::Cost)) => types::BudgetLimit::Cost,
        Some(Ended::Budget(Limit::WallTime)) => types::BudgetLimit::WallTime,
    };
    (api::SearchState::Ended, limit)
}

/// The node at a place in the tree, the root included.
pub fn node_at(search: &Search, place: usize) -> api::Node {
    match search.node(place) {
        Some(found) => node(search, place, found),
        None => api::Node {
            node_id: ROOT_ID.to_owned(),
            create_time: Some(search.create_time.into()),
            ..Default::default()
        },
    }
}

/// A node at its place in the tree, which is its order.
pub fn node(search: &Search, place: usize, node: &Node) -> api::Node {
    api::Node {
        node_id: node.id.clone(),
        parent_id: node.parent_id.clone(),
        action: search.action_name(node.action).to_owned(),
        depth: signed(node.depth),
        score: node.score,
        state: node.state.clone(),
        usage: Some(usage_to(node.usage)),
        order: signed(place),
        create_time: Some(node.create_time.into()),
    }
}

/// An ask by its number.
pub fn ask(search: &Search, number: usize) -> Option<api::Ask> {
    search.ask(number).map(|ask| api::Ask {
        ask_id: ask.id.clone(),
        parent: Some(node_at(search, ask.parent)),
        action: search.action_name(ask.action).to_owned(),
        expire_time: Some(ask.expire_time.into()),
    })
}

/// Something that happened, as watchers learn of it.
pub fn change(search: &Search, sequence: u64, change: &Change) -> api::WatchSearchResponse {
    let gone = |number: usize| {
        let ask = search.ask(number);
        let failure = ask.and_then(|ask| match &ask.fate {
            Fate::Failed(failure) => Some(failure_to(failure.clone())),
            Fate::Pending | Fate::Scored(_) | Fate::Expired => None,
        });
        AskGone { ask_id: ask.map(|ask| ask.id.clone()).unwrap_or_default(), failure }
    };
    let event = match &change.what {
        What::Created(standing) => Some(Happened::Created(search_at(search, standing))),
        What::Asked(number) => ask(search, *number).map(Happened::Asked),
        What::Told(place) => Some(Happened::Told(node_at(search, *place))),
        What::Failed(number) => Some(Happened::Failed(gone(*number))),
        What::Expired(number) => Some(Happened::Expired(gone(*number))),
        What::Feedback { node_id, reward } => {
            Some(Happened::Feedback(FeedbackGiven { node_id: node_id.clone(), reward: *reward }))
        }
        What::Ended(standing) => Some(Happened::Ended(search_at(search, standing))),
    };
    api::WatchSearchResponse { sequence, time: Some(change.time.into()), event }
}

/// What to answer with.
pub fn recommendation(found: Recommendation, node: Option<api::Node>) -> api::RecommendResponse {
    let (expected_score, best_probability) = found.node.map_or((0.0, 0.0), |(_, score, share)| (score, share));
    let actions = found.actions.into_iter().map(|action| api::recommend_response::ActionPosterior {
        action: action.name,
        mean: action.mean,
        standard_deviation: action.standard_deviation,
        attempts: signed(action.attempts),
        best_probability: action.best_probability,
    });
    api::RecommendResponse { node, expected_score, best_probability, actions: actions.collect() }
}

fn duration(duration: prost_types::Duration) -> Option<Duration> {
    Duration::try_from(duration).ok()
}

fn time(timestamp: prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(timestamp).ok()
}

/// A count as the contract has it.
fn signed(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn spec() -> Spec {
        Spec {
            task_type: "code".to_owned(),
            actions: vec![
                Action { name: "a".to_owned(), expected_score: Some(0.25) },
                Action { name: "b".to_owned(), expected_score: None },
            ],
            algorithm: Algorithm::Gaussian { mean: Some(0.5), kappa: None, nu: Some(2.0), tau_squared: None },
            seed: u64::MAX,
            budget: Some(Budget {
                max_nodes: Some(7),
                max_tokens: Some(8),
                max_cost_micro_usd: Some(0),
                max_wall_time: Some(Duration::from_millis(1500)),
            }),
            target_score: Some(1.0),
            ask_ttl: Some(Duration::from_secs(3)),
            max_depth: 9,
            labels: [("k".to_owned(), "v".to_owned())].into(),
        }
    }

    #[test]
    fn every_fact_comes_back_from_its_event() {
        let time = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let usage = Usage {
            input_tokens: 1,
            cached_input_tokens: 2,
            output_tokens: 3,
            reasoning_tokens: 4,
            calls: 5,
            cost_micro_usd: 6,
        };
        let text = |text: &str| text.to_owned();
        let failure = Failure {
            code: 14,
            reason: text("DEPENDENCY_UNAVAILABLE"),
            message: text("away"),
            violations: vec![[text("f"), text("d"), text("r")]],
        };
        let told = |outcome| Fact::Told { ask_id: text("s-1"), node_id: text("n1"), outcome };
        let asked = Asked { ask_id: text("s-1"), parent_id: text("root"), action: text("a"), expire_time: time };
        let mut facts = vec![
            Fact::Asked { request_id: text("r"), count: 2, asks: vec![asked] },
            told(Outcome::Scored { score: 0.5, state: vec![1, 2], usage }),
            told(Outcome::Failed(failure)),
            Fact::Expired { ask_ids: vec![text("s-1")] },
            Fact::Feedback {
                request_id: text("r"),
                task_type: text("code"),
                node_id: text("n1"),
                action: text("a"),
                reward: 0.75,
                comment: text("good"),
            },
            Fact::Ended,
            Fact::Deleted { request_id: text("r") },
        ];
        let beta = Algorithm::Beta { alpha: Some(0.5), beta: None };
        for algorithm in [spec().algorithm, Algorithm::Default, beta, Algorithm::Mixed] {
            let spec = Box::new(Spec { algorithm, ..spec() });
            facts.push(Fact::Created { request_id: text("r"), spec, taught: [(text("b"), 0.5)].into() });
        }
        for expected in facts {
            let event =
                Event { time: Some(time.into()), payload: Some(payload("s", expected.clone())), ..Event::default() };
            assert_eq!(fact(&event), Some((text("s"), expected, time)));
        }
    }
}
