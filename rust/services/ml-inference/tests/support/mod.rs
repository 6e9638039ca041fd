//! The service in the test's own process, with the real models.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::expect_used, reason = "helpers of a test fail it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tonic::{Request, Status, Streaming};
use uait_gen::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use uait_gen::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use uait_gen::ml_inference::v1::get_statistics_response::ModelStatistics;
use uait_gen::ml_inference::v1::inference_service_client::InferenceServiceClient;
use uait_gen::ml_inference::v1::inference_service_server::InferenceServiceServer;
use uait_gen::ml_inference::v1::{
    ChatRequest, ChatResponse, GenerateRequest, GenerateResponse, GenerationStart, GetModelRequest,
    GetStatisticsRequest, Model, ModelState, chat_response, generate_response,
};
use uait_gen::types::v1::chat_message::Part;
use uait_gen::types::v1::chat_message::part::Content;
use uait_gen::types::v1::output_constraint::Form;
use uait_gen::types::v1::{ChatMessage, GenerationEnd, OutputConstraint, Role, Sampling, TokenLogprob, ToolCall};
use uait_kit::Kit;
use uait_kit::config::{Config as KitConfig, Environment};
use uait_kit::dial::Mesh;
use uait_kit::serve::Server;
use uait_kit::telemetry::Telemetry;
use uait_ml_inference::config::{Config, DEFAULTS};
use uait_ml_inference::handler::{Inference, KServe};
use uait_ml_inference::models::Models;
use uait_ml_inference::repository::Repository;

pub const LLM: &str = "smollm2-135m-instruct";
pub const EMBEDDING: &str = "minilm-l6-v2";
/// Computing takes its time where cores are shared.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The folder of installed models: `UAIT_MODELS`, or where `make install` puts them.
pub fn models() -> PathBuf {
    let folder =
        std::env::var_os("UAIT_MODELS").map_or_else(|| uait_testbed::repository().join(".uait/models"), PathBuf::from);
    assert!(
        folder.join("models.yaml").exists(),
        "no models in {}: run `make install` (`make test` does), or set UAIT_MODELS to a folder with models.yaml",
        folder.display()
    );
    folder
}

/// A service under way; it lasts as long as the process.
#[derive(Clone, Copy)]
pub struct Service {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

impl Service {
    /// The service that tests share which do not mind each other.
    pub fn shared() -> Self {
        static SHARED: OnceLock<Service> = OnceLock::new();
        *SHARED.get_or_init(|| Self::start(&[]))
    }

    /// A service of its own. One thread computes, so that tests on shared cores do not wait for each other's threads.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let folder = if variables.iter().any(|(name, _)| *name == "UAIT_MODELS") { PathBuf::new() } else { models() };
        let folder = folder.to_string_lossy().into_owned();
        let mut all = vec![
            ("UAIT_PORT", "0"),
            ("UAIT_NATS_URL", "off"),
            ("UAIT_LEASE", "off"),
            ("UAIT_DRAIN_DELAY_MS", "0"),
            ("OTEL_SDK_DISABLED", "true"),
            ("UAIT_MODELS", &folder),
            ("UAIT_INFERENCE_THREADS", "1"),
            ("UAIT_INFERENCE_BATCH_THREADS", "1"),
            ("UAIT_INFERENCE_ONNX_THREADS", "1"),
            ("UAIT_INFERENCE_CONTEXT_TOKENS", "2048"),
        ];
        all.extend_from_slice(variables);
        let environment: Environment = all.into_iter().collect();
        let config = Config::read(&environment).expect("the service's environment");
        let kit_config = KitConfig::read(&environment, DEFAULTS).expect("the kit's environment");
        let (ready, started) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let models = Models::new(config.clone(), Repository::read(&config.models).expect("the models' list"));
                models.check_all();
                let kit = Kit::new(kit_config).expect("a kit");
                models.release_unused(&kit.telemetry.metrics);
                let server = Server::new(kit)
                    .with(InferenceServiceServer::new(Inference::new(models.clone())))
                    .with(GrpcInferenceServiceServer::new(KServe::new(models)));
                let bound = server.bind().await.expect("free ports");
                ready.send(Self { grpc: bound.grpc_address(), http: bound.http_address() }).expect("a test waits");
                bound.run_until(std::future::pending()).await;
            });
        });
        started.recv().expect("the service starts")
    }

    pub fn mesh(self) -> Mesh {
        let environment = Environment::from([("UAIT_NATS_URL", "off"), ("OTEL_SDK_DISABLED", "true")]);
        let mut config = KitConfig::read(&environment, DEFAULTS).expect("the kit's environment");
        config.mesh = self.grpc.to_string();
        config.deadline = PATIENCE;
        let telemetry = Telemetry::new(&config);
        Mesh::new(&config, telemetry.tracer).expect("an address")
    }

    pub fn client(self) -> InferenceServiceClient<Mesh> {
        self.mesh().client()
    }

    pub fn kserve(self) -> GrpcInferenceServiceClient<Mesh> {
        self.mesh().client()
    }

    pub async fn generate(self, request: GenerateRequest) -> Result<Written, Status> {
        let stream = self.client().generate(of_acme(request)).await?.into_inner();
        Written::of_generate(stream).await
    }

    pub async fn chat(self, request: ChatRequest) -> Result<Written, Status> {
        let stream = self.client().chat(of_acme(request)).await?.into_inner();
        Written::of_chat(stream).await
    }

    pub async fn model(self, name: &str) -> Model {
        let request = of_acme(GetModelRequest { model: name.to_owned() });
        self.client().get_model(request).await.expect("a model").into_inner().model.expect("the model")
    }

    /// Waits until the model is in a state; asking for it is no use of the model.
    pub async fn until_state(self, name: &str, state: ModelState) -> Model {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let model = self.model(name).await;
            if model.state() == state {
                return model;
            }
            assert!(Instant::now() < deadline, "{name} is still {:?}, not {state:?}", model.state());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn statistics(self, model: &str) -> ModelStatistics {
        let request = of_acme(GetStatisticsRequest { model: model.to_owned() });
        let models = self.client().get_statistics(request).await.expect("statistics").into_inner().models;
        models.into_iter().next().expect("the model's")
    }

    /// Waits until the model's statistics are as wanted.
    pub async fn until(self, what: &str, wanted: impl Fn(&ModelStatistics) -> bool) -> ModelStatistics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let statistics = self.statistics(LLM).await;
            if wanted(&statistics) {
                return statistics;
            }
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}, but {statistics:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A text as a caller hears it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Written {
    pub start: GenerationStart,
    pub text: String,
    pub pieces: usize,
    pub tokens: i32,
    pub logprobs: Vec<TokenLogprob>,
    pub calls: Vec<ToolCall>,
    pub end: GenerationEnd,
}

impl Written {
    fn hear(&mut self, delta: uait_gen::types::v1::TextDelta) {
        self.text.push_str(&delta.text);
        self.pieces += 1;
        self.tokens += delta.tokens;
        self.logprobs.extend(delta.logprobs);
    }

    async fn of_generate(mut stream: Streaming<GenerateResponse>) -> Result<Self, Status> {
        let (mut written, mut begun, mut ended) = (Self::default(), false, false);
        while let Some(response) = stream.next().await {
            assert!(!ended, "nothing comes after the end");
            match response?.event.expect("an event") {
                generate_response::Event::Start(start) => (written.start, begun) = (start, true),
                generate_response::Event::Delta(delta) => written.hear(delta),
                generate_response::Event::End(end) => (written.end, ended) = (end, true),
            }
            assert!(begun, "the first message is the start");
        }
        assert!(ended, "the last message is the end");
        Ok(written)
    }

    async fn of_chat(mut stream: Streaming<ChatResponse>) -> Result<Self, Status> {
        let (mut written, mut ended) = (Self::default(), false);
        while let Some(response) = stream.next().await {
            assert!(!ended, "nothing comes after the end");
            match response?.event.expect("an event") {
                chat_response::Event::Start(start) => written.start = start,
                chat_response::Event::Delta(delta) => written.hear(delta),
                chat_response::Event::ToolCall(call) => written.calls.push(call),
                chat_response::Event::End(end) => (written.end, ended) = (end, true),
            }
        }
        assert!(ended, "the last message is the end");
        Ok(written)
    }

    pub fn output_tokens(&self) -> i64 {
        self.end.usage.unwrap_or_default().output_tokens
    }
}

pub fn of_acme<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-uait-tenant", "acme".parse().expect("a tenant"));
    request
}

/// A text of at most `most` tokens, chosen greedily.
pub fn greedy(prompt: &str, most: i32) -> GenerateRequest {
    let sampling = Sampling { temperature: Some(0.0), max_output_tokens: Some(most), ..Sampling::default() };
    GenerateRequest { prompt: prompt.to_owned(), sampling: Some(sampling), ..GenerateRequest::default() }
}

/// A text that goes on until it is stopped: no sentence of its grammar ends.
pub fn endless(prompt: &str, most: i32) -> GenerateRequest {
    GenerateRequest { constraint: constraint(Form::Grammar(ENDLESS.to_owned())), ..greedy(prompt, most) }
}

const ENDLESS: &str = "root ::= [a-z ] root";

#[allow(clippy::unnecessary_wraps, reason = "as the requests' field has it")]
pub fn constraint(form: Form) -> Option<OutputConstraint> {
    Some(OutputConstraint { form: Some(form) })
}

pub fn says(role: Role, text: &str) -> ChatMessage {
    let part = Part { content: Some(Content::Text(text.to_owned())) };
    ChatMessage { role: role.into(), parts: vec![part], name: String::new() }
}

pub fn reason(status: &Status) -> (tonic::Code, String, std::collections::HashMap<String, String>) {
    let info = uait_kit::status::error_info(status).expect("an ErrorInfo");
    (status.code(), info.reason, info.metadata)
}

/// A runtime's worth of futures, all at once.
pub async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(futures).await
}

pub type Shared<T> = Arc<std::sync::Mutex<T>>;
