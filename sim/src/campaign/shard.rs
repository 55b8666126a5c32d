//! Which seeds of a campaign belong to which shard.
//! Knows nothing about what is done with a seed.
//!
//! Shard `i` of `n` has the seeds whose remainder by `n` is `i`. Shards that end early, because
//! their budget is used up, have then all begun with the lowest seeds: together they have run one
//! range and some more, instead of the beginnings of `n` ranges.

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// Shards of a campaign at most: those that are missing are named one by one.
pub(super) const SHARDS_MAX: u64 = 100_000;

/// Seeds `from..to`, of which every `of`th is meant: those with the remainder `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// The campaign's first seed.
    pub from: u64,
    /// The one behind its last.
    pub to: u64,
    /// Which shard of it this is.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Shard {
    /// All seeds of `from..to`.
    #[must_use]
    pub const fn whole(from: u64, to: u64) -> Self {
        Self {
            from,
            to,
            index: 0,
            of: 1,
        }
    }

    /// Its `position`th seed, if it has so many.
    #[must_use]
    pub const fn seed(&self, position: u64) -> Option<u64> {
        let past = (self.from % self.of).abs_diff(self.index);
        let skipped = if self.from % self.of <= self.index {
            past
        } else {
            self.of - past
        };
        let Some(first) = self.from.checked_add(skipped) else {
            return None;
        };
        let Some(ahead) = position.checked_mul(self.of) else {
            return None;
        };
        match first.checked_add(ahead) {
            Some(seed) if seed < self.to => Some(seed),
            _ => None,
        }
    }

    /// How many seeds it has.
    #[must_use]
    pub const fn len(&self) -> u64 {
        match self.seed(0) {
            Some(first) => (self.to - 1 - first) / self.of + 1,
            None => 0,
        }
    }

    /// Whether it has none: there are more shards than seeds.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first seed that is both among this one's first `mine` and the other's first `yours`.
    #[must_use]
    pub fn overlap(&self, mine: u64, other: &Self, yours: u64) -> Option<u64> {
        // Remainders repeat after the product of the two distances at the latest.
        let (few, many, count, limit) = if self.of >= other.of {
            (self, other, mine, yours)
        } else {
            (other, self, yours, mine)
        };
        let end = many.seed(limit.checked_sub(1)?)?;
        let begin = many.seed(0)?.saturating_sub(few.seed(0)?) / few.of;
        (begin..count.min(begin.saturating_add(many.of).saturating_add(2)))
            .map_while(|position| few.seed(position))
            .take_while(|seed| *seed <= end)
            .find(|seed| *seed >= many.from && seed % many.of == many.index)
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seeds {}..{}", self.from, self.to)?;
        if self.of > 1 {
            write!(f, ", shard {}/{}", self.index, self.of)?;
        }
        Ok(())
    }
}

/// Seeds as people write them: how many ("1000") or which ("500..1500").
///
/// # Errors
/// If it is neither, or none at all.
pub fn parse_seeds(text: &str) -> anyhow::Result<(u64, u64)> {
    let number = |part: &str| {
        let part = part.trim().replace('_', "");
        part.parse::<u64>()
            .with_context(|| format!("'{part}' is not a number of seeds"))
    };
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (0, number(text)?),
    };
    if from >= to {
        bail!("'{text}' names no seed: say how many, such as 1000, or a range, such as 500..1500");
    }
    Ok((from, to))
}

/// A shard as people write it: "2/8", or "auto/8" for the one that `completion_index` names.
pub(crate) fn parse_shard(
    text: &str,
    completion_index: Option<&str>,
) -> anyhow::Result<(u64, u64)> {
    let (index, of) = text
        .split_once('/')
        .with_context(|| format!("'{text}' is not a shard: write 0/4 to 3/4, or auto/4"))?;
    let of: u64 = of
        .parse()
        .with_context(|| format!("'{of}' is not a number of shards"))?;
    let index: u64 = if index == "auto" {
        let index = completion_index.context(
            "--shard auto takes the number from JOB_COMPLETION_INDEX, which is not set: \
             set it, or write the number instead of auto",
        )?;
        index
            .trim()
            .parse()
            .with_context(|| format!("JOB_COMPLETION_INDEX is '{index}', which is no number"))?
    } else {
        index
            .parse()
            .with_context(|| format!("'{index}' is not the number of a shard"))?
    };
    ensure!(
        index < of,
        "there is no shard {index} of {of}: they are numbered from 0"
    );
    ensure!(
        of <= SHARDS_MAX,
        "a campaign has at most {SHARDS_MAX} shards, not {of}"
    );
    Ok((index, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(shard: &Shard) -> Vec<u64> {
        (0..).map_while(|position| shard.seed(position)).collect()
    }

    #[test]
    fn shards_have_every_seed_once() {
        for (from, to) in [(0, 10), (3, 17), (7, 8), (u64::MAX - 5, u64::MAX)] {
            for of in 1..7 {
                let mut all = Vec::new();
                for index in 0..of {
                    let shard = Shard {
                        from,
                        to,
                        index,
                        of,
                    };
                    let seeds = seeds(&shard);
                    assert_eq!(seeds.len() as u64, shard.len(), "{shard}");
                    assert!(seeds.iter().all(|seed| seed % of == index), "{shard}");
                    all.extend(seeds);
                }
                all.sort_unstable();
                assert_eq!(all, (from..to).collect::<Vec<u64>>());
            }
        }
    }

    #[test]
    fn an_overlap_is_the_first_seed_that_two_have_run() {
        let shard = |from, to, index, of| Shard {
            from,
            to,
            index,
            of,
        };
        let all = [
            shard(0, 40, 0, 1),
            shard(0, 40, 1, 3),
            shard(0, 40, 2, 3),
            shard(5, 30, 1, 4),
            shard(40, 50, 0, 1),
            shard(10, 60, 5, 6),
        ];
        for one in &all {
            for other in &all {
                for (mine, yours) in [(0, 3), (2, 4), (100, 100), (3, 0)] {
                    let (a, b) = (seeds(one), seeds(other));
                    let a: Vec<u64> = a.into_iter().take(mine).collect();
                    let b: Vec<u64> = b.into_iter().take(yours).collect();
                    let expected = a.iter().find(|seed| b.contains(seed)).copied();
                    let len = |count: usize| count as u64;
                    let found = one.overlap(len(a.len()), other, len(b.len()));
                    assert_eq!(found, expected, "{one} and {other}: {mine}, {yours}");
                }
            }
        }
    }

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(parse_seeds("1_000").unwrap(), (0, 1_000));
        assert_eq!(parse_seeds("5..9").unwrap(), (5, 9));
        for wrong in ["", "x", "9..5", "0", "3..", "-1"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shard_is_named_or_comes_from_the_scheduler() {
        assert_eq!(parse_shard("2/8", None).unwrap(), (2, 8));
        assert_eq!(parse_shard("auto/8", Some("7")).unwrap(), (7, 8));
        for (wrong, index) in [
            ("8/8", None),
            ("auto/8", None),
            ("auto/8", Some("8")),
            ("auto/8", Some("x")),
            ("3", None),
            ("0/0", None),
            ("0/18446744073709551615", None),
            ("-1/3", None),
        ] {
            assert!(parse_shard(wrong, index).is_err(), "{wrong}");
        }
    }
}
