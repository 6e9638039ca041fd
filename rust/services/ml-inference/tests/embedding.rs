//! Vectors: their length, what they are good for, and what becomes of long texts.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use support::{EMBEDDING, Service, of_acme, reason};
use tonic::Code;
use uait_gen::inference::model_infer_request::InferInputTensor;
use uait_gen::inference::*;
use uait_gen::ml_inference::v1::embed_request::Purpose;
use uait_gen::ml_inference::v1::{EmbedRequest, EmbedResponse, RerankRequest};

async fn embed(texts: &[&str]) -> EmbedResponse {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    let request = EmbedRequest { texts, ..EmbedRequest::default() };
    Service::shared().client().embed(of_acme(request)).await.unwrap().into_inner()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn vectors_are_of_unit_length_and_near_for_what_means_the_same() {
    let response = embed(&["A dog runs in the park.", "A puppy plays outside.", "Interest rates rose again."]).await;
    assert_eq!((response.model.as_str(), response.truncated), (EMBEDDING, 0));
    let vectors: Vec<&[f32]> = response.vectors.iter().map(|vector| vector.values.as_slice()).collect();
    for vector in &vectors {
        assert_eq!(vector.len(), 384);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
    }
    let (near, far) = (cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2]));
    assert!(near > far + 0.3, "{near} {far}");
    let usage = response.usage.unwrap();
    assert!(usage.input_tokens > 15 && usage.output_tokens == 0, "{usage:?}");
}

#[tokio::test]
async fn vectors_are_in_the_order_of_their_texts_whatever_their_lengths() {
    let texts: Vec<String> = (0..70).map(|n| format!("Number {n}. {}", "More words. ".repeat(n * 7 % 13))).collect();
    let together = embed(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(together.vectors.len(), 70);
    for at in [0, 13, 42, 69] {
        let alone = embed(&[&texts[at]]).await;
        let same = cosine(&alone.vectors[0].values, &together.vectors[at].values);
        assert!(same > 0.9999, "{at}: {same}");
    }
}

#[tokio::test]
async fn text_longer_than_the_model_takes_is_cut_or_refused() {
    let long = "word ".repeat(400);
    let response = embed(&["short", &long]).await;
    assert_eq!(response.truncated, 1);
    // Three tokens of the short one, all that the model takes of the other.
    assert_eq!(response.usage.unwrap().input_tokens, 3 + 256);
    let request = EmbedRequest { texts: vec![long], refuse_truncation: true, ..EmbedRequest::default() };
    let status = Service::shared().client().embed(of_acme(request)).await.unwrap_err();
    let (code, reason, metadata) = reason(&status);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INPUT_TOO_LONG"));
    assert_eq!((metadata["limit"].as_str(), metadata["tokens"].as_str()), ("256", "402"));
}

#[tokio::test]
async fn purpose_of_a_model_without_prefixes_changes_nothing() {
    let of = |purpose: Purpose| EmbedRequest {
        texts: vec!["the same".to_owned()],
        purpose: purpose.into(),
        ..EmbedRequest::default()
    };
    let mut client = Service::shared().client();
    let query = client.embed(of_acme(of(Purpose::Query))).await.unwrap().into_inner();
    let document = client.embed(of_acme(of(Purpose::Document))).await.unwrap().into_inner();
    assert_eq!(query.vectors, document.vectors);
}

#[tokio::test]
async fn documents_are_ranked_by_relevance() {
    let documents = ["The stock market fell.", "Cats sleep most of the day.", "Bread is baked from flour."];
    let of = |limit| RerankRequest {
        query: "How long do cats sleep?".to_owned(),
        documents: documents.map(str::to_owned).to_vec(),
        limit,
        ..RerankRequest::default()
    };
    let all = Service::shared().client().rerank(of_acme(of(0))).await.unwrap().into_inner();
    assert_eq!(all.ranked.len(), 3);
    assert_eq!(all.ranked[0].index, 1);
    assert!(all.ranked.is_sorted_by(|a, b| a.score >= b.score));
    assert!(all.ranked.iter().all(|ranked| (0.0..=1.0).contains(&ranked.score)));
    let best = Service::shared().client().rerank(of_acme(of(1))).await.unwrap().into_inner();
    assert_eq!(best.ranked, all.ranked[..1]);
}

fn infer(shape: Vec<i64>, contents: Option<InferTensorContents>, raw: Vec<Vec<u8>>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: EMBEDDING.to_owned(),
        id: "7".to_owned(),
        inputs: vec![InferInputTensor {
            name: "text".to_owned(),
            datatype: "BYTES".to_owned(),
            shape,
            contents,
            ..InferInputTensor::default()
        }],
        raw_input_contents: raw,
        ..ModelInferRequest::default()
    }
}

#[tokio::test]
async fn kserve_tells_of_the_model_and_embeds_raw_and_typed_alike() {
    let mut client = Service::shared().kserve();
    assert!(client.server_live(of_acme(ServerLiveRequest {})).await.unwrap().into_inner().live);
    assert!(client.server_ready(of_acme(ServerReadyRequest {})).await.unwrap().into_inner().ready);
    let server = client.server_metadata(of_acme(ServerMetadataRequest {})).await.unwrap().into_inner();
    assert_eq!(server.name, "ml-inference");
    let ready = ModelReadyRequest { name: EMBEDDING.to_owned(), version: "1".to_owned() };
    assert!(client.model_ready(of_acme(ready)).await.unwrap().into_inner().ready);
    let metadata = ModelMetadataRequest { name: EMBEDDING.to_owned(), ..ModelMetadataRequest::default() };
    let metadata = client.model_metadata(of_acme(metadata)).await.unwrap().into_inner();
    assert_eq!((metadata.inputs[0].datatype.as_str(), &metadata.outputs[0].shape), ("BYTES", &vec![-1, 384]));

    let texts: [&[u8]; 2] = [b"one", b"two words"];
    let contents = InferTensorContents { bytes_contents: texts.map(<[u8]>::to_vec).to_vec(), ..Default::default() };
    let typed = client.model_infer(of_acme(infer(vec![2], Some(contents), vec![]))).await.unwrap().into_inner();
    assert_eq!((typed.id.as_str(), &typed.outputs[0].shape), ("7", &vec![2, 384]));
    let raw: Vec<u8> =
        texts.iter().flat_map(|text| [&u32::try_from(text.len()).unwrap().to_le_bytes(), *text].concat()).collect();
    let raw = client.model_infer(of_acme(infer(vec![2, 1], None, vec![raw]))).await.unwrap().into_inner();
    let values: Vec<f32> =
        raw.raw_output_contents[0].chunks_exact(4).map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap())).collect();
    assert_eq!(values, typed.outputs[0].contents.as_ref().unwrap().fp32_contents);
    let embedded = embed(&["one", "two words"]).await;
    assert_eq!(values[..384], embedded.vectors[0].values);
}

#[tokio::test]
async fn kserve_refuses_what_does_not_fit_and_what_is_tritons() {
    let mut client = Service::shared().kserve();
    for (shape, raw) in
        [(vec![2], vec![1, 0, 0, 0, 97]), (vec![1], vec![9, 0, 0, 0, 97]), (vec![1], vec![1, 0, 0, 0, 255])]
    {
        let status = client.model_infer(of_acme(infer(shape, None, vec![raw]))).await.unwrap_err();
        assert_eq!((reason(&status).0, reason(&status).2["field"].as_str()), (Code::InvalidArgument, "inputs.text"));
    }
    let other = ModelReadyRequest { name: EMBEDDING.to_owned(), version: "2".to_owned() };
    assert_eq!(client.model_ready(of_acme(other)).await.unwrap_err().code(), Code::NotFound);
    let status = client.repository_index(of_acme(RepositoryIndexRequest::default())).await.unwrap_err();
    let (code, reason, metadata) = reason(&status);
    assert_eq!((code, reason.as_str()), (Code::Unimplemented, "NOT_IMPLEMENTED"));
    assert_eq!(metadata["what"], "inference.GRPCInferenceService/RepositoryIndex");
}
