//! Spans as an OTLP `ExportTraceServiceRequest` (opentelemetry-proto 1.x), written field by field: building the message's
//! objects first costs several times what the handler of a small call does.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Code;

use super::span::{Kind, Span};

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// Encodes an export request: one resource, one scope, these spans.
pub(super) fn encode(resource: &[(&str, &str)], spans: &[Span]) -> Vec<u8> {
    let mut scratch = Scratch::default();
    let mut scope_spans = Vec::with_capacity(spans.len() * 300);
    message(1, &mut scope_spans, &mut scratch, |scope, _| text(1, "uait-kit", scope));
    for span in spans {
        message(2, &mut scope_spans, &mut scratch, |out, scratch| encode_span(span, out, scratch));
    }
    let mut resource_spans = Vec::with_capacity(scope_spans.len() + 128);
    message(1, &mut resource_spans, &mut scratch, |out, scratch| {
        for (key, value) in resource {
            attribute(1, key, value, out, scratch);
        }
    });
    bytes(2, &scope_spans, &mut resource_spans);
    let mut request = Vec::with_capacity(resource_spans.len() + 8);
    bytes(1, &resource_spans, &mut request);
    request
}

fn encode_span(span: &Span, out: &mut Vec<u8>, scratch: &mut Scratch) {
    bytes(1, &span.context.trace_id.to_be_bytes(), out);
    bytes(2, &span.context.span_id.to_be_bytes(), out);
    if span.parent != 0 {
        bytes(4, &span.parent.to_be_bytes(), out);
    }
    text(5, &span.name, out);
    varint(6, span.kind as u64, out);
    fixed64(7, nanos(span.start), out);
    fixed64(8, nanos(span.end), out);
    if let Some((method, code)) = span.rpc {
        attribute(9, "rpc.system", "grpc", out, scratch);
        attribute(9, "rpc.service", method.service, out, scratch);
        attribute(9, "rpc.method", method.name, out, scratch);
        message(9, out, scratch, |out, scratch| {
            text(1, "rpc.grpc.status_code", out);
            message(2, out, scratch, |out, _| varint(3, code as u64, out));
        });
    }
    if !span.identity.tenant().is_empty() {
        attribute(9, "uait.tenant", span.identity.tenant(), out, scratch);
    }
    for (key, value) in &span.attributes {
        attribute(9, key, value, out, scratch);
    }
    let failed = span.rpc.is_some_and(|(_, code)| is_error(span.kind, code));
    if failed || span.error.is_some() {
        message(15, out, scratch, |out, _| {
            if let Some(error) = &span.error {
                text(2, error, out);
            }
            varint(3, ERROR, out);
        });
    }
    // W3C flags, and that it is known whether the parent is remote (bit 8) and it is (bit 9).
    let remote = matches!(span.kind, Kind::Server | Kind::Consumer) && span.parent != 0;
    fixed32(16, 1 | 0x100 | if remote { 0x200 } else { 0 }, out);
}

/// Semantic conventions for RPC: a server's span fails only by a fault of the server.
fn is_error(kind: Kind, code: Code) -> bool {
    match kind {
        Kind::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
        Kind::Client | Kind::Producer | Kind::Consumer => code != Code::Ok,
    }
}

/// Buffers for nested messages, whose length precedes them.
#[derive(Default)]
struct Scratch(Vec<Vec<u8>>);

fn message(tag: u32, out: &mut Vec<u8>, scratch: &mut Scratch, fill: impl FnOnce(&mut Vec<u8>, &mut Scratch)) {
    let mut inner = scratch.0.pop().unwrap_or_default();
    inner.clear();
    fill(&mut inner, scratch);
    bytes(tag, &inner, out);
    scratch.0.push(inner);
}

fn attribute(tag: u32, key: &str, value: &str, out: &mut Vec<u8>, scratch: &mut Scratch) {
    message(tag, out, scratch, |out, scratch| {
        text(1, key, out);
        message(2, out, scratch, |out, _| text(1, value, out));
    });
}

fn text(tag: u32, value: &str, out: &mut Vec<u8>) {
    bytes(tag, value.as_bytes(), out);
}

fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(tag: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(value, out);
}

fn fixed64(tag: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::SixtyFourBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn fixed32(tag: u32, value: u32, out: &mut Vec<u8>) {
    encode_key(tag, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::Span as Decoded;
    use prost::Message;

    use super::*;
    use crate::identity::Identity;
    use crate::telemetry::{SpanContext, Tracer};

    fn decode(spans: &[Span]) -> (Vec<(String, String)>, Vec<Decoded>) {
        let request =
            ExportTraceServiceRequest::decode(encode(&[("service.name", "echo-rust")], spans).as_slice()).unwrap();
        let [resource_spans] = <[_; 1]>::try_from(request.resource_spans).unwrap();
        let resource = attributes(&resource_spans.resource.unwrap().attributes);
        let [scope] = <[_; 1]>::try_from(resource_spans.scope_spans).unwrap();
        (resource, scope.spans)
    }

    fn attributes(list: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> Vec<(String, String)> {
        let value = |v: &Option<Value>| match v {
            Some(Value::StringValue(s)) => s.clone(),
            Some(Value::IntValue(n)) => n.to_string(),
            other => panic!("{other:?}"),
        };
        list.iter().map(|kv| (kv.key.clone(), value(&kv.value.as_ref().unwrap().value))).collect()
    }

    #[test]
    fn call_span_decodes_with_the_public_proto() {
        let tracer = Tracer::new(true, 1.0);
        let parent = SpanContext { trace_id: 7 << 100, span_id: 9, sampled: true };
        let method = uait_gen::service::method("/uait.echo.v1.EchoService/Echo").unwrap();
        let span = tracer.begin(Some(parent));
        span.end_call(
            &tracer,
            Kind::Server,
            method,
            Code::Internal,
            &Identity::of_tenant("acme").unwrap(),
            Duration::from_millis(5),
        );
        let (resource, spans) = decode(&tracer.take());
        assert_eq!(resource, [("service.name".to_owned(), "echo-rust".to_owned())]);
        let [span] = <[_; 1]>::try_from(spans).unwrap();
        assert_eq!(span.name, "uait.echo.v1.EchoService/Echo");
        assert_eq!((span.kind, span.flags), (2, 0x301));
        assert_eq!(
            (span.trace_id, span.parent_span_id),
            (parent.trace_id.to_be_bytes().to_vec(), vec![0, 0, 0, 0, 0, 0, 0, 9])
        );
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 5_000_000);
        assert_eq!(span.status.unwrap().code, 2);
        let expected = [
            ("rpc.system", "grpc"),
            ("rpc.service", "uait.echo.v1.EchoService"),
            ("rpc.method", "Echo"),
            ("rpc.grpc.status_code", "13"),
            ("uait.tenant", "acme"),
        ];
        assert_eq!(attributes(&span.attributes), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn event_span_decodes_with_its_error() {
        let tracer = Tracer::new(true, 1.0);
        let attribute = [("messaging.system", "nats".to_owned())];
        let error = Some("no answer".to_owned());
        tracer.begin(None).end_event(
            &tracer,
            Kind::Producer,
            "publish UAIT_ECHO".to_owned(),
            &Identity::default(),
            attribute,
            error,
        );
        let (_, spans) = decode(&tracer.take());
        assert_eq!((spans[0].name.as_str(), spans[0].kind, spans[0].parent_span_id.len()), ("publish UAIT_ECHO", 4, 0));
        assert_eq!(spans[0].status.as_ref().unwrap().message, "no answer");
    }

    #[test]
    fn server_span_of_a_callers_mistake_is_no_error() {
        assert!(!is_error(Kind::Server, Code::NotFound));
        assert!(is_error(Kind::Client, Code::NotFound));
        assert!(is_error(Kind::Server, Code::DeadlineExceeded));
    }
}
