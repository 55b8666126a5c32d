//! `chil-sim replay`: one run as a timeline, one line an event, and its fingerprint.
//! Knows nothing about sweeps.

use std::cell::RefCell;
use std::io::{BufWriter, Write as _};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;

use super::{ReplayArgs, VIOLATED};
use crate::node::Names;
use crate::plan::Plan;
use crate::run::Watch;
use crate::subject::Subject;
use crate::swarm;
use crate::sweep::guarded;

/// Replays what was asked for.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let plan = match (&args.plan, args.seed) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the plan {}", path.display()))?;
            serde_json::from_str::<Plan>(&text)
                .with_context(|| format!("{} is not a plan", path.display()))?
        }
        (None, seed) => swarm::plan(seed.context("replay needs a seed or a plan")?),
    };
    plan.check()?;
    let out = Rc::new(RefCell::new(BufWriter::new(std::io::stdout())));
    let names = Names::new(plan.nodes());
    let lines = Rc::clone(&out);
    let sink = move |line: &str| {
        // A reader that has seen enough (`| head`) ends the printing, not the run.
        let _ = writeln!(lines.borrow_mut(), "{}", names.put_into(line));
    };
    let watch = Watch {
        sink: Some(Box::new(sink)),
        ..Watch::default()
    };
    let outcome = guarded(&Subject::key_value(), &plan, watch);
    let stats = &outcome.stats;
    let mut out = out.borrow_mut();
    let verdict = match &outcome.violation {
        Some(violation) => format!("VIOLATED {violation}"),
        None => "nothing was violated".to_owned(),
    };
    for line in &outcome.explained {
        let _ = writeln!(out, "{line}");
    }
    let summary = format!(
        "seed {}: {} events, {} slots, {} faults, {} ms simulated; {verdict}\ntrace hash {:016x}",
        plan.seed,
        stats.events,
        stats.slots,
        stats.faults_total(),
        stats.simulated_ms,
        outcome.hash
    );
    let _ = writeln!(out, "{summary}");
    let _ = out.flush();
    Ok(match outcome.violation {
        Some(_) => ExitCode::from(VIOLATED),
        None => ExitCode::SUCCESS,
    })
}
