//! What `run` and `merge` have in common: where the summary goes, and the exit code.
//! Knows nothing about what the summaries look like.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use super::file::save;
use super::{VIOLATED, say};
use crate::campaign::{Merged, html, json, junit, text};

/// Where the summary goes.
#[derive(Clone, Debug, Args)]
pub(super) struct OutcomeArgs {
    /// Print the summary for programs
    #[arg(long)]
    json: bool,
    /// Write the overview as an HTML page, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write JUnit XML for CI services, too: a test case for each signature of failures
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl OutcomeArgs {
    /// Prints the summary, and writes the files that are wanted.
    pub(super) fn write(&self, merged: &Merged) -> anyhow::Result<()> {
        if let Some(path) = &self.html {
            save(path, &html(merged))?;
        }
        if let Some(path) = &self.junit {
            save(path, &junit(merged))?;
        }
        if self.json {
            say(&serde_json::to_string_pretty(&json(merged))?)
        } else {
            say(&text(merged))
        }
    }
}

/// The exit code that says whether anything was violated.
///
/// # Errors
/// When something came about that is listed as impossible: one of the two is wrong.
pub(super) fn verdict(merged: &Merged) -> anyhow::Result<ExitCode> {
    if !merged.is_clean() {
        return Ok(ExitCode::from(VIOLATED));
    }
    let reached = merged.tally.stats.coverage.contradictions();
    ensure!(
        reached.is_empty(),
        "reached, although sim/src/impossible.rs says that it cannot happen: {}",
        reached.join("; ")
    );
    Ok(ExitCode::SUCCESS)
}
