//! Models that nobody uses for a while give their memory back, and no call notices but by its time.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of a test fail it")]

mod support;

use std::io::{Read as _, Write as _};
use std::time::Instant;

use support::{EMBEDDING, LLM, PATIENCE, Service, all, endless, greedy, of_acme, reason};
use uait_gen::inference::ModelReadyRequest;
use uait_gen::ml_inference::v1::get_statistics_response::ModelStatistics;
use uait_gen::ml_inference::v1::*;

/// How often a model was released, as `/metrics` says.
fn releases(service: Service, name: &str) -> u64 {
    let mut connection = std::net::TcpStream::connect(service.http).unwrap();
    write!(connection, "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let series = format!("inference_models_released_total{{model=\"{name}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(series.as_str()));
    line.unwrap_or_else(|| panic!("{series} is missing from\n{text}")).parse().unwrap()
}

async fn embed(service: Service) -> Vec<f32> {
    let request = EmbedRequest { texts: vec!["a text".to_owned()], ..EmbedRequest::default() };
    service.client().embed(of_acme(request)).await.unwrap().into_inner().vectors.remove(0).values
}

#[tokio::test]
async fn model_that_nobody_uses_is_released_and_answers_the_same_when_it_is_read_again() {
    let service = Service::start(&[("UAIT_INFERENCE_KEEP_ALIVE_MS", "50")]);
    assert_eq!((releases(service, LLM), releases(service, EMBEDDING)), (0, 0));
    let (text, vector) = (service.generate(greedy("Once upon a time", 12)).await.unwrap().text, embed(service).await);
    for name in [LLM, EMBEDDING] {
        let model = service.until_state(name, ModelState::Unloaded).await;
        assert_eq!((model.memory_bytes, model.failure), (0, None));
        let ready = ModelReadyRequest { name: name.to_owned(), ..Default::default() };
        assert!(
            service.kserve().model_ready(of_acme(ready)).await.unwrap().into_inner().ready,
            "calls of it are taken"
        );
        assert!(releases(service, name) >= 1);
    }
    assert_eq!(service.generate(greedy("Once upon a time", 12)).await.unwrap().text, text);
    assert_eq!(embed(service).await, vector);
}

#[tokio::test]
async fn model_that_is_released_can_be_unloaded_so_that_only_load_model_brings_it_back() {
    let service = Service::start(&[("UAIT_INFERENCE_KEEP_ALIVE_MS", "1")]);
    let mut client = service.client();
    for round in ["1", "2", "3"] {
        let load = LoadModelRequest { request_id: format!("l{round}"), model: EMBEDDING.to_owned() };
        let loaded = client.load_model(of_acme(load)).await.unwrap().into_inner().model.unwrap();
        assert_eq!(loaded.state(), ModelState::Ready, "it is kept until LoadModel has answered");
        let unload = UnloadModelRequest { request_id: format!("u{round}"), model: EMBEDDING.to_owned() };
        let unloaded = client.unload_model(of_acme(unload)).await.unwrap().into_inner().model.unwrap();
        assert_eq!(unloaded.state(), ModelState::Unloaded);
        let request = EmbedRequest { texts: vec!["a".to_owned()], ..EmbedRequest::default() };
        let status = client.embed(of_acme(request)).await.unwrap_err();
        assert_eq!(reason(&status).1, "MODEL_UNAVAILABLE");
    }
}

#[tokio::test]
async fn model_is_kept_while_a_stream_lasts() {
    let service = Service::start(&[("UAIT_INFERENCE_KEEP_ALIVE_MS", "1")]);
    let mut stream = service.client().generate(of_acme(endless("a", 2000))).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let written = |statistics: &ModelStatistics| statistics.usage.unwrap_or_default().output_tokens;
    service.until("a hundred tokens", |statistics| written(statistics) >= 100 && statistics.running == 1).await;
    assert_eq!((service.model(LLM).await.state(), releases(service, LLM)), (ModelState::Ready, 0));
    let after = service.statistics(LLM).await;
    assert!(after.running == 1 && written(&after) < 2000, "it was being written all the time: {after:?}");
    drop(stream);
    service.until_state(LLM, ModelState::Unloaded).await;
    assert_eq!(releases(service, LLM), 1);
}

#[tokio::test]
async fn calls_never_fail_while_models_are_released_under_them() {
    const ROUNDS: usize = 16;
    let service = Service::start(&[("UAIT_INFERENCE_KEEP_ALIVE_MS", "2")]);
    for round in 0..ROUNDS {
        let write = all((0..3).map(|_| service.generate(greedy("Once upon a time", 2))));
        let embeds = all((0..3).map(|_| embed(service)));
        let (written, vectors) = tokio::join!(write, embeds);
        for written in written {
            assert!(!written.unwrap().text.is_empty());
        }
        assert!(vectors.iter().all(|vector| vector.len() == 384));
        // The next calls come at once, or just as the models are being released, or after that.
        let deadline = Instant::now() + PATIENCE;
        let mut leaves = round % 2 == 1;
        while !leaves {
            let models = [service.model(LLM).await, service.model(EMBEDDING).await];
            leaves = models.iter().any(|model| model.state() != ModelState::Ready);
            assert!(Instant::now() < deadline, "neither model is released");
        }
    }
    let released = (releases(service, LLM), releases(service, EMBEDDING));
    assert!(released.0 + released.1 >= ROUNDS as u64 / 2, "{released:?}");
}

#[tokio::test]
async fn model_is_kept_for_ever_where_the_time_is_0() {
    let service = Service::start(&[("UAIT_INFERENCE_KEEP_ALIVE_MS", "0")]);
    embed(service).await;
    let other = Service::start(&[("UAIT_INFERENCE_KEEP_ALIVE_MS", "1")]);
    embed(other).await;
    // By when another service has released its model, this one has not begun to.
    other.until_state(EMBEDDING, ModelState::Unloaded).await;
    assert_eq!((service.model(EMBEDDING).await.state(), releases(service, EMBEDDING)), (ModelState::Ready, 0));
}
