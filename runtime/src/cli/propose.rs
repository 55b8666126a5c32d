//! `chil propose`: writes one value, or every claim of a file, many at a time.
//! Knows nothing about which node decides them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chil::client::{Client, ClientOptions};
use futures_util::StreamExt;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::claims::{self, Claim};
use super::connect::Target;
use super::failure::{Exit, Failure};
use super::output::{Format, Latencies, Speed, list, table};

/// Write a value, or every line of a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The whole file is checked before anything is proposed: a line that is not a JSON object is refused
with its number. Each line is stored as it stands under its field 'claim_id'.

Examples:
  chil propose -p 127.0.0.1:7001 greeting hello
  chil propose -p 127.0.0.1:7001 --file claims.jsonl
  chil propose -p 127.0.0.1:7001 --file users.jsonl --key-field email -o json")]
pub(crate) struct Arguments {
    /// What to store it under.
    #[arg(required_unless_present = "file", requires = "value")]
    key: Option<String>,
    /// What to store.
    value: Option<String>,
    /// Propose every line of this file: one JSON object a line.
    #[arg(short, long, value_name = "FILE", conflicts_with = "key")]
    file: Option<PathBuf>,
    /// The field of each object that is its key.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "claim_id",
        requires = "file"
    )]
    key_field: String,
    /// How many proposals of a file are under way at a time.
    #[arg(long, value_name = "N", default_value_t = 64, requires = "file",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    /// Try a proposal again when its outcome is unknown, which may write it twice. With a session,
    /// as by default, that is so only when the cluster has forgotten the session.
    #[arg(long)]
    retry_unknown: bool,
    /// Propose without a session: what gets no answer has an unknown outcome at once.
    #[arg(long)]
    no_sessions: bool,
    #[command(flatten)]
    target: Target,
}

/// One value that was written.
#[derive(Debug, Serialize)]
struct Written {
    key: String,
    slot: u64,
    version: u64,
}

/// A file that was proposed.
#[derive(Debug, Serialize)]
struct Proposed {
    file: String,
    lines: usize,
    #[serde(flatten)]
    speed: Speed,
}

/// Runs `chil propose`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let target = arguments.target;
    let client = || {
        target.client_with(ClientOptions {
            exactly_once: !arguments.no_sessions,
            retry_unknown: arguments.retry_unknown,
            ..ClientOptions::default()
        })
    };
    match (arguments.key, arguments.value, arguments.file) {
        (_, _, Some(file)) => {
            // First the file: a bad one must be refused whether or not a cluster is there.
            let claims = claims::load(Some(&file), &arguments.key_field)
                .map_err(|error| Failure::new(Exit::Failure, error))?;
            let client = client()?;
            let lines = claims.len();
            let speed = propose_all(&client, claims, arguments.in_flight.into()).await?;
            let file = file.display().to_string();
            let done = Proposed { file, lines, speed };
            format.print(&done, |done| {
                let mut rows = vec![("file".to_owned(), done.file.clone())];
                rows.extend(done.speed.rows());
                list(&rows)
            })?;
        }
        (Some(key), Some(value), None) => {
            let client = client()?;
            let committed = client.put(key.clone(), value).await?;
            let written = Written {
                key,
                slot: committed.slot.get(),
                version: committed.version,
            };
            format.print(&written, |written| {
                let row = vec![
                    written.key.clone(),
                    written.slot.to_string(),
                    written.version.to_string(),
                ];
                table(&["KEY", "SLOT", "VERSION"], &[row])
            })?;
        }
        (_, _, None) => unreachable!("the grammar asks for a key and a value, or a file"),
    }
    Ok(Exit::Ok)
}

/// Proposes all claims, `in_flight` at a time, and stops at the first that fails; what is under
/// way then is still waited for.
async fn propose_all(
    client: &Client,
    claims: Vec<Claim>,
    in_flight: usize,
) -> Result<Speed, Failure> {
    let total = claims.len();
    let bar = progress(total, "proposing");
    let began = Instant::now();
    let mut latencies = Latencies::new();
    let mut failed: Option<(usize, Failure)> = None;
    let mut queue = claims.into_iter();
    let mut under_way = stream::FuturesUnordered::new();
    loop {
        while failed.is_none() && under_way.len() < in_flight {
            let Some(claim) = queue.next() else { break };
            under_way.push(timed(client, claim));
        }
        match under_way.next().await {
            None => break,
            Some((_, Ok(latency))) => {
                latencies.record(latency);
                bar.inc(1);
            }
            Some((line, Err(failure))) => {
                // An unknown outcome weighs most: it decides the exit code.
                let worse = failed
                    .as_ref()
                    .is_none_or(|(_, first)| first.exit() != Exit::Unknown);
                if worse {
                    failed = Some((line, failure));
                }
            }
        }
    }
    bar.finish_and_clear();
    match failed {
        None => Ok(Speed::new(&latencies, began.elapsed())),
        Some((line, failure)) => Err(failure.during(format!(
            "{} of {total} lines were acknowledged, then line {line} failed",
            latencies.count()
        ))),
    }
}

/// Proposes one claim; gives its line and how long it took.
async fn timed(client: &Client, claim: Claim) -> (usize, Result<Duration, Failure>) {
    let began = Instant::now();
    let result = client.put(claim.key, claim.value).await;
    let latency = result.map(|_| began.elapsed()).map_err(Failure::from);
    (claim.line, latency)
}

/// A bar on standard error, drawn only on a terminal.
pub(super) fn progress(total: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg:24} [{bar:40}] {pos}/{len} {per_sec}")
        .expect("the template has no error")
        .progress_chars("=> ");
    bar.with_style(style).with_message(what)
}
