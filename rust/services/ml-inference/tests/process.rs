//! The built binary: what it refuses, what it says, how it ends.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::process::Command;

use serde_json::Value;
use uait_gen::ml_inference::v1::inference_service_client::InferenceServiceClient;
use uait_gen::ml_inference::v1::{EmbedRequest, ModelState};
use uait_kit::dial::Mesh;
use uait_testbed::Process;

/// The binary with an environment of its own, on free ports.
fn service(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ml-inference"));
    command.env_clear();
    let quiet = [
        ("UAIT_PORT", "0"),
        ("UAIT_NATS_URL", "off"),
        ("UAIT_LEASE", "off"),
        ("OTEL_SDK_DISABLED", "true"),
        ("UAIT_DRAIN_DELAY_MS", "0"),
    ];
    command.envs(quiet).env("UAIT_MODELS", support::models()).envs(variables.iter().copied());
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
        ("UAIT_MODELS", "/nowhere", "folders and YAML lists of models that exist, separated by colons"),
        ("UAIT_INFERENCE_SLOTS", "0", "1 to 64"),
        ("UAIT_PORT", "70000", "0 to 65535"),
    ] {
        let finished = Process::start(&mut service(&[(variable, value)])).finish();
        assert_eq!(finished.code, Some(78));
        assert_eq!(finished.stderr, [format!("{variable}={value}: must be {range}")]);
        assert_eq!(finished.stdout, [""; 0]);
    }
}

#[test]
fn list_that_is_not_well_formed_is_one_line_and_exit_78() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("mine.yaml");
    std::fs::write(&list, "models:\n  - {name: 'a b', kind: generation, model: {file: x}}\n").unwrap();
    let list = list.to_str().unwrap();
    let finished = Process::start(&mut service(&[("UAIT_MODELS", list)])).finish();
    assert_eq!(finished.code, Some(78));
    assert_eq!(
        finished.stderr,
        [format!("UAIT_MODELS={list}: must be a list of models (\"a b\" is no name of a model)")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn service_ended_in_the_middle_of_a_text_ends_well() {
    let mut process = Process::start(&mut service(&[("UAIT_DRAIN_TIMEOUT_MS", "0")]));
    let address: std::net::SocketAddr = serving(&mut process)["grpc"].as_str().unwrap().parse().unwrap();
    let mut client: InferenceServiceClient<Mesh> = support::Service { grpc: address, http: address }.client();
    let request = support::of_acme(support::endless("Once upon a time", 3000));
    let mut stream = client.generate(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    process.terminate();
    let finished = tokio::task::spawn_blocking(|| process.finish()).await.unwrap();
    assert_eq!((finished.code, finished.stderr), (Some(0), vec![]));
}

/// Memory of a process that is its own and in use, in MiB: what its files' pages, which it shares, are not.
fn own_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a figure of Linux 4.5");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_released_models_goes_back_to_the_machine() {
    let mut process = Process::start(&mut service(&[("UAIT_INFERENCE_KEEP_ALIVE_MS", "20")]));
    let address: std::net::SocketAddr = serving(&mut process)["grpc"].as_str().unwrap().parse().unwrap();
    let service = support::Service { grpc: address, http: address };
    for _ in 0..3 {
        let request = EmbedRequest { texts: vec!["word ".repeat(200); 8], ..EmbedRequest::default() };
        service.client().embed(support::of_acme(request)).await.unwrap();
        // The text's model, at least, is in memory while it is written.
        let mut text =
            service.client().generate(support::of_acme(support::endless("a", 3000))).await.unwrap().into_inner();
        assert!(text.message().await.unwrap().is_some());
        let loaded = own_memory(&process);
        drop(text);
        for name in [support::LLM, support::EMBEDDING] {
            service.until_state(name, ModelState::Unloaded).await;
        }
        // What stays is ONNX Runtime itself.
        let left = own_memory(&process);
        assert!(loaded > 100 && left < 40, "{loaded} MiB with the models, {left} without");
    }
    process.terminate();
    let finished = tokio::task::spawn_blocking(|| process.finish()).await.unwrap();
    assert_eq!((finished.code, finished.stderr), (Some(0), vec![]));
}

#[test]
fn service_waits_passively_and_ends_well() {
    let mut process = Process::start(&mut service(&[("UAIT_INSTANCE", "inference-1")]));
    let line = serving(&mut process);
    assert_eq!((&line["service"], &line["instance"]), (&"ml-inference".into(), &"inference-1".into()));
    // It started itself again, as the same process, with what libgomp and glibc read before main.
    let environment = std::fs::read(format!("/proc/{}/environ", process.pid())).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("OMP_WAIT_POLICY=passive") && environment.contains("MALLOC_MMAP_THRESHOLD_=131072"));
    process.terminate();
    let finished = process.finish();
    assert_eq!((finished.code, finished.stderr), (Some(0), vec![]));
}
