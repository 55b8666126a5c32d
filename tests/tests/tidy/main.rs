//! The rules of the repository as tests: what a reviewer would otherwise have to remember.
//! Knows nothing about what the code does, only how it is laid out.
//!
//! A rule reports every violation at once, with file and line, and what to do about it.

mod documents;
mod lints;
mod manifests;
mod sources;
mod text;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates of the workspace, in the order of what they know.
const MEMBERS: [&str; 5] = ["core", "proto", "runtime", "sim", "tests"];

/// Folders in the tree whose files are made by tools, not by people.
const GENERATED: [&str; 1] = ["proto/src/gen/"];

/// The top of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = here.parent().expect("the member stands below the top");
    top.to_path_buf()
}

/// A file of the repository.
struct File {
    /// Its path from the top, with `/` on every system.
    path: String,
    /// What it says.
    text: String,
}

impl File {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path));
        Self {
            text: text.unwrap_or_else(|e| panic!("{path}: {e}")),
            path: path.to_owned(),
        }
    }

    fn is_generated(&self) -> bool {
        GENERATED.iter().any(|folder| self.path.starts_with(folder))
    }
}

/// All files below `dir` (a path from the top), sorted, without what Cargo builds.
fn paths_below(dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap_or_else(|e| panic!("{folder}: {e}"));
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && name != "target" => folders.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// All Rust files of the crates.
fn rust_files() -> Vec<File> {
    let paths = MEMBERS.iter().flat_map(|member| paths_below(member));
    let files: Vec<File> = paths
        .filter(|path| path.ends_with(".rs"))
        .map(|path| File::read(&path))
        .collect();
    assert!(files.len() > 20, "only {} sources found", files.len());
    files
}

/// Names at the top: those that git tracks, or all where this is no checkout.
fn top_level() -> Vec<String> {
    let tracked = Command::new("git")
        .args(["ls-tree", "--name-only", "-z", "HEAD"])
        .current_dir(root())
        .output();
    if let Ok(output) = tracked
        && output.status.success()
    {
        let names = String::from_utf8_lossy(&output.stdout);
        return names.split_terminator('\0').map(str::to_owned).collect();
    }
    let entries = fs::read_dir(root()).expect("the top can be read");
    entries
        .map(|entry| entry.expect("the top can be read").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != "target" && name != ".git")
        .collect()
}

/// Fails with all violations of a rule, if there are any.
fn report(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}\n  {}\n",
        violations.join("\n  ")
    );
}
