//! The handler over its store: in memory, over JetStream, and as the built binary that is killed.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

use std::process::Command;

use serde_json::Value;
use tonic::{Code, Request, Status};
use uait_gen::intelligent_parameter::v1::parameter_service_client::ParameterServiceClient;
use uait_gen::intelligent_parameter::v1::parameter_service_server::ParameterService;
use uait_gen::intelligent_parameter::v1::posterior::Distribution;
use uait_gen::intelligent_parameter::v1::record_feedback_request::Arm as Named;
use uait_gen::intelligent_parameter::v1::study_service_client::StudyServiceClient;
use uait_gen::intelligent_parameter::v1::*;
use uait_gen::types::v1::Usage;
use uait_intelligent_parameter::bandit::HalfLife;
use uait_intelligent_parameter::handler::{Handler, arm_id};
use uait_intelligent_parameter::store::Store;
use uait_kit::config::{Config, Defaults, Environment};
use uait_kit::dial::Mesh;
use uait_kit::events::journal::MemoryLog;
use uait_kit::status::error_info;
use uait_kit::{Call, Kit};
use uait_testbed::{NatsServer, Process, free_port};

fn kit(variables: &[(&str, &str)]) -> Kit {
    let quiet = [("UAIT_PORT", "0"), ("UAIT_NATS_URL", "off"), ("UAIT_LEASE", "off"), ("OTEL_SDK_DISABLED", "true")];
    let environment: Environment = quiet.into_iter().chain(variables.iter().copied()).collect();
    Kit::new(Config::read(&environment, Defaults { service: "intelligent-parameter", port: 0 }).unwrap()).unwrap()
}

/// Replicas of the service, over each implementation of the log.
enum Bed {
    Memory(MemoryLog),
    Nats(NatsServer),
}

impl Bed {
    fn all() -> [Self; 2] {
        [Self::Memory(MemoryLog::default()), Self::Nats(NatsServer::start())]
    }

    fn replica(&self) -> Handler {
        let half_life = HalfLife::of_feedbacks(1000);
        Handler::new(match self {
            Self::Memory(log) => Store::in_memory(log, half_life),
            Self::Nats(nats) => Store::new(&kit(&[("UAIT_NATS_URL", &nats.url())]).events, half_life),
        })
    }
}

fn model(name: &str) -> ParameterSet {
    ParameterSet { model: name.to_owned(), ..ParameterSet::default() }
}

fn feedback(request_id: &str, name: &str, reward: f64) -> RecordFeedbackRequest {
    RecordFeedbackRequest {
        request_id: request_id.to_owned(),
        task_type: "general".to_owned(),
        arm: Some(Named::Parameters(model(name))),
        reward,
        ..RecordFeedbackRequest::default()
    }
}

fn ask(candidates: &[&str], count: i32, seed: u64) -> GetParametersRequest {
    GetParametersRequest {
        task_type: "general".to_owned(),
        candidates: candidates.iter().map(|name| model(name)).collect(),
        count,
        seed: Some(seed),
        ..GetParametersRequest::default()
    }
}

async fn as_tenant<F: Future>(tenant: &str, work: F) -> F::Output {
    Call::for_tenant(tenant).unwrap().scope(work).await
}

async fn record(handler: &Handler, request: RecordFeedbackRequest) -> Result<RecordFeedbackResponse, Status> {
    as_tenant("acme", handler.record_feedback(Request::new(request))).await.map(tonic::Response::into_inner)
}

async fn get(handler: &Handler, request: GetParametersRequest) -> Result<GetParametersResponse, Status> {
    as_tenant("acme", handler.get_parameters(Request::new(request))).await.map(tonic::Response::into_inner)
}

async fn sample(
    handler: &Handler,
    tenant: &str,
    request: SamplePosteriorRequest,
) -> Result<Vec<sample_posterior_response::Sample>, Status> {
    let request = SamplePosteriorRequest { task_type: "general".to_owned(), ..request };
    as_tenant(tenant, handler.sample_posterior(Request::new(request)))
        .await
        .map(|response| response.into_inner().samples)
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), error_info(status).unwrap().reason)
}

fn chosen(suggestion: &get_parameters_response::Suggestion) -> &str {
    &suggestion.arm.as_ref().unwrap().parameters.as_ref().unwrap().model
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_repeated_on_any_replica_counts_once_and_gets_the_first_answer() {
    for bed in Bed::all() {
        let (one, other) = (bed.replica(), bed.replica());
        let first = record(&one, feedback("r1", "a", 1.0)).await.unwrap();
        let posterior = first.posterior.clone().unwrap();
        assert_eq!(
            posterior.distribution,
            Some(Distribution::Beta(posterior::Beta { alpha: 2.0, beta: 1.0 })),
            "one success"
        );
        record(&other, feedback("r2", "a", 1.0)).await.unwrap();
        assert_eq!(record(&other, feedback("r1", "a", 1.0)).await.unwrap(), first);
        let mut by_id = feedback("r1", "a", 1.0);
        by_id.arm = Some(Named::ArmId(arm_id(&model("a"))));
        assert_eq!(record(&bed.replica(), by_id).await.unwrap(), first, "the same arm by its other name");

        let reused = record(&other, feedback("r1", "a", 0.5)).await.unwrap_err();
        assert_eq!(reason(&reused), (Code::InvalidArgument, "REQUEST_ID_REUSED".to_owned()));
        let samples = sample(&one, "acme", SamplePosteriorRequest::default()).await.unwrap();
        assert!((samples[0].posterior.as_ref().unwrap().observations - 2.0).abs() < 0.01, "{samples:?}");
        assert_eq!(sample(&one, "globex", SamplePosteriorRequest::default()).await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_of_a_seed_are_the_same_on_every_replica_and_follow_the_feedback() {
    for bed in Bed::all() {
        let one = bed.replica();
        for n in 0..30 {
            record(&one, feedback(&format!("good{n}"), "good", 0.9)).await.unwrap();
            record(&one, feedback(&format!("bad{n}"), "bad", 0.2)).await.unwrap();
        }
        let asked = ask(&["bad", "good", "good"], 200, 7);
        let answer = get(&one, asked.clone()).await.unwrap();
        let other = bed.replica();
        assert_eq!(get(&other, asked).await.unwrap(), answer);
        assert_eq!(answer.suggestions.len(), 200);
        assert!(answer.suggestions.iter().all(|suggestion| chosen(suggestion) == "good"));
        let best = &answer.suggestions[0];
        assert!(best.propensity > 0.999 && best.drawn_reward > 0.8, "{best:?}");
        let Some(Distribution::NormalInverseGamma(told)) = best.posterior.as_ref().unwrap().distribution else {
            panic!("graded rewards are Gaussian: {best:?}")
        };
        assert!(told.kappa > 29.0 && told.kappa <= 31.0, "{told:?}");

        let known = get(&one, ask(&[], 1, 1)).await.unwrap();
        assert_eq!(chosen(&known.suggestions[0]), "good");
        let explored = get(&one, ask(&["good", "new"], 256, 3)).await.unwrap();
        let new = explored.suggestions.iter().find(|suggestion| chosen(suggestion) == "new").expect("it explores");
        assert!(new.propensity > 0.01 && new.propensity < 0.5, "{new:?}");
    }
}

#[tokio::test]
async fn limits_leave_out_arms_whose_measured_means_are_higher() {
    let handler = Bed::Memory(MemoryLog::default()).replica();
    let mut dear = feedback("r1", "dear", 1.0);
    dear.usage = Some(Usage { cost_micro_usd: 500, ..Usage::default() });
    dear.latency = Some(prost_types::Duration { seconds: 3, nanos: 0 });
    record(&handler, dear).await.unwrap();
    let mut cheap = feedback("r2", "cheap", 0.0);
    cheap.usage = Some(Usage::default());
    cheap.latency = Some(prost_types::Duration { seconds: 0, nanos: 5_000_000 });
    record(&handler, cheap).await.unwrap();

    let models = async |request| {
        let answer = get(&handler, request).await.unwrap();
        let mut models: Vec<String> = answer.suggestions.iter().map(|s| chosen(s).to_owned()).collect();
        models.sort();
        models.dedup();
        models
    };
    let all = ["cheap", "dear", "unmeasured"];
    assert_eq!(models(ask(&all, 256, 1)).await, all);
    let costing = GetParametersRequest { max_cost_micro_usd: Some(499), ..ask(&all, 256, 1) };
    assert_eq!(models(costing).await, ["cheap", "unmeasured"]);
    let latency = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let quick = GetParametersRequest { max_latency: latency, ..ask(&[], 256, 1) };
    assert_eq!(models(quick).await, ["cheap"]);
    let none = GetParametersRequest { max_cost_micro_usd: Some(0), ..ask(&["dear"], 1, 1) };
    assert_eq!(reason(&get(&handler, none).await.unwrap_err()), (Code::FailedPrecondition, "NO_CANDIDATE".to_owned()));
}

#[tokio::test]
async fn what_is_not_known_or_not_here_is_refused_with_its_reason() {
    let handler = Bed::Memory(MemoryLog::default()).replica();
    let nothing = get(&handler, ask(&[], 1, 1)).await.unwrap_err();
    assert_eq!(reason(&nothing), (Code::FailedPrecondition, "NO_CANDIDATE".to_owned()));
    let contextual = GetParametersRequest { features: [("length".to_owned(), 1.0)].into(), ..ask(&["a"], 1, 1) };
    assert_eq!(
        reason(&get(&handler, contextual).await.unwrap_err()),
        (Code::Unimplemented, "NOT_IMPLEMENTED".to_owned())
    );
    let mut unknown = feedback("r1", "a", 1.0);
    unknown.arm = Some(Named::ArmId("nobody".to_owned()));
    let unknown = record(&handler, unknown).await.unwrap_err();
    assert_eq!(reason(&unknown), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
    let mut infinite = feedback("r1", "a", 1.0);
    infinite.features.insert("length".to_owned(), f64::INFINITY);
    let infinite = record(&handler, infinite).await.unwrap_err();
    assert_eq!(reason(&infinite), (Code::InvalidArgument, "FIELD_INVALID".to_owned()));
    assert_eq!(infinite.message(), "invalid request: features[\"length\"]: must be finite");
    let ids = SamplePosteriorRequest { arm_ids: vec!["nobody".to_owned()], ..SamplePosteriorRequest::default() };
    let missing = sample(&handler, "acme", ids).await.unwrap_err();
    assert_eq!(reason(&missing), (Code::NotFound, "RESOURCE_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn arm_that_was_suggested_can_be_named_by_its_id() {
    let handler = Bed::Memory(MemoryLog::default()).replica();
    let suggested = get(&handler, ask(&["new"], 1, 1)).await.unwrap().suggestions.remove(0).arm.unwrap();
    let mut by_id = feedback("r1", "new", 1.0);
    by_id.arm = Some(Named::ArmId(suggested.arm_id.clone()));
    assert_eq!(record(&handler, by_id).await.unwrap().arm, Some(suggested));
}

#[tokio::test]
async fn samples_come_best_first_with_draws_of_their_own() {
    let handler = Bed::Memory(MemoryLog::default()).replica();
    for (n, reward) in [0.1, 0.9, 0.2, 0.8].into_iter().enumerate() {
        record(&handler, feedback(&n.to_string(), if n % 2 == 0 { "low" } else { "high" }, reward)).await.unwrap();
    }
    let request = SamplePosteriorRequest { draws: 5000, seed: Some(2), ..SamplePosteriorRequest::default() };
    let samples = sample(&handler, "acme", request).await.unwrap();
    assert_eq!(samples[0].arm.as_ref().unwrap().parameters, Some(model("high")));
    assert!(samples[0].best_probability > 0.8 && samples[1].draws.len() == 5000);
    for sample in &samples {
        let told = sample.posterior.as_ref().unwrap();
        let mean = sample.draws.iter().sum::<f64>() / 5000.0;
        assert!((mean - told.mean).abs() < 5.0 * told.standard_deviation / 5000_f64.sqrt(), "{mean} {told:?}");
    }
}

/// The built binary on free ports, as the mesh itself.
struct Service {
    process: Process,
    mesh: Mesh,
}

impl Service {
    fn start(nats: &NatsServer) -> Self {
        let port = free_port().to_string();
        let variables = [
            ("UAIT_PORT", port.as_str()),
            ("UAIT_HTTP_PORT", "0"),
            ("UAIT_NATS_URL", &nats.url()),
            ("UAIT_LEASE", "off"),
            ("OTEL_SDK_DISABLED", "true"),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_intelligent-parameter"));
        let mut process = Process::start(command.env_clear().envs(variables));
        process.wait_for_line("it serves", |line| {
            let line: Value = serde_json::from_str(line).expect("every line is JSON");
            (line["msg"] == "serving").then_some(())
        });
        let mesh = kit(&[("UAIT_MESH", &format!("127.0.0.1:{port}"))]).mesh;
        Self { process, mesh }
    }

    fn client(&self) -> ParameterServiceClient<Mesh> {
        self.mesh.client()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_that_was_answered_survives_kills_of_the_service_and_of_nats() {
    const ROUNDS: usize = 3;
    const EACH: usize = 40;
    let mut nats = NatsServer::start();
    let mut answers = Vec::new();
    for round in 0..ROUNDS {
        let mut service = Service::start(&nats);
        let mut client = service.client();
        let writing = async {
            for n in 0..EACH {
                let request = feedback(&format!("{round}-{n}"), "a", 0.25);
                answers.push((request.clone(), client.record_feedback(request).await.unwrap().into_inner()));
            }
            // One more is under way when it is killed; nobody is promised anything of it.
            tokio::spawn(async move { client.record_feedback(feedback("under-way", "a", 0.25)).await });
        };
        as_tenant("acme", writing).await;
        service.process.kill();
        nats.kill();
        nats.restart();
    }

    let service = Service::start(&nats);
    let mut client = service.client();
    let repeated = async {
        for (request, first) in &answers {
            assert_eq!(client.record_feedback(request.clone()).await.unwrap().get_ref(), first);
        }
        let all = SamplePosteriorRequest { task_type: "general".to_owned(), ..SamplePosteriorRequest::default() };
        client.sample_posterior(all).await.unwrap().into_inner().samples.remove(0)
    };
    let sample = as_tenant("acme", repeated).await;
    let told = sample.posterior.unwrap();
    // Each later feedback takes 2^(-1/1000) of the weight of those before.
    let weight = |count: i32| (0..count).map(|age| (-f64::from(age) / 1000.0).exp2()).sum::<f64>();
    let answered = i32::try_from(ROUNDS * EACH).unwrap();
    let expected = [weight(answered), weight(answered + 1)];
    assert!(
        expected.iter().any(|expected| (told.observations - expected).abs() < 1e-6),
        "{} is none of {expected:?}: with or without the one that was under way",
        told.observations
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn study_is_not_implemented_and_says_why() {
    let nats = NatsServer::start();
    let service = Service::start(&nats);
    let mut studies: StudyServiceClient<Mesh> = service.mesh.client();
    let request = GetStudyRequest { study_id: "s".to_owned() };
    let status = as_tenant("acme", studies.get_study(request)).await.unwrap_err();
    assert_eq!(reason(&status), (Code::Unimplemented, "NOT_IMPLEMENTED".to_owned()));
    assert!(status.message().contains("no optimiser"), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn log_away_is_unavailable_for_feedback_while_what_is_known_goes_on_answering() {
    let mut nats = NatsServer::start();
    let variables = [("UAIT_NATS_URL", &*nats.url()), ("UAIT_DEADLINE_MS", "500")];
    let handler = Handler::new(Store::new(&kit(&variables).events, HalfLife::of_feedbacks(1000)));
    // The first answer may take the server's start.
    while record(&handler, feedback("r1", "a", 1.0)).await.is_err() {}
    nats.kill();
    let status = record(&handler, feedback("r2", "a", 1.0)).await.unwrap_err();
    assert_eq!(reason(&status), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE".to_owned()));
    assert_eq!(get(&handler, ask(&["a", "b"], 3, 1)).await.unwrap().suggestions.len(), 3);
}
