//! Sends finished spans to the collector, once a second or when there is a batch.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use tokio::sync::mpsc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::{Tracer, otlp};
use crate::config::Config;

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub(super) fn start(config: &Config, tracer: &Tracer) {
    let endpoint = Endpoint::from(config.otlp_endpoint.clone()).timeout(TIMEOUT).connect_timeout(TIMEOUT);
    let channel = endpoint.connect_lazy();
    let (ask, asked) = mpsc::channel(1);
    tracer.on_flush(ask);
    let resource = [("service.name", config.service.clone()), ("service.instance.id", config.instance.clone())];
    tokio::spawn(run(tracer.clone(), channel, resource, asked));
}

async fn run(
    tracer: Tracer,
    channel: Channel,
    resource: [(&'static str, String); 2],
    mut asked: mpsc::Receiver<tokio::sync::oneshot::Sender<()>>,
) {
    let resource: Vec<(&str, &str)> = resource.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut reachable = true;
    loop {
        let flushed = tokio::select! {
            () = tracer.filled() => None,
            () = tokio::time::sleep(INTERVAL) => None,
            done = asked.recv() => match done {
                Some(done) => Some(done),
                None => return,
            },
        };
        let spans = tracer.take();
        if !spans.is_empty() {
            let request = otlp::encode(&resource, &spans);
            let count = spans.len();
            drop(spans);
            match send(channel.clone(), request.into()).await {
                Ok(()) => reachable = true,
                // Said once an outage; what could not be sent is lost, as telemetry may be.
                Err(error) if reachable => {
                    reachable = false;
                    tracing::warn!(spans = count, error = error.message(), "spans could not be exported");
                }
                Err(_) => {}
            }
        }
        if let Some(done) = flushed {
            // Nobody waits any more if this fails.
            done.send(()).ok();
        }
    }
}

async fn send(channel: Channel, request: Bytes) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    client.unary(Request::new(request), http::uri::PathAndQuery::from_static(EXPORT), RawCodec).await.map(drop)
}

/// Sends bytes that are encoded already, and ignores the answer.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buf.advance(buf.remaining());
        Ok(Some(()))
    }
}
