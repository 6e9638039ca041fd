//! protovalidate's rules as types: what `(buf.validate.field)` and its siblings say.

#[allow(clippy::all, clippy::pedantic, missing_docs)]
mod protos {
    include!(concat!(env!("OUT_DIR"), "/validate.rs"));
}

pub use protos::buf::validate::*;
