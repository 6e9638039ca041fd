//! The names by which events travel: the `event` of the subject `uait.<area>.<tenant>.<event>` is the payload's field.

use std::fmt::Write as _;

use crate::names;
use crate::schema::Schema;

const EVENT: &str = "uait.event.v1.Event";
const PAYLOAD: &str = "payload";

/// `Payload::field_name`, of every payload there is.
pub fn generate(schema: &Schema) -> Result<String, String> {
    let event = schema.pool().get_message_by_name(EVENT).ok_or(format!("there is no {EVENT}"))?;
    let payload = event.oneofs().find(|oneof| oneof.name() == PAYLOAD).ok_or(format!("{EVENT} has no {PAYLOAD}"))?;
    let path = names::oneof_enum(&payload);
    let mut arms = String::new();
    for field in payload.fields() {
        let _ = writeln!(arms, "            Self::{}(_) => {:?},", names::variant(&field), field.name());
    }
    Ok(format!(
        "impl {path} {{
    /// Name of the payload's field in the proto, which ends the event's subject.
    pub fn field_name(&self) -> &'static str {{
        match self {{\n{arms}        }}\n    }}\n}}\n"
    ))
}
