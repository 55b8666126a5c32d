//! The `chil-sim` binary as people use it: what it prints, and its exit codes.
//! What a run does is `seeds.rs`'s.

use std::process::{Command, Output};

use crate::{SIM, chil_sim, stderr};

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

#[test]
fn shrinking_goes_on_in_the_file_that_it_left() {
    // Few requests and many accidents: written down, the plan is larger than as it was drawn.
    let plan = chil_sim(&["plan", "3", "--short"]);
    let mut plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    plan["events_max"] = 600.into();
    plan["workload"]["operations_max"] = 1.into();
    plan["faults"] = serde_json::json!([]);
    plan["network"]["loss_ppm"] = 300_000.into();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("restless.json"), plan.to_string()).unwrap();
    let shrink = |args: &[&str]| {
        let all = [&["shrink", "--plan", "restless.json", "--jobs", "2"], args].concat();
        let mut command = Command::new(SIM);
        command.args(all).current_dir(dir.path()).output().unwrap()
    };
    let first = shrink(&["--budget", "0s"]);
    assert_eq!(first.status.code(), Some(42), "{}", stderr(&first));
    assert!(stdout(&first).contains("stopped: call it again to go on"));
    let things = || {
        let text = std::fs::read_to_string(dir.path().join("restless.shrunk.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
        let script = &plan["script"];
        let count = |list: &str| script[list].as_array().map_or(0, Vec::len);
        count("accidents") + count("requests")
    };
    let before = things();
    assert!(before > 10, "{before} is less than was drawn");
    let second = shrink(&[]);
    assert_eq!(second.status.code(), Some(42), "{}", stderr(&second));
    assert!(stdout(&second).starts_with("going on from restless.shrunk.json"));
    assert!(things() < before, "{} of {before}", things());

    let same = shrink(&["--out", "./restless.json"]);
    assert_eq!(same.status.code(), Some(1));
    assert!(
        stderr(&same).contains("would be overwritten"),
        "{}",
        stderr(&same)
    );
    let text = std::fs::read_to_string(dir.path().join("restless.json")).unwrap();
    assert_eq!(text, plan.to_string());
    // Another violation is another matter.
    std::fs::write(
        dir.path().join("other.json"),
        chil_sim(&["plan", "3"]).stdout,
    )
    .unwrap();
    let other = shrink(&["--out", "other.json"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr(&other).contains("does not violate no_churn"),
        "{}",
        stderr(&other)
    );
}

#[test]
fn a_mutant_that_does_not_fit_is_told_in_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let text = "id = \"GONE\"\nsummary = \"x\"\nsource = \"x\"\nexpect = []\nfaults = []\n\
                [[edit]]\nfile = \"Cargo.toml\"\nfind = \"no such line\"\nreplace = \"\"\n";
    std::fs::write(path("GONE.toml"), text).unwrap();
    let args = [
        "mutants",
        "--mutants",
        &path(""),
        "--scratch",
        &path("scratch"),
        // Asked for twice is asked for.
        "--id",
        "GONE",
        "--id",
        "GONE",
    ];
    let output = chil_sim(&args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("NO FIT"), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("stands 0 times instead of once"),
        "{}",
        stderr(&output)
    );
    let unknown = chil_sim(&[&args[..5], &["--id", "NEVER"]].concat());
    assert!(
        stderr(&unknown).contains("holds no mutant NEVER"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn a_plan_of_another_machine_is_told_from_one_of_the_built_in() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plan.json");
    let replay = |payload: &str| {
        let plan = chil_sim(&["plan", "3", "--short"]);
        let mut plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
        let request = serde_json::json!({
            "at_ns": 5, "client": 0, "node": 0, "ask": "command", "payload": { "hex": payload }
        });
        plan["script"] = serde_json::json!({
            "requests": [request], "accidents": [], "answers": []
        });
        std::fs::write(&file, plan.to_string()).unwrap();
        let output = chil_sim(&["replay", "--plan", file.to_str().unwrap(), "--story"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    let words = replay(&"ff".repeat(9));
    assert!(words.contains("1 of the 1 requests"), "{words}");
    assert!(words.contains("CHIL_SIM_PLAN="), "{words}");
    let put = chil_core::kv::KvCommand::put("k".into(), "v".into()).encode();
    assert_eq!(replay(&format!("{put:x}")), "");
}

#[test]
fn options_that_would_be_ignored_are_refused() {
    let timeline = ["scenarios", "--only", "quorum_loss", "--timeline", "1"];
    for args in [
        &["mutants", "--limit", "0s"][..],
        &["mutants", "--limit", "0h"],
        &[&timeline[..], &["--json"]].concat(),
        &[&timeline[..], &["--seeds", "3"]].concat(),
        &[&timeline[..], &["--jobs", "2"]].concat(),
    ] {
        let output = chil_sim(args);
        let words = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?} {words}");
    }
    assert_eq!(chil_sim(&timeline).status.code(), Some(0));
}

#[test]
fn the_plan_of_a_token_is_printed_and_said_to_be_another_one_if_it_is() {
    let replay = stdout(&chil_sim(&["replay", "3", "--short", "--story"]));
    let summary = replay.lines().rev().nth(1).unwrap();
    let token = summary.split(' ').nth(1).unwrap().trim_end_matches(':');
    assert!(token.starts_with("3:"), "{token}");
    let (bare, same) = (
        chil_sim(&["plan", "3", "--short"]),
        chil_sim(&["plan", token, "--short"]),
    );
    assert_eq!(same.status.code(), Some(0), "{}", stderr(&same));
    assert_eq!(
        (stdout(&same), stderr(&same)),
        (stdout(&bare), String::new())
    );
    let other = chil_sim(&["plan", "3:00000000", "--short"]);
    assert_eq!(stdout(&other), stdout(&bare));
    let words = stderr(&other);
    assert!(words.contains("another plan from seed 3"), "{words}");
}

/// A plan that violates `no_churn`, in a file of a directory.
fn restless(dir: &tempfile::TempDir) -> String {
    let plan = chil_sim(&["plan", "3", "--short"]);
    let mut plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    plan["events_max"] = 100.into();
    let file = dir.path().join("restless.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_replay_tells_its_verdict_whatever_becomes_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let plan = restless(&dir);
    for kind in ["--html", "--shiviz"] {
        let args = ["replay", "--plan", &plan, kind, "/does/not/exist/run"];
        let output = chil_sim(&args);
        let (text, words) = (stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(42), "{words}");
        assert!(text.contains("VIOLATED no_churn"), "{text}");
        assert!(words.contains("/does/not/exist/run"), "{words}");
        let fine = chil_sim(&["replay", "3", "--short", kind, "/does/not/exist/run"]);
        assert_eq!(fine.status.code(), Some(1));
        assert!(stdout(&fine).contains("nothing was violated"));
    }
    // Whoever wants a page wants no thousand lines beside it, unless they say so.
    let page = dir.path().join("run.html");
    let page = page.to_str().unwrap();
    let drawn = stdout(&chil_sim(&["replay", "3", "--short", "--html", page]));
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].ends_with("nothing was violated"),
        "{drawn}"
    );
    let beside = chil_sim(&["replay", "3", "--short", "--json", "--html", page]);
    assert!(stdout(&beside).lines().count() > 100);
}

/// Runs eight short seeds into a file, which then says what no sound build does.
fn with(out: &str, from: &str, to: &str) {
    let args = ["run", "--short", "--seeds", "8", "--out", out];
    assert_eq!(chil_sim(&args).status.code(), Some(0));
    let text = std::fs::read_to_string(out).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(out, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_campaign_that_runs_nothing_behind_a_failure_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let out = out.to_str().unwrap();
    let failed = r#""failures":[{"seed":3,"token":"3","check":"agreement","node":1,"what":"w","signature":"agreement","explained":[],"repeats":true}]"#;
    with(out, r#""failures":[]"#, failed);
    let run = |args: &[&str]| {
        let all = [&["run", "--short", "--seeds", "8", "--out", out], args].concat();
        let output = chil_sim(&all);
        assert_eq!(output.status.code(), Some(42));
        stderr(&output)
    };
    let words = run(&[]);
    assert!(!words.contains("--keep-going"), "all were run: {words}");
    // As if it had ended with that seed.
    let text = std::fs::read_to_string(out).unwrap();
    let half = text.replacen("\"done\":8", "\"done\":4", 1);
    std::fs::write(out, half.replacen("\"seeds\":8", "\"seeds\":4", 1)).unwrap();
    let words = run(&[]);
    assert!(
        words.contains("nothing was run") && words.contains("--keep-going"),
        "{words}"
    );
    let words = run(&["--keep-going"]);
    assert!(!words.contains("nothing was run"), "{words}");
}
