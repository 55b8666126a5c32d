//! `chil-sim merge`: the results of several shards as one campaign.
//! Knows nothing about how they were run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::file::save;
use super::outcome::{OutcomeArgs, verdict};
use crate::campaign::{lines, merge, read};

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
    let mut parts = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        parts.extend(read(file)?.into_iter().map(|part| (name.clone(), part)));
    }
    parts.sort_by_key(|(_, part)| part.header.shard);
    let merged = merge(&parts)?;
    if let Some(out) = &args.out {
        let texts = parts.iter().map(|(_, part)| lines(part));
        save(out, &texts.collect::<Result<String, _>>()?)?;
    }
    args.outcome.write(&merged)?;
    if args.complete && merged.is_clean() && merged.missing > 0 {
        bail!(
            "{} seeds were not run: {}",
            merged.missing,
            merged.gaps.join("; ")
        );
    }
    verdict(&merged)
}
