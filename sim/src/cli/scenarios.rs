//! `chil-sim scenarios`: the table of recoveries, or the timeline of one.
//! Knows nothing about how they are measured.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};

use super::{ScenarioArgs, VIOLATED, say};
use crate::report::record::Recorder;
use crate::report::text::{Filter, text};
use crate::run::{Outcome, Watch};
use crate::scenario::{SCENARIOS, Scenario, measure, named, table};

/// Measures what was asked for.
pub(super) fn run(args: &ScenarioArgs) -> anyhow::Result<ExitCode> {
    let scenarios = chosen(&args.only)?;
    if let Some(seed) = args.timeline {
        return timeline(&scenarios, &args.weights, seed);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let table = table(
        &scenarios,
        args.seeds,
        args.jobs.map_or(cores, NonZeroUsize::get),
    );
    if args.json {
        say(&serde_json::to_string_pretty(&table)?)?;
    } else {
        say(table.to_string().trim_end())?;
    }
    Ok(if table.rows.iter().all(|row| row.wrong.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(VIOLATED)
    })
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    names
        .iter()
        .map(|name| {
            named(name).with_context(|| {
                format!(
                    "no scenario is called '{name}': there are {}",
                    known.join(", ")
                )
            })
        })
        .collect()
}

fn timeline(
    scenarios: &[&'static Scenario],
    weights: &[u32],
    seed: u64,
) -> anyhow::Result<ExitCode> {
    let [scenario] = scenarios else {
        bail!("--timeline shows one scenario: name it with --only");
    };
    let mut clusters = scenario.clusters.iter();
    let weights = if weights.is_empty() {
        clusters
            .next()
            .copied()
            .context("a scenario has a cluster")?
    } else {
        weights
    };
    ensure!(
        (2..=16).contains(&weights.len()),
        "--weights names {} nodes, not 2 to 16",
        weights.len()
    );
    let recorder = Recorder::default();
    let watch = Watch {
        sink: Some(recorder.sink()),
        ..Watch::default()
    };
    let measured = measure(scenario, weights, seed, watch);
    let recording = recorder.finish(&scenario.plan(weights, seed), &Outcome::default());
    // A reader that has seen enough (`| head`) ends the printing.
    say(text(&recording, &Filter::default()).trim_end()).ok();
    match measured {
        Ok(None) => bail!("the scenario cannot be laid out around the leader of seed {seed}"),
        Ok(Some(measured)) => {
            say(&format!("{measured:?}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(violation) => {
            say(&format!("VIOLATED {violation}"))?;
            Ok(ExitCode::from(VIOLATED))
        }
    }
}
