//! Who may depend on whom, and what the core may depend on at all.
//! Reads what Cargo understood of the manifests, not their text.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::{File, MEMBERS, report, root};

/// What each crate may use of the others: exactly this, development included.
const DIRECTION: [(&str, &[&str]); 4] = [
    ("chil-core", &[]),
    ("chil-proto", &["chil-core"]),
    ("chil", &["chil-core", "chil-proto"]),
    ("chil-sim", &["chil", "chil-core", "chil-proto"]),
];

/// What the core is built from. A further one needs a line in docs/ARCHITECTURE.md.
const CORE_DEPENDENCIES: [&str; 6] = [
    "bytes",
    "rand_chacha",
    "rand_core",
    "serde",
    "thiserror",
    "xxhash-rust",
];

/// `cargo metadata` of the workspace: package name to its dependencies.
fn dependencies() -> BTreeMap<String, Vec<Value>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .expect("cargo runs: it runs this test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let entry = |package: &Value| {
        let name = package["name"].as_str().expect("a name").to_owned();
        let dependencies = package["dependencies"].as_array().expect("a list");
        (name, dependencies.clone())
    };
    packages.iter().map(entry).collect()
}

fn names(dependencies: &[Value], keep: impl Fn(&Value) -> bool) -> BTreeSet<&str> {
    dependencies
        .iter()
        .filter(|d| keep(d))
        .filter_map(|d| d["name"].as_str())
        .collect()
}

#[test]
fn knowledge_flows_in_one_direction() {
    let all = dependencies();
    let ours: BTreeSet<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(
        ours,
        BTreeSet::from(["chil", "chil-core", "chil-proto", "chil-sim", "chil-tests"])
    );
    for (name, allowed) in DIRECTION {
        let used = names(&all[name], |d| {
            d["name"].as_str().is_some_and(|n| ours.contains(n))
        });
        assert_eq!(
            used,
            allowed.iter().copied().collect(),
            "{name} must use exactly these of our crates"
        );
    }
    for (name, dependencies) in &all {
        let used = names(dependencies, |_| true);
        assert!(!used.contains("chil-tests"), "{name} uses chil-tests");
    }
}

#[test]
fn the_core_depends_on_little() {
    let all = dependencies();
    let used = names(&all["chil-core"], |d| d["kind"].is_null());
    assert_eq!(
        used,
        CORE_DEPENDENCIES.into(),
        "the core's dependencies; a new one needs its reason in docs/ARCHITECTURE.md"
    );
}

#[test]
fn the_simulator_builds_without_sockets() {
    let all = dependencies();
    for dependency in all["chil-sim"].iter().filter(|d| d["name"] == "chil") {
        assert_eq!(dependency["uses_default_features"], false, "{dependency}");
        let features = dependency["features"].as_array().expect("a list");
        assert!(!features.iter().any(|f| f == "grpc"), "{dependency}");
    }
}

#[test]
fn every_member_obeys_the_workspace() {
    let mut violations = Vec::new();
    for member in MEMBERS {
        let manifest = File::read(&format!("{member}/Cargo.toml"));
        let mut lints = manifest
            .text
            .lines()
            .skip_while(|line| line.trim() != "[lints]");
        if lints.nth(1).map(str::trim) != Some("workspace = true") {
            violations.push(format!("{}: needs [lints] workspace = true", manifest.path));
        }
        for key in ["version", "edition", "rust-version", "license"] {
            if !manifest.text.contains(&format!("{key}.workspace = true")) {
                violations.push(format!("{}: needs {key}.workspace = true", manifest.path));
            }
        }
        let own_versions = manifest.text.lines().filter(|line| {
            line.contains("version = \"") || line.contains(" = \"") && starts_dependency(line)
        });
        violations.extend(own_versions.map(|line| {
            format!(
                "{}: versions stand in the top manifest, not here: {line}",
                manifest.path
            )
        }));
    }
    report("each member takes its settings from the top:", &violations);
}

/// `name = "1.2"`, as a dependency would be written.
fn starts_dependency(line: &str) -> bool {
    let value = line.split_once(" = \"").map_or("", |(_, value)| value);
    value.starts_with(|c: char| c.is_ascii_digit() || "=^~<>*".contains(c))
}
