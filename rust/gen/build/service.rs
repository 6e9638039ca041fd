//! Stubs by tonic, and beside each server what the kit must know of it: its methods, its descriptors, how to limit it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use prost_build::{Service, ServiceGenerator};

use crate::names;
use crate::schema::Schema;

/// A service as the table lists it.
pub struct Entry {
    methods: Vec<(String, bool, bool)>,
}

pub type Entries = Rc<RefCell<BTreeMap<String, Entry>>>;

pub struct Generator {
    stubs: Box<dyn ServiceGenerator>,
    /// Messages that have a static or reflected check.
    checked: BTreeSet<String>,
    inputs: BTreeSet<String>,
    /// Types that can already travel, by their proto name.
    transferable: BTreeSet<String>,
    services: Entries,
}

impl Generator {
    pub fn new(schema: &Schema, checked: BTreeSet<String>) -> Self {
        let stubs =
            tonic_prost_build::configure().build_transport(false).codec_path("crate::codec::Codec").service_generator();
        let inputs = schema
            .pool()
            .services()
            .flat_map(|s| s.methods().map(|m| m.input().full_name().to_owned()).collect::<Vec<_>>());
        Self { stubs, checked, inputs: inputs.collect(), transferable: BTreeSet::new(), services: Entries::default() }
    }

    pub fn services(&self) -> Entries {
        self.services.clone()
    }

    fn transfer(&mut self, rust: &str, proto: &str, code: &mut String) {
        let proto = proto.trim_start_matches('.');
        if proto == "google.protobuf.Empty" || !self.transferable.insert(proto.to_owned()) {
            return;
        }
        let body = if self.checked.contains(proto) && self.inputs.contains(proto) {
            "fn violations(&self) -> Vec<crate::check::Violation> {\n        crate::check::violations(self)\n    }"
        } else {
            ""
        };
        let _ = writeln!(code, "impl crate::codec::Transfer for {rust} {{\n    {body}\n}}");
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, code: &mut String) {
        let full = format!("{}.{}", service.package, service.proto_name);
        for method in &service.methods {
            self.transfer(&method.input_type, &method.input_proto_type, code);
            self.transfer(&method.output_type, &method.output_proto_type, code);
        }
        let (module, name) = (names::service_module(&service.name), &service.name);
        let _ = writeln!(
            code,
            "impl<T: {module}_server::{name}> crate::service::Served for {module}_server::{name}Server<T> {{
    const SERVICE: &'static crate::service::Service = &crate::service::{};
    const DESCRIPTORS: &'static [u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{full}.bin\"));
    fn limited_to(self, bytes: usize) -> Self {{
        self.max_decoding_message_size(bytes)
            .max_encoding_message_size(bytes)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .send_compressed(tonic::codec::CompressionEncoding::Gzip)
    }}
}}",
            constant(&full)
        );
        let _ = writeln!(
            code,
            "impl<T> crate::service::Dialled<T> for {module}_client::{name}Client<T>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{{
    fn over(channel: T, bytes: usize) -> Self {{
        Self::new(channel)
            .max_decoding_message_size(bytes)
            .max_encoding_message_size(bytes)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
    }}
}}"
        );
        let methods =
            service.methods.iter().map(|m| (m.proto_name.clone(), m.client_streaming, m.server_streaming)).collect();
        self.services.borrow_mut().insert(full, Entry { methods });
        self.stubs.generate(service, code);
    }

    fn finalize(&mut self, code: &mut String) {
        self.stubs.finalize(code);
    }

    fn finalize_package(&mut self, package: &str, code: &mut String) {
        self.stubs.finalize_package(package, code);
    }
}

/// The table of all services and their methods.
pub fn table(services: &BTreeMap<String, Entry>) -> String {
    let mut code = String::new();
    for (full, entry) in services {
        let mut methods = String::new();
        for (name, client, server) in &entry.methods {
            let _ = writeln!(
                methods,
                "        Method {{ path: \"/{full}/{name}\", service: {full:?}, name: {name:?}, client_streaming: {client}, server_streaming: {server} }},"
            );
        }
        let _ = writeln!(
            code,
            "/// `{full}`.\npub static {}: Service = Service {{\n    name: {full:?},\n    methods: &[\n{methods}    ],\n}};",
            constant(full)
        );
    }
    let all = services.keys().map(|full| format!("&{}", constant(full))).collect::<Vec<_>>().join(", ");
    let _ = writeln!(code, "/// Every service of the contracts.\npub static SERVICES: &[&Service] = &[{all}];");
    code
}

fn constant(full: &str) -> String {
    use heck::ToShoutySnakeCase;
    full.split('.').map(ToShoutySnakeCase::to_shouty_snake_case).collect::<Vec<_>>().join("_")
}
