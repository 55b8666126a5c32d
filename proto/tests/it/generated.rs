//! The committed code of `src/gen` is what the `.proto` files yield now.
//! Run with `UPDATE_EXPECT=1` to write it anew.

use std::path::Path;
use std::{env, fs};

const FILES: [&str; 3] = [
    "chil/v1/peer.proto",
    "chil/v1/consensus.proto",
    "chil/v1/admin.proto",
];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("proto")]).expect("the proto folder");
    compiler.include_source_info(true).include_imports(true);
    compiler
        .open_files(FILES)
        .expect("the .proto files are valid");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gen");
    fs::create_dir_all(&out).expect("a folder for the generated code");

    tonic_prost_build::configure()
        .out_dir(&out)
        .bytes(".")
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .client_mod_attribute("chil.v1", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute("chil.v1", "#[cfg(feature = \"grpc\")]")
        .compile_fds(compiler.file_descriptor_set())
        .expect("code for every service and message");

    let fresh = fs::read_to_string(out.join("chil.v1.rs")).expect("the generated code");
    let committed_path = root.join("src/gen/chil.v1.rs");
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&committed_path, &fresh).expect("src/gen can be written");
    }
    let committed = fs::read_to_string(&committed_path).unwrap_or_default();
    assert!(
        committed == fresh,
        "src/gen/chil.v1.rs is not what the .proto files yield: run this test with UPDATE_EXPECT=1"
    );
}
