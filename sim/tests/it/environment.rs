//! Chaos as the environment asks for it: this binary is run once more, with variables set.
//! What the variables may say is tested where they are read.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, Result, Write};
use std::process::Command;

use bytes::Bytes;
use chil_core::{FrozenState, Slot, StateMachine};
use chil_sim::{Chaos, Draw, Request, swarm};

/// A sum, and how many numbers are in it, which snapshots may forget.
#[derive(Clone, Default)]
struct Sum<const FORGETS: bool> {
    sum: u64,
    count: u64,
}

impl<const FORGETS: bool> StateMachine for Sum<FORGETS> {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        self.sum += u64::from(command[0]);
        self.count += 1;
        Bytes::from(format!("{} in {}", self.sum, self.count))
    }

    fn query(&self, _query: &Bytes) -> Bytes {
        Bytes::from(self.sum.to_string())
    }

    fn digest(&self) -> u128 {
        self.sum.into()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        let count = if FORGETS { 0 } else { self.count };
        Box::new(Frozen([self.sum, count]))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        for number in [&mut self.sum, &mut self.count] {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            *number = u64::from_le_bytes(bytes);
        }
        Ok(())
    }
}

struct Frozen([u64; 2]);

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        self.0
            .iter()
            .try_for_each(|number| out.write_all(&number.to_le_bytes()))
    }
}

fn requests(draw: &mut Draw<'_>) -> Request {
    if draw.chance(20) {
        Request::Query(Bytes::new())
    } else {
        Request::Command(Bytes::from(vec![u8::try_from(draw.below(200)).unwrap()]))
    }
}

#[test]
fn sound() {
    Chaos::new(Sum::<false>::default)
        .workload(requests)
        .seeds(3)
        .run();
}

#[test]
#[should_panic(expected = "CHIL_SIM_PLAN=")]
#[ignore = "writes where another process with it does: others run it, one after the other"]
fn forgetful() {
    Chaos::new(Sum::<true>::default)
        .workload(requests)
        .seeds(300)
        .run();
}

#[test]
fn roomy() {
    let large = |draw: &mut Draw<'_>| {
        let number = u8::try_from(draw.below(200)).unwrap();
        Request::Command(Bytes::from(vec![number; 5_000]))
    };
    Chaos::new(Sum::<false>::default)
        .workload(large)
        .request_bytes_max(5_000)
        .seeds(3)
        .run();
}

#[test]
#[should_panic(expected = "violates determinism")]
#[ignore = "writes where another process with it does: others run it, one after the other"]
fn random() {
    // Consistent in itself, but another number in each run.
    let requests = |_: &mut Draw<'_>| {
        let number = RandomState::new().hash_one(7).to_le_bytes();
        Request::Command(Bytes::from(number.to_vec()))
    };
    Chaos::new(Sum::<false>::default)
        .workload(requests)
        .seeds(20)
        .run();
}

/// Runs one of those above in a process of its own: whether it passed, and what it said.
fn child(test: &str, vars: &[(&str, &OsStr)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = format!("environment::{test}");
    command.args(["--exact", &test, "--include-ignored"]);
    command.args(["--nocapture", "--test-threads=2"]);
    for name in ["SEED", "SEEDS", "PLAN", "JOBS"] {
        command.env_remove(format!("CHIL_SIM_{name}"));
    }
    let output = command.envs(vars.iter().copied()).output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8(words).unwrap();
    assert!(words.contains("running 1 test"), "{words}");
    (output.status.success(), words)
}

/// The word behind a mark.
fn behind<'a>(words: &'a str, mark: &str) -> &'a str {
    let (_, rest) = words.split_once(mark).unwrap_or_else(|| panic!("{words}"));
    rest.split_whitespace().next().unwrap()
}

#[test]
fn a_failure_is_seen_again_by_its_seed_and_by_its_plan() {
    let (fails, found) = child("forgetful", &[]);
    assert!(fails, "{found}");
    let token = behind(&found, "replay:   CHIL_SIM_SEED=");
    let (_, violated) = found.split_once(" violates ").expect("what it violates");
    let violated = violated.lines().next().unwrap();

    let (fails, again) = child("forgetful", &[("CHIL_SIM_SEED", token.as_ref())]);
    assert!(fails, "{again}");
    let same = format!("seed {token} violates {violated}");
    assert!(again.contains(&same), "{same} in {again}");
    assert!(!again.contains("another plan"), "{again}");
    let stale = format!("{}:00000000", token.split(':').next().unwrap());
    let (fails, other) = child("forgetful", &[("CHIL_SIM_SEED", stale.as_ref())]);
    assert!(fails && other.contains("draws another plan"), "{other}");

    // The plan was made small: what it violates has other numbers, but the same name.
    let plan = behind(&again, "CHIL_SIM_PLAN=");
    let (fails, by_plan) = child("forgetful", &[("CHIL_SIM_PLAN", plan.as_ref())]);
    assert!(fails, "{by_plan}");
    let check = violated.split(':').next().unwrap();
    let same = format!("the plan violates {check}:");
    assert!(by_plan.contains(&same), "{same} in {by_plan}");
    let (passes, sound) = child("sound", &[("CHIL_SIM_PLAN", plan.as_ref())]);
    assert!(passes && sound.contains("nothing violated"), "{sound}");
}

#[test]
fn a_difference_between_two_runs_is_seen_again_by_its_seed_and_by_its_plan() {
    let (fails, found) = child("random", &[]);
    assert!(fails, "{found}");
    let token = behind(&found, "replay:   CHIL_SIM_SEED=");
    let plan = behind(&found, "CHIL_SIM_PLAN=");
    for (name, value) in [("CHIL_SIM_SEED", token), ("CHIL_SIM_PLAN", plan)] {
        let (fails, again) = child("random", &[(name, value.as_ref())]);
        assert!(fails, "{name}: {again}");
    }
}

#[test]
fn a_plan_that_draws_its_requests_has_room_for_them() {
    let tight = (0..).map(swarm::short);
    let mut tight = tight.filter(|plan| plan.cluster.value_bytes_max < 5_000);
    let plan = serde_json::to_string(&tight.next().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tight.json");
    std::fs::write(&file, plan).unwrap();
    let (passes, words) = child("roomy", &[("CHIL_SIM_PLAN", file.as_os_str())]);
    assert!(passes && words.contains("nothing violated"), "{words}");
}

#[test]
fn how_many_seeds_which_and_for_how_long() {
    let seeds = |value: &str| {
        let vars = [
            ("CHIL_SIM_SEEDS", value.as_ref()),
            ("CHIL_SIM_JOBS", "1".as_ref()),
        ];
        let (passes, words) = child("sound", &vars);
        assert!(passes, "{words}");
        let (before, _) = words.split_once(" seeds, ").expect("what it did");
        let count = before.rsplit(' ').next().unwrap();
        count.parse::<u64>().unwrap()
    };
    assert_eq!(seeds("7"), 7);
    assert_eq!(seeds("100..104"), 4);
    assert!(seeds("1s") > 3, "as many as there is time for");
}

#[test]
fn what_cannot_be_meant_fails_the_test_and_says_what_can() {
    #[cfg(unix)]
    let no_text = {
        use std::os::unix::ffi::OsStringExt as _;
        OsString::from_vec(b"7\xff".to_vec())
    };
    #[cfg(not(unix))]
    let no_text = OsString::from("seven");
    for (name, value, said) in [
        ("CHIL_SIM_SEED", no_text.as_os_str(), "CHIL_SIM_SEED"),
        ("CHIL_SIM_SEEDS", "many".as_ref(), "how many (10000)"),
        ("CHIL_SIM_SEEDS", no_text.as_os_str(), "CHIL_SIM_SEEDS is "),
        ("CHIL_SIM_JOBS", "0".as_ref(), "not a number of threads"),
        ("CHIL_SIM_JOBS", no_text.as_os_str(), "CHIL_SIM_JOBS is "),
        ("CHIL_SIM_PLAN", "no/such.json".as_ref(), "no/such.json"),
    ] {
        let (passes, words) = child("sound", &[(name, value)]);
        assert!(!passes && words.contains(said), "{name}: {words}");
    }
}
