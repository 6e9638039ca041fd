//! The built binary, killed again and again: what was acknowledged is there, once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test fail it")]

mod support;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use support::*;
use tonic::{Code, Status};
use uait_gen::ab_mcts::v1::watch_search_response::Event as Change;
use uait_gen::ab_mcts::v1::*;
use uait_testbed::{NatsServer, Process, free_port};

const ROUNDS: usize = 20;
const CALLERS: usize = 4;
/// Acknowledged tells between two kills.
const EACH_ROUND: usize = 30;

fn start(port: u16, nats: &NatsServer) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ab-mcts"));
    command.env_clear().envs([
        ("UAIT_PORT", port.to_string().as_str()),
        ("UAIT_HTTP_PORT", "0"),
        ("UAIT_NATS_URL", &nats.url()),
        ("UAIT_LEASE", "off"),
        ("OTEL_SDK_DISABLED", "true"),
    ]);
    let mut process = Process::start(&mut command);
    process.wait_for_line("it serves", |line| line.contains("\"serving\"").then_some(()));
    process
}

/// Calls until it is answered, as a caller does whose service is restarted.
async fn until_answered<T, F: Future<Output = Result<T, Status>>>(mut call: impl FnMut() -> F) -> T {
    let answered = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(status) => assert!(
                    [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown]
                        .contains(&status.code()),
                    "{status}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), answered).await.expect("the service is back")
}

/// What a caller was told: each ask's id, with the node and score of its tell.
type Acknowledged = BTreeMap<String, (String, f64)>;

async fn call(
    address: SocketAddr,
    id: String,
    caller: usize,
    told: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Acknowledged {
    let client = client(address);
    let mut acknowledged = Acknowledged::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = format!("{caller}-{n}");
        let asked = until_answered(|| {
            let (mut client, id, request) = (client.clone(), id.clone(), request.clone());
            async move { ask(&mut client, &id, &request, 3).await }
        })
        .await;
        assert_eq!(asked.asks.len(), 3);
        let score = |at: usize| f64::from(u32::try_from((caller * 31 + n * 7 + at) % 100).unwrap()) / 100.0;
        let outcomes: Vec<Outcome> =
            asked.asks.iter().enumerate().map(|(at, ask)| scored(&ask.ask_id, score(at), &request)).collect();
        let answer = until_answered(|| {
            let (mut client, id, outcomes) = (client.clone(), id.clone(), outcomes.clone());
            async move { tell(&mut client, &id, outcomes).await }
        })
        .await;
        for (at, made) in answer.told.iter().enumerate() {
            let node = node(made);
            assert_eq!((node.score, node.state.as_slice()), (score(at), request.as_bytes()));
            acknowledged.insert(made.ask_id.clone(), (node.node_id.clone(), node.score));
        }
        told.fetch_add(answer.told.len(), Ordering::Relaxed);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn service_and_log_killed_during_asks_and_tells_lose_nothing_and_double_nothing() {
    let mut nats = NatsServer::start();
    let port = free_port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut service = start(port, &nats);
    let id = create(&mut client(address), "r", spec()).await.search_id;
    let (told, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(address, id.clone(), caller, told.clone(), stop.clone()));
    }
    for round in 1..=ROUNDS {
        let progress = async {
            while told.load(Ordering::Relaxed) < round * EACH_ROUND {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), progress).await.expect("the load goes on");
        if round % 4 == 0 {
            nats.kill();
            nats.restart();
        }
        service.kill();
        service = start(port, &nats);
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Acknowledged::new();
    while let Some(caller) = callers.join_next().await {
        for (ask, made) in caller.unwrap() {
            assert!(acknowledged.insert(ask, made).is_none(), "no ask was given to two callers");
        }
    }

    // Once more from the journal alone.
    service.kill();
    let _service = start(port, &nats);
    let mut client = client(address);
    let search = until_answered(|| {
        let (mut client, id) = (client.clone(), id.clone());
        async move { get(&mut client, &id).await }
    })
    .await;
    assert_eq!((usize::try_from(search.nodes).unwrap(), search.pending, search.failed), (acknowledged.len(), 0, 0));
    let request = WatchSearchRequest { search_id: id.clone(), resume_after: 0 };
    let mut changes = client.watch_search(of_acme(request)).await.unwrap().into_inner();
    let (mut asked, mut found) = (Vec::new(), BTreeMap::new());
    for sequence in 1..=search.sequence {
        let change = changes.message().await.unwrap().unwrap();
        assert_eq!(change.sequence, sequence);
        match change.event.unwrap() {
            Change::Created(_) => {}
            Change::Asked(ask) => asked.push(ask.ask_id),
            Change::Told(node) => assert!(found.insert(node.node_id, node.score).is_none(), "no node is doubled"),
            other => panic!("{other:?}"),
        }
    }
    asked.sort();
    assert_eq!(asked, acknowledged.keys().cloned().collect::<Vec<_>>(), "each ask that is there was given to a caller");
    assert_eq!(found, acknowledged.into_values().collect());
}
