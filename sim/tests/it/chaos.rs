//! Chaos as embedders use it: what it says of state machines that are at fault themselves.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, Result, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chil_core::{FrozenState, Slot, StateMachine};
use chil_sim::campaign::Shard;
use chil_sim::subject::Subject;
use chil_sim::sweep::{Sweep, Told, sweep};
use chil_sim::{Chaos, Draw, Request};

/// Counts words; how much of it is right is the type's to say.
struct Words<const FAULT: u8> {
    counts: HashMap<String, u64>,
}

/// The faults that somebody could make.
const REPLIES_BY_HASH: u8 = 0;
const FREEZES_BY_HASH: u8 = 1;
const FORGETS_ONE: u8 = 2;
const NONE: u8 = 3;
const PANICS: u8 = 4;
const LOOKS_AT_A_CLOCK: u8 = 5;
const LOOKS_AT_SECONDS: u8 = 6;
const IS_RANDOM: u8 = 7;

impl<const FAULT: u8> Default for Words<FAULT> {
    fn default() -> Self {
        Self {
            counts: HashMap::new(),
        }
    }
}

impl<const FAULT: u8> Words<FAULT> {
    fn sorted(&self) -> Vec<(String, u64)> {
        let pairs = self
            .counts
            .iter()
            .map(|(word, count)| (word.clone(), *count));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        pairs
    }
}

struct Frozen(Vec<(String, u64)>);

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        for (word, count) in &self.0 {
            writeln!(out, "{word} {count}")?;
        }
        Ok(())
    }
}

impl<const FAULT: u8> StateMachine for Words<FAULT> {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        let word = String::from_utf8_lossy(command).into_owned();
        *self.counts.entry(word).or_default() += 1;
        assert!(FAULT != PANICS || self.counts.len() < 5, "too many words");
        if FAULT == REPLIES_BY_HASH {
            let words: Vec<&str> = self.counts.keys().map(String::as_str).collect();
            return Bytes::from(words.join(","));
        }
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        match FAULT {
            LOOKS_AT_A_CLOCK => return Bytes::from(now.as_nanos().to_string()),
            LOOKS_AT_SECONDS => return Bytes::from(now.as_secs().to_string()),
            // Each of these states has random keys.
            IS_RANDOM => return Bytes::from(RandomState::new().hash_one(7).to_string()),
            _ => {}
        }
        Bytes::from(self.counts.len().to_string())
    }

    fn query(&self, query: &Bytes) -> Bytes {
        let count = self.counts.get(&*String::from_utf8_lossy(query));
        Bytes::from(count.copied().unwrap_or_default().to_string())
    }

    fn digest(&self) -> u128 {
        let words = self.sorted().into_iter();
        words.fold(7, |sum, (word, count)| {
            let word = word
                .bytes()
                .fold(0_u128, |sum, b| sum.wrapping_mul(257) + u128::from(b));
            sum.wrapping_mul(1_000_003) ^ word ^ u128::from(count) << 64
        })
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        if FAULT == FREEZES_BY_HASH {
            let pairs = self
                .counts
                .iter()
                .map(|(word, count)| (word.clone(), *count));
            return Box::new(Frozen(pairs.collect()));
        }
        let mut pairs = self.sorted();
        if FAULT == FORGETS_ONE && pairs.len() > 3 {
            pairs.pop();
        }
        Box::new(Frozen(pairs))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        self.counts.clear();
        for line in text.lines() {
            let Some((word, count)) = line.split_once(' ') else {
                return Err(std::io::Error::other("no state"));
            };
            let count = count.parse().map_err(std::io::Error::other)?;
            self.counts.insert(word.to_owned(), count);
        }
        Ok(())
    }
}

fn requests(draw: &mut Draw<'_>) -> Request {
    let word = format!("word{}", draw.below(12));
    if draw.chance(20) {
        Request::Query(Bytes::from(word))
    } else {
        Request::Command(Bytes::from(word))
    }
}

fn chaos<const FAULT: u8>(name: &str) -> (Chaos, PathBuf) {
    let dir = std::env::temp_dir().join(format!("chil-chaos-{name}-{}", std::process::id()));
    let chaos = Chaos::new(Words::<FAULT>::default).workload(requests);
    (chaos.seeds(300).artifacts(&dir), dir)
}

fn told<const FAULT: u8>(name: &str) -> String {
    let (chaos, dir) = chaos::<FAULT>(name);
    let told = chaos.check().unwrap_err();
    let html = std::fs::read_dir(&dir).unwrap().any(|file| {
        let path = file.unwrap().path();
        path.extension()
            .is_some_and(|extension| extension == "html")
    });
    assert!(html, "{told}");
    std::fs::remove_dir_all(&dir).unwrap();
    told
}

#[test]
fn replies_in_the_order_of_a_hash_map_are_named() {
    let told = told::<REPLIES_BY_HASH>("replies");
    assert!(told.contains("not deterministic"), "{told}");
    assert!(told.contains("give different replies after"), "{told}");
}

#[test]
fn a_look_at_a_clock_is_named() {
    let told = told::<LOOKS_AT_A_CLOCK>("clock");
    assert!(told.contains("give different replies after"), "{told}");
    assert!(told.contains("Look for clocks"), "{told}");
}

#[test]
fn random_numbers_are_named() {
    let told = told::<IS_RANDOM>("random");
    assert!(told.contains("give different replies after"), "{told}");
    assert!(told.contains("random numbers"), "{told}");
}

#[test]
fn a_clock_that_shows_whole_seconds_is_named_when_one_has_passed() {
    let dir = tempfile::tempdir().unwrap();
    // As long as it takes until a second ends in the middle of a run.
    let chaos = Chaos::new(Words::<LOOKS_AT_SECONDS>::default).workload(requests);
    let chaos = chaos.for_about(Duration::from_secs(60));
    let told = chaos.artifacts(dir.path()).check().unwrap_err();
    assert!(
        told.contains("the state machine is not deterministic"),
        "{told}"
    );
    // Or a second ended just when instances were compared.
    let ways = ["a second later", "give different replies after"];
    assert!(ways.iter().any(|way| told.contains(way)), "{told}");
}

#[test]
fn snapshots_in_the_order_of_a_hash_map_are_named() {
    let told = told::<FREEZES_BY_HASH>("freezes");
    assert!(told.contains("`freeze` is not canonical"), "{told}");
}

#[test]
fn what_a_snapshot_forgets_is_named() {
    let told = told::<FORGETS_ONE>("forgets");
    assert!(told.contains("lose something"), "{told}");
    assert!(told.contains("CHIL_SIM_PLAN="), "{told}");
}

#[test]
fn a_machine_that_panics_costs_nothing_of_what_is_told() {
    let told = told::<PANICS>("panics");
    assert!(
        told.contains("violates assertion: too many words"),
        "{told}"
    );
    assert!(
        told.contains("panics by itself when it executes the same commands"),
        "{told}"
    );
    for line in ["CHIL_SIM_SEED=", "CHIL_SIM_PLAN=", "diagram:", "the story"] {
        assert!(told.contains(line), "{line} is missing in {told}");
    }
}

#[test]
fn a_description_that_panics_hides_nothing() {
    let (chaos, dir) = chaos::<REPLIES_BY_HASH>("describes");
    let chaos = chaos.describe(|_| panic!("no word"), |_, _| panic!("no word"));
    let told = chaos.check().unwrap_err();
    assert!(told.contains("give different replies after"), "{told}");
    std::fs::remove_dir_all(dir).unwrap();

    // One that does the same each time, so that the story is of the violation.
    let (chaos, dir) = self::chaos::<PANICS>("describes-panics");
    let chaos = chaos.describe(|_| panic!("no word"), |_, _| panic!("no word"));
    let told = chaos.check().unwrap_err();
    let (_, story) = told.split_once("the story").unwrap();
    for part in ["VIOLATED assertion", "what describes it panics: no word"] {
        assert!(story.contains(part), "{part} is missing in {story}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_token_means_the_same_plan_however_that_was_made_fit() {
    let subject = Subject::new(Words::<PANICS>::default).with_workload(|| requests);
    let what = Sweep::short(Shard::whole(0, 40), 2);
    let mut fitted = 0;
    sweep(&subject, what, |told| {
        let Told::Ran(ran) = told else {
            return true;
        };
        for failure in ran.failures {
            let (drawn, warning) = failure.token.plan(true);
            assert_eq!(warning, None);
            let mut plan = drawn.clone();
            subject.fit(&mut plan);
            fitted += u32::from(plan != drawn);
        }
        true
    });
    assert!(fitted > 10, "{fitted} of them were other plans than drawn");
}

#[test]
fn requests_larger_than_said_are_named_whoever_asks() {
    let large = |draw: &mut Draw<'_>| {
        Request::Command(Bytes::from(vec![
            b'x';
            50 + usize::try_from(draw.below(20))
                .unwrap()
        ]))
    };
    let chaos = || Chaos::new(Words::<NONE>::default).workload(large).seeds(8);
    let dir = tempfile::tempdir().unwrap();
    let told = chaos().request_bytes_max(64).artifacts(dir.path()).check();
    let told = told.unwrap_err();
    assert!(
        told.contains("bytes in one request, and 64 are said"),
        "{told}"
    );
    assert!(told.contains("Chaos::request_bytes_max"), "{told}");
    chaos().request_bytes_max(70).check().unwrap();
}

#[test]
fn a_sound_machine_survives() {
    let (chaos, _) = chaos::<NONE>("sound");
    let stats = chaos.seeds(30).check().unwrap();
    assert_eq!(stats.seeds, 30);
    assert!(stats.slots > 300, "{} slots", stats.slots);
}

#[test]
fn a_test_without_requests_says_what_is_missing() {
    let told = Chaos::new(Words::<NONE>::default).seeds(1).check();
    assert!(told.unwrap_err().contains(".workload("));
}
