//! `chil-sim run`: a campaign, or one shard of it, with a file of results to go on from.
//! Knows nothing about how a run goes, nor what its summary looks like.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::outcome::{OutcomeArgs, verdict};
use super::progress::Progress;
use super::warn;
use crate::campaign::{
    Batch, Header, Merged, Results, Shard, fingerprint, parse_seeds, parse_shard,
};
use crate::check::only::Only;
use crate::subject::Subject;
use crate::sweep::{Ran, Sweep, Told, sweep};

/// Which seeds to run, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// How many seeds, or which: "1000", "500..1500"
    #[arg(long, default_value = "1000", value_parser = parse_seeds)]
    seeds: (u64, u64),
    /// Only one shard of them: "2/8" for the seeds whose remainder by 8 is 2; "auto/8" takes the
    /// number from JOB_COMPLETION_INDEX, which Indexed Jobs of Kubernetes set
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<(u64, u64)>,
    /// End this sitting after so long, such as "90s", "30m", "2h"; what is under way is finished
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    budget: Option<Duration>,
    /// Threads; a run itself has only one [default: as many as there are processors]
    #[arg(long, value_parser = super::parse_jobs)]
    jobs: Option<NonZeroUsize>,
    /// Keep the results in this file, as JSON lines, and go on from what it holds
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on after a violation
    #[arg(long)]
    keep_going: bool,
    /// Look into the replicas' own state every so many events
    #[arg(long, default_value = "1", value_name = "N")]
    check_every: NonZeroU64,
    /// Run every seed that this divides a second time, and compare; 0 for only those that fail
    #[arg(long, default_value_t = 64, value_name = "N")]
    twice_every: u64,
    /// Cut each run short: only the faults and operations of its first rounds
    #[arg(long)]
    short: bool,
    /// Only what these checks find counts, such as "linearizable,answered": a run goes on behind
    /// what others find. Assertions of the code count always, and so do second runs that differ.
    /// Not with --out: files of results are of all checks
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        conflicts_with = "out",
        value_parser = PossibleValuesParser::new(Only::NAMES),
        hide_possible_values = true
    )]
    checks: Vec<String>,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

/// Runs what was asked for.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    args.outcome.check()?;
    let signals = Signals::new()?;
    let subject = Subject::key_value();
    let mut results = Results::open(args.out.as_deref(), args.header(&subject))?;
    let had_failed = !results.part.tally.failures.is_empty();
    let went_on = if had_failed && !args.keep_going {
        if results.part.done < results.part.header.shard.len() {
            warn(
                "nothing was run: an earlier sitting ended at a violation, which is in the file of \
                 --out. Call it with --keep-going to go on behind that",
            );
        }
        Ok(())
    } else {
        args.go_on(&subject, &mut results, &signals)
    };
    let merged = Merged::alone(&results.part).counting(&args.checks);
    let written = args.outcome.write(&merged);
    let trouble = went_on.and(written);
    let signal = signals.caught();
    if signal > 0 && merged.is_clean() && merged.missing > 0 && trouble.is_ok() {
        return Ok(ExitCode::from(128 + signal));
    }
    verdict(&merged, trouble)
}

impl RunArgs {
    fn header(&self, subject: &Subject) -> Header {
        let (from, to) = self.seeds;
        let (index, of) = self.shard.unwrap_or((0, 1));
        Header {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            code: fingerprint(subject),
            shard: Shard {
                from,
                to,
                index,
                of,
            },
            short: self.short,
            check_every: self.check_every.get(),
            twice_every: self.twice_every,
        }
    }

    /// Runs what is left, until that is done, or something ends it before.
    fn go_on(
        &self,
        subject: &Subject,
        results: &mut Results,
        signals: &Signals,
    ) -> anyhow::Result<()> {
        let header = results.part.header.clone();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let what = Sweep {
            shard: header.shard,
            done: results.part.done,
            jobs: self.jobs.map_or(cores, NonZeroUsize::get),
            short: header.short,
            check_every: header.check_every,
            twice_every: header.twice_every,
            only: Only::named(&self.checks).map_err(Error::msg)?,
        };
        let mut progress = Progress::new(&results.part)?;
        let mut pending = Pending::new(results);
        let began = Instant::now();
        let mut written = Ok(());
        sweep(subject, what, |told| {
            let mut failures = 0;
            match told {
                Told::Ran(ran) => {
                    failures = ran.failures.len() as u64;
                    pending.take(*ran);
                    progress.one_more(failures);
                }
                Told::Ahead(failure) => {
                    failures = 1;
                    progress.is_ahead(&failure);
                }
                Told::Waits { slow } => slow.iter().for_each(|seed| progress.is_slow(*seed)),
            }
            if written.is_ok() && (failures > 0 || pending.is_due()) {
                written = pending.flush();
            }
            let in_time = self.budget.is_none_or(|budget| began.elapsed() < budget);
            let fine = failures == 0 || self.keep_going;
            written.is_ok() && in_time && fine && signals.caught() == 0
        });
        progress.finish();
        pending.end(written)
    }
}

/// Seeds that are done, but not in the results yet.
struct Pending<'a> {
    results: &'a mut Results,
    /// How many these are: of a run that never began there is nothing else to count.
    seeds: u64,
    batch: Batch,
    since: Instant,
}

impl<'a> Pending<'a> {
    fn new(results: &'a mut Results) -> Self {
        Self {
            results,
            seeds: 0,
            batch: Batch::default(),
            since: Instant::now(),
        }
    }

    fn take(&mut self, ran: Ran) {
        self.seeds += 1;
        self.batch.take(ran);
    }

    /// A batch takes a second, or a hundredth of the time spent so far: whoever kills the process
    /// loses no more, and a file of results stays small however long a campaign is.
    fn is_due(&self) -> bool {
        let took = self.since.elapsed().as_secs_f64();
        took >= (self.results.part.seconds / 100.0).max(1.0)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        match self.batch() {
            Some(batch) => self.results.append(batch),
            None => Ok(()),
        }
    }

    /// The last seeds, which were still under way when writing failed, if it did. They count all
    /// the same.
    fn end(mut self, written: anyhow::Result<()>) -> anyhow::Result<()> {
        if written.is_ok() {
            return self.flush();
        }
        if let Some(batch) = self.batch() {
            self.results.count(&batch);
        }
        written
    }

    /// What is pending, if anything is.
    fn batch(&mut self) -> Option<Batch> {
        let seeds = std::mem::take(&mut self.seeds);
        if seeds == 0 {
            return None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.done = self.results.part.done + seeds;
        batch.seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        Some(batch)
    }
}

/// SIGINT and SIGTERM: the first lets the seeds under way finish, a second ends the process.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).context("signals have small numbers")?;
            // The order matters: the first one must not find what it sets itself.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))
                .and_then(|_| flag::register(signal, Arc::clone(&again)))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&caught), number))
                .context("cannot watch for signals")?;
        }
        Ok(Self(caught))
    }

    /// The signal that came, or 0.
    fn caught(&self) -> u8 {
        u8::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(u8::MAX - 128)
    }
}

fn shard(text: &str) -> anyhow::Result<(u64, u64)> {
    let completion = std::env::var("JOB_COMPLETION_INDEX").ok();
    parse_shard(text, completion.as_deref())
}

pub(super) fn parse_time(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => bail!("'{text}' is not a time: write a number and s, m or h, such as 30m"),
    };
    let number: u64 = digits
        .parse()
        .with_context(|| format!("'{text}' is not a time: write it such as 90s, 30m, 2h"))?;
    let seconds = number.checked_mul(unit);
    let seconds = seconds.with_context(|| format!("'{text}' is too long"))?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Violation;
    use crate::stats::Stats;
    use crate::sweep::Failure;
    use crate::token::Token;

    fn header() -> Header {
        Header {
            version: String::new(),
            code: String::new(),
            shard: Shard::whole(0, 3),
            short: false,
            check_every: 1,
            twice_every: 0,
        }
    }

    /// A seed that failed before it began: nothing was counted in it, not even itself.
    fn failed(seed: u64) -> Ran {
        let violation = Violation {
            check: "recovery_is_a_prefix",
            node: Some(0),
            what: "a fresh directory is not empty".to_owned(),
        };
        Ran {
            seed,
            stats: Stats::default(),
            failures: vec![Failure {
                token: Token {
                    seed,
                    fingerprint: None,
                },
                violation,
                explained: Vec::new(),
                repeats: true,
                ended: true,
            }],
        }
    }

    #[test]
    fn what_was_under_way_when_writing_failed_counts_all_the_same() {
        let mut results = Results::unwritable(header());
        let mut pending = Pending::new(&mut results);
        pending.take(Ran {
            failures: Vec::new(),
            ..failed(0)
        });
        let written = pending.flush();
        assert!(written.is_err(), "nothing can be written");
        pending.take(failed(1));
        let trouble = pending.end(written);
        assert!(trouble.is_err());
        let merged = Merged::alone(&results.part);
        assert_eq!((merged.missing, merged.tally.failures.len()), (1, 1));
        assert_eq!(verdict(&merged, trouble).unwrap(), ExitCode::from(42));
    }

    #[test]
    fn a_seed_whose_run_never_began_is_kept_and_counted() {
        let mut results = Results::open(None, header()).unwrap();
        let mut pending = Pending::new(&mut results);
        pending.take(failed(0));
        pending.flush().unwrap();
        assert_eq!(pending.seeds, 0);
        let merged = Merged::alone(&results.part);
        assert!(!merged.is_clean());
        assert_eq!(merged.missing, 2);
        assert_eq!(verdict(&merged, Ok(())).unwrap(), ExitCode::from(42));
    }

    #[test]
    fn a_budget_has_a_unit() {
        assert_eq!(parse_time("90s").unwrap().as_secs(), 90);
        assert_eq!(parse_time("30m").unwrap().as_secs(), 1_800);
        assert_eq!(parse_time("2h").unwrap().as_secs(), 7_200);
        for wrong in [
            "",
            "30",
            "m",
            "1.5h",
            "-1s",
            "10ms",
            "99999999999999999999h",
        ] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
