//! Rules on each source file: its header, its size, and words that must not stand in it.
//! Knows nothing about the crates' manifests.

use crate::text::{code_only, has_word, lines_of_code};
use crate::{File, report, rust_files};

/// Most lines of code in a file, its unit tests not counted.
const CODE_LINES_MAX: usize = 400;

/// The same for a file that holds tests only: many short ones read well below each other.
const TEST_FILE_LINES_MAX: usize = 500;

/// Most lines of code of unit tests beside the code; above it they get a file of their own.
const TEST_LINES_MAX: usize = 250;

/// Files that are larger than [`CODE_LINES_MAX`], with the size they must not exceed. This list
/// only shrinks: split the file, then lower or remove its entry.
const LARGE_FILES: [(&str, usize); 0] = [];

/// Files of the simulator that may use hash maps, because nothing iterates over them.
const HASH_MAPS_IN_SIM: [&str; 0] = [];

/// Files that may read the machine's clock in the simulator: they report to people, or wait for what
/// may never end.
const CLOCKS_IN_SIM: [&str; 4] = [
    "sim/src/chaos/",
    "sim/src/cli/",
    "sim/src/mutants/hunt.rs",
    "sim/src/patience.rs",
];

/// What needs a Unix system, or asks which one it is on: a node's directory and its clock, and the
/// program's keys, which nobody else may read, and its open files.
const SYSTEMS: [&str; 5] = [
    "runtime/src/storage/real.rs",
    "runtime/src/clock.rs",
    "runtime/src/cli/cert/authority.rs",
    "runtime/src/cli/handles.rs",
    "runtime/src/tls/files.rs",
];

fn hand_written() -> impl Iterator<Item = File> {
    rust_files().into_iter().filter(|file| !file.is_generated())
}

/// `path:line: what` for every line of code on which `is_wrong`.
fn lines_where(file: &File, what: &str, is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let code = code_only(&file.text);
    let numbered = (1..).zip(code.lines());
    numbered
        .filter(|(_, line)| is_wrong(line))
        .map(|(number, _)| format!("{}:{number}: {what}", file.path))
        .collect()
}

#[test]
fn every_file_opens_with_what_it_is_and_what_it_is_not() {
    let mut violations = Vec::new();
    for file in hand_written() {
        let lines = file.text.lines().map_while(|line| line.strip_prefix("//!"));
        let header: String = lines.collect::<Vec<_>>().join(" ") + " ";
        let sentences = header.matches(". ").count() + header.matches(".) ").count();
        let is_entry = file.path.ends_with("src/main.rs");
        let wanted = if is_entry || is_test(&file.path) {
            1
        } else {
            2
        };
        if sentences < wanted {
            violations.push(format!("{}: {sentences} of {wanted}", file.path));
        }
    }
    report(
        "a file opens with sentences after `//!`: its one responsibility and, but for tests and \
         entry points, what it knows nothing about",
        &violations,
    );
}

fn is_test(path: &str) -> bool {
    let folders = ["/tests/", "/benches/", "/examples/"];
    folders.iter().any(|folder| path.contains(folder)) || path.ends_with("tests.rs")
}

#[test]
fn files_stay_small() {
    let mut violations = Vec::new();
    let mut large = LARGE_FILES.to_vec();
    for file in hand_written() {
        let (code, tests) = lines_of_code(&file.text);
        let listed = large.iter().position(|(path, _)| *path == file.path);
        let usual = if is_test(&file.path) {
            TEST_FILE_LINES_MAX
        } else {
            CODE_LINES_MAX
        };
        let max = listed.map_or(usual, |at| large.swap_remove(at).1);
        if code > max {
            violations.push(format!("{}: {code} lines, at most {max}", file.path));
        }
        if listed.is_some() && code + 20 < max {
            violations.push(format!("{}: {code} lines, lower its {max}", file.path));
        }
        if tests > TEST_LINES_MAX {
            violations.push(format!(
                "{}: {tests} lines of unit tests, at most {TEST_LINES_MAX}: give them a file",
                file.path
            ));
        }
    }
    violations.extend(large.iter().map(|(path, _)| format!("{path}: not there")));
    report(
        "one responsibility a file: split what grows beyond it",
        &violations,
    );
}

#[test]
fn selects_are_biased() {
    let mut violations = Vec::new();
    for file in hand_written() {
        let code = code_only(&file.text);
        for (at, _) in code.match_indices("select!") {
            let body = code[at + "select!".len()..].trim_start();
            let first = body.trim_start_matches(['{', '(']).trim_start();
            if !first.starts_with("biased;") {
                let line = code[..at].lines().count();
                violations.push(format!("{}:{line}", file.path));
            }
        }
    }
    report(
        "every `select!` begins with `biased;`: anything else cannot be replayed",
        &violations,
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let unfinished = ["todo!", "unimplemented!", "dbg!"];
    let is_wrong = |line: &str| {
        let mut words = unfinished.iter();
        words.any(|word| line.contains(word) && has_word(line, word.trim_end_matches('!')))
    };
    let files = hand_written();
    let violations: Vec<String> = files
        .flat_map(|file| lines_where(&file, "unfinished", is_wrong))
        .collect();
    report("no todo!, unimplemented! or dbg! anywhere", &violations);
}

#[test]
fn exceptions_from_lints_carry_their_reason() {
    let mut violations = Vec::new();
    for file in hand_written() {
        let code = code_only(&file.text);
        for (attribute, may_stand) in [("[expect(", true), ("[allow(", false)] {
            for (at, _) in code.match_indices(attribute) {
                let (inner, behind) = code[at..].split_once(']').unwrap_or_default();
                // What a generator makes differs from version to version: nothing to expect.
                let is_generated = behind.trim_start().starts_with("#[rustfmt::skip]");
                if !has_word(inner, "reason") || !(may_stand || is_generated) {
                    let line = code[..at].lines().count();
                    violations.push(format!("{}:{line}: {attribute}..", file.path));
                }
            }
        }
    }
    report(
        "a lint is switched off by #[expect(.., reason = \"…\")]; for generated code by #[allow] \
         with a reason",
        &violations,
    );
}

#[test]
fn the_simulator_is_deterministic_by_construction() {
    let mut violations = Vec::new();
    for file in hand_written().filter(|file| file.path.starts_with("sim/src/")) {
        let is_listed = |list: &[&str]| list.iter().any(|path| file.path.starts_with(path));
        if !is_listed(&HASH_MAPS_IN_SIM) {
            let is_hash = |line: &str| has_word(line, "HashMap") || has_word(line, "HashSet");
            violations.extend(lines_where(&file, "use a BTreeMap or BTreeSet", is_hash));
        }
        if !is_listed(&CLOCKS_IN_SIM) {
            let is_clock = |line: &str| has_word(line, "Instant") || has_word(line, "SystemTime");
            violations.extend(lines_where(&file, "time is the world's", is_clock));
        }
    }
    report(
        "what happens in a run depends on its plan alone",
        &violations,
    );
}

#[test]
fn the_simulator_needs_no_certain_system() {
    let mut violations = Vec::new();
    for file in hand_written() {
        let is_source = file.path.contains("/src/") && !is_test(&file.path);
        if !is_source || SYSTEMS.contains(&file.path.as_str()) {
            continue;
        }
        let is_unix = |line: &str| line.contains("os::unix") || has_word(line, "rustix");
        violations.extend(lines_where(&file, "runs on Unix only", is_unix));
    }
    report(
        "who tests a state machine may do so on any operating system",
        &violations,
    );
}
