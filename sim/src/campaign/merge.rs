//! Several shards as one campaign: what they add up to, and which seeds nobody has run.
//! Knows nothing about files.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

use super::results::{Header, Part};
use super::shard::Shard;
use super::tally::Tally;

/// Shards together.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// How the runs were made; its seeds are all that were meant, done or not.
    pub header: Header,
    /// What they add up to.
    pub tally: Tally,
    /// How long that took, all shards together.
    pub seconds: f64,
    /// How many seeds nobody has run.
    pub missing: u64,
    /// Which ones, in words.
    pub gaps: Vec<String>,
    /// The checks that counted; all, if none are named.
    pub checks: Vec<String>,
}

impl Merged {
    /// A single shard, of which nothing else is expected than its own seeds.
    #[must_use]
    pub fn alone(part: &Part) -> Self {
        let left = part.header.shard.len() - part.done;
        Self {
            header: part.header.clone(),
            tally: part.tally.clone(),
            seconds: part.seconds,
            missing: left,
            gaps: unfinished(part).into_iter().collect(),
            checks: Vec::new(),
        }
    }

    /// The same of runs in which only these checks counted.
    #[must_use]
    pub fn counting(self, checks: &[String]) -> Self {
        Self {
            checks: checks.to_vec(),
            ..self
        }
    }

    /// Whether nothing was violated.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.tally.failures.is_empty()
    }
}

/// Adds parts up. Each comes with the name of its file.
///
/// # Errors
/// If they are not of one campaign and one build, or two have run the same seed.
pub fn merge(parts: &[(String, Part)]) -> anyhow::Result<Merged> {
    let (first_name, first) = parts
        .first()
        .context("there is nothing to merge: no file holds results")?;
    let mut tally = Tally::default();
    let (mut from, mut to, mut seconds) = (u64::MAX, 0, 0.0);
    for (number, (name, part)) in parts.iter().enumerate() {
        let (header, mut wanted) = (&part.header, first.header.clone());
        // Each has its own seeds.
        wanted.shard = header.shard;
        if let Err(why) = header.fits(&wanted) {
            bail!("{name} {why} like {first_name}: only results of one build and way can be added");
        }
        for (other, before) in &parts[..number] {
            let both = header
                .shard
                .overlap(part.done, &before.header.shard, before.done);
            if let Some(seed) = both {
                bail!("seed {seed} is in {other} and in {name}: leave one of them out");
            }
        }
        tally.join(&part.tally);
        from = from.min(header.shard.from);
        to = to.max(header.shard.to);
        seconds += part.seconds;
    }
    let mut header = first.header.clone();
    header.shard = Shard::whole(from, to);
    let done: u64 = parts.iter().map(|(_, part)| part.done).sum();
    let missing = header.shard.len() - done;
    Ok(Merged {
        header,
        tally,
        seconds,
        missing,
        // What one part lacks another may have: no seed is in two, so that their number tells.
        gaps: if missing == 0 {
            Vec::new()
        } else {
            gaps(parts)
        },
        // Files of results are of all.
        checks: Vec::new(),
    })
}

/// What is missing, a line a cause.
fn gaps(parts: &[(String, Part)]) -> Vec<String> {
    let mut gaps = Vec::new();
    // Which shards there are of each range that was split into so many.
    let mut ranges: BTreeMap<(u64, u64, u64), Vec<u64>> = BTreeMap::new();
    for (_, part) in parts {
        let Shard {
            from,
            to,
            index,
            of,
        } = part.header.shard;
        ranges.entry((from, to, of)).or_default().push(index);
        gaps.extend(unfinished(part));
    }
    let mut reached = ranges.keys().next().map_or(0, |(from, _, _)| *from);
    for ((from, to, of), there) in &ranges {
        if *from > reached {
            gaps.push(format!("seeds {reached}..{from}: in no file"));
        }
        reached = reached.max(*to);
        let is_missing = |index: &u64| {
            let shard = Shard {
                from: *from,
                to: *to,
                index: *index,
                of: *of,
            };
            !there.contains(index) && !shard.is_empty()
        };
        let missing: Vec<u64> = (0..*of).filter(is_missing).collect();
        // With the same range split in several ways, what one lacks another may have.
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let names = names.join(", ");
            gaps.push(format!(
                "seeds {from}..{to}: no file of shard {names} of {of}"
            ));
        }
    }
    gaps
}

/// What of a part is not done.
fn unfinished(part: &Part) -> Option<String> {
    let shard = &part.header.shard;
    let next = shard.seed(part.done)?;
    let left = shard.len() - part.done;
    Some(format!("{shard}: ended before seed {next}, {left} left"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::testing::{failed, header, part};

    fn named(part: Part) -> (String, Part) {
        (format!("file of {}", part.header.shard), part)
    }

    #[test]
    fn two_shards_are_what_one_run_is() {
        let mut parts = [0, 1].map(|index| {
            let header = header(3, 40, index, 2);
            let len = header.shard.len();
            part(header, len)
        });
        let mut whole = part(header(3, 40, 0, 1), 37);
        for (seed, index) in [(4, 0), (5, 1), (30, 0)] {
            let failed = failed(seed, "bounds", &format!("slot {seed}"));
            parts[index].tally.failures.push(failed.clone());
            whole.tally.failures.push(failed);
        }
        let mut merged = merge(&parts.map(named)).unwrap();
        let mut one = merge(&[named(whole.clone())]).unwrap();
        (merged.seconds, one.seconds) = (0.0, 0.0);
        assert_eq!(merged, one);
        assert_eq!((one.missing, one.gaps.len()), (0, 0));
        let alone = Merged::alone(&whole);
        assert_eq!(alone.header.shard, one.header.shard);
        assert_eq!(alone.tally, one.tally);
    }

    #[test]
    fn gaps_are_named() {
        let parts = [
            part(header(0, 40, 0, 4), 10),
            part(header(0, 40, 2, 4), 3),
            part(header(50, 60, 0, 1), 10),
        ];
        let merged = merge(&parts.map(named)).unwrap();
        assert_eq!(merged.missing, 60 - 23);
        assert_eq!(
            merged.gaps,
            [
                "seeds 0..40, shard 2/4: ended before seed 14, 7 left",
                "seeds 0..40: no file of shard 1, 3 of 4",
                "seeds 40..50: in no file",
            ]
        );
    }

    #[test]
    fn what_one_lacks_and_another_has_is_no_gap() {
        for parts in [
            // One that ended early, and one that went on behind it.
            vec![
                part(header(0, 100, 0, 1), 50),
                part(header(50, 100, 0, 1), 50),
            ],
            // A range that was split in two ways.
            vec![
                part(header(0, 40, 0, 4), 10),
                part(header(0, 40, 1, 2), 20),
                part(header(0, 40, 2, 4), 10),
            ],
            // One that was begun, and its copy that was finished.
            vec![part(header(0, 40, 0, 1), 0), part(header(0, 40, 0, 1), 40)],
        ] {
            let parts: Vec<(String, Part)> = parts.into_iter().map(named).collect();
            let merged = merge(&parts).unwrap();
            assert_eq!((merged.missing, &merged.gaps[..]), (0, &[][..]));
            let text = crate::campaign::text(&merged);
            assert!(!text.contains("NOT RUN"), "{text}");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let one = || named(part(header(0, 40, 0, 4), 10));
        let refused = |other: Part, words: &str| {
            let error = merge(&[one(), named(other)]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(part(header(0, 40, 0, 4), 3), "seed 0 is in");
        refused(part(header(4, 9, 0, 1), 5), "seed 4 is in");
        let mut other = part(header(0, 40, 1, 4), 3);
        other.header.short = true;
        refused(other.clone(), "--short");
        other.header.short = false;
        other.header.code = "0".to_owned();
        refused(other, "another build");
    }
}
