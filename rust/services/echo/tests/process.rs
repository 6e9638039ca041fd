//! The built binary: what it refuses, what it says, how it ends.
#![allow(clippy::expect_used, reason = "helpers of a test fail it")]

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use serde_json::Value;
use uait_testbed::{Process, free_port};

/// The binary with an environment of its own, on free ports and without NATS unless the test says otherwise.
fn echo(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    command.env_clear();
    let quiet = [("UAIT_PORT", "0"), ("UAIT_NATS_URL", "off"), ("UAIT_LEASE", "off"), ("OTEL_SDK_DISABLED", "true")];
    command.envs(quiet).envs(variables.iter().copied());
    command
}

fn serving(process: &mut Process) -> Value {
    process.wait_for_line("it serves", |line| {
        let line: Value = serde_json::from_str(line).expect("every line is JSON");
        (line["msg"] == "serving").then_some(line)
    })
}

#[test]
fn environment_out_of_range_is_one_line_and_exit_78() {
    for (variable, value, range) in [
        ("UAIT_PORT", "70000", "0 to 65535"),
        ("UAIT_HOST", "nowhere", "an IP address"),
        ("UAIT_TLS_CERT", "/nowhere", "paths of PEM files, all three or none"),
        ("ECHO_REMEMBERED", "many", "1 to 1000000"),
    ] {
        let finished = Process::start(&mut echo(&[(variable, value)])).finish();
        assert_eq!(finished.code, Some(78));
        assert_eq!(finished.stderr, [format!("{variable}={value}: must be {range}")]);
        assert_eq!(finished.stdout, [""; 0]);
    }
}

#[test]
fn port_in_use_is_one_line_and_exit_69() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for variable in ["UAIT_PORT", "UAIT_HTTP_PORT"] {
        let finished = Process::start(&mut echo(&[(variable, &port)])).finish();
        assert_eq!(finished.code, Some(69));
        assert_eq!(finished.stderr, [format!("{variable}={port}: 127.0.0.1:{port} is in use")]);
    }
}

#[test]
fn service_without_its_neighbours_serves_and_ends_well() {
    // Neither NATS nor balancer nor collector is there.
    let (nats, mesh, otlp) = (free_port(), free_port(), free_port());
    let mut process = Process::start(&mut echo(&[
        ("UAIT_NATS_URL", &format!("nats://127.0.0.1:{nats}")),
        ("UAIT_MESH", &format!("127.0.0.1:{mesh}")),
        ("UAIT_LEASE", "on"),
        ("OTEL_SDK_DISABLED", "false"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{otlp}")),
        ("UAIT_INSTANCE", "echo-1"),
        ("UAIT_DRAIN_DELAY_MS", "0"),
    ]));
    let line = serving(&mut process);
    assert_eq!(
        (&line["service"], &line["instance"], &line["level"]),
        (&"echo-rust".into(), &"echo-1".into(), &"info".into())
    );
    for address in ["grpc", "http"] {
        assert!(line[address].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
    process.terminate();
    let finished = process.finish();
    assert_eq!((finished.code, finished.stderr), (Some(0), vec![]));
    let last: Value = serde_json::from_str(finished.stdout.last().unwrap()).unwrap();
    assert_eq!(last["msg"], "stopped");
}

#[test]
fn second_signal_ends_at_once_with_1() {
    let mut process = Process::start(&mut echo(&[("UAIT_DRAIN_DELAY_MS", "60000")]));
    serving(&mut process);
    process.terminate();
    process.wait_for_line("it drains", |line| line.contains("\"draining\"").then_some(()));
    process.terminate();
    assert_eq!(process.finish().code, Some(1));
}
