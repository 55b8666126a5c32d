//! `chil-sim mutants`: plants each bug, hunts it, prints the table and the score.
//! Knows nothing about how a mutant is built or found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use xxhash_rust::xxh3::xxh3_64;

use super::{Format, MutantArgs, complain, say};
use crate::mutants::hunt::{Catch, Effort, hunt};
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
            let (queue, trouble, results, root) = (&queue, &trouble, &results, &root);
            scope.spawn(move || {
                while let Some(mutant) = next(queue) {
                    let of = xxh3_64(format!("{mutant:?} {sources} {effort:?}").as_bytes());
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
    match args.output {
        Format::Text => say(&table(&mutants, &catches))?,
        Format::Json => say(&serde_json::to_string_pretty(&catches)?)?,
    }
    let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(trouble == 0, "{trouble} mutants could not be tried");
    let right = mutants.iter().all(|mutant| {
        let killed = catches.get(&mutant.id).is_some_and(Catch::killed);
        killed != mutant.equivalent.is_some()
    });
    Ok(if right {
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
    Ok(mutants)
}

fn next<'a>(queue: &Mutex<std::slice::Iter<'a, Mutant>>) -> Option<&'a Mutant> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Results so far, kept in a file so that a long hunt can go on where it was stopped.
struct Results {
    path: PathBuf,
    catches: Mutex<BTreeMap<String, Catch>>,
}

impl Results {
    fn open(scratch: &Path, again: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        let path = scratch.join("results.json");
        let known = match fs::read_to_string(&path) {
            Ok(text) if !again => serde_json::from_str(&text)
                .with_context(|| format!("{} is not a hunt's: remove it", path.display()))?,
            _ => BTreeMap::new(),
        };
        Ok(Self {
            path,
            catches: Mutex::new(known),
        })
    }

    fn get(&self, id: &str, of: u64) -> Option<Catch> {
        let catches = self.catches.lock().unwrap_or_else(PoisonError::into_inner);
        catches.get(id).filter(|catch| catch.of == of).cloned()
    }

    fn put(&self, catch: Catch) -> anyhow::Result<()> {
        let mut catches = self.catches.lock().unwrap_or_else(PoisonError::into_inner);
        catches.insert(catch.id.clone(), catch);
        fs::write(&self.path, serde_json::to_string_pretty(&*catches)?)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn all(&self) -> BTreeMap<String, Catch> {
        let catches = self.catches.lock().unwrap_or_else(PoisonError::into_inner);
        catches.clone()
    }
}

/// A number that changes with the sources that a hunt depends on.
fn digest_of_sources(root: &Path) -> anyhow::Result<u64> {
    let mut digest = 0;
    let mut dirs: Vec<PathBuf> = ["core/src", "proto/src", "runtime/src", "sim/src"]
        .iter()
        .map(|dir| root.join(dir))
        .collect();
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    for file in files {
        digest = xxh3_64(&[&u64::to_le_bytes(digest), fs::read(&file)?.as_slice()].concat());
    }
    Ok(digest)
}

fn table(mutants: &[Mutant], catches: &BTreeMap<String, Catch>) -> String {
    let mut out = format!(
        "{:<18} {:<9} {:>6}  {:<22} {:<26} {:>7}\n",
        "mutant", "result", "median", "seeds to the kill", "checks", "seconds"
    );
    let (mut killed, mut planted) = (0, 0);
    for mutant in mutants {
        let equivalent = mutant.equivalent.is_some();
        planted += u32::from(!equivalent);
        let Some(catch) = catches.get(&mutant.id) else {
            let _ = writeln!(out, "{:<18} not tried", mutant.id);
            continue;
        };
        killed += u32::from(!equivalent && catch.killed());
        let result = match (catch.killed(), equivalent) {
            (true, false) => "killed",
            (false, true) => "survived",
            (true, true) => "KILLED",
            (false, false) => "SURVIVED",
        };
        let shown = |seeds: Option<u64>| seeds.map_or_else(|| "-".to_owned(), |s| s.to_string());
        let median = shown(catch.median());
        let mut seeds: Vec<String> = catch.seeds.iter().map(|s| shown(*s)).collect();
        seeds.extend(catch.directed.clone());
        let mark = |check: &String| {
            if mutant.expect.contains(check) {
                check.clone()
            } else {
                format!("{check} (unexpected)")
            }
        };
        let checks: Vec<String> = catch.checks.iter().map(mark).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:<18} {result:<9} {median:>6}  {:<22} {:<26} {:>7.1}",
            mutant.id,
            seeds.join(" "),
            checks.join(" "),
            catch.seconds
        );
    }
    let _ = write!(out, "score: {killed} of {planted}");
    out
}
