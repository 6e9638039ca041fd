//! The contract, RPC by RPC, over a real server: once in memory and once on a real NATS server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test fail it")]

mod support;

use std::time::Duration;

use support::*;
use tonic::{Code, Status};
use uait_gen::ab_mcts::v1::watch_search_response::Event as Change;
use uait_gen::ab_mcts::v1::*;
use uait_gen::types::v1::{Budget, BudgetLimit, Failure, Usage};
use uait_kit::events::journal::MemoryLog;
use uait_testbed::{NatsServer, PATIENCE};

/// A server over each kind of log, with what it needs.
async fn everywhere() -> Vec<(Served, Option<NatsServer>)> {
    let nats = NatsServer::start();
    let over_nats = Served::over(&nats).await;
    vec![(Served::in_memory(&MemoryLog::default()).await, None), (over_nats, Some(nats))]
}

async fn changes(client: &mut Client, id: &str, resume_after: u64, count: usize) -> Vec<WatchSearchResponse> {
    let request = WatchSearchRequest { search_id: id.to_owned(), resume_after };
    let mut stream = client.watch_search(of_acme(request)).await.unwrap().into_inner();
    let mut found = Vec::new();
    while found.len() < count {
        let next = tokio::time::timeout(PATIENCE, stream.message()).await.expect("it comes").unwrap();
        let Some(next) = next else { break };
        found.push(next);
    }
    found
}

fn of_nodes(nodes: i32) -> SearchSpec {
    SearchSpec { budget: Some(Budget { max_nodes: Some(nodes), ..Default::default() }), ..spec() }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_is_asked_told_and_ended() {
    for (served, _nats) in everywhere().await {
        let mut client = served.client();
        let made = create(&mut client, "r", of_nodes(3)).await;
        assert_eq!((made.state(), made.sequence, made.nodes), (SearchState::Running, 1, 0));
        assert_eq!(create(&mut client, "r", of_nodes(3)).await, made);
        let id = made.search_id.clone();

        let asked = ask(&mut client, &id, "a1", 2).await.unwrap();
        assert_eq!((asked.asks.len(), asked.state()), (2, SearchState::Running));
        assert_eq!(asked.asks[0].parent.as_ref().unwrap().node_id, "root");
        assert_eq!(ask(&mut client, &id, "a1", 2).await.unwrap(), asked);

        let usage = Usage { input_tokens: 5, output_tokens: 6, calls: 1, cost_micro_usd: 7, ..Default::default() };
        let mut first = scored(&asked.asks[1].ask_id, 0.25, "first");
        if let Some(outcome::Outcome::Scored(scored)) = &mut first.outcome {
            scored.usage = Some(usage);
        }
        let unknown = scored("elsewhere-1", 0.5, "");
        let told = tell(&mut client, &id, vec![first.clone(), unknown]).await.unwrap();
        let made_node = node(&told.told[0]).clone();
        assert_eq!(
            (made_node.order, made_node.state.as_slice(), made_node.usage),
            (1, b"first".as_slice(), Some(usage))
        );
        let Some(told::Result::Refused(refused)) = &told.told[1].result else { panic!("{told:?}") };
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound.into(), "RESOURCE_NOT_FOUND"));
        let again = tell(&mut client, &id, vec![scored(&asked.asks[1].ask_id, 0.9, "other")]).await.unwrap();
        assert_eq!((node(&again.told[0]), again.told[0].repeated_tell), (&made_node, true));

        let failure = Failure { code: 14, reason: "UPSTREAM_FAILED".to_owned(), ..Default::default() };
        let failed =
            Outcome { ask_id: asked.asks[0].ask_id.clone(), outcome: Some(outcome::Outcome::Failed(failure.clone())) };
        let told = tell(&mut client, &id, vec![failed]).await.unwrap();
        assert!(matches!(told.told[0].result, Some(told::Result::Failed(_))));

        let last = ask(&mut client, &id, "a2", 5).await.unwrap();
        assert_eq!(last.asks.len(), 1, "the budget leaves one");
        let told = tell(&mut client, &id, vec![scored(&last.asks[0].ask_id, 0.75, "last")]).await.unwrap();
        assert_eq!((told.state(), told.ended_by()), (SearchState::Ended, BudgetLimit::Nodes));
        let none = ask(&mut client, &id, "a3", 1).await.unwrap();
        assert_eq!((none.asks.len(), none.state(), none.ended_by()), (0, SearchState::Ended, BudgetLimit::Nodes));

        let search = get(&mut client, &id).await.unwrap();
        assert_eq!((search.nodes, search.failed, search.pending, search.usage), (2, 1, 0, Some(usage)));
        assert_eq!(search.best.as_ref().unwrap().state, b"last");
        assert_eq!(search.spec, made.spec);

        let all = changes(&mut client, &id, 0, usize::MAX).await;
        assert!(all.iter().map(|change| change.sequence).eq(1..=search.sequence), "{all:#?}");
        let kinds: Vec<&str> = all.iter().map(|change| kind(change.event.as_ref().unwrap())).collect();
        assert_eq!(kinds, ["created", "asked", "asked", "told", "failed", "asked", "told", "ended"]);
        let Some(Change::Failed(gone)) = &all[4].event else { panic!("{all:?}") };
        assert_eq!(gone.failure, Some(failure));
        let rest = changes(&mut client, &id, 5, usize::MAX).await;
        assert_eq!(rest, all[5..]);
    }
}

fn kind(change: &Change) -> &'static str {
    match change {
        Change::Created(_) => "created",
        Change::Asked(_) => "asked",
        Change::Told(_) => "told",
        Change::Failed(_) => "failed",
        Change::Expired(_) => "expired",
        Change::Feedback(_) => "feedback",
        Change::Ended(_) => "ended",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn best_nodes_recommendation_and_feedback_are_of_what_was_told() {
    for (served, _nats) in everywhere().await {
        let mut client = served.client();
        let typed = SearchSpec { task_type: "code".to_owned(), ..spec() };
        let id = create(&mut client, "r", typed.clone()).await.search_id;
        let recommend = RecommendRequest { search_id: id.clone(), draws: 100 };
        let empty = client.recommend(of_acme(recommend.clone())).await.unwrap().into_inner();
        assert_eq!((empty.node, empty.actions.len()), (None, 2));
        let asks = ask(&mut client, &id, "a", 4).await.unwrap().asks;
        let scores = [0.5, 0.9, 0.5, 0.1];
        let outcomes = asks.iter().zip(scores).map(|(ask, score)| scored(&ask.ask_id, score, "")).collect();
        let told = tell(&mut client, &id, outcomes).await.unwrap().told;
        let top = TopKRequest { search_id: id.clone(), k: 3 };
        let top = client.top_k(of_acme(top)).await.unwrap().into_inner().nodes;
        let expected: Vec<&Node> = [1, 0, 2].iter().map(|at| node(&told[*at])).collect();
        assert!(top.iter().eq(expected), "{top:?}");

        let found = client.recommend(of_acme(recommend.clone())).await.unwrap().into_inner();
        assert_eq!(client.recommend(of_acme(recommend)).await.unwrap().into_inner(), found, "it draws from the seed");
        assert_eq!(found.actions.iter().map(|action| action.attempts).sum::<i32>(), 4);
        assert!(found.node.is_some() && found.best_probability > 0.0 && found.expected_score > 0.0);

        let best = node(&told[1]).clone();
        let feedback = FeedbackRequest {
            request_id: "f".to_owned(),
            search_id: id.clone(),
            node_id: best.node_id.clone(),
            reward: 1.0,
            comment: "thanks".to_owned(),
        };
        for _ in 0..2 {
            let given = client.feedback(of_acme(feedback.clone())).await.unwrap().into_inner().node;
            assert_eq!(given.as_ref(), Some(&best));
        }
        let reused = FeedbackRequest { reward: 0.0, ..feedback };
        assert_eq!(reason(&client.feedback(of_acme(reused)).await.unwrap_err()), "REQUEST_ID_REUSED");
        assert_eq!(get(&mut client, &id).await.unwrap().sequence, 1 + 4 + 4 + 1, "feedback counts once");

        // The next search of the type begins with what that taught; the spec stays as the caller wrote it.
        let next = create(&mut client, "r2", typed).await;
        assert!(next.spec.unwrap().actions.iter().all(|action| action.expected_score.is_none()));
        let recommend = RecommendRequest { search_id: next.search_id, draws: 1000 };
        let actions = client.recommend(of_acme(recommend)).await.unwrap().into_inner().actions;
        let mean = |name: &str| actions.iter().find(|action| action.action == name).unwrap().mean;
        let other = if best.action == "direct" { "reasoner" } else { "direct" };
        assert_eq!((mean(&best.action), mean(other)), (0.5, 0.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watcher_sees_what_happens_while_it_waits_until_the_search_is_over() {
    for (served, _nats) in everywhere().await {
        let mut client = served.client();
        let id = create(&mut client, "r", of_nodes(1)).await.search_id;
        let request = WatchSearchRequest { search_id: id.clone(), resume_after: 0 };
        let mut stream = client.watch_search(of_acme(request)).await.unwrap().into_inner();
        let mut next = async || tokio::time::timeout(PATIENCE, stream.message()).await.expect("it comes").unwrap();
        assert!(matches!(next().await.unwrap().event, Some(Change::Created(_))));
        let asked = ask(&mut client, &id, "a", 1).await.unwrap().asks.remove(0);
        assert_eq!(next().await.unwrap().event, Some(Change::Asked(asked.clone())));
        tell(&mut client, &id, vec![scored(&asked.ask_id, 0.5, "x")]).await.unwrap();
        assert!(matches!(next().await.unwrap().event, Some(Change::Told(node)) if node.state == b"x"));
        assert!(matches!(next().await.unwrap().event, Some(Change::Ended(search)) if search.nodes == 1));
        assert_eq!(next().await, None);

        let running = create(&mut client, "r2", spec()).await.search_id;
        let request = WatchSearchRequest { search_id: running.clone(), resume_after: 1 };
        let mut stream = client.watch_search(of_acme(request)).await.unwrap().into_inner();
        let delete = DeleteSearchRequest { request_id: "d".to_owned(), search_id: running.clone() };
        for _ in 0..2 {
            client.delete_search(of_acme(delete.clone())).await.unwrap();
        }
        let gone = tokio::time::timeout(PATIENCE, stream.message()).await.expect("it ends").unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_is_given_up_at_its_time_and_a_search_ends_at_its_own() {
    for (served, _nats) in everywhere().await {
        let mut client = served.client();
        let second = Some(Duration::from_secs(1).try_into().unwrap());
        let id = create(&mut client, "r", SearchSpec { ask_ttl: second, ..spec() }).await.search_id;
        let asked = ask(&mut client, &id, "a", 2).await.unwrap().asks;
        // Nobody does anything, and still it is given up.
        let seen = changes(&mut client, &id, 3, 2).await;
        assert!(seen.iter().all(|change| matches!(change.event, Some(Change::Expired(_)))), "{seen:?}");
        let late = tell(&mut client, &id, vec![scored(&asked[0].ask_id, 0.5, "")]).await.unwrap();
        let Some(told::Result::Refused(refused)) = &late.told[0].result else { panic!("{late:?}") };
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition.into(), "LEASE_EXPIRED"));

        let wall = Some(Duration::from_millis(100).try_into().unwrap());
        let budget = Some(Budget { max_wall_time: wall, ..Default::default() });
        let id = create(&mut client, "r2", SearchSpec { budget, ..spec() }).await.search_id;
        let seen = changes(&mut client, &id, 1, usize::MAX).await;
        assert!(matches!(&seen[0].event, Some(Change::Ended(search)) if search.ended_by() == BudgetLimit::WallTime));
        assert_eq!(seen.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_listed_in_pages_newest_first() {
    for (served, _nats) in everywhere().await {
        let mut client = served.client();
        let mut ids = Vec::new();
        for n in 0..7 {
            let task_type = if n % 2 == 0 { "code" } else { "writing" }.to_owned();
            ids.push(create(&mut client, &format!("r{n}"), SearchSpec { task_type, ..spec() }).await.search_id);
        }
        ids.reverse();
        let mut found = Vec::new();
        let mut request = ListSearchesRequest { page_size: 3, ..Default::default() };
        loop {
            let page = client.list_searches(of_acme(request.clone())).await.unwrap().into_inner();
            found.extend(page.searches.into_iter().map(|search| search.search_id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
            let other = ListSearchesRequest { task_type: "code".to_owned(), ..request.clone() };
            assert_eq!(reason(&client.list_searches(of_acme(other)).await.unwrap_err()), "PAGE_TOKEN_INVALID");
        }
        assert_eq!(found, ids);
        let of_type = |task_type: &str, state: SearchState| ListSearchesRequest {
            task_type: task_type.to_owned(),
            state: state.into(),
            ..Default::default()
        };
        for (request, count) in [
            (of_type("code", SearchState::Unspecified), 4),
            (of_type("", SearchState::Running), 7),
            (of_type("", SearchState::Ended), 0),
        ] {
            assert_eq!(client.list_searches(of_acme(request)).await.unwrap().into_inner().searches.len(), count);
        }
        let nonsense = ListSearchesRequest { page_token: "nonsense".to_owned(), ..Default::default() };
        assert_eq!(reason(&client.list_searches(of_acme(nonsense)).await.unwrap_err()), "PAGE_TOKEN_INVALID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_asks_and_tells_until_the_search_has_ended() {
    use search_request::{Action as Act, AskMore, Open, open};
    use search_response::Event as Answer;
    for (served, _nats) in everywhere().await {
        let mut client = served.client();
        let target = SearchSpec { target_score: Some(0.9), ..spec() };
        let request = CreateSearchRequest { request_id: "r".to_owned(), spec: Some(target) };
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        let say = async |action| sender.send(SearchRequest { action: Some(action) }).await.unwrap();
        say(Act::Open(Open { search: Some(open::Search::Create(request)) })).await;
        let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut answers = client.search(of_acme(requests)).await.unwrap().into_inner();
        let mut next = async || {
            let next = tokio::time::timeout(PATIENCE, answers.message()).await.expect("it comes");
            Ok::<_, Status>(next?.map(|answer| answer.event.unwrap()))
        };
        let Some(Answer::Opened(opened)) = next().await.unwrap() else { panic!("it is opened first") };
        say(Act::Ask(AskMore { count: 2 })).await;
        let mut asks = Vec::new();
        for _ in 0..2 {
            let Some(Answer::Ask(ask)) = next().await.unwrap() else { panic!("two asks") };
            asks.push(ask);
        }
        for (ask, score) in asks.iter().zip([0.3, 0.95]) {
            say(Act::Tell(scored(&ask.ask_id, score, ""))).await;
            let Some(Answer::Told(told)) = next().await.unwrap() else { panic!("it is told") };
            assert!((node(&told).score - score).abs() < 1e-12);
        }
        let Some(Answer::Ended(ended)) = next().await.unwrap() else { panic!("the target is reached") };
        assert_eq!((ended.nodes, ended.state(), ended.ended_by()), (2, SearchState::Ended, BudgetLimit::Unspecified));
        say(Act::Open(Open { search: Some(open::Search::SearchId(opened.search_id)) })).await;
        assert_eq!(next().await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_or_is_anothers_is_refused() {
    for (served, _nats) in everywhere().await {
        let mut client = served.client();
        let refused = async |client: &mut Client, spec| {
            let request = CreateSearchRequest { request_id: "bad".to_owned(), spec: Some(spec) };
            client.create_search(of_acme(request)).await.unwrap_err()
        };
        let mixed = Some(search_spec::Algorithm::Mixed(MixedModel::default()));
        let status = refused(&mut client, SearchSpec { algorithm: mixed, ..spec() }).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "NOT_IMPLEMENTED"));
        let mut twice = spec();
        twice.actions[1].name = "direct".to_owned();
        assert_eq!(reason(&refused(&mut client, twice).await), "VALUE_CONFLICT");
        let nothing = SearchSpec { actions: vec![], ..spec() };
        assert_eq!(reason(&refused(&mut client, nothing).await), "FIELD_INVALID");

        let id = create(&mut client, "r", spec()).await.search_id;
        let request = CreateSearchRequest { request_id: "r".to_owned(), spec: Some(SearchSpec { seed: 8, ..spec() }) };
        let reused = client.create_search(of_acme(request)).await.unwrap_err();
        assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
        let asks = ask(&mut client, &id, "a", 1).await.unwrap().asks;
        assert_eq!(reason(&ask(&mut client, &id, "a", 2).await.unwrap_err()), "REQUEST_ID_REUSED");
        let status = tell(&mut client, &id, vec![scored(&asks[0].ask_id, f64::NAN, "")]).await.unwrap_err();
        assert_eq!(reason(&status), "FIELD_INVALID");
        let mut negative = scored(&asks[0].ask_id, 0.5, "");
        if let Some(outcome::Outcome::Scored(scored)) = &mut negative.outcome {
            scored.usage = Some(Usage { cost_micro_usd: -1, ..Default::default() });
        }
        assert_eq!(reason(&tell(&mut client, &id, vec![negative]).await.unwrap_err()), "VALUE_CONFLICT");

        let request = GetSearchRequest { search_id: id.clone() };
        let foreign = client.get_search(of("globex", request)).await.unwrap_err();
        assert_eq!((foreign.code(), reason(&foreign).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
        let request = AskRequest { request_id: "x".to_owned(), search_id: id.clone(), count: 1 };
        assert_eq!(client.ask(of("globex", request)).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(get(&mut client, "nowhere").await.unwrap_err().code(), Code::NotFound);
    }
}

/// Story: a hundred searches whose best nodes keep large states are more than one message takes.
#[tokio::test(flavor = "multi_thread")]
async fn page_of_searches_with_large_states_ends_early() {
    let served = Served::in_memory(&MemoryLog::default()).await;
    let mut client = served.client();
    let state = "x".repeat(256 * 1024);
    for n in 0..20 {
        let id = create(&mut client, &format!("r{n}"), spec()).await.search_id;
        let asks = ask(&mut client, &id, "a", 1).await.unwrap().asks;
        tell(&mut client, &id, vec![scored(&asks[0].ask_id, 0.5, &state)]).await.unwrap();
    }
    let (mut request, mut sizes) = (ListSearchesRequest::default(), Vec::new());
    loop {
        let page = client.list_searches(of_acme(request.clone())).await.unwrap().into_inner();
        sizes.push(page.searches.len());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [4, 4, 4, 4, 4]);
}

/// Story: with a share of its own of the tree for each replica, two of them would ask the same twice.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_grow_one_tree_together() {
    let nats = NatsServer::start();
    let (one, other) = (Served::over(&nats).await, Served::over(&nats).await);
    let id = create(&mut one.client(), "r", of_nodes(60)).await.search_id;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..4 {
        let mut client = [&one, &other][caller % 2].client();
        let id = id.clone();
        callers.spawn(async move {
            let mut told = Vec::new();
            for n in 0.. {
                let asked = ask(&mut client, &id, &format!("{caller}-{n}"), 2).await.unwrap();
                if asked.asks.is_empty() {
                    break;
                }
                let outcomes = asked.asks.iter().map(|ask| scored(&ask.ask_id, 0.5, "")).collect();
                let answer = tell(&mut client, &id, outcomes).await.unwrap();
                told.extend(answer.told.iter().map(|told| node(told).node_id.clone()));
            }
            told
        });
    }
    let mut told: Vec<String> = callers.join_all().await.concat();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 60, "each attempt was made once, and all were");
    for served in [one, other] {
        assert_eq!(get(&mut served.client(), &id).await.unwrap().nodes, 60);
    }
}
