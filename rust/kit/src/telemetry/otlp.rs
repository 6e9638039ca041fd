//! Spans as an OTLP `ExportTraceServiceRequest` (opentelemetry-proto 1.x), written field by field: building the message's
//! objects first costs several times what the handler of a small call does.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tonic::Code;
use uait_gen::service::Method;

use super::span::{EventWork, Kind, Span, Work};

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;
/// Field of a span's attributes.
const ATTRIBUTES: u32 = 9;

/// Encodes an export request: one resource, one scope, these spans.
pub(super) fn encode(resource: &[(&str, &str)], spans: &[Span]) -> Vec<u8> {
    let mut scope_spans = Vec::with_capacity(spans.len() * 300);
    let mut inner = Vec::with_capacity(512);
    text(1, "uait-kit", &mut inner);
    bytes(1, &inner, &mut scope_spans);
    let mut calls = Calls::default();
    for span in spans {
        inner.clear();
        encode_span(span, &mut calls, &mut inner);
        bytes(2, &inner, &mut scope_spans);
    }
    inner.clear();
    for (key, value) in resource {
        attribute(1, key, value, &mut inner);
    }
    let mut head = Vec::with_capacity(inner.len() + 32);
    bytes(1, &inner, &mut head);
    prefix(2, scope_spans.len(), &mut head);
    let mut request = Vec::with_capacity(head.len() + scope_spans.len() + 8);
    prefix(1, head.len() + scope_spans.len(), &mut request);
    request.extend_from_slice(&head);
    request.extend_from_slice(&scope_spans);
    request
}

/// The attributes of each method and code, encoded once a batch.
#[derive(Default)]
struct Calls(Vec<(&'static Method, Code, Vec<u8>)>);

impl Calls {
    fn attributes(&mut self, method: &'static Method, code: Code) -> &[u8] {
        let known = self.0.iter().position(|(m, c, _)| std::ptr::eq(*m, method) && *c == code);
        let at = known.unwrap_or_else(|| {
            let mut encoded = Vec::with_capacity(160);
            attribute(ATTRIBUTES, "rpc.system", "grpc", &mut encoded);
            attribute(ATTRIBUTES, "rpc.service", method.service, &mut encoded);
            attribute(ATTRIBUTES, "rpc.method", method.name, &mut encoded);
            let (mut number, mut pair) = (Vec::new(), Vec::new());
            varint(3, code as u64, &mut number);
            text(1, "rpc.grpc.status_code", &mut pair);
            bytes(2, &number, &mut pair);
            bytes(ATTRIBUTES, &pair, &mut encoded);
            self.0.push((method, code, encoded));
            self.0.len() - 1
        });
        &self.0[at].2
    }
}

fn encode_span(span: &Span, calls: &mut Calls, out: &mut Vec<u8>) {
    bytes(1, &span.context.trace_id.to_be_bytes(), out);
    bytes(2, &span.context.span_id.to_be_bytes(), out);
    if span.parent != 0 {
        bytes(4, &span.parent.to_be_bytes(), out);
    }
    varint(6, span.kind as u64, out);
    fixed64(7, span.start, out);
    fixed64(8, span.end, out);
    if !span.tenant.as_str().is_empty() {
        attribute(ATTRIBUTES, "uait.tenant", span.tenant.as_str(), out);
    }
    match &span.work {
        Work::Call(method, code) => {
            text(5, method.span_name(), out);
            out.extend_from_slice(calls.attributes(method, *code));
            if is_error(span.kind, *code) {
                failed(None, out);
            }
        }
        Work::Event(work) => encode_event(work, out),
    }
    // W3C flags, and that it is known whether the parent is remote (bit 8) and it is (bit 9).
    let remote = matches!(span.kind, Kind::Server | Kind::Consumer) && span.parent != 0;
    fixed32(16, 1 | 0x100 | if remote { 0x200 } else { 0 }, out);
}

fn encode_event(work: &EventWork, out: &mut Vec<u8>) {
    text(5, &work.name, out);
    for (key, value) in &work.attributes {
        attribute(ATTRIBUTES, key, value, out);
    }
    if let Some(error) = &work.error {
        failed(Some(error), out);
    }
}

fn failed(message: Option<&str>, out: &mut Vec<u8>) {
    let mut status = Vec::new();
    if let Some(message) = message {
        text(2, message, &mut status);
    }
    varint(3, ERROR, &mut status);
    bytes(15, &status, out);
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

/// A `KeyValue` of a text. Keys and values are short, but the lengths may take more than a byte each.
fn attribute(tag: u32, key: &str, value: &str, out: &mut Vec<u8>) {
    let field = |length: usize| 1 + encoded_len_varint(length as u64) + length;
    let any_value = field(value.len());
    prefix(tag, field(key.len()) + field(any_value), out);
    text(1, key, out);
    prefix(2, any_value, out);
    text(1, value, out);
}

/// What precedes a nested message.
fn prefix(tag: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

fn text(tag: u32, value: &str, out: &mut Vec<u8>) {
    bytes(tag, value.as_bytes(), out);
}

fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    prefix(tag, value.len(), out);
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
            ("uait.tenant", "acme"),
            ("rpc.system", "grpc"),
            ("rpc.service", "uait.echo.v1.EchoService"),
            ("rpc.method", "Echo"),
            ("rpc.grpc.status_code", "13"),
        ];
        assert_eq!(attributes(&span.attributes), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn event_span_decodes_with_its_error() {
        let tracer = Tracer::new(true, 1.0);
        let long = "x".repeat(300);
        let attribute = [("messaging.system", "nats".to_owned()), ("messaging.message.id", long.clone())];
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
        assert_eq!(attributes(&spans[0].attributes)[1], ("messaging.message.id".to_owned(), long));
    }

    #[test]
    fn server_span_of_a_callers_mistake_is_no_error() {
        assert!(!is_error(Kind::Server, Code::NotFound));
        assert!(is_error(Kind::Client, Code::NotFound));
        assert!(is_error(Kind::Server, Code::DeadlineExceeded));
    }
}
