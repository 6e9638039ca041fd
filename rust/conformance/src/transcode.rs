//! Between proto3 JSON and the generated types, by way of the descriptors.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MethodDescriptor, SerializeOptions, Value as Reflected};
use serde_json::Value;

static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(uait_gen::DESCRIPTORS).map_err(|e| e.to_string()));

/// The method of `EchoService` with this name.
pub(crate) fn method(name: &str) -> Result<MethodDescriptor, String> {
    let pool = POOL.as_ref().map_err(Clone::clone)?;
    let service = pool.get_service_by_name("uait.echo.v1.EchoService").ok_or("there is no EchoService")?;
    service.methods().find(|method| method.name() == name).ok_or_else(|| format!("EchoService has no {name}"))
}

/// The request messages of a call. The first has its bytes fields filled.
pub(crate) fn requests<T: Message + Default>(
    method: &MethodDescriptor,
    json: &[Value],
    fill: &BTreeMap<String, usize>,
) -> Result<Vec<T>, String> {
    let mut messages = Vec::with_capacity(json.len());
    for (at, value) in json.iter().enumerate() {
        let mut message = DynamicMessage::deserialize(method.input(), value).map_err(|e| format!("{value}: {e}"))?;
        for (field, size) in fill.iter().filter(|_| at == 0) {
            message
                .try_set_field_by_name(field, Reflected::Bytes(Bytes::from(vec![0; *size])))
                .map_err(|e| format!("{field}: {e}"))?;
        }
        messages.push(message.transcode_to().map_err(|e| e.to_string())?);
    }
    Ok(messages)
}

/// A response as proto3 JSON with every field, and the sizes of its bytes fields.
pub(crate) fn response<T: Message>(
    method: &MethodDescriptor,
    message: &T,
) -> Result<(Value, BTreeMap<String, usize>), String> {
    let dynamic =
        DynamicMessage::decode(method.output(), message.encode_to_vec().as_slice()).map_err(|e| e.to_string())?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let json = dynamic.serialize_with_options(serde_json::value::Serializer, &options).map_err(|e| e.to_string())?;
    let output = method.output();
    let sizes = output.fields().filter(|field| matches!(field.kind(), Kind::Bytes) && !field.is_list());
    let sizes =
        sizes.map(|field| (field.name().to_owned(), dynamic.get_field(&field).as_bytes().map_or(0, Bytes::len)));
    Ok((json, sizes.collect()))
}
