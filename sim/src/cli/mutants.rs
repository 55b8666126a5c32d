//! `chil-sim mutants`: plants each bug, hunts it, prints the table and the score.
//! Knows nothing about how a mutant is built or found.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use xxhash_rust::xxh3::xxh3_64;

use super::run::parse_time;
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
    let results = Results::open(&scratch)?;
    let sources = digest_of_sources(&root)?;
    let effort = Effort {
        seeds: args.seeds,
        jobs: args.jobs.get(),
        briefly: args.turn.is_some(),
        checks: args.only.checks.clone(),
        limit: args.limit,
    };
    let so = effort.name();
    if args.again {
        mutants.iter().for_each(|it| results.forget(&it.id, &so));
    }
    let of = |mutant: &Mutant| xxh3_64(format!("{mutant:?} {sources} {so}").as_bytes());
    if let (Some(turn), Format::Text) = (args.turn, args.output) {
        let ids: Vec<&str> = mutants.iter().map(|mutant| mutant.id.as_str()).collect();
        say(&format!("turn {turn}: {}", ids.join(", ")))?;
    }
    let hunter = |mutant: &Mutant, worker: usize| {
        let copy = Copy::new(&root, &scratch.join(format!("w{worker}")));
        let catch = hunt(mutant, &root, &copy, &effort)?;
        results.put(Catch {
            of: of(mutant),
            effort: so.clone(),
            ..catch
        })
    };
    let is_known = |mutant: &Mutant| results.get(&mutant.id, &so, of(mutant)).is_some();
    let (misfits, wanted) = sorted_out(&root, &mutants, is_known);
    let trouble = misfits.len() + hunt_all(&wanted, args.workers.get(), hunter);
    let catches = results.all(&so);
    let rows = mutants.iter().map(|mutant| {
        if misfits.contains(&mutant.id.as_str()) {
            Row::misfit(mutant)
        } else {
            Row::new(mutant, of(mutant), &catches)
        }
    });
    let rows: Vec<Row<'_>> = rows.collect();
    match args.output {
        Format::Text => say(&table::text(&rows))?,
        Format::Json => say(&serde_json::to_string_pretty(&table::json(&rows)?)?)?,
    }
    ensure!(trouble == 0, "{trouble} mutants could not be tried");
    Ok(if rows.iter().all(Row::is_right) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::VIOLATED)
    })
}

/// The names of those that cannot be planted, and those that are to be hunted.
fn sorted_out<'a>(
    root: &Path,
    mutants: &'a [Mutant],
    is_known: impl Fn(&Mutant) -> bool,
) -> (Vec<&'a str>, Vec<&'a Mutant>) {
    let (mut misfits, mut wanted) = (Vec::new(), Vec::new());
    for mutant in mutants {
        if let Err(error) = mutant.apply(root) {
            complain(&error.context("a mutant could not be planted, and must be restated"));
            misfits.push(mutant.id.as_str());
        } else if !is_known(mutant) {
            wanted.push(mutant);
        }
    }
    (misfits, wanted)
}

/// Hunts them, each worker one after the other; returns how many that could not be done with.
fn hunt_all(
    mutants: &[&Mutant],
    workers: usize,
    hunter: impl Fn(&Mutant, usize) -> anyhow::Result<()> + Sync,
) -> usize {
    let queue = Mutex::new(mutants.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let trouble = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (next, hunter, trouble) = (&next, &hunter, &trouble);
            scope.spawn(move || {
                while let Some(mutant) = next() {
                    if let Err(error) = hunter(mutant, worker) {
                        complain(&error);
                        trouble.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    trouble.into_inner()
}

/// The mutants that were asked for.
fn chosen(args: &MutantArgs, root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let dir = args
        .mutants
        .clone()
        .unwrap_or_else(|| root.join("sim/mutants"));
    let mut mutants = load(&dir)?;
    for id in &args.id {
        let is_there = mutants.iter().any(|mutant| mutant.id == *id);
        ensure!(is_there, "{} holds no mutant {id}", dir.display());
    }
    if !args.id.is_empty() {
        mutants.retain(|mutant| args.id.contains(&mutant.id));
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

/// A time in which something can come to an end.
pub(super) fn parse_limit(text: &str) -> anyhow::Result<Duration> {
    let limit = parse_time(text)?;
    ensure!(!limit.is_zero(), "in no time nothing comes to an end");
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::Edit;

    #[test]
    fn one_that_does_not_fit_keeps_nobody_from_the_others() {
        let root = root_above(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let edited = |id: &str, find: &str| Mutant {
            edit: vec![Edit {
                file: "Cargo.toml".to_owned(),
                find: find.to_owned(),
                replace: String::new(),
            }],
            ..Mutant::named(id, None)
        };
        let mutants = [
            edited("GONE", "no such line"),
            edited("KNOWN", "resolver = \"3\""),
            edited("FAILS", "resolver = \"3\""),
            edited("NEW", "resolver = \"3\""),
        ];
        let (misfits, wanted) = sorted_out(&root, &mutants, |mutant| mutant.id == "KNOWN");
        assert_eq!(misfits, ["GONE"]);
        let hunted = Mutex::new(Vec::new());
        let trouble = hunt_all(&wanted, 2, |mutant, worker| {
            assert!(worker < 2);
            hunted.lock().unwrap().push(mutant.id.clone());
            ensure!(mutant.id != "FAILS", "it does not compile");
            Ok(())
        });
        let mut hunted = hunted.into_inner().unwrap();
        hunted.sort();
        assert_eq!(
            (hunted, trouble),
            (vec!["FAILS".to_owned(), "NEW".to_owned()], 1)
        );
    }
}
