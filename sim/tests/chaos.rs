//! Chaos as embedders use it: what it says of state machines that are at fault themselves.

use std::collections::HashMap;
use std::io::{Read, Result, Write};
use std::path::PathBuf;

use bytes::Bytes;
use chil_core::{FrozenState, Slot, StateMachine};
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
        if FAULT == REPLIES_BY_HASH {
            let words: Vec<&str> = self.counts.keys().map(String::as_str).collect();
            return Bytes::from(words.join(","));
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
                .fold(0_u128, |sum, b| sum * 257 + u128::from(b));
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
