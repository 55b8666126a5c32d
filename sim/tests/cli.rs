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
