//! Makes the call of a case with the generated client.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use prost_reflect::MethodDescriptor;
use serde_json::Value;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use crate::case::{Call, Compression};
use crate::target::Target;
use crate::transcode;

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The responses that the case looks at, as proto3 JSON: of ten thousand, one.
    pub(crate) responses: Vec<Value>,
    /// How many came.
    pub(crate) count: usize,
    /// Sizes of the bytes fields of the first response.
    pub(crate) bytes: BTreeMap<String, usize>,
    /// How it ended.
    pub(crate) status: Status,
    pub(crate) trailers: MetadataMap,
}

/// Makes the call. Whatever the server answers is an outcome; an error is a case that cannot be run.
pub(crate) async fn perform(call: &Call, target: &Target) -> Result<Outcome, String> {
    let method = transcode::method(&call.method)?;
    let mut client = target.echo();
    match call.compress {
        Some(Compression::Gzip) => client = client.send_compressed(CompressionEncoding::Gzip),
        None => {}
    }
    let made = Made { call, method, target };
    match call.method.as_str() {
        "Echo" => made.single(client.echo(made.request()?).await),
        "Collect" => made.single(client.collect(made.requests()?).await),
        "Expand" => made.stream(client.expand(made.request()?).await).await,
        "Converse" => made.stream(client.converse(made.requests()?).await).await,
        "Relay" => made.single(client.relay(made.request()?).await),
        "Publish" => made.single(client.publish(made.request()?).await),
        "AwaitEvent" => made.single(client.await_event(made.request()?).await),
        "AwaitOutcome" => made.single(client.await_outcome(made.request()?).await),
        other => Err(format!("this client does not know how to call {other}")),
    }
}

struct Made<'a> {
    call: &'a Call,
    method: MethodDescriptor,
    target: &'a Target,
}

impl Made<'_> {
    /// The request of a method that takes one message.
    fn request<T: Message + Default>(&self) -> Result<Request<T>, String> {
        let messages = transcode::requests(&self.method, &self.call.send, &self.call.fill)?;
        let [message] = <[T; 1]>::try_from(messages)
            .map_err(|m| format!("{} takes one message, not {}", self.call.method, m.len()))?;
        self.with_metadata(Request::new(message))
    }

    /// The request of a method that takes a stream.
    fn requests<T: Message + Default + Clone>(
        &self,
    ) -> Result<Request<impl tokio_stream::Stream<Item = T> + use<T>>, String> {
        let messages: Vec<T> = transcode::requests(&self.method, &self.call.send, &self.call.fill)?;
        let repeated = std::iter::repeat_n(messages, self.call.repeat).flatten();
        self.with_metadata(Request::new(tokio_stream::iter(repeated)))
    }

    fn with_metadata<T>(&self, mut request: Request<T>) -> Result<Request<T>, String> {
        request.set_timeout(Duration::from_millis(self.call.deadline_ms));
        let usual = [("x-uait-tenant", Some("acme")), ("x-uait-service", self.target.service())];
        let usual = usual.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let given = self.call.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut metadata: BTreeMap<&str, &str> = usual.collect();
        metadata.extend(given);
        for (name, value) in metadata.into_iter().filter(|(_, value)| !value.is_empty()) {
            let key: MetadataKey<Ascii> = name.parse().map_err(|e| format!("{name}: {e}"))?;
            let value: MetadataValue<Ascii> = value.parse().map_err(|e| format!("{name}: {e}"))?;
            request.metadata_mut().insert(key, value);
        }
        Ok(request)
    }

    fn single<T: Message>(&self, result: Result<Response<T>, Status>) -> Result<Outcome, String> {
        match result {
            Ok(response) => {
                let (trailers, message, _) = response.into_parts();
                let (json, bytes) = transcode::response(&self.method, &message)?;
                Ok(Outcome { responses: vec![json], count: 1, bytes, status: Status::ok(""), trailers })
            }
            Err(status) => Ok(failed(status, Came::default())),
        }
    }

    async fn stream<T: Message>(&self, result: Result<Response<Streaming<T>>, Status>) -> Result<Outcome, String> {
        let mut stream = match result {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(failed(status, Came::default())),
        };
        let mut came = Came::default();
        let looked_at = self.call.expect.responses.as_ref().map_or(1, Vec::len).max(1);
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    came.count += 1;
                    if came.count > looked_at {
                        continue;
                    }
                    let (json, sizes) = transcode::response(&self.method, &message)?;
                    if came.count == 1 {
                        came.bytes = sizes;
                    }
                    came.responses.push(json);
                }
                Ok(None) => break,
                Err(status) => return Ok(failed(status, came)),
            }
        }
        match stream.trailers().await {
            Ok(trailers) => {
                let Came { responses, count, bytes } = came;
                Ok(Outcome { responses, count, bytes, status: Status::ok(""), trailers: trailers.unwrap_or_default() })
            }
            Err(status) => Ok(failed(status, came)),
        }
    }
}

/// What came of a stream before its end.
#[derive(Default)]
struct Came {
    responses: Vec<Value>,
    count: usize,
    bytes: BTreeMap<String, usize>,
}

fn failed(status: Status, Came { responses, count, bytes }: Came) -> Outcome {
    let trailers = status.metadata().clone();
    Outcome { responses, count, bytes, status, trailers }
}
