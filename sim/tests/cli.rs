//! The `chil-sim` binary as people use it: what it prints, and its exit codes.
//! What a run does is `seeds.rs`'s.

use std::process::{Command, Output};

fn chil_sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chil-sim"))
        .args(args)
        .output()
        .expect("the binary was built for this test")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints text")
}

#[test]
fn a_replay_is_the_same_in_two_processes_and_from_its_plan() {
    let (first, second) = (chil_sim(&["replay", "3"]), chil_sim(&["replay", "3"]));
    assert!(first.status.success());
    let text = stdout(&first);
    assert_eq!(text, stdout(&second));
    let hash = text.lines().last().unwrap();
    assert!(hash.starts_with("trace hash "), "{hash}");
    assert!(text.lines().count() > 1_000, "one line an event");

    let plan = chil_sim(&["plan", "3"]);
    let file = std::env::temp_dir().join(format!("chil-sim-plan-{}.json", std::process::id()));
    std::fs::write(&file, &plan.stdout).unwrap();
    let again = chil_sim(&["replay", "--plan", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(stdout(&again).lines().last(), Some(hash));
}

#[test]
fn a_seed_that_was_cut_short_is_replayed_so() {
    let plan = |args: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&chil_sim(args).stdout).expect("a plan in JSON")
    };
    let (long, short) = (plan(&["plan", "3"]), plan(&["plan", "3", "--short"]));
    assert_ne!(long["heal_at_us"], short["heal_at_us"]);
    let events = |args: &[&str]| stdout(&chil_sim(args)).lines().count();
    assert!(events(&["replay", "3", "--short"]) < events(&["replay", "3"]));
}

#[test]
fn trouble_is_told_apart_from_a_violation() {
    let missing = chil_sim(&["replay", "--plan", "/does/not/exist.json"]);
    assert_eq!(missing.status.code(), Some(1));
    let words = String::from_utf8(missing.stderr).unwrap();
    assert!(words.contains("/does/not/exist.json"), "{words}");
    assert_eq!(chil_sim(&["run", "--seeds", "none"]).status.code(), Some(2));
    assert_eq!(
        chil_sim(&[]).status.code(),
        Some(2),
        "help, and nothing was run"
    );
}

#[test]
fn only_the_checks_that_were_named_count() {
    let plan = chil_sim(&["plan", "3", "--short"]);
    let mut plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    plan["events_max"] = 100.into();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("restless.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let replay = |checks: &[&str]| {
        let args = ["replay", "--plan", file.to_str().unwrap()];
        chil_sim(&[&args[..], checks].concat()).status.code()
    };
    assert_eq!(replay(&[]), Some(42));
    assert_eq!(replay(&["--checks", "bounds,no_churn"]), Some(42));
    assert_eq!(replay(&["--checks", "bounds,agreement"]), Some(0));
    let run = |args: &[&str]| chil_sim(&[&["run", "--seeds", "1", "--short"], args].concat());
    assert_eq!(run(&["--checks", "linearizable"]).status.code(), Some(0));
    let unknown = run(&["--checks", "linearisable"]);
    assert_eq!(unknown.status.code(), Some(2));
    let out = dir.path().join("out.jsonl");
    let kept = run(&["--checks", "bounds", "--out", out.to_str().unwrap()]);
    assert_eq!(
        kept.status.code(),
        Some(2),
        "files of results are of all checks"
    );
    assert!(!out.exists());
}

#[test]
fn a_replay_is_drawn_and_told_briefly() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (page, log) = (file("run.html"), file("run.log"));
    let told = chil_sim(&[
        "replay", "3", "--short", "--story", "--html", &page, "--shiviz", &log,
    ]);
    let told = stdout(&told);
    assert!(
        told.lines().count() < 50 && told.contains("the story"),
        "{told}"
    );
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("\"what\":\"send\""));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("(?<host>") && log.lines().count() > 100);
    let nowhere = chil_sim(&[
        "replay",
        "3",
        "--short",
        "--html",
        "/does/not/exist/run.html",
    ]);
    assert!(!nowhere.status.success());
}

#[test]
fn a_replay_shows_the_part_that_was_asked_for() {
    let whole = stdout(&chil_sim(&["replay", "3", "--short"]));
    let part = chil_sim(&["replay", "3", "--short", "--until", "60", "--node", "n1"]);
    let part = stdout(&part);
    let events: Vec<&str> = part.lines().filter(|line| line.contains(" #")).collect();
    assert!(!events.is_empty() && events.len() < 200, "{}", events.len());
    assert!(events.iter().all(|line| whole.contains(line)));

    let json = chil_sim(&["replay", "3", "--short", "--until", "60", "--json"]);
    let lines = stdout(&json);
    let numbers = lines.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["n"].as_u64()
    });
    let numbers: Vec<u64> = numbers.flatten().collect();
    assert!(numbers.contains(&60) && numbers.iter().all(|n| *n <= 60));

    let state = |until: &str| {
        let args = ["replay", "3", "--short", "--state", "--json", "--until"];
        let output = chil_sim(&[&args[..], &[until]].concat());
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        stdout(&output).lines().map(line).collect::<Vec<_>>()
    };
    let (early, late) = (state("0"), state("5000"));
    assert_eq!(early.len(), late.len(), "one line a node");
    assert!(late.iter().any(|line| line["state"]["role"] == "leading"));
    assert!(!early.iter().any(|line| line["state"]["role"] == "leading"));
}

#[test]
fn a_token_says_whether_a_seed_still_means_the_same() {
    let first = chil_sim(&["replay", "3", "--short"]);
    let text = stdout(&first);
    let summary = text.lines().rev().nth(1).unwrap();
    let token = summary.split(' ').nth(1).unwrap().trim_end_matches(':');
    assert!(token.starts_with("3:"), "{token}");
    let again = chil_sim(&["replay", token, "--short"]);
    assert_eq!((stdout(&again), again.stderr.len()), (text, 0));
    let other = chil_sim(&["replay", "3:00000000", "--short"]);
    let words = String::from_utf8(other.stderr).unwrap();
    assert!(words.contains("another plan from seed 3"), "{words}");
    assert_eq!(other.status.code(), Some(0), "it is run all the same");
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    let output = chil_sim(&["shrink", "3", "--short"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("does not fail"));
    let stale = chil_sim(&["shrink", "3:00000000"]);
    assert_eq!(stale.status.code(), Some(1), "nobody knows what was meant");
}
