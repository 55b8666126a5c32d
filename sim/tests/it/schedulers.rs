//! The files that hand campaigns to schedulers: they parse, agree with themselves, and their shell
//! commands do what they should. No scheduler is asked.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::SIM;

fn file(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/campaigns");
    std::fs::read_to_string(root.join(name)).unwrap()
}

fn documents(name: &str) -> Vec<Value> {
    let text = file(name);
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A directory in which the commands find the binary, both on the PATH and where Cargo builds it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let release = dir.path().join("target/release");
        std::fs::create_dir_all(&release).unwrap();
        let binary = release.join(format!("chil-sim{}", std::env::consts::EXE_SUFFIX));
        // A copy that is being written is open in whatever another test starts just then, and what
        // is open for writing cannot be run.
        #[cfg(unix)]
        std::os::unix::fs::symlink(SIM, binary).unwrap();
        #[cfg(not(unix))]
        std::fs::copy(SIM, binary).unwrap();
        Self { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shell(&self, script: &str, env: &[(&str, &str)]) -> Output {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let found = std::iter::once(self.file("target/release"));
        let paths = std::env::join_paths(found.chain(std::env::split_paths(&paths))).unwrap();
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(self.dir.path());
        command
            .env("PATH", paths)
            .env_remove("JOB_COMPLETION_INDEX");
        command.envs(env.iter().copied());
        command.output().unwrap()
    }

    fn succeeds(&self, script: &str, env: &[(&str, &str)]) {
        let output = self.shell(script, env);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{script}\n{words}");
    }

    fn holds_a_campaign_of(&self, seeds: u64) {
        let xml = std::fs::read_to_string(self.file("campaign.xml")).unwrap();
        assert!(xml.contains("failures=\"0\""), "{xml}");
        let page = std::fs::read_to_string(self.file("campaign.html")).unwrap();
        assert!(
            page.contains(&format!("<dd>{seeds}<small>")),
            "{seeds} seeds"
        );
        assert!(self.file("campaign.jsonl").is_file());
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} in {value:#}"))
}

#[test]
fn an_image_is_not_built_from_what_was_built_here() {
    // Podman and BuildKit look for it beside the file that they are given.
    let ignored = file("Containerfile.dockerignore");
    let ignored: Vec<&str> = ignored
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(ignored, ["/target", "/.git"]);
}

#[test]
fn the_indexed_job_runs_every_shard_and_adds_them_up() {
    let documents = documents("kubernetes.yaml");
    let kinds: Vec<&str> = documents.iter().map(|d| text(d, "/kind")).collect();
    assert_eq!(kinds, ["PersistentVolumeClaim", "Job", "Job"]);
    let [volume, job, merge] = documents.as_slice() else {
        panic!("three documents");
    };
    let container = "/spec/template/spec/containers/0";
    for job in [job, merge] {
        assert_eq!(
            text(
                job,
                "/spec/template/spec/volumes/0/persistentVolumeClaim/claimName"
            ),
            text(volume, "/metadata/name")
        );
        assert_eq!(text(job, &format!("{container}/command/0")), "/bin/sh");
        assert_eq!(text(job, "/spec/template/spec/restartPolicy"), "Never");
    }
    assert_eq!(text(job, "/spec/completionMode"), "Indexed");
    let shards = job["spec"]["completions"].as_u64().unwrap();
    let script = text(job, &format!("{container}/args/0"));
    assert!(
        script.contains(&format!("--shard auto/{shards} ")),
        "{script}"
    );
    let failure = &job["spec"]["podFailurePolicy"]["rules"][0];
    assert_eq!(
        text(failure, "/onExitCodes/containerName"),
        text(job, &format!("{container}/name"))
    );
    assert_eq!(failure["action"], "FailIndex");
    assert_eq!(
        failure["onExitCodes"]["values"],
        serde_json::json!([1, 2, 42])
    );
    let variables = job.pointer(&format!("{container}/env")).unwrap();
    let names: Vec<&str> = variables
        .as_array()
        .unwrap()
        .iter()
        .map(|v| text(v, "/name"))
        .collect();
    assert_eq!(names, ["SEEDS", "RESULTS"]);

    let place = Place::new();
    let results = place.dir.path().to_str().unwrap();
    for index in 0..shards {
        let index = index.to_string();
        let env = [
            ("SEEDS", "9"),
            ("RESULTS", results),
            ("JOB_COMPLETION_INDEX", &*index),
        ];
        place.succeeds(script, &env);
    }
    let lost = place.shell(script, &[("SEEDS", "9"), ("RESULTS", results)]);
    assert_eq!(lost.status.code(), Some(2), "nobody said which shard");
    let script = text(merge, &format!("{container}/args/0"));
    place.succeeds(script, &[("RESULTS", results)]);
    place.holds_a_campaign_of(9);
}

/// A `kubectl` that writes down what it is asked, and tells of a job that goes on for two more
/// questions and then has the conditions of `$CONDITIONS`.
const KUBECTL: &str = r#"#!/bin/sh
echo "$*" >>asked
case "$1" in
    get)
        [ "$2 $3 $4" = 'job/chil-campaign -o jsonpath={.status.conditions[?(@.status=="True")].type}' ] || exit 1
        echo >>polls
        [ "$(wc -l <polls)" -le 2 ] || printf %s "$CONDITIONS" ;;
    apply | patch) ;;
    *) exit 1 ;;
esac
"#;

#[cfg(unix)]
#[test]
fn the_indexed_job_is_waited_for_whether_it_fails_or_not() {
    let head = file("kubernetes.yaml");
    let commands = head.lines().filter_map(|line| line.strip_prefix("#   "));
    let script = commands.collect::<Vec<_>>().join("\n");
    assert!(script.starts_with("kubectl apply"), "{script}");
    for conditions in [
        "Complete",
        "Failed",
        "SuccessCriteriaMet Complete",
        "FailureTarget Failed",
    ] {
        let place = Place::new();
        let fake = place.file("target/release/kubectl");
        let write = r#"printf %s "$KUBECTL" > "$FAKE" && chmod 755 "$FAKE""#;
        let env = [("KUBECTL", KUBECTL), ("FAKE", fake.to_str().unwrap())];
        place.succeeds(write, &env);
        place.succeeds(&script, &[("CONDITIONS", conditions), ("EVERY", "0")]);
        let asked = std::fs::read_to_string(place.file("asked")).unwrap();
        let verbs: Vec<&str> = asked.lines().filter_map(|l| l.split(' ').next()).collect();
        assert_eq!(verbs, ["apply", "get", "get", "get", "patch"], "{asked}");
        assert!(asked.contains(r#"{"spec":{"suspend":false}}"#), "{asked}");
    }
}

#[test]
fn the_matrix_runs_every_shard_and_adds_them_up() {
    let documents = documents("github-actions.yaml");
    let [workflow] = documents.as_slice() else {
        panic!("one document");
    };
    let jobs = &workflow["jobs"];
    let step = |job: &str, name: &str| {
        let steps = jobs[job]["steps"].as_array().unwrap();
        let found = steps
            .iter()
            .find(|step| step["name"] == name || step["id"] == name);
        text(found.unwrap_or_else(|| panic!("no step {name}")), "/run").to_owned()
    };
    let place = Place::new();
    let drawn = place.file("drawn");
    let env = [("RUN", "7"), ("GITHUB_OUTPUT", drawn.to_str().unwrap())];
    place.succeeds(&step("seeds", "draw"), &env);
    let drawn = std::fs::read_to_string(drawn).unwrap();
    assert_eq!(drawn, "seeds=7000000..8000000\n");

    assert_eq!(text(&jobs["shard"], "/env/SHARD"), "${{ matrix.shard }}");
    let shards = jobs["shard"]["strategy"]["matrix"]["shard"]
        .as_array()
        .unwrap();
    let script = step("shard", "run");
    assert!(
        script.contains(&format!("--shard \"$SHARD/{}\"", shards.len())),
        "{script}"
    );
    for shard in shards {
        let shard = shard.to_string();
        place.succeeds(&script, &[("SEEDS", "100..109"), ("SHARD", &shard)]);
    }
    place.succeeds(&step("merge", "merge"), &[]);
    place.holds_a_campaign_of(9);
}
