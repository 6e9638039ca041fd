//! Models through their lives: listed, loaded, unloaded, unsound. One that is unsound harms no other.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use support::{EMBEDDING, LLM, Service, greedy, models, of_acme, reason};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use uait_gen::inference::*;
use uait_gen::ml_inference::v1::*;
use uait_ml_inference::digest::Sums;

async fn list(service: Service, request: ListModelsRequest) -> ListModelsResponse {
    service.client().list_models(of_acme(request)).await.unwrap().into_inner()
}

async fn embed(service: Service) -> Result<EmbedResponse, tonic::Status> {
    let request = EmbedRequest { texts: vec!["a".to_owned()], ..EmbedRequest::default() };
    service.client().embed(of_acme(request)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn models_are_listed_by_name_page_by_page() {
    let service = Service::start(&[]);
    let names =
        |response: &ListModelsResponse| response.models.iter().map(|model| model.name.clone()).collect::<Vec<_>>();
    let all = list(service, ListModelsRequest::default()).await;
    assert!(
        names(&all).is_sorted() && names(&all).contains(&LLM.to_owned()) && names(&all).contains(&EMBEDDING.to_owned())
    );
    assert!(all.models.iter().all(|model| model.state() == ModelState::Unloaded && model.memory_bytes == 0));
    let first = list(service, ListModelsRequest { page_size: 1, ..Default::default() }).await;
    assert_eq!(names(&first), names(&all)[..1]);
    let rest = ListModelsRequest { page_token: first.next_page_token.clone(), ..Default::default() };
    let rest = list(service, rest).await;
    assert_eq!((names(&rest), rest.next_page_token.as_str()), (names(&all)[1..].to_vec(), ""));
    let generation = ListModelsRequest { kind: ModelKind::Generation.into(), ..Default::default() };
    assert_eq!(names(&list(service, generation).await), [LLM]);
    // A token is good for its own request only.
    let other = ListModelsRequest {
        page_token: first.next_page_token,
        kind: ModelKind::Embedding.into(),
        ..Default::default()
    };
    let status = service.client().list_models(of_acme(other)).await.unwrap_err();
    assert_eq!(reason(&status).1, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn model_is_loaded_by_its_first_call_and_told_of() {
    let service = Service::start(&[]);
    service.generate(greedy("a", 1)).await.unwrap();
    let model = service.model(LLM).await;
    assert_eq!(
        (model.state(), model.kind(), model.format.as_str()),
        (ModelState::Ready, ModelKind::Generation, "gguf")
    );
    assert_eq!((model.architecture.as_str(), model.quantization.as_str()), ("llama", "Q4_1"));
    assert_eq!((model.licence.as_str(), model.context_tokens, model.slots), ("Apache-2.0", 2048, 4));
    assert!(model.chat && !model.tools);
    assert_eq!(model.size_bytes, 98_362_432);
    assert!((130_000_000..140_000_000).contains(&model.parameters), "{}", model.parameters);
    // 2,048 tokens of 30 layers, 3 heads of 64, keys and values of two bytes.
    assert!(model.memory_bytes > 2048 * 30 * 3 * 64 * 2 * 2, "{}", model.memory_bytes);
    assert_eq!(model.sha256.len(), 64);
    embed(service).await.unwrap();
    let model = service.model(EMBEDDING).await;
    assert_eq!((model.state(), model.dimensions, model.context_tokens), (ModelState::Ready, 384, 256));
}

#[tokio::test]
async fn model_that_is_unloaded_stays_so_until_it_is_loaded() {
    let service = Service::start(&[]);
    let load = |id: &str| LoadModelRequest { request_id: id.to_owned(), model: LLM.to_owned() };
    let unload = |id: &str| UnloadModelRequest { request_id: id.to_owned(), model: LLM.to_owned() };
    let mut client = service.client();
    let loaded = client.load_model(of_acme(load("l1"))).await.unwrap().into_inner().model.unwrap();
    assert_eq!(loaded.state(), ModelState::Ready);
    // Its running calls end first.
    let mut running = client.generate(of_acme(support::endless("a", 200))).await.unwrap().into_inner();
    assert!(running.message().await.unwrap().is_some());
    let unloading = tokio::spawn({
        let mut client = service.client();
        let request = of_acme(unload("u1"));
        async move { client.unload_model(request).await.unwrap().into_inner().model.unwrap() }
    });
    let mut ended = false;
    while let Some(response) = running.message().await.unwrap() {
        ended = matches!(response.event, Some(generate_response::Event::End(_)));
    }
    assert!(ended);
    assert_eq!(unloading.await.unwrap().state(), ModelState::Unloaded);
    let status = service.generate(greedy("a", 1)).await.unwrap_err();
    assert_eq!((reason(&status).0, reason(&status).1.as_str()), (Code::Unavailable, "MODEL_UNAVAILABLE"));
    let ready = ModelReadyRequest { name: LLM.to_owned(), ..Default::default() };
    assert!(!service.kserve().model_ready(of_acme(ready)).await.unwrap().into_inner().ready);
    // A repeat gets the first answer, though the model is not READY now.
    let again = client.load_model(of_acme(load("l1"))).await.unwrap().into_inner().model.unwrap();
    assert_eq!(again, loaded);
    assert_eq!(service.model(LLM).await.state(), ModelState::Unloaded);
    let other = LoadModelRequest { model: EMBEDDING.to_owned(), ..load("l1") };
    let status = client.load_model(of_acme(other)).await.unwrap_err();
    assert_eq!(reason(&status).1, "REQUEST_ID_REUSED");
    client.load_model(of_acme(load("l2"))).await.unwrap();
    service.generate(greedy("a", 1)).await.unwrap();
}

fn sum(file: &Path) -> String {
    Sums::default().sha256(file, SystemTime::now()).unwrap()
}

/// The installed models by links, but for what `change` does to the folder.
fn changed(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let (from, to) = (models(), tempfile::tempdir().unwrap());
    for entry in fs::read_dir(&from).unwrap().flatten() {
        let target = to.path().join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            for file in fs::read_dir(entry.path()).unwrap().flatten() {
                let own = fs::canonicalize(file.path()).unwrap();
                std::os::unix::fs::symlink(own, target.join(file.file_name())).unwrap();
            }
        } else if entry.file_name() == "models.yaml" {
            fs::copy(entry.path(), target).unwrap();
        } else {
            std::os::unix::fs::symlink(fs::canonicalize(entry.path()).unwrap(), target).unwrap();
        }
    }
    change(to.path());
    to
}

async fn is_serving(service: Service) -> bool {
    let mut health: HealthClient<_> = HealthClient::new(service.mesh());
    health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status() == ServingStatus::Serving
}

#[tokio::test]
async fn model_whose_file_was_changed_fails_alone_and_says_which_and_which_sum() {
    let mut sums = (String::new(), String::new());
    let folder = changed(|folder| {
        let file = folder.join(LLM).join("model.gguf");
        let mut bytes = fs::read(&file).unwrap();
        sums.0 = sum(&file);
        bytes[50_000_000] ^= 1;
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        sums.1 = sum(&file);
    });
    let service = Service::start(&[("UAIT_MODELS", folder.path().to_str().unwrap())]);
    assert!(is_serving(service).await);
    let model = service.model(LLM).await;
    assert_eq!(model.state(), ModelState::Failed);
    let failure = model.failure.unwrap();
    assert_eq!((failure.code, failure.reason.as_str()), (Code::Unavailable.into(), "MODEL_UNAVAILABLE"));
    for part in ["model.gguf", &sums.0, &sums.1] {
        assert!(failure.message.contains(part), "{failure:?}");
    }
    let status = service.generate(greedy("a", 1)).await.unwrap_err();
    let (code, reason, metadata) = reason(&status);
    assert_eq!((code, reason.as_str(), metadata["model"].as_str()), (Code::Unavailable, "MODEL_UNAVAILABLE", LLM));
    assert!(metadata["file"].ends_with("model.gguf") && status.message().contains(&sums.1), "{status:?}");
    embed(service).await.unwrap();

    // Put right, it is loaded when that is asked for.
    let file = folder.path().join(LLM).join("model.gguf");
    fs::copy(models().join(LLM).join("model.gguf"), file).unwrap();
    let load = LoadModelRequest { request_id: "l1".to_owned(), model: LLM.to_owned() };
    service.client().load_model(of_acme(load)).await.unwrap();
    service.generate(greedy("a", 1)).await.unwrap();
    assert!(is_serving(service).await);
}

#[tokio::test]
async fn model_whose_file_is_missing_or_no_model_fails_alone() {
    let folder = changed(|folder| {
        fs::remove_file(folder.join(EMBEDDING).join("tokenizer.json")).unwrap();
        // Nobody stated its sum: only reading it tells.
        fs::write(folder.join("broken.gguf"), "GGUF, but not really").unwrap();
    });
    let service = Service::start(&[("UAIT_MODELS", folder.path().to_str().unwrap())]);
    assert_eq!(service.model(EMBEDDING).await.state(), ModelState::Failed);
    let status = embed(service).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(reason(&status).2["file"].ends_with("tokenizer.json"), "{status:?}");
    assert_eq!(service.model("broken").await.state(), ModelState::Unloaded);
    let broken = GenerateRequest { model: "broken".to_owned(), ..greedy("a", 1) };
    let status = service.generate(broken).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).2["model"].as_str()), (Code::Unavailable, "broken"));
    assert_eq!(service.model("broken").await.state(), ModelState::Failed);
    service.generate(greedy("a", 1)).await.unwrap();
    assert!(is_serving(service).await);
}
