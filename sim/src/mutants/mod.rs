//! Planted bugs: what a mutant is, and how it is put into a copy of the sources.
//! Knows nothing about how a mutant is built and hunted.
//!
//! A simulator that finds nothing proves nothing. Each mutant is a real or classic bug of
//! consensus implementations, stated as edits; production code carries no trace of it.

pub mod catch;
mod child;
pub mod hunt;
pub mod results;
pub mod table;
pub mod workspace;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// One planted bug: a file in `sim/mutants`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name, that of its file.
    pub id: String,
    /// What is wrong, in a sentence.
    pub summary: String,
    /// Where the bug, or one like it, was seen.
    pub source: String,
    /// The checks, by the names of their files, that may fire.
    pub expect: Vec<String>,
    /// Checks that others usually come before, and that must find this one when each counts alone.
    #[serde(default)]
    pub alone: Vec<String>,
    /// The kinds of fault that it takes, for people.
    pub faults: Vec<String>,
    /// Why it changes nothing that matters, if that is so: then it must survive.
    #[serde(default, deserialize_with = "reason")]
    pub equivalent: Option<String>,
    /// What finds it within a minute, if anything does: then it takes part in the rotation.
    pub quick: Option<Quick>,
    /// The changes.
    pub edit: Vec<Edit>,
}

/// What finds a mutant fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quick {
    /// Some tens of seeds, whichever.
    Seeds,
    /// A plan in `sim/tests/plans`, or a scenario.
    Plan,
}

/// The mutants of one turn: so many neighbours, round and round, of those that are found fast.
#[must_use]
pub fn of_turn(mutants: &[Mutant], turn: u64, many: usize) -> Vec<Mutant> {
    let quick: Vec<&Mutant> = mutants.iter().filter(|m| m.quick.is_some()).collect();
    let first = turn
        .wrapping_mul(many as u64)
        .checked_rem(quick.len() as u64);
    let first = first.and_then(|first| usize::try_from(first).ok());
    let round = quick.iter().cycle().skip(first.unwrap_or_default());
    round
        .take(many.min(quick.len()))
        .map(|m| (*m).clone())
        .collect()
}

/// Accepts `equivalent = true` as well: that says so without an argument.
fn reason<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Whether(bool),
        Why(String),
    }
    Ok(match Said::deserialize(from)? {
        Said::Whether(is) => is.then(|| "declared".to_owned()),
        Said::Why(why) => Some(why),
    })
}

/// One change: `find` must stand in `file` exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, from the workspace's root.
    pub file: String,
    /// What to replace.
    pub find: String,
    /// By what.
    pub replace: String,
}

/// Reads all mutants of a directory, in the order of their names.
///
/// # Errors
/// If the directory or one of its files cannot be used.
pub fn load(dir: &Path) -> anyhow::Result<Vec<Mutant>> {
    let files = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut mutants = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mutant: Mutant =
            toml::from_str(&text).with_context(|| format!("{} is no mutant", path.display()))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        ensure!(
            stem == Some(mutant.id.as_str()),
            "{} calls itself {}",
            path.display(),
            mutant.id
        );
        ensure!(!mutant.edit.is_empty(), "{} changes nothing", mutant.id);
        mutants.push(mutant);
    }
    mutants.sort_by(|a, b| a.id.cmp(&b.id));
    if mutants.is_empty() {
        bail!("{} holds no mutants", dir.display());
    }
    Ok(mutants)
}

impl Mutant {
    /// One that changes nothing.
    #[cfg(test)]
    pub(crate) fn named(id: &str, quick: Option<Quick>) -> Self {
        Self {
            id: id.to_owned(),
            summary: String::new(),
            source: String::new(),
            expect: Vec::new(),
            alone: Vec::new(),
            faults: Vec::new(),
            equivalent: None,
            quick,
            edit: Vec::new(),
        }
    }

    /// The edits applied to the files of a workspace: each file's path and its new text.
    ///
    /// # Errors
    /// If an edit does not fit: the code that it bends has changed, and it must be restated.
    pub fn apply(&self, root: &Path) -> anyhow::Result<Vec<(String, String)>> {
        let mut changed: Vec<(String, String)> = Vec::new();
        for edit in &self.edit {
            let known = changed.iter().position(|(file, _)| *file == edit.file);
            let at = match known {
                Some(at) => at,
                None => {
                    let text = fs::read_to_string(root.join(&edit.file))
                        .with_context(|| format!("{}: cannot read {}", self.id, edit.file))?;
                    changed.push((edit.file.clone(), text));
                    changed.len() - 1
                }
            };
            let (_, text) = &mut changed[at];
            let found = text.matches(&edit.find).count();
            ensure!(
                found == 1,
                "{}: stands {found} times instead of once in {}: {}",
                self.id,
                edit.file,
                edit.find.trim()
            );
            *text = text.replace(&edit.find, &edit.replace);
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::only::Only;

    #[test]
    fn every_mutant_fits_the_sources_and_changes_them() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let elsewhere = [
            "assertion",
            "codec",
            "coverage",
            "determinism",
            "forming",
            "scenarios",
        ];
        for mutant in load(&root.join("sim/mutants")).unwrap() {
            for (file, text) in mutant.apply(&root).unwrap() {
                let before = fs::read_to_string(root.join(&file)).unwrap();
                assert_ne!(before, text, "{} changes nothing in {file}", mutant.id);
            }
            Only::named(&mutant.alone).unwrap_or_else(|error| panic!("{}: {error}", mutant.id));
            for check in &mutant.expect {
                let file = root.join(format!("sim/src/check/{check}.rs"));
                assert!(
                    file.exists() || elsewhere.contains(&check.as_str()),
                    "{} expects {check}, which is no check",
                    mutant.id
                );
            }
        }
    }

    #[test]
    fn every_mutant_has_its_row_and_every_row_its_mutant() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = fs::read_to_string(root.join("docs/TESTING.md")).unwrap();
        let (_, table) = text.split_once("\n| planted bug |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let cells = |row: &str| -> Vec<String> {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        };
        let rows: Vec<Vec<String>> = table.lines().skip(2).map(cells).collect();
        let shown = |row: &[String]| (row[0].clone(), row[1].starts_with("equivalent"));
        let mut shown: Vec<_> = rows.iter().map(|row| shown(row)).collect();
        let mutants = load(&root.join("sim/mutants")).unwrap();
        let mutants = mutants.iter();
        let planted = mutants.map(|it| {
            let name = format!("{}: {}", it.id, it.summary);
            (name, it.equivalent.is_some())
        });
        let mut planted: Vec<_> = planted.collect();
        shown.sort();
        planted.sort();
        assert_eq!(shown, planted);
    }

    #[test]
    fn turns_go_round_among_those_that_are_found_fast() {
        let (seeds, plan) = (Some(Quick::Seeds), Some(Quick::Plan));
        let all = [
            Mutant::named("A", seeds),
            Mutant::named("B", None),
            Mutant::named("C", plan),
            Mutant::named("D", seeds),
        ];
        let turn = |turn| {
            let ids = of_turn(&all, turn, 2).into_iter().map(|mutant| mutant.id);
            ids.collect::<String>()
        };
        assert_eq!(
            [turn(0), turn(1), turn(2), turn(3)],
            ["AC", "DA", "CD", "AC"]
        );
        assert_eq!(turn(u64::MAX).len(), 2);
        assert_eq!(of_turn(&all[1..3], 7, 2).len(), 1, "each once");
        assert!(of_turn(&all[1..2], 7, 2).is_empty());
    }

    #[test]
    fn what_must_survive_is_not_found_fast() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mutants = load(&root.join("sim/mutants")).unwrap();
        assert!(mutants.iter().any(|m| m.quick == Some(Quick::Plan)));
        for mutant in mutants.iter().filter(|m| m.equivalent.is_some()) {
            assert_eq!(mutant.quick, None, "{}", mutant.id);
        }
    }

    #[test]
    fn an_edit_that_fits_twice_or_never_is_refused() {
        let mutant = |find: &str| Mutant {
            edit: vec![Edit {
                file: "Cargo.toml".to_owned(),
                find: find.to_owned(),
                replace: String::new(),
            }],
            ..Mutant::named("X", None)
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(mutant("resolver = \"3\"").apply(&root).is_ok());
        assert!(mutant("workspace").apply(&root).is_err());
        assert!(mutant("no such line").apply(&root).is_err());
    }
}
