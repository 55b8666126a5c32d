//! `chil-sim merge`: the results of several shards as one campaign.
//! Knows nothing about how they were run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use super::file::save;
use super::outcome::{OutcomeArgs, verdict};
use super::warn;
use crate::campaign::{Merged, lines, merge, read};

/// What to add up.
#[derive(Clone, Debug, Args)]
pub(crate) struct MergeArgs {
    /// Files of results, as `run --out` writes them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write all results into one file, which can be merged with others again
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Count it as trouble when seeds were not run
    #[arg(long)]
    complete: bool,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

/// Adds up what was asked for.
pub(super) fn run(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    args.outcome.check()?;
    let (mut parts, mut left_out) = (Vec::new(), Vec::new());
    for file in &args.files {
        let name = file.display().to_string();
        let found = read(file)?;
        if found.is_empty() {
            warn(&format!(
                "{name} is left out: its campaign died before it had run a seed, run it again"
            ));
            left_out.push(name.clone());
        }
        parts.extend(found.into_iter().map(|part| (name.clone(), part)));
    }
    parts.sort_by_key(|(_, part)| part.header.shard);
    let merged = merge(&parts)?;
    let written = args.outcome.write(&merged);
    let kept = args.out.as_ref().map_or(Ok(()), |out| {
        let texts = parts.iter().map(|(_, part)| lines(part));
        save(out, &texts.collect::<Result<String, _>>()?)
    });
    let complete = if args.complete {
        complete(&merged, &left_out)
    } else {
        Ok(())
    };
    verdict(&merged, written.and(kept).and(complete))
}

/// Whether every seed was run.
fn complete(merged: &Merged, left_out: &[String]) -> anyhow::Result<()> {
    ensure!(
        merged.missing == 0,
        "{} seeds were not run: {}",
        merged.missing,
        merged.gaps.join("; ")
    );
    // Nobody knows which seeds these were to be: maybe others than all that are known of.
    ensure!(left_out.is_empty(), "nothing is in {}", left_out.join(", "));
    Ok(())
}
