//! Hunts of binaries that are shell scripts and say what they are told to.

use std::fs;

use super::*;

/// A directory with a "mutant": a script for `run`, in which `$from` and `$to` are the seeds and
/// `$checks` those that count. It knows no plans, and its scenarios go well.
struct Fake {
    dir: tempfile::TempDir,
}

/// Writes a program by another process: while this one has it open, whatever another test starts
/// just then has it open, too, and a program that is being written cannot be run.
fn write_script(path: &Path, text: &str) {
    let write = r#"printf %s "$1" > "$2" && chmod 755 "$2""#;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", write, "sh", text]).arg(path);
    assert!(shell.status().unwrap().success());
}

impl Fake {
    fn new(run: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = run ] || exit 0\nfrom=${{4%..*}} to=${{4#*..}} checks=$8\n{run}\n"
        );
        let binary = dir.path().join("mutant");
        write_script(&binary, &script);
        Self { dir }
    }

    /// The same with a plan, and a script for that.
    fn with_plan(self, replay: &str) -> Self {
        let dir = self.dir.path();
        fs::create_dir(dir.join("plans")).unwrap();
        fs::write(dir.join("plans/story.json"), "{}").unwrap();
        let script = fs::read_to_string(dir.join("mutant")).unwrap();
        let also = format!("#!/bin/sh\n[ \"$1\" = replay ] && {{ {replay}; }}\n");
        let script = script.replacen("#!/bin/sh\n", &also, 1);
        write_script(&dir.join("mutant"), &script);
        self
    }

    fn hunted(&self, mutant: &Mutant) -> anyhow::Result<Catch> {
        let effort = Effort {
            seeds: 100,
            jobs: 1,
            limit: Duration::from_secs(20),
            ..Effort::default()
        };
        self.hunted_with(mutant, &effort)
    }

    fn hunted_with(&self, mutant: &Mutant, effort: &Effort) -> anyhow::Result<Catch> {
        let plans = self.dir.path().join("plans");
        hunt_built(mutant, &plans, &self.dir.path().join("mutant"), effort)
    }
}

fn mutant() -> Mutant {
    Mutant::named("X", None)
}

const CLEAN: &str = r#"echo '{"failures": [], "impossible_and_reached": []}'"#;

#[test]
fn what_cannot_happen_and_does_is_a_kill_by_coverage() {
    // From the seventh seed of a range on the impossible is there; in the second range an
    // ordinary check comes with it, and counts.
    let fake = Fake::new(
        r#"
        if [ "$from" = 10000000 ]; then
            echo '{"failures": [{"seed": 10000003, "check": "bounds", "what": "w"}],
                   "impossible_and_reached": ["notice Malformed"]}'; exit 42
        fi
        if [ $((to - from)) -ge 7 ]; then
            echo '{"failures": [], "impossible_and_reached": ["notice Malformed"]}'
            echo 'chil-sim: reached' >&2; exit 1
        fi
        echo '{"failures": [], "impossible_and_reached": []}'"#,
    );
    let catch = fake.hunted(&mutant()).unwrap();
    assert!(catch.killed());
    assert_eq!(catch.seeds[..3], [Some(7), Some(4), Some(7)]);
    assert_eq!(catch.checks, [COVERAGE, "bounds"]);
    assert_eq!((catch.seed, &*catch.what), (Some(6), "notice Malformed"));
}

#[test]
fn trouble_stays_trouble() {
    let fake = Fake::new("echo 'chil-sim: the disk is full' >&2; exit 1");
    let error = fake.hunted(&mutant()).unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    // A summary that was printed makes no kill of it.
    let fake = Fake::new(&format!("{CLEAN}; echo 'no space' >&2; exit 1"));
    let error = fake.hunted(&mutant()).unwrap_err().to_string();
    assert!(
        error.contains("no space") && error.contains("0..100"),
        "{error}"
    );
}

#[test]
fn a_mutant_that_breaks_is_killed_and_by_which_seed() {
    // A stack that overflows, or a memory that is not there, ends in a signal.
    let fake = Fake::new(&format!(
        "[ $to -gt $((from + 41)) ] && kill -ABRT $$; {CLEAN}"
    ));
    let catch = fake.hunted(&mutant()).unwrap();
    assert_eq!(catch.seeds, [Some(42); 5]);
    assert_eq!(catch.checks, [ASSERTION]);
    assert!(
        catch.what.contains("was ended by the system: signal: 6"),
        "{}",
        catch.what
    );
    assert!(catch.what.contains("seeds 0..100"), "{}", catch.what);
}

/// Of several threads one may break what another would have told of an earlier seed.
#[test]
fn what_is_violated_before_a_mutant_breaks_counts() {
    let fake = Fake::new(&format!(
        r#"[ $to -gt $((from + 6)) ] && kill -ABRT $$
        if [ $to -gt $((from + 3)) ]; then
            echo '{{"failures": [{{"seed": '$((from + 3))', "check": "bounds", "what": "w"}}]}}'
            exit 42
        fi
        {CLEAN}"#
    ));
    let catch = fake.hunted(&mutant()).unwrap();
    assert_eq!(catch.seeds, [Some(4); 5]);
    assert_eq!(catch.checks, ["bounds"]);
}

#[test]
fn seeds_that_take_longer_than_the_limit_are_trouble_and_no_kill() {
    let effort = Effort {
        seeds: 100,
        jobs: 1,
        limit: Duration::from_millis(500),
        ..Effort::default()
    };
    // All of them, or those that are run again to see which one it was.
    for slow in [
        "exec sleep 60",
        "[ $((to - from)) = 100 ] && kill -ABRT $$; exec sleep 60",
    ] {
        let error = Fake::new(slow)
            .hunted_with(&mutant(), &effort)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("had not ended after") && error.contains("raise --limit"),
            "{error}"
        );
    }
}

#[test]
fn a_plan_that_a_mutant_hangs_in_is_a_kill() {
    let fake = Fake::new(CLEAN).with_plan("exec sleep 60");
    let effort = Effort {
        seeds: 100,
        jobs: 1,
        limit: Duration::from_secs(2),
        ..Effort::default()
    };
    let catch = fake.hunted_with(&mutant(), &effort).unwrap();
    assert_eq!(catch.directed.as_deref(), Some("plan story"));
    assert_eq!(catch.checks, [ASSERTION]);
    assert!(
        catch.what.contains("had not ended after 2 s"),
        "{}",
        catch.what
    );
}

#[test]
fn a_plan_that_a_mutant_breaks_in_is_a_kill() {
    let fake = Fake::new(CLEAN).with_plan("kill -ABRT $$");
    let catch = fake.hunted(&mutant()).unwrap();
    assert_eq!(catch.directed.as_deref(), Some("plan story"));
    assert_eq!(catch.checks, [ASSERTION]);
    assert!(catch.what.contains("signal: 6"), "{}", catch.what);
}

#[test]
fn trouble_names_the_mutant() {
    let dir = tempfile::tempdir().unwrap();
    let mutant = Mutant {
        edit: vec![crate::mutants::Edit {
            file: "no/such.rs".to_owned(),
            find: String::new(),
            replace: String::new(),
        }],
        ..mutant()
    };
    let copy = Copy::new(dir.path(), &dir.path().join("copy"));
    let error = hunt(&mutant, dir.path(), &copy, &Effort::default()).unwrap_err();
    assert_eq!(error.to_string(), "X", "{error:#}");
}

#[test]
fn checks_that_must_find_it_alone_are_the_only_ones_then() {
    // Of `agreement` alone nothing comes before an assertion in the third seed; all together
    // find something at once, and `forming` never does.
    let fake = Fake::new(
        r#"
        fail() { echo '{"failures": [{"seed": '$1', "check": "'$2'", "what": "w"}]}'; exit 42; }
        case "$checks" in
            agreement) [ $from -gt 2 ] && fail 8 agreement; fail 2 assertion ;;
            forming) ;;
            "") fail "$from" bounds ;;
        esac
        echo '{"failures": []}'"#,
    );
    let mutant = Mutant {
        alone: vec!["agreement".to_owned(), "forming".to_owned()],
        ..mutant()
    };
    let catch = fake.hunted(&mutant).unwrap();
    assert_eq!(catch.seeds, [Some(1); 5]);
    assert_eq!(catch.checks, ["bounds"]);
    assert_eq!(catch.alone["agreement"], Some(9));
    assert_eq!(catch.alone["forming"], None);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let name = |jobs, seeds| {
        let effort = Effort {
            jobs,
            seeds,
            ..Effort::default()
        };
        effort.name()
    };
    assert_eq!(name(1, 100), name(8, 100));
    assert_ne!(name(1, 100), name(1, 200));
}
