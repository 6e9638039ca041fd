//! What Ask and Tell cost beside a real JetStream that syncs every write, and how long a replay takes. Figures, not
//! assertions: `cargo run --release -p uait-ab-mcts --example ask`.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a measurement")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::*;
use uait_testbed::NatsServer;

const NODES: usize = 200;
const SAMPLES: usize = 300;
const SEARCHES: usize = 16;
const REPLAYED: usize = 50_000;
const BATCH: i32 = 256;

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms of {} calls", at(50), at(99), times.len());
}

/// Asks and tells one by one; what each took once there were `NODES` nodes.
async fn grow(mut client: Client, name: String) -> [Vec<Duration>; 2] {
    let id = create(&mut client, &name, spec()).await.search_id;
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..NODES + SAMPLES {
        let started = Instant::now();
        let asked = ask(&mut client, &id, &n.to_string(), 1).await.unwrap();
        let asked_in = started.elapsed();
        let score = f64::from(u32::try_from(n * 37 % 100).unwrap()) / 100.0;
        let started = Instant::now();
        tell(&mut client, &id, vec![scored(&asked.asks[0].ask_id, score, "an answer of some length")]).await.unwrap();
        if n >= NODES {
            times[0].push(asked_in);
            times[1].push(started.elapsed());
        }
    }
    times
}

#[tokio::main]
async fn main() {
    let nats = NatsServer::start();
    let served = Served::over(&nats).await;
    let [asks, tells] = grow(served.client(), "one".to_owned()).await;
    println!("one caller, {NODES} to {} nodes", NODES + SAMPLES);
    print("  Ask", asks);
    print("  Tell", tells);

    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..SEARCHES {
        callers.spawn(grow(served.client(), format!("of-many-{n}")));
    }
    let (mut asks, mut tells) = (Vec::new(), Vec::new());
    while let Some(times) = callers.join_next().await {
        let [ask, tell] = times.unwrap();
        asks.extend(ask);
        tells.extend(tell);
    }
    let rate = (2 * SEARCHES * (NODES + SAMPLES)) as f64 / started.elapsed().as_secs_f64();
    println!("{SEARCHES} callers with a search each: {rate:.0} calls/s");
    print("  Ask", asks);
    print("  Tell", tells);

    let mut client = served.client();
    let mut made = 0;
    let started = Instant::now();
    for n in 0.. {
        if made >= REPLAYED {
            break;
        }
        let id = create(&mut client, &format!("big-{n}"), spec()).await.search_id;
        for m in 0..4 {
            let asks = ask(&mut client, &id, &m.to_string(), BATCH).await.unwrap().asks;
            let outcomes = asks.iter().map(|ask| scored(&ask.ask_id, 0.5, "an answer of some length")).collect();
            made += tell(&mut client, &id, outcomes).await.unwrap().told.len();
        }
    }
    println!("{made} nodes told in batches of {BATCH}: {:.0}/s", made as f64 / started.elapsed().as_secs_f64());

    let before = resident_mib();
    let started = Instant::now();
    let again = Served::over(&nats).await;
    let mut client = again.client();
    let found = create(&mut client, "big-0", spec()).await;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let events = made + 2 * (SEARCHES + 1) * (NODES + SAMPLES);
    println!(
        "replay of about {events} events until the first answer: {ms:.0} ms (the search has {} nodes)",
        found.nodes
    );
    let nodes = made + (SEARCHES + 1) * (NODES + SAMPLES);
    let kib = (resident_mib() - before) * 1024.0 / nodes as f64;
    println!("memory that the replay of {nodes} nodes took: {kib:.2} KiB a node");
}

/// Memory of this process that is in RAM, by Linux's count of pages of 4 KiB.
fn resident_mib() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() / 256.0
}
