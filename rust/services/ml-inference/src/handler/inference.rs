//! `uait.ml_inference.v1.InferenceService`.

use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{BoxStream, StreamExt as _};
use tonic::{Request, Response, Status};
use uait_gen::ml_inference::v1::embed_request::Purpose as PurposeMessage;
use uait_gen::ml_inference::v1::inference_service_server::InferenceService;
use uait_gen::ml_inference::v1::rerank_response::Ranked as RankedMessage;
use uait_gen::ml_inference::v1::{chat_response, generate_response, *};
use uait_gen::types::v1::Vector;

use super::writing::{Order, Prompt, Told, begin};
use super::{compute_with, convert, current, listing};
use crate::error::Error;
use crate::models::Models;
use crate::onnx::embedding::Purpose;
use crate::repeat::{Key, Repeats};
use crate::repository::Kind;

/// Answers the calls of `InferenceService`.
pub struct Inference {
    models: Arc<Models>,
    repeats: Repeats<ModelAnswer>,
}

/// What is remembered of LoadModel and UnloadModel.
type ModelAnswer = Model;

impl Inference {
    /// Answers from these models.
    pub fn new(models: Arc<Models>) -> Self {
        Self { models, repeats: Repeats::default() }
    }

    async fn once<F>(&self, rpc: &'static str, request_id: String, model: &str, work: F) -> Result<Model, Error>
    where
        F: Future<Output = Result<Model, Error>>,
    {
        let key = Key { tenant: current().identity.tenant().to_owned(), rpc, request_id };
        self.repeats.once(key, model, Instant::now(), work).await
    }
}

type Responses<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl InferenceService for Inference {
    type GenerateStream = Responses<GenerateResponse>;
    type ChatStream = Responses<ChatResponse>;

    async fn generate(&self, request: Request<GenerateRequest>) -> Result<Response<Self::GenerateStream>, Status> {
        let GenerateRequest { model, prompt, sampling, constraint, logprobs, priority } = request.into_inner();
        let constraint = convert::constraint(constraint)?;
        let hold = self.models.hold(&model, Kind::Generation).await?;
        let order = Order {
            prompt: Prompt::Text(prompt),
            sampling: sampling.unwrap_or_default(),
            constraint,
            toolbox: None,
            logprobs,
            priority,
        };
        let told = begin(hold, order).await?;
        let responses = told.filter_map(|told| {
            let event = told.map(|told| match told {
                Told::Start(start) => Some(generate_response::Event::Start(start)),
                Told::Delta(delta) => Some(generate_response::Event::Delta(delta)),
                Told::End(end) => Some(generate_response::Event::End(end)),
                // Without tools there are none.
                Told::Call(_) => None,
            });
            let response = match event {
                Ok(Some(event)) => Some(Ok(GenerateResponse { event: Some(event) })),
                Ok(None) => None,
                Err(status) => Some(Err(status)),
            };
            std::future::ready(response)
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn chat(&self, request: Request<ChatRequest>) -> Result<Response<Self::ChatStream>, Status> {
        let ChatRequest { model, messages, tools, tool_choice, sampling, constraint, logprobs, priority } =
            request.into_inner();
        let constraint = convert::constraint(constraint)?;
        let toolbox = convert::toolbox(tools, tool_choice)?;
        if constraint.is_some() && toolbox.is_some() {
            let text = "a text that may be a tool call has that form already".to_owned();
            return Err(Error::Conflict { field: "constraint", text }.into());
        }
        let hold = self.models.hold(&model, Kind::Generation).await?;
        let template = hold.generator()?.template().ok_or_else(|| Error::Conflict {
            field: "model",
            text: format!("{} has no chat template; Generate continues a text", hold.name()),
        })?;
        // Tools are told in words, whatever the template knows of them.
        let mut conversation = convert::conversation(messages, template.takes_tools())?;
        if let Some(toolbox) = &toolbox {
            convert::instruct(&mut conversation, &toolbox.instructions());
        }
        let prompt = Prompt::Rendered(template.render(&conversation)?);
        let order = Order { prompt, sampling: sampling.unwrap_or_default(), constraint, toolbox, logprobs, priority };
        let told = begin(hold, order).await?;
        let responses = told.map(|told| {
            told.map(|told| {
                let event = match told {
                    Told::Start(start) => chat_response::Event::Start(start),
                    Told::Delta(delta) => chat_response::Event::Delta(delta),
                    Told::Call(call) => chat_response::Event::ToolCall(call),
                    Told::End(end) => chat_response::Event::End(end),
                };
                ChatResponse { event: Some(event) }
            })
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        let request = request.into_inner();
        let purpose = match request.purpose() {
            PurposeMessage::Query => Purpose::Query,
            PurposeMessage::Document | PurposeMessage::Unspecified => Purpose::Document,
        };
        let hold = self.models.hold(&request.model, Kind::Embedding).await?;
        let (mut hold, embedded) = compute_with(hold, move |hold, gone| {
            let texts: Vec<&str> = request.texts.iter().map(String::as_str).collect();
            hold.embedder()?.embed(&texts, purpose, request.refuse_truncation, gone)
        })
        .await?;
        hold.succeed();
        Ok(Response::new(EmbedResponse {
            model: hold.name().to_owned(),
            vectors: embedded.vectors.into_iter().map(|values| Vector { values }).collect(),
            usage: Some(listing::usage_of_input(embedded.tokens)),
            truncated: convert::count32(embedded.truncated),
        }))
    }

    async fn rerank(&self, request: Request<RerankRequest>) -> Result<Response<RerankResponse>, Status> {
        let RerankRequest { model, query, documents, limit } = request.into_inner();
        let hold = self.models.hold(&model, Kind::Embedding).await?;
        let (mut hold, (mut ranked, tokens)) = compute_with(hold, move |hold, gone| {
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            hold.embedder()?.rank(&query, &documents, gone)
        })
        .await?;
        if let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) {
            ranked.truncate(limit);
        }
        hold.succeed();
        Ok(Response::new(RerankResponse {
            model: hold.name().to_owned(),
            ranked: ranked
                .into_iter()
                .map(|ranked| RankedMessage { index: convert::count32(ranked.index), score: ranked.score })
                .collect(),
            usage: Some(listing::usage_of_input(tokens)),
        }))
    }

    async fn list_models(&self, request: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        Ok(Response::new(listing::page(&self.models, request.get_ref())?))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Result<Response<GetModelResponse>, Status> {
        let model = self.models.get(&request.get_ref().model)?;
        Ok(Response::new(GetModelResponse { model: Some(listing::model(model)) }))
    }

    async fn load_model(&self, request: Request<LoadModelRequest>) -> Result<Response<LoadModelResponse>, Status> {
        let LoadModelRequest { request_id, model } = request.into_inner();
        let work = async {
            let _in_use = self.models.load(&model).await?;
            Ok(listing::model(self.models.get(&model)?))
        };
        let loaded = self.once("LoadModel", request_id, &model, work).await?;
        Ok(Response::new(LoadModelResponse { model: Some(loaded) }))
    }

    async fn unload_model(
        &self,
        request: Request<UnloadModelRequest>,
    ) -> Result<Response<UnloadModelResponse>, Status> {
        let UnloadModelRequest { request_id, model } = request.into_inner();
        let work = async {
            self.models.unload(&model).await?;
            Ok(listing::model(self.models.get(&model)?))
        };
        let unloaded = self.once("UnloadModel", request_id, &model, work).await?;
        Ok(Response::new(UnloadModelResponse { model: Some(unloaded) }))
    }

    async fn get_statistics(
        &self,
        request: Request<GetStatisticsRequest>,
    ) -> Result<Response<GetStatisticsResponse>, Status> {
        let (name, now) = (request.into_inner().model, Instant::now());
        let models = if name.is_empty() {
            self.models.all().map(|model| listing::statistics(model, now)).collect()
        } else {
            vec![listing::statistics(self.models.get(&name)?, now)]
        };
        Ok(Response::new(GetStatisticsResponse { models }))
    }
}
