//! Every conformance case, against the built binary and a real NATS server.

use std::process::Command;

use uait_conformance::{Options, Verdict, run};
use uait_testbed::{NatsServer, Process, free_port, repository};

#[tokio::test(flavor = "multi_thread")]
async fn every_case_passes() {
    let nats = NatsServer::start();
    let target = format!("127.0.0.1:{}", free_port());
    let (_, port) = target.split_once(':').unwrap();
    let mut echo = Process::start(Command::new(env!("CARGO_BIN_EXE_echo")).env_clear().envs([
        ("UAIT_PORT", port),
        ("UAIT_HTTP_PORT", "0"),
        // Its own address, so that relaying leads back to itself.
        ("UAIT_MESH", &target),
        ("UAIT_NATS_URL", &nats.url()),
        ("UAIT_LEASE", "off"),
    ]));
    echo.wait_for_line("it serves", |line| line.contains("\"serving\"").then_some(()));
    let options = Options {
        cases: repository().join("proto/uait/echo/v1/cases.yaml"),
        target,
        pid: Some(echo.pid()),
        service: Some("echo-rust".to_owned()),
        api: Some("uait.echo.v1.EchoService".to_owned()),
        ..Options::default()
    };
    let mut verdicts: Vec<Verdict> = Vec::new();
    run(&options, |verdict| verdicts.push(verdict.clone())).await.unwrap();
    let failed: Vec<_> = verdicts.iter().filter(|verdict| verdict.error.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(verdicts.len() >= 40, "{} cases", verdicts.len());
}
