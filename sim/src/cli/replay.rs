//! `chil-sim replay`: one run as a timeline, one line an event, and its fingerprint.
//! Knows nothing about sweeps.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Error, bail, ensure};

use super::file::save;
use super::{ReplayArgs, VIOLATED, complain, load, say, until_closed, warn};
use crate::check::Violation;
use crate::check::only::Only;
use crate::plan::Plan;
use crate::report::event::{Event, Recording, State, What};
use crate::report::html::html;
use crate::report::json;
use crate::report::record::record_only;
use crate::report::shiviz::shiviz;
use crate::report::text::{Filter, filtered, story, text};
use crate::run::{Outcome, Watch};
use crate::subject::Subject;
use crate::sweep::{differs, guarded};
use crate::token::Token;

/// Replays what was asked for.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let (plan, warning) = match (&args.plan, args.seed) {
        (Some(path), _) => (load(path)?, None),
        (None, seed) => seed
            .context("replay needs a seed or a plan")?
            .plan(args.short),
    };
    if let Some(warning) = warning {
        warn(&warning);
    }
    if let Some(node) = args.node.filter(|node| *node >= plan.nodes()) {
        bail!(
            "there is no node {node}: the plan has n0 to n{}",
            plan.nodes() - 1
        );
    }
    let only = Only::named(&args.only.checks).map_err(Error::msg)?;
    let subject = Subject::key_value();
    let (mut outcome, recording) = record_only(&subject, &plan, 1, only);
    let again = guarded(&subject, &plan, Watch::counting(only));
    outcome.violation = found(&outcome, &again);
    let told = tell(args, &plan, &outcome, &recording);
    // What becomes of the files changes nothing in what was found, which is told before.
    let drawn = draw(args, &recording);
    let trouble = told.and(drawn);
    if outcome.violation.is_none() {
        return trouble.map(|()| ExitCode::SUCCESS);
    }
    if let Err(error) = trouble {
        complain(&error);
    }
    Ok(ExitCode::from(VIOLATED))
}

/// Prints what was asked for, and how it ended.
fn tell(
    args: &ReplayArgs,
    plan: &Plan,
    outcome: &Outcome,
    recording: &Recording,
) -> anyhow::Result<()> {
    // A reader that has seen enough (`| head`) ends the printing.
    let is_open = until_closed(show(args, recording))?;
    if args.json || !is_open {
        return Ok(());
    }
    let stats = &outcome.stats;
    let verdict = match &outcome.violation {
        Some(violation) => format!("VIOLATED {violation}"),
        None => "nothing was violated".to_owned(),
    };
    let mut lines = outcome.explained.clone();
    let run = match args.seed {
        Some(_) => Token::of(plan).to_string(),
        None => plan.seed.to_string(),
    };
    lines.push(format!(
        "seed {run}: {} events, {} slots, {} faults, {} ms simulated; {verdict}",
        stats.events,
        stats.slots,
        stats.faults_total(),
        stats.simulated_ms,
    ));
    lines.push(format!("trace hash {:016x}", outcome.hash));
    until_closed(say(&lines.join("\n")))?;
    Ok(())
}

/// What was violated: by the run that is shown, or in that a second one was another.
fn found(shown: &Outcome, again: &Outcome) -> Option<Violation> {
    let differs = differs(shown, again);
    if let Some((violation, how)) = &differs {
        warn(&format!("{violation}: {how}"));
    }
    let violation = shown.violation.clone();
    violation.or_else(|| differs.map(|(violation, _)| violation))
}

/// Writes the files that were asked for.
fn draw(args: &ReplayArgs, recording: &Recording) -> anyhow::Result<()> {
    let write = |path: &Option<PathBuf>, content: fn(&Recording) -> String| {
        let Some(path) = path else {
            return Ok(());
        };
        save(path, &content(recording))
    };
    write(&args.html, html)?;
    write(&args.shiviz, shiviz)
}

/// Prints the part of the recording that was asked for.
fn show(args: &ReplayArgs, recording: &Recording) -> anyhow::Result<()> {
    let filter = Filter {
        node: args.node,
        slots: args.slot,
        until: args.until,
        quiet: false,
    };
    if args.story {
        return say(story(recording).trim_end());
    }
    if args.state {
        return say(&states(args, recording)?.join("\n"));
    }
    if args.json {
        let mut out = BufWriter::new(std::io::stdout());
        json::write(&filtered(recording, &filter), &mut out)?;
        return Ok(out.flush()?);
    }
    if args.html.is_some() || args.shiviz.is_some() {
        return Ok(());
    }
    say(text(recording, &filter).trim_end())
}

/// The state of every node, or of one, when the event of `--until` was over: a line a node.
fn states(args: &ReplayArgs, recording: &Recording) -> anyhow::Result<Vec<String>> {
    let mut known: BTreeMap<usize, &State> = BTreeMap::new();
    let is_due = |event: &&Event| args.until.is_none_or(|until| event.n <= until);
    for event in recording.events.iter().take_while(is_due) {
        if let (Some(node), What::State(state)) = (event.node, &event.what) {
            known.insert(node, state);
        }
    }
    let nodes = recording.nodes.iter().enumerate();
    let asked = nodes.filter(|(node, _)| args.node.is_none_or(|only| only == *node));
    asked
        .map(|(node, name)| {
            let state = known.get(&node);
            if args.json {
                let line = serde_json::json!({ "node": name, "state": state });
                return Ok(serde_json::to_string(&line)?);
            }
            let Some(state) = state else {
                return Ok(format!("{name}: not started yet"));
            };
            let leader = state.leader.and_then(|leader| recording.nodes.get(leader));
            let leader = leader.map_or("nobody", String::as_str);
            Ok(format!(
                "{name}: {}, follows {leader}; promised {}, log of {} up to {}, durable up to {}, \
                 decided up to {}, executed up to {}",
                state.role,
                state.promised,
                state.acc,
                state.last,
                state.durable,
                state.commit,
                state.applied
            ))
        })
        .collect()
}

/// A node by its name or index: "n1" or "1".
pub(super) fn parse_node(text: &str) -> anyhow::Result<usize> {
    let digits = text.strip_prefix('n').unwrap_or(text);
    digits
        .parse()
        .with_context(|| format!("'{text}' is no node: write n1, or 1"))
}

/// A slot or a range of slots: "7" or "7-9".
pub(super) fn parse_slots(text: &str) -> anyhow::Result<(u64, u64)> {
    let number = |part: &str| {
        part.trim()
            .parse::<u64>()
            .with_context(|| format!("'{text}' is no slot: write 7, or 7-9"))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    ensure!(first <= last, "'{text}' ends before it begins");
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_that_differs_is_a_violation_but_hides_no_other() {
        let (mut shown, other) = (Outcome::default(), Outcome::default());
        assert_eq!(found(&shown, &other), None);
        shown.hash = 7;
        let differs = found(&shown, &other).unwrap();
        assert_eq!(differs.check, "determinism");
        let violation = Violation {
            check: "bounds",
            node: None,
            what: String::new(),
        };
        shown.violation = Some(violation.clone());
        assert_eq!(found(&shown, &other), Some(violation));
    }

    #[test]
    fn nodes_and_slots_are_written_in_two_ways() {
        assert_eq!(parse_node("n1").unwrap(), 1);
        assert_eq!(parse_node("1").unwrap(), 1);
        assert!(parse_node("x").is_err());
        assert_eq!(parse_slots("7").unwrap(), (7, 7));
        assert_eq!(parse_slots("7-9").unwrap(), (7, 9));
        for wrong in ["", "9-7", "7-", "-1", "a"] {
            assert!(parse_slots(wrong).is_err(), "{wrong}");
        }
    }
}
