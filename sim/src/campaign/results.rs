//! The file of results: JSON lines, a header and then a line a batch of seeds that are done.
//! Knows nothing about how seeds are run.
//!
//! Every line stands for itself, and is whole once its line break is there. Whoever dies while
//! writing leaves at most one torn line: it is dropped, and its seeds are run when the campaign
//! goes on. Files can be put together with `cat`: each header begins the results of another shard.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::shard::{SHARDS_MAX, Shard};
use super::tally::{Failed, Tally, Tops};
use crate::stats::Stats;

/// What the results of a file are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of this program.
    pub version: String,
    /// See [`super::fingerprint`].
    pub code: String,
    /// Which seeds.
    pub shard: Shard,
    /// Whether runs are cut short: see [`crate::swarm::short`].
    pub short: bool,
    /// See [`crate::run::Watch::check_every`].
    pub check_every: u64,
    /// Which seeds are run twice: those that this divides; 0 for none but the failing ones.
    pub twice_every: u64,
}

impl Header {
    /// Says how results of this fit to what is wanted now.
    pub(crate) fn fits(&self, wanted: &Self) -> Result<(), String> {
        if (&self.version, &self.code) != (&wanted.version, &wanted.code) {
            return Err(format!(
                "was made by another build ({} {}, not {} {}), whose seeds mean other runs",
                self.version, self.code, wanted.version, wanted.code
            ));
        }
        if self.shard != wanted.shard {
            return Err(format!("is of {}, not of {}", self.shard, wanted.shard));
        }
        self.alike(wanted)
    }

    /// Says whether runs were made and watched in the same way.
    pub(crate) fn alike(&self, other: &Self) -> Result<(), String> {
        let options = [
            ("--short", u64::from(self.short), u64::from(other.short)),
            ("--check-every", self.check_every, other.check_every),
            ("--twice-every", self.twice_every, other.twice_every),
        ];
        match options.iter().find(|(_, had, has)| had != has) {
            Some(("--short", had, _)) => Err(format!(
                "was made {} --short",
                if *had == 1 { "with" } else { "without" }
            )),
            Some((option, had, has)) => Err(format!("was made with {option} {had}, not {has}")),
            None => Ok(()),
        }
    }
}

/// Some seeds that are done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// So many seeds of the shard are done with this one.
    pub done: u64,
    /// How long it took.
    pub seconds: f64,
    /// The sums over its seeds.
    pub stats: Stats,
    /// Its extremes.
    pub tops: Tops,
    /// Its failures, by seed.
    pub failures: Vec<Failed>,
    /// See [`Tally::impossible`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub impossible: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Campaign(Header),
    Batch(Box<Batch>),
}

/// The results of one shard so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Of what.
    pub header: Header,
    /// How many of its seeds are done: the first ones.
    pub done: u64,
    /// How long that took.
    pub seconds: f64,
    /// What they add up to.
    pub tally: Tally,
}

impl Part {
    /// Nothing done yet.
    #[must_use]
    pub fn new(header: Header) -> Self {
        Self {
            header,
            done: 0,
            seconds: 0.0,
            tally: Tally::default(),
        }
    }

    pub(super) fn add(&mut self, batch: &Batch) {
        self.done = batch.done;
        self.seconds += batch.seconds;
        self.tally.add(batch);
    }
}

/// Results as they come in, kept in a file if there is one.
#[derive(Debug)]
pub struct Results {
    file: Option<File>,
    /// Everything so far, that of earlier sittings too.
    pub part: Part,
}

impl Results {
    /// Goes on with the file, or begins it.
    ///
    /// # Errors
    /// If it cannot be read or written, is somebody else's, or holds other results.
    pub fn open(path: Option<&Path>, header: Header) -> anyhow::Result<Self> {
        let Some(path) = path else {
            let part = Part::new(header);
            return Ok(Self { file: None, part });
        };
        let shown = path.display();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open {shown}"))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => bail!(
                "another process writes to {shown}: wait for it, or name another file with --out"
            ),
            // There are file systems that know no locks: they are no reason to run nothing.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let metadata = file.metadata();
        ensure!(
            metadata.is_ok_and(|it| it.is_file()),
            "{shown} is no regular file: results are read again to go on from them"
        );
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {shown}"))?;
        let (parts, whole) = parsed(&bytes).with_context(|| shown.to_string())?;
        let mut part = Part::new(header.clone());
        let mut parts = parts.into_iter();
        let is_new = match parts.next() {
            None => {
                ensure!(
                    is_torn_header(&bytes),
                    "{shown} holds something else than results: name another file with --out"
                );
                true
            }
            Some(first) => {
                ensure!(
                    parts.next().is_none(),
                    "{shown} holds several shards: a campaign goes on in the file of one, so name \
                     another with --out"
                );
                if let Err(why) = first.header.fits(&header) {
                    bail!(
                        "{shown} {why}: name another file with --out, or remove this one to \
                         begin anew"
                    );
                }
                part = first;
                false
            }
        };
        // Only now it is known whose file this is: what a line was torn off of is cut.
        file.set_len(whole as u64)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .with_context(|| format!("cannot write to {shown}"))?;
        let file = Some(file);
        let mut results = Self { file, part };
        if is_new {
            results.write(&Line::Campaign(header))?;
        }
        Ok(results)
    }

    /// Adds a batch, which is then safe.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, batch: Batch) -> anyhow::Result<()> {
        self.count(&batch);
        self.write(&Line::Batch(Box::new(batch)))
    }

    /// Counts a batch that cannot be kept any more: nothing that was found is left out.
    pub(crate) fn count(&mut self, batch: &Batch) {
        self.part.add(batch);
    }

    /// Results whose file nothing can be written to.
    #[cfg(test)]
    pub(crate) fn unwritable(header: Header) -> Self {
        let file = File::open(file!().trim_start_matches("sim/")).expect("this file");
        Self {
            file: Some(file),
            part: Part::new(header),
        }
    }

    fn write(&mut self, line: &Line) -> anyhow::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .context("cannot write the results")
    }
}

/// All parts of a file of results; none, if its campaign died before it had written anything.
///
/// # Errors
/// If it cannot be read, or is none.
pub fn read(path: &Path) -> anyhow::Result<Vec<Part>> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let (parts, _) = parsed(&bytes).with_context(|| shown.to_string())?;
    ensure!(
        !parts.is_empty() || is_torn_header(&bytes),
        "{shown} holds something else than results"
    );
    Ok(parts)
}

/// A part as lines, of which the batches are one; none, if there are none.
///
/// # Errors
/// Never, in truth: results have only string keys.
pub(crate) fn lines(part: &Part) -> anyhow::Result<String> {
    let header = serde_json::to_string(&Line::Campaign(part.header.clone()))?;
    if part.done == 0 {
        return Ok(format!("{header}\n"));
    }
    let batch = serde_json::to_string(&Line::Batch(Box::new(Batch {
        done: part.done,
        seconds: part.seconds,
        stats: part.tally.stats.clone(),
        tops: part.tally.tops.clone(),
        failures: part.tally.failures.clone(),
        impossible: part.tally.impossible.clone(),
    })))?;
    Ok(format!("{header}\n{batch}\n"))
}

/// Whether a campaign may have died while it wrote this, as the first of its file.
fn is_torn_header(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"{\"campaign\":";
    bytes.starts_with(BEGIN) || BEGIN.starts_with(bytes)
}

/// The parts of a file, and how many bytes of it are whole lines.
fn parsed(bytes: &[u8]) -> anyhow::Result<(Vec<Part>, usize)> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    let (lines, _torn) = bytes.split_at(end.map_or(0, |end| end + 1));
    let mut parts: Vec<Part> = Vec::new();
    for (number, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = number + 1;
        let line: Line = serde_json::from_slice(line).with_context(|| {
            format!(
                "line {number} is no result. If files were put together with `cat`, one of them \
                 ended in a torn line: `merge` them instead, which leaves that out. Else remove \
                 that line and all behind it, and what was lost is run again"
            )
        })?;
        match (line, parts.last_mut()) {
            (Line::Campaign(header), _) => {
                let Shard { index, of, .. } = header.shard;
                let is_one = index < of && of <= SHARDS_MAX;
                ensure!(is_one, "line {number} names shard {index} of {of}");
                parts.push(Part::new(header));
            }
            (Line::Batch(batch), Some(part)) => {
                let most = part.header.shard.len();
                ensure!(
                    part.done < batch.done && batch.done <= most,
                    "line {number} ends with seed number {} of {most}, but the line before it \
                     with {}: the file was changed by hand; remove it",
                    batch.done,
                    part.done
                );
                let (seeds, missed) = (batch.stats.seeds, batch.done - part.done);
                ensure!(
                    seeds == missed,
                    "line {number} has the results of {seeds} seeds, but {missed} are done with \
                     it: lines before it are missing; remove it and all behind it, and what was \
                     lost is run again"
                );
                part.add(&batch);
            }
            (Line::Batch(_), None) => {
                bail!("line {number} is a batch, but of what? The header before it is missing")
            }
        }
    }
    Ok((parts, lines.len()))
}
