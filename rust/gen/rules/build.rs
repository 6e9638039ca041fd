//! Compiles the vendored `buf/validate/validate.proto`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../../proto/third_party";
    println!("cargo:rerun-if-changed={root}/buf");
    let mut config = prost_build::Config::new();
    config.disable_comments(["."]).include_file("validate.rs");
    config.compile_fds(protox::compile(["buf/validate/validate.proto"], [root])?)?;
    Ok(())
}
