//! `chil snapshot save`: fetches a snapshot from a running node into a file, whole or not at all.
//! Knows nothing about how the node makes it.

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chil::client::{Client, ClientError};
use chil_core::{SnapshotHeader, SnapshotId};
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::signal::unix::{SignalKind, signal};

use super::{Described, check};
use crate::cli::connect::Target;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Format, list};

/// Save the state of a running cluster into a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first of the given nodes that answers is asked, so name the one that you want; any node will do, but
one that is cut off from the others saves an old state: then there is a warning. A follower may lack what
was acknowledged a moment ago: `age_ms` says how long before the state was surely the newest, and the
leader's lacks nothing. The bytes go into a
temporary file beside FILE; only when all of them have come, are those that the node has sent and are
synced to disk, the file gets its name. So FILE is whole, or not there.

Examples:
  chil snapshot save backup.chil -p 127.0.0.1:7001,127.0.0.1:7002
  chil snapshot save backup.chil -p 127.0.0.1:7001 --force --json")]
pub(super) struct Arguments {
    /// Where to.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The newest snapshot that the node has on its disk, instead of one of its state now: only
    /// those are the same, byte for byte, on all nodes.
    #[arg(long)]
    stored: bool,
    /// Replace FILE if it is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    target: Target,
}

/// What was saved.
#[derive(Debug, Serialize)]
struct Saved {
    #[serde(flatten)]
    snapshot: Described,
    node: String,
    /// For how long the node had not known that its state was the newest; null: it never had.
    age_ms: Option<u64>,
}

/// Runs `chil snapshot save`. A signal leaves nothing behind.
pub(super) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let signalled = async {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    unless(signalled, save(arguments, format)).await
}

/// Works until it is done or told to end: then what it has begun is dropped, and with it the
/// temporary file is removed.
async fn unless(
    told: impl Future<Output = ()>,
    work: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    tokio::select! {
        biased;
        done = work => done,
        () = told => {
            let error = anyhow::anyhow!("interrupted: nothing was saved");
            Err(Failure::new(Exit::Failure, error))
        }
    }
}

async fn save(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let file = &arguments.file;
    if !arguments.force && file.exists() {
        let shown = file.display();
        return Err(Failure::usage(format!(
            "{shown} is there already: name another file, or replace it with --force"
        )));
    }
    let client = arguments.target.client()?;
    let mut failed = String::new();
    for address in arguments.target.addresses()? {
        let status = match client.status_of(&address).await {
            Ok(status) => status,
            Err(error) => {
                failed = reason(error);
                continue;
            }
        };
        let temporary = temporary(file)?;
        match fetch(&client, &address, &arguments, temporary).await? {
            Ok(checked) => {
                let saved = Saved {
                    snapshot: Described::new(file, &checked),
                    node: status.name,
                    age_ms: status.age_ms,
                };
                warn(&saved);
                format.print(&saved, shown)?;
                return Ok(Exit::Ok);
            }
            Err(error) => failed = reason(error),
        }
    }
    Err(Failure::new(
        Exit::Unavailable,
        anyhow::anyhow!("nothing was saved: {failed}"),
    ))
}

/// A file beside the one that is wanted, so that it only needs to be renamed.
fn temporary(file: &Path) -> Result<NamedTempFile, Failure> {
    let folder = folder(file);
    let temporary = tempfile::Builder::new()
        .prefix(".chil-snapshot-")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    Ok(temporary)
}

fn folder(file: &Path) -> &Path {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

/// Fetches the snapshot of one node. The inner error is the node's: another one may do better.
async fn fetch(
    client: &Client,
    address: &str,
    arguments: &Arguments,
    mut temporary: NamedTempFile,
) -> Result<Result<(SnapshotHeader, SnapshotId, u64), ClientError>, Failure> {
    let mut download = match client.save_snapshot(address, arguments.stored).await {
        Ok(download) => download,
        Err(error) => return Ok(Err(error)),
    };
    let place = || format!("cannot write {}", arguments.file.display());
    let sent = loop {
        match download.next().await {
            Ok(Some(bytes)) => temporary.write_all(&bytes).with_context(place)?,
            Ok(None) => break download.id(),
            Err(error) => return Ok(Err(error)),
        }
    };
    temporary.as_file().sync_all().with_context(place)?;
    // What is on disk, not what came: the disk may have a mind of its own.
    let checked = check(temporary.path())
        .map_err(|failure| failure.during(format!("the snapshot of {address} did not arrive")))?;
    if Some(checked.1) != sent {
        let error = anyhow::anyhow!("{address} sent another snapshot than it says: try again");
        return Err(Failure::new(Exit::Damaged, error));
    }
    let persisted = if arguments.force {
        temporary.persist(&arguments.file)
    } else {
        temporary.persist_noclobber(&arguments.file)
    };
    persisted.map_err(|error| error.error).with_context(place)?;
    // Without this, a power failure may leave the directory without the name.
    let folder = std::fs::File::open(folder(&arguments.file)).with_context(place)?;
    folder.sync_all().with_context(place)?;
    Ok(Ok(checked))
}

fn reason(error: ClientError) -> String {
    match error {
        ClientError::Unavailable { reason } => reason,
        error => error.to_string(),
    }
}

/// A node that is cut off saves what it knows; whoever restores that must know it.
fn warn(saved: &Saved) {
    let text = match saved.age_ms {
        Some(age) if age < AGE_WARNING_MS => return,
        Some(age) => format!("had not heard for {age} ms whether that was all"),
        None => "has not heard since its start whether that is all".to_owned(),
    };
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(
        std::io::stderr(),
        "chil: warning: {} {text}: what was acknowledged lately may be missing",
        saved.node
    );
}

fn shown(saved: &Saved) -> String {
    let mut rows = saved.snapshot.rows();
    rows.push(("saved from".into(), saved.node.clone()));
    list(&rows)
}

/// Some heartbeats: younger is as good as new.
const AGE_WARNING_MS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_leaves_no_temporary_file_behind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backup.chil");
        let (begun, told) = tokio::sync::oneshot::channel();
        let work = async {
            let mut temporary = temporary(&file)?;
            temporary.write_all(b"a part").unwrap();
            begun.send(()).unwrap();
            std::future::pending().await
        };
        let told = async {
            told.await.unwrap();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        };
        let failure = unless(told, work).await.unwrap_err();
        assert!(
            failure.to_string().contains("nothing was saved"),
            "{failure}"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_temporary_file_is_beside_the_one_that_is_wanted() {
        assert_eq!(folder(Path::new("backup.chil")), Path::new("."));
        assert_eq!(folder(Path::new("/a/b.chil")), Path::new("/a"));
    }
}
