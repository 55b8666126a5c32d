//! What stands where in the repository, and words that must not be in any file.
//! Knows nothing about Rust.

use std::fs;

use crate::{File, paths_below, report, root, top_level};

/// Everything that may stand at the top.
const TOP_LEVEL: [&str; 20] = [
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".config",
    ".deny.toml",
    ".gitattributes",
    ".github",
    ".gitignore",
    ".rustfmt.toml",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "core",
    "docs",
    "proto",
    "runtime",
    "sim",
    "tests",
];

/// What must stand at the top.
const REQUIRED: [&str; 7] = [
    ".ci/run",
    ".deny.toml",
    "CHANGELOG.md",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "docs/ARCHITECTURE.md",
];

#[test]
fn the_top_level_has_only_what_belongs_there() {
    let strangers: Vec<String> = top_level()
        .into_iter()
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    report(
        "what is new belongs into a crate, docs/, or a dotfile:",
        &strangers,
    );
}

#[test]
fn the_required_files_are_there() {
    let is_missing = |path: &&&str| !root().join(path).is_file();
    let missing: Vec<String> = REQUIRED
        .iter()
        .filter(is_missing)
        .map(|path| (*path).to_owned())
        .collect();
    report("missing:", &missing);
    let changelog = File::read("CHANGELOG.md").text;
    assert!(
        changelog.contains("\n## [Unreleased]"),
        "CHANGELOG.md needs the section [Unreleased] for what comes next"
    );
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // Put together here, so that this file is no violation of its own rule.
    let machine = [
        "/wo\u{200b}rk/",
        "/ro\u{200b}ot/",
        "/ho\u{200b}me/",
        "/Us\u{200b}ers/",
    ];
    let registry = ["index.", "static."].map(|host| format!("{host}crates.io"));
    let forbidden: Vec<String> = machine
        .iter()
        .map(|path| path.replace('\u{200b}', ""))
        .chain(registry)
        .collect();
    let mut violations = Vec::new();
    for path in all_paths() {
        // Binary files (golden encodings) are no text: nobody wrote a path into them.
        let Ok(text) = String::from_utf8(fs::read(root().join(&path)).expect("listed above"))
        else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            for word in forbidden.iter().filter(|word| line.contains(*word)) {
                violations.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    report(
        "absolute paths and hosts of package registries do not belong into the tree:",
        &violations,
    );
}

fn all_paths() -> Vec<String> {
    let mut paths = Vec::new();
    for name in top_level() {
        if root().join(&name).is_dir() {
            paths.extend(paths_below(&name));
        } else {
            paths.push(name);
        }
    }
    paths
}
