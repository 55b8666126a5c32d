//! The core's bans: that its Clippy file repeats the root's, and that each of them really fires.
//! Knows nothing about why each is banned: the file says it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::{File, report};

/// Set by `.ci/run`: what cannot be checked fails instead of being reported.
const STRICT: &str = "CHIL_TIDY_STRICT";

/// `key = value` statements of a flat TOML file, values on one line each.
fn settings(file: &File) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open = 0;
    for line in file.text.lines() {
        let line = line.trim();
        if open == 0 {
            if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
                found.push((key.trim().to_owned(), value.trim().to_owned()));
                open = brackets(line);
            }
        } else if let Some((_, value)) = found.last_mut() {
            value.push(' ');
            value.push_str(line);
            open += brackets(line);
        }
    }
    found
}

fn brackets(line: &str) -> i32 {
    let count = |c: char| i32::try_from(line.matches(c).count()).expect("a short line");
    count('[') - count(']')
}

/// The `path = "…"` of each entry of a ban list.
fn banned(list: &str) -> Vec<&str> {
    list.split("path = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[test]
fn the_core_repeats_every_root_setting() {
    // Clippy reads the nearest file only and merges nothing.
    let core = settings(&File::read("core/.clippy.toml"));
    let mut violations = Vec::new();
    for (key, value) in settings(&File::read(".clippy.toml")) {
        let in_core = core.iter().find(|(k, _)| *k == key).map(|(_, v)| v);
        let repeated = match in_core {
            None => false,
            Some(v) if key.starts_with("disallowed-") => {
                banned(&value).iter().all(|path| banned(v).contains(path))
            }
            Some(v) => *v == value,
        };
        if !repeated {
            violations.push(format!("{key} = {value}"));
        }
    }
    report("core/.clippy.toml must repeat the root's:", &violations);
}

#[test]
fn a_planted_violation_of_each_ban_is_found() {
    let clippy = Command::new(env!("CARGO"))
        .args(["clippy", "--version"])
        .output();
    if !clippy.is_ok_and(|output| output.status.success()) {
        let strict = std::env::var_os(STRICT).is_some();
        assert!(
            !strict,
            "Clippy is missing: install it with `rustup component add clippy`"
        );
        // Past the capture of test output: a check that did not happen must not look like one.
        let _ = writeln!(
            std::io::stderr(),
            "NOT CHECKED: the core's bans, because Clippy is not installed"
        );
        return;
    }
    let config = File::read("core/.clippy.toml");
    let mut source = String::from("//! Every banned thing, once.\n");
    let mut paths = Vec::new();
    for (key, list) in settings(&config) {
        for path in banned(&list) {
            let at = paths.len();
            let line = match key.as_str() {
                "disallowed-methods" => format!("pub fn plant_{at}() {{ {} }}\n", call(path)),
                "disallowed-types" => {
                    format!("pub type Plant{at} = {path}{};\n", parameters(path))
                }
                other => panic!("no violation is known for {other}: plant one here"),
            };
            source.push_str(&line);
            paths.push(path.to_owned());
        }
    }
    assert!(paths.len() >= 8, "bans are missing: {paths:?}");
    let messages = clippy_on(&config.text, &source);
    let missed: Vec<String> = paths
        .into_iter()
        .filter(|path| !messages.contains(&format!("`{path}`")))
        .collect();
    report(&format!("bans that do not fire:\n{messages}"), &missed);
}

/// A statement that uses the banned function.
fn call(path: &str) -> String {
    match path {
        "std::thread::spawn" => "drop(std::thread::spawn(|| ()));".to_owned(),
        "std::thread::sleep" => "std::thread::sleep(std::time::Duration::ZERO);".to_owned(),
        "std::env::var" => "drop(std::env::var(\"HOME\"));".to_owned(),
        _ => format!("let _ = {path}();"),
    }
}

/// What the banned type takes in angle brackets.
fn parameters(path: &str) -> &'static str {
    match path {
        "std::collections::HashMap" => "<u8, u8>",
        "std::collections::HashSet" => "<u8>",
        _ => "",
    }
}

/// What Clippy says about a crate of this source with this configuration.
fn clippy_on(config: &str, source: &str) -> String {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tidy-planted");
    // From nothing each time: what an earlier run left could hide or make up a finding.
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    }
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("can be created");
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    };
    let manifest = "[package]\nname = \"planted\"\nedition = \"2024\"\n[workspace]\n";
    write("Cargo.toml", manifest);
    write(".clippy.toml", config);
    write("src/lib.rs", source);
    let output = Command::new(env!("CARGO"))
        .args(["clippy", "--offline", "--quiet", "--message-format=short"])
        .args(["--", "-W", "clippy::disallowed_methods"])
        .args(["-W", "clippy::disallowed_types"])
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .env_remove("CLIPPY_CONF_DIR")
        .env_remove("RUSTFLAGS")
        .current_dir(&dir)
        .output()
        .expect("clippy runs: its version was asked for above");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
