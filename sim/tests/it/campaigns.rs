//! Campaigns as people run them: shards, budgets, files of results, and processes that are killed.
//! What a single run does is `seeds.rs`'s.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{SIM, chil_sim, stderr};

/// The summary without what depends on the machine.
fn summary(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    let mut json: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let object = json.as_object_mut().expect("an object");
    object.remove("seconds").expect("it took some time");
    json
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory for this test"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.file(name).to_str().expect("a plain path").to_owned()
    }
}

fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn two_shards_merged_are_one_run() {
    let place = Place::new();
    let run = |shard: &[&str], out: &str| {
        let mut args = vec![
            "run", "--short", "--seeds", "60..76", "--json", "--out", out,
        ];
        args.extend_from_slice(shard);
        summary(&chil_sim(&args))
    };
    let (one, two) = (place.name("0.jsonl"), place.name("1.jsonl"));
    let whole = run(&[], &place.name("whole.jsonl"));
    run(&["--shard", "0/2"], &one);
    run(&["--shard", "1/2", "--jobs", "3"], &two);
    let both = place.name("both.jsonl");
    let merged = summary(&chil_sim(&["merge", &two, &one, "--json", "--out", &both]));
    assert_eq!(merged, whole);
    assert_eq!(whole["stats"]["seeds"], 16);
    assert_eq!(whole["stats"]["run_twice"], 1, "seed 64");
    assert!(whole["stats"]["events"].as_u64() > Some(1_000));
    assert_eq!(whole["tops"]["events"].as_array().map(Vec::len), Some(10));
    assert_eq!(
        summary(&chil_sim(&["merge", &both, "--json"])),
        whole,
        "what was merged can be merged again"
    );
    let twice = chil_sim(&["merge", &both, &one]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(
        stderr(&twice).contains("seed 60 is in"),
        "{}",
        stderr(&twice)
    );
    let half = chil_sim(&["merge", &one]);
    assert_eq!(half.status.code(), Some(0));
    let text = String::from_utf8_lossy(&half.stdout).into_owned();
    assert!(
        text.contains("NOT RUN seeds 60..76: no file of shard 1 of 2"),
        "{text}"
    );
    let half = chil_sim(&["merge", "--complete", &one]);
    assert_eq!(half.status.code(), Some(1));
}

/// A batch is written after a second: so many short seeds take several.
const KILLED_SEEDS: u64 = if cfg!(debug_assertions) { 800 } else { 8_000 };

#[test]
fn a_killed_campaign_goes_on_and_runs_nothing_twice() {
    let place = Place::new();
    let (out, straight) = (place.file("killed.jsonl"), place.name("straight.jsonl"));
    let seeds = format!("100..{}", 100 + KILLED_SEEDS);
    let args = |out: &str| {
        let args = ["run", "--short", "--seeds", &seeds, "--json", "--out", out];
        args.map(str::to_owned)
    };
    let mut command = Command::new(SIM);
    command.args(args(out.to_str().unwrap()));
    // So that a batch comes long before the end.
    command.args(["--jobs", "1"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut killed = command.spawn().unwrap();
    let patience = Instant::now();
    while lines(&out).len() < 2 {
        assert!(patience.elapsed() < Duration::from_secs(60), "no batch");
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    let ended = killed.wait().unwrap();
    assert_eq!(ended.code(), None, "it had ended by itself: {ended}");
    let left = lines(&out);
    let last: Value = serde_json::from_str(left.last().unwrap()).unwrap();
    let done = last["batch"]["done"].as_u64().unwrap();
    assert!(
        (1..KILLED_SEEDS).contains(&done),
        "{done} of {KILLED_SEEDS} seeds were done when it was killed"
    );

    // A torn line, as a crash in the middle of writing leaves it.
    let mut torn = std::fs::read_to_string(&out).unwrap();
    let half = &left[1][..left[1].len() / 2];
    torn.push_str(half);
    std::fs::write(&out, torn).unwrap();

    let again = Command::new(SIM)
        .args(args(out.to_str().unwrap()))
        .output()
        .unwrap();
    let whole = Command::new(SIM).args(args(&straight)).output().unwrap();
    assert_eq!(summary(&again), summary(&whole));
    assert_eq!(lines(&out)[..left.len()], left, "what was written stays");
    let words = stderr(&again);
    assert!(
        words.contains(&format!("goes on behind {done} of")),
        "{words}"
    );

    let before = lines(&out);
    let nothing_left = Command::new(SIM)
        .args(args(out.to_str().unwrap()))
        .output()
        .unwrap();
    assert_eq!(summary(&nothing_left), summary(&whole));
    assert_eq!(lines(&out), before, "nothing is run twice");
}

#[test]
fn a_file_of_other_seeds_is_refused() {
    let place = Place::new();
    let out = place.name("out.jsonl");
    let run = |args: &[&str]| {
        let mut all = vec!["run", "--short", "--out", &out];
        all.extend_from_slice(args);
        chil_sim(&all)
    };
    assert_eq!(
        run(&["--seeds", "4", "--shard", "1/4"]).status.code(),
        Some(0)
    );
    for (args, words) in [
        (
            vec!["--seeds", "5", "--shard", "1/4"],
            "not of seeds 0..5, shard 1/4",
        ),
        (
            vec!["--seeds", "4", "--shard", "2/4"],
            "not of seeds 0..4, shard 2/4",
        ),
        (vec!["--seeds", "4"], "is of seeds 0..4, shard 1/4"),
        (
            vec!["--seeds", "4", "--shard", "1/4", "--check-every", "2"],
            "--check-every 1, not 2",
        ),
    ] {
        let refused = run(&args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        let said = stderr(&refused);
        assert!(said.contains(words) && said.contains("--out"), "{said}");
    }
    let text = std::fs::read_to_string(&out).unwrap();
    let other = text.replacen("\"code\":\"", "\"code\":\"0", 1);
    std::fs::write(&out, other).unwrap();
    let refused = run(&["--seeds", "4", "--shard", "1/4"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("another build"),
        "{}",
        stderr(&refused)
    );
    std::fs::write(&out, "something else\n").unwrap();
    let refused = run(&["--seeds", "4", "--shard", "1/4"]);
    assert!(
        stderr(&refused).contains("line 1 is no result"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_shard_that_has_run_nothing_is_merged_and_merged_again() {
    let place = Place::new();
    let shard = |index: u64, out: &str| {
        let shard = format!("{index}/2");
        let args = [
            "run", "--short", "--seeds", "8", "--shard", &shard, "--out", out,
        ];
        assert_eq!(chil_sim(&args).status.code(), Some(0));
    };
    let (begun, done) = (place.name("begun.jsonl"), place.name("done.jsonl"));
    shard(0, &begun);
    shard(1, &done);
    // As if it had been killed right behind its header.
    let head = lines(Path::new(&begun)).remove(0);
    std::fs::write(&begun, format!("{head}\n")).unwrap();
    let both = place.name("both.jsonl");
    let merged = chil_sim(&["merge", &begun, &done, "--json", "--out", &both]);
    let merged = summary(&merged);
    assert_eq!(
        (&merged["stats"]["seeds"], &merged["missing"]),
        (&4.into(), &4.into())
    );
    assert_eq!(summary(&chil_sim(&["merge", &both, "--json"])), merged);

    // Killed before even that, or in the middle of it.
    for content in ["", &head[..head.len() / 2]] {
        let died = place.name("died.jsonl");
        std::fs::write(&died, content).unwrap();
        let merged = chil_sim(&["merge", &died, &done]);
        assert_eq!(merged.status.code(), Some(0), "{}", stderr(&merged));
        let words = stderr(&merged);
        assert!(words.contains("died.jsonl is left out"), "{words}");
        let whole = chil_sim(&["merge", "--complete", &both, &died]);
        assert_eq!(whole.status.code(), Some(1));
        let alone = chil_sim(&["merge", &died]);
        assert_eq!(alone.status.code(), Some(1));
        assert!(
            stderr(&alone).contains("no file holds results"),
            "{}",
            stderr(&alone)
        );
    }
    std::fs::write(&begun, "something else").unwrap();
    let refused = chil_sim(&["merge", &begun, &done]);
    assert!(
        stderr(&refused).contains("something else than results"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn what_is_no_campaigns_file_is_left_as_it_is() {
    let place = Place::new();
    let out = place.name("out.jsonl");
    let run = || chil_sim(&["run", "--short", "--seeds", "4", "--out", &out]);
    // The beginnings of other files, with and without a line break.
    for content in [&b"my only copy"[..], b"{\"campaigns\":1}\ntorn", b"\xff"] {
        std::fs::write(&out, content).unwrap();
        let refused = run();
        assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
        assert_eq!(std::fs::read(&out).unwrap(), content);
    }
    // What a campaign wrote of its header before it died is no reason to refuse; nor is a torn
    // line that ends in the middle of a letter.
    std::fs::write(&out, "{\"camp").unwrap();
    assert_eq!(run().status.code(), Some(0), "{}", stderr(&run()));
    let whole = std::fs::read(&out).unwrap();
    std::fs::write(&out, [&whole[..], b"{\"batch\":\"\xc3"].concat()).unwrap();
    let merged = chil_sim(&["merge", &out, "--complete"]);
    assert_eq!(merged.status.code(), Some(0), "{}", stderr(&merged));
    assert_eq!(run().status.code(), Some(0));
    assert_eq!(std::fs::read(&out).unwrap(), whole);

    let endless = chil_sim(&["run", "--short", "--seeds", "4", "--out", "/dev/full"]);
    assert_eq!(endless.status.code(), Some(1));
    assert!(
        stderr(&endless).contains("no regular file"),
        "{}",
        stderr(&endless)
    );
}

#[test]
fn a_line_that_is_missing_is_found() {
    let place = Place::new();
    let shard = |index: u64| {
        let out = place.name(&format!("{index}.jsonl"));
        let shard = format!("{index}/2");
        let args = [
            "run", "--short", "--seeds", "8", "--shard", &shard, "--out", &out,
        ];
        assert_eq!(chil_sim(&args).status.code(), Some(0));
        out
    };
    let files = [shard(0), shard(1)];
    let batch = |file: &str| lines(Path::new(file)).pop().unwrap();
    // As if an earlier batch had been lost: this one ends at 4, but holds the results of fewer.
    let few = batch(&files[0]).replacen("\"seeds\":4", "\"seeds\":3", 1);
    let head = lines(Path::new(&files[0])).remove(0);
    std::fs::write(&files[0], format!("{head}\n{few}\n")).unwrap();
    let output = chil_sim(&["merge", &files[0], &files[1]]);
    assert_eq!(output.status.code(), Some(1));
    let words = stderr(&output);
    assert!(
        words.contains("results of 3 seeds, but 4 are done"),
        "{words}"
    );
}

#[test]
fn the_file_of_a_campaign_that_runs_is_not_written_over() {
    let place = Place::new();
    let (out, other) = (place.name("out.jsonl"), place.name("other.jsonl"));
    for file in [&out, &other] {
        let args = ["run", "--short", "--seeds", "4", "--out", file];
        assert_eq!(chil_sim(&args).status.code(), Some(0));
    }
    let running = std::fs::File::open(&out).unwrap();
    running.lock().unwrap();
    let merge = || chil_sim(&["merge", &other, "--out", &out]);
    let refused = merge();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("another process"),
        "{}",
        stderr(&refused)
    );
    drop(running);
    assert_eq!(merge().status.code(), Some(0));
    assert_eq!(
        chil_sim(&["merge", &out, "--complete"]).status.code(),
        Some(0)
    );
}

#[test]
fn nothing_is_no_campaign() {
    for args in [
        &["run", "--jobs", "0"][..],
        &["run", "--jobs", "1000000"],
        &["run", "--shard", "0/18446744073709551615"],
        &["run", "--check-every", "0"],
        &["run", "--shard", "8/8"],
        &["scenarios", "--jobs", "0"],
        &["replay", "7", "--until", "10", "--html", "run.html"],
    ] {
        let output = chil_sim(args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?} {}",
            stderr(&output)
        );
    }
}

#[test]
fn the_number_of_a_shard_comes_from_the_scheduler() {
    let run = |index: Option<&str>| {
        let mut command = Command::new(SIM);
        command.args([
            "run", "--short", "--seeds", "9", "--shard", "auto/8", "--json",
        ]);
        command.env_remove("JOB_COMPLETION_INDEX");
        if let Some(index) = index {
            command.env("JOB_COMPLETION_INDEX", index);
        }
        command.output().unwrap()
    };
    assert_eq!(summary(&run(Some("0")))["stats"]["seeds"], 2);
    assert_eq!(summary(&run(Some("7")))["stats"]["seeds"], 1);
    let unset = run(None);
    assert_eq!(unset.status.code(), Some(2));
    assert!(
        stderr(&unset).contains("JOB_COMPLETION_INDEX"),
        "{}",
        stderr(&unset)
    );
}

#[test]
fn a_violation_is_reported_again_and_counted_once() {
    let place = Place::new();
    let (out, junit) = (place.name("out.jsonl"), place.file("junit.xml"));
    let args = ["run", "--short", "--seeds", "8", "--out", &out, "--json"];
    let clean = chil_sim(&args);
    assert_eq!(clean.status.code(), Some(0));
    // No sound build violates anything: the file says that this one did.
    let text = std::fs::read_to_string(&out).unwrap();
    let failed = r#""failures":[{"seed":3,"token":"3:1a2b3c4d","check":"agreement","node":1,"what":"chose <two> & more",
        "signature":"agreement","explained":[],"repeats":true}]"#;
    let failed = failed.replace("\n        ", "");
    std::fs::write(&out, text.replacen(r#""failures":[]"#, &failed, 1)).unwrap();
    let again = chil_sim(&args);
    assert_eq!(again.status.code(), Some(42), "{}", stderr(&again));
    let json: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(json["failed"], 1);
    assert_eq!(
        json["failures"][0]["replay"],
        "cargo chaos replay 3:1a2b3c4d --short"
    );
    let merge = ["merge", &out, "--junit", junit.to_str().unwrap()];
    let merged = chil_sim(&merge);
    assert_eq!(merged.status.code(), Some(42));
    let text = String::from_utf8_lossy(&merged.stdout).into_owned();
    assert!(text.contains("VIOLATED 1 times: agreement"), "{text}");
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("chose &lt;two&gt; &amp; more"), "{xml}");
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
}

#[test]
fn what_was_found_is_told_whatever_becomes_of_the_files() {
    let place = Place::new();
    let out = place.name("out.jsonl");
    let run = ["run", "--short", "--seeds", "2", "--out", &out];
    // Before anything is run.
    let nowhere = place.name("missing/campaign.html");
    let refused = chil_sim(&[&run[..], &["--html", &nowhere]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("cannot write"),
        "{}",
        stderr(&refused)
    );
    assert!(refused.stdout.is_empty() && !place.file("out.jsonl").exists());

    // Behind it, and nothing was violated: then the file is the trouble.
    let full = [&run[..], &["--html", "/dev/full"]].concat();
    let clean = chil_sim(&full);
    assert_eq!(clean.status.code(), Some(1));
    let text = String::from_utf8_lossy(&clean.stdout).into_owned();
    assert!(text.contains("nothing was violated"), "{text}");
    assert!(stderr(&clean).contains("/dev/full"), "{}", stderr(&clean));

    let text = std::fs::read_to_string(&out).unwrap();
    let failed = r#""failures":[{"seed":1,"token":"1","check":"agreement","node":1,"what":"w","signature":"agreement","explained":[],"repeats":true}]"#;
    std::fs::write(&out, text.replacen(r#""failures":[]"#, failed, 1)).unwrap();
    for args in [&full[..], &["merge", &out, "--junit", "/dev/full"]] {
        let violated = chil_sim(args);
        assert_eq!(violated.status.code(), Some(42));
        let text = String::from_utf8_lossy(&violated.stdout).into_owned();
        assert!(text.contains("VIOLATED 1 times: agreement"), "{text}");
        assert!(
            stderr(&violated).contains("/dev/full"),
            "{}",
            stderr(&violated)
        );
    }
    // Nobody reads it.
    let mut command = Command::new(SIM);
    command
        .args(run)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

#[test]
fn a_budget_or_a_signal_ends_a_campaign_in_good_order() {
    let place = Place::new();
    let out = place.name("budget.jsonl");
    let args = [
        "run", "--short", "--seeds", "1000000", "--json", "--out", &out,
    ];
    let mut with_budget = args.to_vec();
    with_budget.extend(["--budget", "1s"]);
    let first = chil_sim(&with_budget);
    let done = summary(&first)["stats"]["seeds"].as_u64().unwrap();
    assert!(done > 0);
    let mut child = Command::new(SIM)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now();
    let before = lines(Path::new(&out)).len();
    while lines(Path::new(&out)).len() == before {
        assert!(patience.elapsed() < Duration::from_secs(60), "no batch");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130), "128 and the number of SIGINT");
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.ends_with('\n'), "what was run is written");
    let merged = summary(&chil_sim(&["merge", &out, "--json"]));
    assert!(merged["stats"]["seeds"].as_u64() > Some(done));
    assert_eq!(
        merged["missing"],
        1_000_000 - merged["stats"]["seeds"].as_u64().unwrap()
    );
}
