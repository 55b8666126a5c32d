//! What the seeds of a campaign add up to: sums, extremes, and failures by signature.
//! Knows nothing about files, and little about single runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::results::Batch;
use crate::signature::Signature;
use crate::stats::Stats;
use crate::sweep::{Failure, Ran};

/// So many seeds are kept of each kind of extreme.
const TOP: usize = 10;
/// So many failures are shown of each signature.
pub(crate) const SHOWN: usize = 10;
/// Longer descriptions are cut: a file of results must stay small however much fails.
const TEXT_MAX: usize = 2_000;
/// So many lines of what stood in the way are kept.
const EXPLAINED_MAX: usize = 32;

/// A seed that violated something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// The seed with what it meant when it was run: see [`crate::token::Token`].
    pub token: String,
    /// The check.
    pub check: String,
    /// The node that it was seen on.
    pub node: Option<usize>,
    /// What happened, in a sentence.
    pub what: String,
    /// What failures of the same cause share: see [`Signature`].
    pub signature: String,
    /// See [`crate::run::Outcome::explained`].
    pub explained: Vec<String>,
    /// Whether a second run of it was the same, event by event.
    pub repeats: bool,
    /// See [`Failure::ended`].
    #[serde(default = "yes")]
    pub ended: bool,
}

const fn yes() -> bool {
    true
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let explained = failure.explained.into_iter().take(EXPLAINED_MAX);
        Self {
            signature: cut(Signature::of(&failure.violation).to_string()),
            seed: failure.token.seed,
            token: failure.token.to_string(),
            check: failure.violation.check.to_owned(),
            node: failure.violation.node,
            what: cut(failure.violation.what),
            explained: explained.map(cut).collect(),
            repeats: failure.repeats,
            ended: failure.ended,
        }
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

impl Failed {
    /// What happened, and where.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.node {
            Some(node) => format!("{}: node {node} {}", self.check, self.what),
            None => format!("{}: {}", self.check, self.what),
        }
    }
}

/// A seed, and what it was extreme in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extreme {
    /// How extreme.
    pub value: u64,
    /// The seed.
    pub seed: u64,
}

/// The seeds that came furthest, the furthest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tops {
    /// By events: the slowest, and those nearest to not coming to rest.
    pub events: Vec<Extreme>,
    /// By the share of the time allowed for healing that was used, in thousandths.
    pub healing: Vec<Extreme>,
    /// By operations of unknown outcome.
    pub unknown: Vec<Extreme>,
    /// By ballots begun.
    pub ballots: Vec<Extreme>,
}

impl Tops {
    /// Looks at a seed.
    pub(crate) fn note(&mut self, seed: u64, stats: &Stats) {
        let one = |value| vec![Extreme { value, seed }];
        self.add(&Self {
            events: one(stats.events),
            healing: one(stats.heal_share_max),
            unknown: one(stats.unknown),
            ballots: one(stats.ballots),
        });
    }

    fn add(&mut self, other: &Self) {
        top(&mut self.events, &other.events);
        top(&mut self.healing, &other.healing);
        top(&mut self.unknown, &other.unknown);
        top(&mut self.ballots, &other.ballots);
    }
}

/// Keeps the largest of both; among equals those with the lowest seeds, whatever came first.
fn top(kept: &mut Vec<Extreme>, more: &[Extreme]) {
    let is_behind = |last: &Extreme| {
        let worse = |one: &Extreme| (one.value, last.seed) <= (last.value, one.seed);
        more.iter().all(worse)
    };
    if kept.len() == TOP && kept.last().is_some_and(is_behind) {
        return;
    }
    kept.extend(more.iter().filter(|extreme| extreme.value > 0));
    kept.sort_by_key(|extreme| (std::cmp::Reverse(extreme.value), extreme.seed));
    kept.truncate(TOP);
}

/// Failures that most likely have one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// What they share.
    pub signature: String,
    /// How many there are.
    pub count: usize,
    /// The first ones, by seed.
    pub failures: Vec<&'a Failed>,
}

/// Everything that seeds add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The sums.
    pub stats: Stats,
    /// The extremes.
    pub tops: Tops,
    /// The failures, by seed.
    pub failures: Vec<Failed>,
    /// What was reached although `sim/src/impossible.rs` says that it cannot be, and the lowest
    /// seed that did.
    pub impossible: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds a batch.
    pub(crate) fn add(&mut self, batch: &Batch) {
        self.stats.add(&batch.stats);
        self.tops.add(&batch.tops);
        self.take(&batch.failures);
        lowest(&mut self.impossible, &batch.impossible);
    }

    /// Adds what others add up to.
    pub(crate) fn join(&mut self, other: &Self) {
        self.stats.add(&other.stats);
        self.tops.add(&other.tops);
        self.take(&other.failures);
        lowest(&mut self.impossible, &other.impossible);
    }

    fn take(&mut self, failures: &[Failed]) {
        if !failures.is_empty() {
            self.failures.extend_from_slice(failures);
            // A seed may have failed twice: by what it violated, and by not doing it again.
            self.failures
                .sort_by(|a, b| (a.seed, &a.check, &a.what).cmp(&(b.seed, &b.check, &b.what)));
        }
    }

    /// The failures by signature, the most frequent first.
    #[must_use]
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
        for failed in &self.failures {
            let group = groups.entry(&failed.signature).or_insert_with(|| Group {
                signature: failed.signature.clone(),
                count: 0,
                failures: Vec::new(),
            });
            group.count += 1;
            if group.failures.len() < SHOWN {
                group.failures.push(failed);
            }
        }
        let mut groups: Vec<Group<'_>> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

/// Keeps the lowest seed of each.
fn lowest(kept: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (cell, seed) in more {
        let lowest = kept.entry(cell.clone()).or_insert(*seed);
        *lowest = (*lowest).min(*seed);
    }
}

impl Batch {
    /// Adds a seed, which is the next one of the shard.
    pub(crate) fn take(&mut self, ran: Ran) {
        self.stats.add(&ran.stats);
        self.tops.note(ran.seed, &ran.stats);
        let impossible = ran.stats.coverage.contradicted().into_iter();
        let impossible = impossible.map(|(cell, _)| (cell, ran.seed)).collect();
        lowest(&mut self.impossible, &impossible);
        self.failures
            .extend(ran.failures.into_iter().map(Failed::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::results::{Part, lines, read};
    use crate::campaign::testing::{failed, header};

    #[test]
    fn the_order_in_which_seeds_come_does_not_matter() {
        let stats = |seed: u64| Stats {
            events: seed % 7,
            unknown: seed,
            ..Stats::default()
        };
        let mut forth = Tops::default();
        let mut back = Tops::default();
        for seed in 0..50 {
            forth.note(seed, &stats(seed));
            back.note(49 - seed, &stats(49 - seed));
        }
        assert_eq!(forth, back);
        assert_eq!(
            forth.unknown[0],
            Extreme {
                value: 49,
                seed: 49
            }
        );
        assert_eq!(forth.unknown.len(), TOP);
        let seeds: Vec<u64> = forth.events.iter().map(|extreme| extreme.seed).collect();
        assert_eq!(seeds, [6, 13, 20, 27, 34, 41, 48, 5, 12, 19]);
        assert!(forth.healing.is_empty(), "nothing is no extreme");
    }

    #[test]
    fn failures_of_one_signature_are_one_group() {
        let tally = Tally {
            failures: vec![
                failed(2, "monotone", "boot 3"),
                failed(1, "bounds", "commit 17 is behind slot 9"),
                failed(4, "bounds", "commit 3 is behind slot 1"),
            ],
            ..Tally::default()
        };
        let groups = tally.groups();
        assert_eq!(groups.len(), 2);
        assert_eq!(
            (groups[0].signature.as_str(), groups[0].count),
            ("bounds", 2)
        );
        assert_eq!(groups[0].failures[1].seed, 4);
    }

    #[test]
    fn what_cannot_be_and_was_has_its_first_seed_also_when_read_again() {
        let ran = |seed, forming: u64, malformed: u64| {
            let mut stats = Stats {
                seeds: 1,
                ..Stats::default()
            };
            // An Accept while forming, and a notice of something malformed.
            stats.coverage.received[2].0[1] = forming;
            stats.coverage.notices.0[29] = malformed;
            // An Accept while following is nothing special.
            stats.coverage.received[2].0[2] = 7;
            Ran {
                seed,
                stats,
                failures: Vec::new(),
            }
        };
        let mut batch = Batch::default();
        for ran in [ran(10, 0, 0), ran(11, 3, 0), ran(12, 1, 1)] {
            batch.take(ran);
        }
        let (mut first, mut second) = (
            Part::new(header(10, 13, 0, 1)),
            Part::new(header(0, 10, 0, 1)),
        );
        batch.done = 3;
        first.add(&batch);
        let (accept, malformed) = ("Accept while forming", "notice Ignored: Malformed");
        let noted = |of: [(&str, u64); 2]| of.map(|(cell, seed)| (cell.to_owned(), seed)).into();
        assert_eq!(
            first.tally.impossible,
            noted([(accept, 11), (malformed, 12)])
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out.jsonl");
        let text = lines(&first).unwrap();
        std::fs::write(&file, &text).unwrap();
        assert_eq!(read(&file).unwrap(), [first.clone()]);

        // With a lower seed, in whichever order they come; one that came from a file of an earlier
        // build, which noted no seeds, takes nothing away.
        let mut batch = Batch::default();
        batch.take(ran(0, 0, 2));
        batch.done = 1;
        second.add(&batch);
        let mut other = first.tally.clone();
        other.join(&second.tally);
        second.tally.join(&first.tally);
        assert_eq!(other.impossible, noted([(accept, 11), (malformed, 0)]));
        assert_eq!(second.tally.impossible, other.impossible);
        let noted = format!(",\"impossible\":{{\"{accept}\":11,\"{malformed}\":12}}");
        assert!(text.contains(&noted), "{text}");
        std::fs::write(&file, text.replace(&noted, "")).unwrap();
        let earlier = read(&file).unwrap().remove(0);
        assert!(earlier.tally.impossible.is_empty());
        other.join(&earlier.tally);
        assert_eq!(second.tally.impossible, other.impossible);
    }

    #[test]
    fn long_descriptions_are_cut() {
        assert_eq!(cut("ä".repeat(TEXT_MAX)), "ä".repeat(TEXT_MAX));
        let long = cut("ä".repeat(TEXT_MAX + 1));
        assert_eq!(long, format!("{} ...", "ä".repeat(TEXT_MAX)));
    }
}
