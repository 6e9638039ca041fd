//! The codec of every stub: protobuf, with each request held to its rules before a handler sees it, of streams too.

use std::collections::HashMap;
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;

use crate::check::Violation;
use crate::google::rpc;

/// Domain of every `google.rpc.ErrorInfo` of the mesh.
pub const DOMAIN: &str = "uait.dev";

/// A message that a method takes or returns.
pub trait Transfer {
    /// The rules that it breaks, if it is a request; responses are their sender's affair.
    fn violations(&self) -> Vec<Violation> {
        Vec::new()
    }
}

impl Transfer for () {}

/// Protobuf that refuses invalid requests.
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Transfer + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CheckingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        CheckingDecoder(PhantomData)
    }
}

/// Decodes a message and holds it to its rules.
pub struct CheckingDecoder<U>(PhantomData<U>);

impl<U: Message + Default + Transfer> Decoder for CheckingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = U::decode(buf).map_err(|e| Status::internal(format!("malformed message: {e}")))?;
        let violations = message.violations();
        if violations.is_empty() { Ok(Some(message)) } else { Err(invalid(violations)) }
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// INVALID_ARGUMENT, reason FIELD_INVALID, naming every violation; the message names the first.
pub fn invalid(violations: Vec<Violation>) -> Status {
    let message = match violations.first() {
        Some(first) => format!("invalid request: {}: {}", first.field, first.description),
        None => "invalid request".to_owned(),
    };
    let info =
        rpc::ErrorInfo { reason: "FIELD_INVALID".to_owned(), domain: DOMAIN.to_owned(), metadata: HashMap::new() };
    let field_violations = violations
        .into_iter()
        .map(|v| rpc::bad_request::FieldViolation {
            field: v.field,
            description: v.description.into_owned(),
            reason: v.rule.into_owned(),
            ..Default::default()
        })
        .collect();
    status(Code::InvalidArgument, &message, &[detail(&info), detail(&rpc::BadRequest { field_violations })])
}

/// A detail of a status, packed with its type. prost leaves the domain out of its type URLs, and clients look for it.
pub fn detail<T: Message + prost::Name>(message: &T) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{}", T::full_name()), value: message.encode_to_vec() }
}

/// A status with details in `grpc-status-details-bin`.
pub fn status(code: Code, message: &str, details: &[prost_types::Any]) -> Status {
    let packed = rpc::Status { code: code as i32, message: message.to_owned(), details: details.to_vec() };
    Status::with_details(code, message, packed.encode_to_vec().into())
}

/// Whether a packed detail is a `T`.
pub fn is<T: prost::Name>(any: &prost_types::Any) -> bool {
    any.type_url.rsplit('/').next() == Some(T::full_name().as_str())
}
