//! `inference.GRPCInferenceService`: KServe v2, the Open Inference Protocol, for embedding and tensor models.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};
use uait_gen::inference::grpc_inference_service_server::GrpcInferenceService;
use uait_gen::inference::model_infer_request::InferInputTensor;
use uait_gen::inference::model_infer_response::InferOutputTensor;
use uait_gen::inference::model_metadata_response::TensorMetadata;
use uait_gen::inference::*;

use super::compute_with;
use crate::error::Error;
use crate::models::Models;
use crate::onnx::embedding::Purpose;
use crate::onnx::tensor::{Described, Element, Named};
use crate::repository::Kind;

/// Models have one version each.
const VERSION: &str = "1";
/// What an embedding model takes, and what it returns.
const TEXT: &str = "text";
const EMBEDDING: &str = "embedding";
/// Element type of texts.
const BYTES: &str = "BYTES";

/// Answers the calls of `GRPCInferenceService`.
pub struct KServe {
    models: Arc<Models>,
}

impl KServe {
    /// Answers from these models.
    pub fn new(models: Arc<Models>) -> Self {
        Self { models }
    }

    async fn embed(&self, request: ModelInferRequest) -> Result<ModelInferResponse, Error> {
        let hold = self.models.hold(&request.model_name, Kind::Embedding).await?;
        let texts = texts(&request)?;
        let (rows, width) = (texts.len(), hold.embedder()?.dimensions());
        let (mut hold, embedded) = compute_with(hold, move |hold, gone| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            hold.embedder()?.embed(&texts, Purpose::Document, false, gone)
        })
        .await?;
        let bytes = embedded.vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        let output =
            Named { name: EMBEDDING.to_owned(), element: Element::Fp32, shape: vec![size(rows), size(width)], bytes };
        hold.succeed();
        respond(&request, vec![output])
    }

    async fn infer(&self, request: ModelInferRequest) -> Result<ModelInferResponse, Error> {
        let hold = self.models.hold(&request.model_name, Kind::Tensor).await?;
        let inputs = named(&request)?;
        let (mut hold, outputs) = compute_with(hold, move |hold, _| hold.tensor()?.infer(inputs)).await?;
        let response = respond(&request, outputs)?;
        hold.succeed();
        Ok(response)
    }
}

fn check_version(version: &str, model: &str) -> Result<(), Error> {
    if version.is_empty() || version == VERSION {
        return Ok(());
    }
    Err(Error::NoModel { name: format!("{model} version {version}") })
}

/// Bytes of each input: its part of `raw_input_contents`, or its contents by type.
fn bytes_of(request: &ModelInferRequest, index: usize, input: &InferInputTensor) -> Result<Vec<u8>, Error> {
    let refuse = |text: &str| Error::Tensor { field: format!("inputs.{}", input.name), text: text.to_owned() };
    if !request.raw_input_contents.is_empty() {
        return request.raw_input_contents.get(index).cloned().ok_or_else(|| refuse("raw_input_contents lacks it"));
    }
    let contents = input.contents.as_ref().ok_or_else(|| refuse("it has no contents"))?;
    let narrow = || refuse("a value does not fit its datatype");
    Ok(match input.datatype.as_str() {
        "BOOL" => contents.bool_contents.iter().map(|value| u8::from(*value)).collect(),
        "INT8" => integers(&contents.int_contents, |value: i32| i8::try_from(value).ok().map(i8::to_le_bytes))
            .ok_or_else(narrow)?,
        "INT16" => integers(&contents.int_contents, |value: i32| i16::try_from(value).ok().map(i16::to_le_bytes))
            .ok_or_else(narrow)?,
        "INT32" => contents.int_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "INT64" => contents.int64_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "UINT8" => integers(&contents.uint_contents, |value: u32| u8::try_from(value).ok().map(u8::to_le_bytes))
            .ok_or_else(narrow)?,
        "UINT16" => integers(&contents.uint_contents, |value: u32| u16::try_from(value).ok().map(u16::to_le_bytes))
            .ok_or_else(narrow)?,
        "UINT32" => contents.uint_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "UINT64" => contents.uint64_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "FP32" => contents.fp32_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "FP64" => contents.fp64_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        // As raw contents have them: each with its length before it.
        BYTES => contents.bytes_contents.iter().flat_map(|text| with_length(text)).collect(),
        _ => return Err(refuse("its datatype is not known here")),
    })
}

fn integers<T: Copy, const N: usize>(values: &[T], narrow: impl Fn(T) -> Option<[u8; N]>) -> Option<Vec<u8>> {
    let narrowed: Option<Vec<[u8; N]>> = values.iter().map(|value| narrow(*value)).collect();
    narrowed.map(|narrowed| narrowed.concat())
}

fn with_length(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), text].concat()
}

/// The texts of an embedding model's one input.
fn texts(request: &ModelInferRequest) -> Result<Vec<String>, Error> {
    let refuse = |text: &str| Error::Tensor { field: format!("inputs.{TEXT}"), text: text.to_owned() };
    let [input] = request.inputs.as_slice() else { return Err(refuse("it is the one input of an embedding model")) };
    if input.name != TEXT || input.datatype != BYTES {
        return Err(refuse("an embedding model takes one input of this name, with datatype BYTES"));
    }
    let bytes = bytes_of(request, 0, input)?;
    let mut rest = bytes.as_slice();
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(|| refuse("a text lacks its length"))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (text, after) =
            after.split_at_checked(length).ok_or_else(|| refuse("a text is shorter than its length"))?;
        let text = std::str::from_utf8(text).map_err(|_| refuse("a text is not UTF-8"))?;
        texts.push(text.to_owned());
        rest = after;
    }
    let count = input.shape.iter().try_fold(1_i64, |count, size| count.checked_mul(*size));
    if texts.is_empty() || count != i64::try_from(texts.len()).ok() {
        return Err(refuse(&format!("{} texts are no {:?}", texts.len(), input.shape)));
    }
    Ok(texts)
}

fn named(request: &ModelInferRequest) -> Result<Vec<Named>, Error> {
    let tensor = |(index, input): (usize, &InferInputTensor)| {
        let element = Element::of_name(&input.datatype).ok_or_else(|| Error::Tensor {
            field: format!("inputs.{}", input.name),
            text: format!("datatype {:?} is not known here", input.datatype),
        })?;
        let bytes = bytes_of(request, index, input)?;
        Ok(Named { name: input.name.clone(), element, shape: input.shape.clone(), bytes })
    };
    request.inputs.iter().enumerate().map(tensor).collect()
}

/// The outputs that were asked for, raw where the inputs were.
fn respond(request: &ModelInferRequest, outputs: Vec<Named>) -> Result<ModelInferResponse, Error> {
    let raw = !request.raw_input_contents.is_empty();
    if let Some(unknown) = request.outputs.iter().find(|wanted| outputs.iter().all(|output| output.name != wanted.name))
    {
        return Err(Error::Tensor {
            field: format!("outputs.{}", unknown.name),
            text: "the model has no such output".to_owned(),
        });
    }
    let wanted =
        |output: &Named| request.outputs.is_empty() || request.outputs.iter().any(|wanted| wanted.name == output.name);
    let mut response = ModelInferResponse {
        model_name: request.model_name.clone(),
        model_version: VERSION.to_owned(),
        id: request.id.clone(),
        ..ModelInferResponse::default()
    };
    for output in outputs.into_iter().filter(wanted) {
        let contents = (!raw).then(|| contents(&output));
        response.outputs.push(InferOutputTensor {
            name: output.name,
            datatype: output.element.name().to_owned(),
            shape: output.shape,
            contents,
            ..InferOutputTensor::default()
        });
        if raw {
            response.raw_output_contents.push(output.bytes);
        }
    }
    Ok(response)
}

fn contents(output: &Named) -> InferTensorContents {
    fn read<T, const N: usize>(bytes: &[u8], of: fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok()).map(of).collect()
    }
    let (bytes, mut contents) = (output.bytes.as_slice(), InferTensorContents::default());
    match output.element {
        Element::Bool => contents.bool_contents = bytes.iter().map(|byte| *byte != 0).collect(),
        Element::Int8 => contents.int_contents = read(bytes, |b| i32::from(i8::from_le_bytes(b))),
        Element::Int16 => contents.int_contents = read(bytes, |b| i32::from(i16::from_le_bytes(b))),
        Element::Int32 => contents.int_contents = read(bytes, i32::from_le_bytes),
        Element::Int64 => contents.int64_contents = read(bytes, i64::from_le_bytes),
        Element::Uint8 => contents.uint_contents = read(bytes, |b| u32::from(u8::from_le_bytes(b))),
        Element::Uint16 => contents.uint_contents = read(bytes, |b| u32::from(u16::from_le_bytes(b))),
        Element::Uint32 => contents.uint_contents = read(bytes, u32::from_le_bytes),
        Element::Uint64 => contents.uint64_contents = read(bytes, u64::from_le_bytes),
        Element::Fp32 => contents.fp32_contents = read(bytes, f32::from_le_bytes),
        Element::Fp64 => contents.fp64_contents = read(bytes, f64::from_le_bytes),
    }
    contents
}

fn metadata(described: &Described) -> TensorMetadata {
    let datatype = described.element.map_or("", Element::name).to_owned();
    TensorMetadata { name: described.name.clone(), datatype, shape: described.shape.clone() }
}

/// What this build leaves out of Triton's extensions.
fn left_out<T>(what: &str) -> Result<Response<T>, Status> {
    let what = format!("inference.GRPCInferenceService/{what}");
    Err(Error::NotImplemented {
        what,
        why: "it is an extension of Triton's, not of KServe v2; InferenceService lists, loads and unloads models",
    }
    .into())
}

#[tonic::async_trait]
impl GrpcInferenceService for KServe {
    type ModelStreamInferStream = futures_util::stream::BoxStream<'static, Result<ModelStreamInferResponse, Status>>;

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        // Models that are unsound answer for themselves; the others are ready.
        Ok(Response::new(ServerReadyResponse { ready: true }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        check_version(&version, &name)?;
        Ok(Response::new(ModelReadyResponse { ready: self.models.get(&name)?.takes_calls() }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: crate::config::DEFAULTS.service.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: Vec::new(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        check_version(&version, &name)?;
        let kind = self.models.get(&name)?.entry().kind;
        if kind == Kind::Generation {
            return Ok(Response::new(ModelMetadataResponse {
                name,
                versions: vec![VERSION.to_owned()],
                platform: "llama.cpp".to_owned(),
                ..ModelMetadataResponse::default()
            }));
        }
        // The graph tells, once it is read.
        let mut hold = self.models.hold(&name, kind).await?;
        let (inputs, outputs) = if kind == Kind::Embedding {
            let width = i64::try_from(hold.embedder()?.dimensions()).unwrap_or(i64::MAX);
            let text = TensorMetadata { name: TEXT.to_owned(), datatype: BYTES.to_owned(), shape: vec![-1] };
            let embedding =
                Described { name: EMBEDDING.to_owned(), element: Some(Element::Fp32), shape: vec![-1, width] };
            (vec![text], vec![metadata(&embedding)])
        } else {
            let model = hold.tensor()?;
            (model.inputs().iter().map(metadata).collect(), model.outputs().iter().map(metadata).collect())
        };
        hold.succeed();
        let platform = "onnxruntime_onnx".to_owned();
        Ok(Response::new(ModelMetadataResponse { name, versions: vec![VERSION.to_owned()], platform, inputs, outputs }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let request = request.into_inner();
        check_version(&request.model_version, &request.model_name)?;
        let response = match self.models.get(&request.model_name)?.entry().kind {
            Kind::Embedding => self.embed(request).await?,
            Kind::Tensor => self.infer(request).await?,
            Kind::Generation => {
                return Err(Error::NotImplemented {
                    what: "ModelInfer of a generation model".to_owned(),
                    why: "InferenceService/Generate and Chat write text, token by token",
                }
                .into());
            }
        };
        Ok(Response::new(response))
    }

    async fn model_stream_infer(
        &self,
        _: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        left_out("ModelStreamInfer")
    }

    async fn model_config(&self, _: Request<ModelConfigRequest>) -> Result<Response<ModelConfigResponse>, Status> {
        left_out("ModelConfig")
    }

    async fn model_statistics(
        &self,
        _: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        left_out("ModelStatistics")
    }

    async fn repository_index(
        &self,
        _: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        left_out("RepositoryIndex")
    }

    async fn repository_model_load(
        &self,
        _: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        left_out("RepositoryModelLoad")
    }

    async fn repository_model_unload(
        &self,
        _: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        left_out("RepositoryModelUnload")
    }

    async fn system_shared_memory_status(
        &self,
        _: Request<SystemSharedMemoryStatusRequest>,
    ) -> Result<Response<SystemSharedMemoryStatusResponse>, Status> {
        left_out("SystemSharedMemoryStatus")
    }

    async fn system_shared_memory_register(
        &self,
        _: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Result<Response<SystemSharedMemoryRegisterResponse>, Status> {
        left_out("SystemSharedMemoryRegister")
    }

    async fn system_shared_memory_unregister(
        &self,
        _: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Result<Response<SystemSharedMemoryUnregisterResponse>, Status> {
        left_out("SystemSharedMemoryUnregister")
    }

    async fn cuda_shared_memory_status(
        &self,
        _: Request<CudaSharedMemoryStatusRequest>,
    ) -> Result<Response<CudaSharedMemoryStatusResponse>, Status> {
        left_out("CudaSharedMemoryStatus")
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Result<Response<CudaSharedMemoryRegisterResponse>, Status> {
        left_out("CudaSharedMemoryRegister")
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Result<Response<CudaSharedMemoryUnregisterResponse>, Status> {
        left_out("CudaSharedMemoryUnregister")
    }

    async fn trace_setting(&self, _: Request<TraceSettingRequest>) -> Result<Response<TraceSettingResponse>, Status> {
        left_out("TraceSetting")
    }

    async fn log_settings(&self, _: Request<LogSettingsRequest>) -> Result<Response<LogSettingsResponse>, Status> {
        left_out("LogSettings")
    }
}
