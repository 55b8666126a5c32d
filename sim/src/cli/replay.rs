//! `chil-sim replay`: one run as a timeline, one line an event, and its fingerprint.
//! Knows nothing about sweeps.

use std::process::ExitCode;

use anyhow::Context as _;

use super::{ReplayArgs, VIOLATED, load_plan, say, warn};
use crate::report::record::record;
use crate::report::text::{Filter, text};
use crate::subject::Subject;

/// Replays what was asked for.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let (plan, warning) = match (&args.plan, args.seed) {
        (Some(path), _) => (load_plan(path)?, None),
        (None, seed) => seed
            .context("replay needs a seed or a plan")?
            .plan(args.short),
    };
    if let Some(warning) = warning {
        warn(&warning);
    }
    let (outcome, recording) = record(&Subject::key_value(), &plan, 1);
    // A reader that has seen enough (`| head`) ends the printing.
    let shown = say(text(&recording, &Filter::default()).trim_end());
    let stats = &outcome.stats;
    let verdict = match &outcome.violation {
        Some(violation) => format!("VIOLATED {violation}"),
        None => "nothing was violated".to_owned(),
    };
    let mut lines = outcome.explained.clone();
    lines.push(format!(
        "seed {}: {} events, {} slots, {} faults, {} ms simulated; {verdict}",
        plan.seed,
        stats.events,
        stats.slots,
        stats.faults_total(),
        stats.simulated_ms,
    ));
    lines.push(format!("trace hash {:016x}", outcome.hash));
    shown.and_then(|()| say(&lines.join("\n"))).ok();
    Ok(match outcome.violation {
        Some(_) => ExitCode::from(VIOLATED),
        None => ExitCode::SUCCESS,
    })
}
