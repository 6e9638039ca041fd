//! Makes the crate from `proto/`: messages and service stubs, static checks of their protovalidate rules, and method tables.

mod check;
mod event;
mod names;
mod reason;
mod scalar;
mod schema;
mod service;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_build::Config;
use schema::Schema;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=../../proto");
    println!("cargo:rerun-if-changed=build");

    let schema = Schema::load(&root)?;
    let checks = check::generate(&schema)?;
    if !checks.reflected.is_empty() && env::var_os("CARGO_FEATURE_REFLECT").is_none() {
        let list =
            checks.reflected.iter().map(|(message, why)| format!("{message}: {why}")).collect::<Vec<_>>().join("\n  ");
        return Err(
            format!("these need the feature `reflect` of uait-gen, or a standard rule instead:\n  {list}").into()
        );
    }
    fs::write(out.join("checks.rs"), &checks.code)?;
    fs::write(out.join("check_table.rs"), &checks.table)?;
    fs::write(out.join("reason.rs"), reason::generate(&schema)?)?;
    fs::write(out.join("event.rs"), event::generate(&schema)?)?;
    fs::write(out.join("descriptors.bin"), schema.encode_all())?;
    write_descriptor_sets(&schema, &out)?;

    let generator = service::Generator::new(&schema, checks.messages);
    let services = generator.services();
    Config::new()
        .include_file("protos.rs")
        .enable_type_names()
        .service_generator(Box::new(generator))
        .compile_fds(schema.to_generate())?;
    fs::write(out.join("services.rs"), service::table(&services.borrow()))?;
    Ok(())
}

/// One descriptor set a service, with what it imports: what its reflection answers from.
fn write_descriptor_sets(schema: &Schema, out: &Path) -> Result<(), Box<dyn Error>> {
    let sets: BTreeMap<String, Vec<u8>> = schema
        .pool()
        .services()
        .map(|s| (s.full_name().to_owned(), schema::encode_closure(&s.parent_file())))
        .collect();
    for (name, set) in sets {
        fs::write(out.join(format!("{name}.bin")), set)?;
    }
    Ok(())
}
