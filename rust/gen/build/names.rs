//! What prost-build calls things.

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_reflect::{FieldDescriptor, MessageDescriptor, OneofDescriptor};

/// Absolute path of a message's struct: `crate::uait::echo::v1::EchoRequest`.
pub fn message(descriptor: &MessageDescriptor) -> String {
    format!("{}::{}", scope(descriptor), upper_camel(descriptor.name()))
}

/// Absolute path of a oneof's enum: `crate::uait::echo::v1::behaviour::Failure`.
pub fn oneof_enum(descriptor: &OneofDescriptor) -> String {
    format!("{}::{}", inner_module(descriptor.parent_message()), upper_camel(descriptor.name()))
}

pub fn variant(field: &FieldDescriptor) -> String {
    upper_camel(field.name())
}

/// A struct's member, escaped where the name is a keyword.
pub fn member(name: &str) -> String {
    escape(&name.to_snake_case())
}

pub fn upper_camel(name: &str) -> String {
    let camel = name.to_upper_camel_case();
    if camel == "Self" { "Self_".to_owned() } else { camel }
}

/// tonic-build's own snake case of a service's Rust name: an underscore before every capital but the first.
pub fn service_module(rust_name: &str) -> String {
    let mut module = String::new();
    for (at, c) in rust_name.char_indices() {
        if c.is_uppercase() && at > 0 {
            module.push('_');
        }
        module.extend(c.to_lowercase());
    }
    module
}

fn scope(descriptor: &MessageDescriptor) -> String {
    match descriptor.parent_message() {
        Some(parent) => inner_module(&parent),
        None => package(descriptor.package_name()),
    }
}

fn inner_module(descriptor: &MessageDescriptor) -> String {
    format!("{}::{}", scope(descriptor), escape(&descriptor.name().to_snake_case()))
}

fn package(name: &str) -> String {
    std::iter::once("crate".to_owned())
        .chain(name.split('.').map(|part| escape(&part.to_snake_case())))
        .collect::<Vec<_>>()
        .join("::")
}

fn escape(name: &str) -> String {
    const RAW: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
        "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
        "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type",
        "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ];
    match name {
        "_" | "super" | "self" | "extern" | "crate" => format!("{name}_"),
        _ if RAW.contains(&name) => format!("r#{name}"),
        _ => name.to_owned(),
    }
}
