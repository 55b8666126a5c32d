//! What `run` and `merge` have in common: where the summary goes, and the exit code.
//! Knows nothing about what the summaries look like.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use super::file::{check, save};
use super::{VIOLATED, complain, say, until_closed};
use crate::campaign::{Merged, contradictions, html, json, junit, text};

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
    /// Whether the files that are wanted can be written: to be asked before hours are spent.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let mut files = self.html.iter().chain(&self.junit);
        files.try_for_each(|path| check(path))
    }

    /// Prints the summary, and writes the files that are wanted, as far as they can be: the first
    /// thing that fails keeps nothing else from being done.
    pub(super) fn write(&self, merged: &Merged) -> anyhow::Result<()> {
        let summary = if self.json {
            serde_json::to_string_pretty(&json(merged))?
        } else {
            text(merged)
        };
        // A reader that has seen enough is no trouble.
        let printed = until_closed(say(&summary)).map(drop);
        let write = |path: &Option<PathBuf>, content: fn(&Merged) -> String| match path {
            Some(path) => save(path, &content(merged)),
            None => Ok(()),
        };
        let (html, junit) = (write(&self.html, html), write(&self.junit, junit));
        printed.and(html).and(junit)
    }
}

/// The exit code that says whether anything was violated, which outweighs any trouble.
///
/// # Errors
/// When there was trouble, or something came about that is listed as impossible: one of the two is
/// wrong.
pub(super) fn verdict(merged: &Merged, trouble: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    if !merged.is_clean() {
        if let Err(error) = trouble {
            complain(&error);
        }
        return Ok(ExitCode::from(VIOLATED));
    }
    trouble?;
    let reached = contradictions(merged);
    ensure!(
        reached.is_empty(),
        "reached, although sim/src/impossible.rs says that it cannot happen: {}",
        reached.join("; ")
    );
    Ok(ExitCode::SUCCESS)
}
