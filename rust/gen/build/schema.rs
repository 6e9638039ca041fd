//! The descriptors of everything under `proto/`, and which of them become Rust code.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DescriptorPool, FileDescriptor, Kind, MessageDescriptor};
use prost_types::FileDescriptorSet;

/// Packages whose types occur only in options, so that no code of ours names them.
const OPTION_PACKAGES: [&str; 3] = ["buf.validate", "google.api", "google.protobuf"];

pub struct Schema {
    pool: DescriptorPool,
    documented: FileDescriptorSet,
}

impl Schema {
    /// Compiles every `.proto` of our own module and of the vendored one.
    pub fn load(root: &Path) -> Result<Self, Box<dyn Error>> {
        let vendored = root.join("third_party");
        let mut files = Vec::new();
        walk(root, root, &vendored, &mut files)?;
        walk(&vendored, &vendored, Path::new(""), &mut files)?;
        files.sort();
        let compile = |documented: bool| -> Result<protox::Compiler, protox::Error> {
            let mut compiler = protox::Compiler::new([vendored.as_path(), root])?;
            compiler.include_imports(true).include_source_info(documented);
            compiler.open_files(&files)?;
            Ok(compiler)
        };
        // Comments become documentation in the code, and are left out of what reflection keeps in memory.
        Ok(Self { documented: compile(true)?.file_descriptor_set(), pool: compile(false)?.descriptor_pool() })
    }

    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The files to make code of: all but those that only options refer to. The well-known types are among them because
    /// prost-build looks at what it refers to; it makes no code of those.
    pub fn to_generate(&self) -> FileDescriptorSet {
        let named = self.named_files();
        let file = self
            .documented
            .file
            .iter()
            .filter(|f| named.contains(f.name()) || f.package() == "google.protobuf")
            .cloned()
            .collect();
        FileDescriptorSet { file }
    }

    /// Messages that become Rust structs of this crate.
    pub fn messages(&self) -> Vec<MessageDescriptor> {
        let named = self.named_files();
        self.pool.all_messages().filter(|m| !m.is_map_entry() && named.contains(m.parent_file().name())).collect()
    }

    /// The comment before the element at `path` of a file (descriptor.proto, `SourceCodeInfo`).
    pub fn comment(&self, file: &str, path: &[i32]) -> Option<&str> {
        let file = self.documented.file.iter().find(|f| f.name() == file)?;
        let location = file.source_code_info.as_ref()?.location.iter().find(|location| location.path == path)?;
        location.leading_comments.as_deref()
    }

    pub fn encode_all(&self) -> Vec<u8> {
        encode_files(self.pool.files())
    }

    fn named_files(&self) -> BTreeSet<String> {
        let mut named: BTreeSet<String> = self
            .pool
            .files()
            .filter(|f| !OPTION_PACKAGES.contains(&f.package_name()))
            .map(|f| f.name().to_owned())
            .collect();
        let rpc_types =
            self.pool.services().flat_map(|s| s.methods().flat_map(|m| [m.input(), m.output()]).collect::<Vec<_>>());
        let field_types = self.pool.all_messages().filter(|m| named.contains(m.parent_file().name())).flat_map(|m| {
            m.fields().filter_map(|f| if let Kind::Message(t) = f.kind() { Some(t) } else { None }).collect::<Vec<_>>()
        });
        let referred: Vec<String> = rpc_types
            .chain(field_types)
            .map(|m| m.parent_file())
            .filter(|f| f.package_name() != "google.protobuf")
            .map(|f| f.name().to_owned())
            .collect();
        named.extend(referred);
        named
    }
}

/// Encodes a file and all that it imports as a `FileDescriptorSet`, custom options included.
pub fn encode_closure(file: &FileDescriptor) -> Vec<u8> {
    fn visit(file: &FileDescriptor, seen: &mut BTreeSet<String>, order: &mut Vec<FileDescriptor>) {
        if seen.insert(file.name().to_owned()) {
            file.dependencies().for_each(|import| visit(&import, seen, order));
            order.push(file.clone());
        }
    }
    let mut order = Vec::new();
    visit(file, &mut BTreeSet::new(), &mut order);
    encode_files(order.into_iter())
}

/// prost-types drops options that it does not know, so the set is framed by hand around each file's own bytes.
fn encode_files(files: impl Iterator<Item = FileDescriptor>) -> Vec<u8> {
    let mut set = Vec::new();
    for file in files {
        let bytes = file.encode_to_vec();
        encode_key(1, WireType::LengthDelimited, &mut set);
        encode_varint(bytes.len() as u64, &mut set);
        set.extend(bytes);
    }
    set
}

fn walk(dir: &Path, root: &Path, skip: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if path != skip {
                walk(&path, root, skip, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}
