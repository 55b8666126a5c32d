//! `chil snapshot`: saves a running cluster's state into a file, looks into such a file, and makes a
//! new cluster of it. Knows nothing about how nodes take snapshots of their own.

mod inspect;
mod restore;
mod save;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use chil_core::snapshot::{self, SnapshotError};
use chil_core::{SnapshotHeader, SnapshotId};
use clap::Subcommand;
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::output::Format;

/// Save the state of a cluster into a file, look into one, and restore one.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Save the state of a running cluster into a file.
    Save(save::Arguments),
    /// Check every byte of a snapshot, and say what it is.
    Inspect(inspect::Arguments),
    /// Make the directory of a node of a new cluster that begins with a snapshot.
    Restore(restore::Arguments),
}

/// Runs `chil snapshot`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Save(arguments) => save::run(arguments, format).await,
        Command::Inspect(arguments) => inspect::run(&arguments, format),
        Command::Restore(arguments) => restore::run(&arguments, format),
    }
}

/// A snapshot by its file.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Described {
    file: String,
    slot: u64,
    bytes: u64,
    digest: String,
    chain: String,
    state_hash: String,
    sessions: u64,
}

impl Described {
    fn new(file: &Path, (header, id, sessions): &(SnapshotHeader, SnapshotId, u64)) -> Self {
        Self {
            file: file.display().to_string(),
            slot: id.slot.get(),
            bytes: id.bytes,
            digest: format!("{:032x}", id.digest),
            chain: format!("{:032x}", id.chain.get()),
            state_hash: format!("{:032x}", header.state_digest),
            sessions: *sessions,
        }
    }

    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        vec![
            row("file", self.file.clone()),
            row("slot", self.slot.to_string()),
            row("bytes", self.bytes.to_string()),
            row("digest", self.digest.clone()),
            row("state hash", self.state_hash.clone()),
            row("sessions", self.sessions.to_string()),
        ]
    }
}

/// Reads a whole snapshot and checks every byte of it. Gives the number of its sessions, too.
fn check(path: &Path) -> Result<(SnapshotHeader, SnapshotId, u64), Failure> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    snapshot::inspect(&mut reader as &mut dyn Read).map_err(|error| match error {
        SnapshotError::Io(error) => unreadable(path, &error),
        error @ SnapshotError::Damaged { .. } => {
            let advice = "take another copy of it, or save it anew";
            Failure::new(Exit::Damaged, anyhow::anyhow!("{shown}: {error}: {advice}"))
        }
        error => Failure::new(Exit::Damaged, anyhow::anyhow!("{shown}: {error}")),
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let shown = path.display();
    Failure::new(
        Exit::Failure,
        anyhow::anyhow!("cannot read {shown}: {error}"),
    )
}

const READ_BYTES: usize = 256 << 10;
