//! Rules that have no static form, evaluated by reflection: about a hundred times slower, so only where a contract needs it.

use std::sync::LazyLock;

use prost::Message;
use prost_protovalidate::{Error, Validator};
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::DESCRIPTORS;
use crate::check::{Path, Violation};

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok());
static VALIDATOR: LazyLock<Validator> = LazyLock::new(Validator::new);

/// Adds every rule that `message`, of the proto type `name` and found at `at`, breaks.
/// A rule that cannot be evaluated counts as broken.
pub fn check<T: Message>(message: &T, name: &str, at: &Path<'_>, out: &mut Vec<Violation>) {
    let dynamic = POOL
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(name))
        .and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok());
    let Some(dynamic) = dynamic else {
        return out.push(at.broken("reflection", "the message's rules could not be loaded"));
    };
    match VALIDATOR.validate(&dynamic) {
        Ok(()) => {}
        Err(Error::Validation(error)) => out.extend(error.violations().iter().map(|v| Violation {
            field: join(at, &v.field_path()),
            rule: v.rule_id().to_owned().into(),
            description: v.message().to_owned().into(),
        })),
        Err(_) => out.push(at.broken("reflection", "a rule could not be evaluated")),
    }
}

fn join(at: &Path<'_>, below: &str) -> String {
    match (at, below) {
        (Path::Root, _) => below.to_owned(),
        (_, "") => at.to_string(),
        _ => format!("{at}.{below}"),
    }
}
