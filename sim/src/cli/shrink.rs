//! `chil-sim shrink`: makes a failing plan small, keeps the best one in a file, goes on from it.
//! Knows nothing about what is left out and why.

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{ShrinkArgs, VIOLATED, file, load, say};
use crate::campaign::checks_flag;
use crate::check::only::Only;
use crate::plan::Plan;
use crate::run::Watch;
use crate::shrink::{Counts, Progress, Shrink, Shrunk};
use crate::signature::Signature;
use crate::subject::Subject;
use crate::sweep::guarded;

/// Shrinks what was asked for.
pub(super) fn run(args: &ShrinkArgs) -> anyhow::Result<ExitCode> {
    let original = original(args)?;
    let out = match (&args.out, &args.plan, args.seed) {
        (Some(out), ..) => out.clone(),
        (None, Some(plan), _) => plan.with_extension("shrunk.json"),
        (None, None, seed) => {
            let seed = seed.context("shrink needs a seed or a plan")?.seed;
            PathBuf::from(format!("seed-{seed}.shrunk.json"))
        }
    };
    ensure!(
        args.plan
            .as_ref()
            .is_none_or(|plan| !is_one_file(plan, &out)),
        "{} would be overwritten: name another file with --out",
        out.display()
    );
    let subject = Subject::key_value();
    let only = Only::named(&args.only.checks).map_err(Error::msg)?;
    let outcome = guarded(&subject, &original, Watch::counting(only));
    let Some(violation) = outcome.violation else {
        say("the plan does not fail in this build: there is nothing to shrink")?;
        return Ok(ExitCode::SUCCESS);
    };
    let begin = match resumed(&subject, &Signature::of(&violation), only, &out)? {
        Some(plan) => {
            say(&format!("going on from {}", out.display()))?;
            plan
        }
        None => original,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, NonZeroUsize::get);
    let shrink = Shrink::new(&subject, &begin).jobs(jobs).only(only);
    let bar = bar()?;
    let began = Instant::now();
    let mut trouble = None;
    let shrunk = shrink.run(|progress| {
        bar.set_message(line(progress));
        bar.inc(0);
        if progress.is_better
            && let Err(error) = save(&out, progress.best)
        {
            trouble = Some(error);
            return false;
        }
        args.budget.is_none_or(|budget| began.elapsed() < budget)
    });
    bar.finish_and_clear();
    if let Some(error) = trouble {
        return Err(error);
    }
    let shrunk =
        shrunk.context("the plan failed once and then did not: it is not deterministic")?;
    save(&out, &shrunk.plan)?;
    tell(&shrunk, began.elapsed(), &out, &args.only.checks)?;
    Ok(ExitCode::from(VIOLATED))
}

/// What came of it.
fn tell(shrunk: &Shrunk, took: Duration, out: &Path, checks: &[String]) -> anyhow::Result<()> {
    let (seconds, tried) = (took.as_secs_f64(), shrunk.tried);
    say(&format!("before: {}", shrunk.before))?;
    say(&format!("after:  {}", shrunk.after))?;
    say(&format!("VIOLATED {}", shrunk.violation))?;
    let end = if shrunk.is_done {
        "nothing more can be left out"
    } else {
        "stopped: call it again to go on"
    };
    say(&format!("{tried} plans executed in {seconds:.1} s; {end}"))?;
    if shrunk.given_up > 0 {
        let count = shrunk.given_up;
        say(&format!(
            "{count} of them did not end, and were left behind"
        ))?;
    }
    say(&format!("The plan: {}", out.display()))?;
    let checks = checks_flag(checks);
    say(&format!(
        "See it: cargo chaos replay --plan {}{checks}",
        out.display()
    ))
}

fn original(args: &ShrinkArgs) -> anyhow::Result<Plan> {
    match (&args.plan, args.seed) {
        (Some(path), _) => load(path),
        (None, seed) => {
            let (plan, warning) = seed
                .context("shrink needs a seed or a plan")?
                .plan(args.short);
            if let Some(warning) = warning {
                bail!(warning);
            }
            Ok(plan)
        }
    }
}

/// Whether two paths lead to the same file.
fn is_one_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        // One of them is not there: nothing of it can be overwritten.
        _ => false,
    }
}

/// What an earlier call left, if it is about the same violation. It may cost more than the original
/// does: an early one has everything written down that the original draws.
fn resumed(
    subject: &Subject,
    signature: &Signature,
    only: Only,
    out: &Path,
) -> anyhow::Result<Option<Plan>> {
    if !out.exists() {
        return Ok(None);
    }
    let plan = Plan::load(out)?;
    let outcome = guarded(subject, &plan, Watch::counting(only));
    let is_same = outcome
        .violation
        .is_some_and(|violation| Signature::of(&violation) == *signature);
    ensure!(
        is_same,
        "{} holds a plan that does not violate {signature}: name another file with --out, or \
         remove it",
        out.display()
    );
    Ok(Some(plan))
}

/// Puts a plan into a file.
fn save(path: &Path, plan: &Plan) -> anyhow::Result<()> {
    file::save(path, &(serde_json::to_string_pretty(plan)? + "\n"))
}

fn bar() -> anyhow::Result<ProgressBar> {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::with_template("{elapsed} {wide_msg}")?);
    Ok(bar)
}

fn line(progress: &Progress<'_>) -> String {
    let (before, now) = (progress.before.things, progress.now.things);
    let (tried, doing) = (progress.tried, progress.doing);
    let counts = Counts::of(progress.best);
    format!("{before} -> {now} things ({counts}); {tried} plans tried; {doing}")
}
