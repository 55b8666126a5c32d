//! `chil-sim mutants`: plants each bug, hunts it, prints the table and the score.
//! Knows nothing about how a mutant is built or found.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::ensure;
use xxhash_rust::xxh3::xxh3_64;

use super::{Format, MutantArgs, complain, say};
use crate::mutants::catch::Catch;
use crate::mutants::hunt::{Effort, hunt};
use crate::mutants::results::{Results, digest_of_sources};
use crate::mutants::table::{self, Row};
use crate::mutants::workspace::{Copy, root_above};
use crate::mutants::{Mutant, load, of_turn};

/// How many mutants have the same turn.
const IN_A_TURN: usize = 2;

/// Hunts the mutants that were asked for.
pub(super) fn run(args: &MutantArgs) -> anyhow::Result<ExitCode> {
    let root = root_above(&std::env::current_dir()?)?;
    let mutants = chosen(args, &root)?;
    let scratch = args
        .scratch
        .clone()
        .unwrap_or_else(|| root.join("target/mutants"));
    let results = Results::open(&scratch, args.again)?;
    let sources = digest_of_sources(&root)?;
    let effort = Effort {
        seeds: args.seeds,
        jobs: args.jobs.get(),
        briefly: args.turn.is_some(),
        checks: args.only.checks.clone(),
    };
    let of = |mutant: &Mutant| {
        let depends_on = format!("{mutant:?} {sources} {}", effort.name());
        xxh3_64(depends_on.as_bytes())
    };
    if let (Some(turn), Format::Text) = (args.turn, args.output) {
        let ids: Vec<&str> = mutants.iter().map(|mutant| mutant.id.as_str()).collect();
        say(&format!("turn {turn}: {}", ids.join(", ")))?;
    }
    let queue = Mutex::new(mutants.iter());
    let trouble = Mutex::new(0);
    std::thread::scope(|scope| {
        for worker in 0..args.workers.get() {
            let copy = Copy::new(&root, &scratch.join(format!("w{worker}")));
            let (queue, trouble, results) = (&queue, &trouble, &results);
            let (root, effort, of) = (&root, &effort, &of);
            scope.spawn(move || {
                while let Some(mutant) = next(queue) {
                    let of = of(mutant);
                    if results.get(&mutant.id, of).is_some() {
                        continue;
                    }
                    let found = hunt(mutant, root, &copy, effort);
                    if let Err(error) = found.and_then(|catch| results.put(Catch { of, ..catch })) {
                        complain(&error);
                        *trouble.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    }
                }
            });
        }
    });
    let catches = results.all();
    let rows = mutants.iter().map(|m| Row::new(m, of(m), &catches));
    let rows: Vec<Row<'_>> = rows.collect();
    match args.output {
        Format::Text => say(&table::text(&rows))?,
        Format::Json => say(&serde_json::to_string_pretty(&table::json(&rows)?)?)?,
    }
    let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(trouble == 0, "{trouble} mutants could not be tried");
    Ok(if rows.iter().all(Row::is_right) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::VIOLATED)
    })
}

/// The mutants that were asked for; all of them must fit the sources before any is built.
fn chosen(args: &MutantArgs, root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let dir = args
        .mutants
        .clone()
        .unwrap_or_else(|| root.join("sim/mutants"));
    let mut mutants = load(&dir)?;
    if !args.id.is_empty() {
        mutants.retain(|mutant| args.id.contains(&mutant.id));
        ensure!(
            mutants.len() == args.id.len(),
            "{} holds only some of the mutants {}",
            dir.display(),
            args.id.join(", ")
        );
    }
    for mutant in &mutants {
        mutant.apply(root)?;
    }
    if let Some(turn) = args.turn {
        mutants = of_turn(&mutants, turn, IN_A_TURN);
    }
    if !args.only.checks.is_empty() {
        // Whoever asks what these find expects that they do, and nothing of any other.
        for mutant in &mut mutants {
            mutant.expect.extend_from_slice(&args.only.checks);
            mutant.alone.clear();
        }
    }
    Ok(mutants)
}

fn next<'a>(queue: &Mutex<std::slice::Iter<'a, Mutant>>) -> Option<&'a Mutant> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}
