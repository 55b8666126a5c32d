//! The score table of a hunt, for people and for programs.
//! Knows nothing about hunting, nor where results are kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Mutant;
use super::catch::Catch;

/// A mutant that was asked for, with what came of it.
#[derive(Debug)]
pub struct Row<'a> {
    mutant: &'a Mutant,
    catch: Option<&'a Catch>,
    /// Whether the result is of other sources.
    stale: bool,
    /// Whether it cannot be planted into these sources.
    misfit: bool,
}

impl<'a> Row<'a> {
    /// The row of a mutant whose result counts when it is of `of`.
    #[must_use]
    pub fn new(mutant: &'a Mutant, of: u64, catches: &'a BTreeMap<String, Catch>) -> Self {
        let catch = catches.get(&mutant.id);
        Self {
            mutant,
            catch,
            stale: catch.is_some_and(|catch| catch.of != of),
            misfit: false,
        }
    }

    /// The row of a mutant that cannot be planted any more: the code that it bends has changed.
    #[must_use]
    pub const fn misfit(mutant: &'a Mutant) -> Self {
        Self {
            mutant,
            catch: None,
            stale: false,
            misfit: true,
        }
    }

    fn fresh(&self) -> Option<&'a Catch> {
        self.catch.filter(|_| !self.stale)
    }

    /// Whether the mutant was tried, and everything was as its file says.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let fresh = self.fresh();
        fresh.is_some_and(|catch| catch.is_right(self.mutant))
    }

    fn result(&self) -> &'static str {
        let (Some(catch), must_survive) = (self.fresh(), self.mutant.equivalent.is_some()) else {
            return match (self.misfit, self.stale) {
                (true, _) => "NO FIT",
                (false, true) => "stale",
                (false, false) => "not tried",
            };
        };
        match (catch.killed(), must_survive) {
            (true, false) => "killed",
            (false, true) => "survived",
            (true, true) => "KILLED",
            (false, false) => "SURVIVED",
        }
    }
}

/// How many were killed, of those that should be.
fn score(rows: &[Row<'_>]) -> (usize, usize) {
    let planted = rows.iter().filter(|row| row.mutant.equivalent.is_none());
    let killed = planted.clone();
    let killed = killed.filter(|row| row.fresh().is_some_and(Catch::killed));
    (killed.count(), planted.count())
}

/// The table for people.
#[must_use]
pub fn text(rows: &[Row<'_>]) -> String {
    let mut out = format!(
        "{:<18} {:<9} {:>6}  {:<22} {:<26} {:>7}\n",
        "mutant", "result", "median", "seeds to the kill", "checks", "seconds"
    );
    let shown = |seeds: Option<u64>| seeds.map_or_else(|| "-".to_owned(), |s| s.to_string());
    for row in rows {
        let (id, result) = (&row.mutant.id, row.result());
        let Some(catch) = row.catch else {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(out, "{id:<18} {result}");
            continue;
        };
        let mut seeds: Vec<String> = catch.seeds.iter().map(|s| shown(*s)).collect();
        seeds.extend(catch.directed.clone());
        let unexpected = catch.unexpected(row.mutant);
        let mark = |check: &String| match unexpected.contains(check) {
            false => check.clone(),
            true => format!("{check} (UNEXPECTED)"),
        };
        let mut checks: Vec<String> = catch.checks.iter().map(mark).collect();
        let alone = catch.alone.iter();
        checks.extend(alone.map(|(check, seeds)| match seeds {
            Some(seeds) => format!("{check} alone: {seeds}"),
            None => format!("{check} alone: NEVER"),
        }));
        let _ = writeln!(
            out,
            "{id:<18} {result:<9} {:>6}  {:<22} {:<26} {:>7.1}",
            shown(catch.median()),
            seeds.join(" "),
            checks.join(" "),
            catch.seconds
        );
    }
    let (killed, planted) = score(rows);
    let _ = write!(out, "score: {killed} of {planted}");
    out
}

/// The same for programs: what came of each, by its name.
///
/// # Errors
/// If a result cannot be written as JSON.
pub fn json(rows: &[Row<'_>]) -> serde_json::Result<Value> {
    let mut mutants = BTreeMap::new();
    for row in rows {
        let value = json!({
            "result": row.result(),
            "right": row.is_right(),
            "stale": row.stale,
            "unexpected": row.catch.map(|catch| catch.unexpected(row.mutant)),
            "catch": serde_json::to_value(row.catch)?,
        });
        mutants.insert(&row.mutant.id, value);
    }
    let (killed, planted) = score(rows);
    Ok(json!({ "killed": killed, "planted": planted, "mutants": mutants }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_row_says_so_and_does_not_count() {
        let mutants = ["FRESH", "STALE", "NEW"].map(|id| Mutant {
            expect: vec!["bounds".to_owned()],
            ..Mutant::named(id, None)
        });
        let caught = |of, check: &str| Catch {
            seeds: vec![Some(3)],
            checks: vec![check.to_owned()],
            of,
            ..Catch::default()
        };
        let catches = BTreeMap::from([
            ("FRESH".to_owned(), caught(7, "monotone")),
            ("STALE".to_owned(), caught(6, "bounds")),
        ]);
        let rows: Vec<Row<'_>> = mutants.iter().map(|m| Row::new(m, 7, &catches)).collect();
        let table = text(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].contains("killed") && lines[1].contains("monotone (UNEXPECTED)"));
        assert!(lines[2].contains(" stale "), "{table}");
        assert!(lines[3].contains("not tried"), "{table}");
        assert_eq!(lines[4], "score: 1 of 3");
        let json = json(&rows).unwrap();
        assert_eq!((&json["killed"], &json["planted"]), (&1.into(), &3.into()));
        let (fresh, stale) = (&json["mutants"]["FRESH"], &json["mutants"]["STALE"]);
        assert_eq!(
            (&fresh["stale"], &stale["stale"]),
            (&false.into(), &true.into())
        );
        assert_eq!(fresh["unexpected"][0], "monotone");
        assert_eq!(stale["result"], "stale");
        assert!(rows.iter().all(|row| !row.is_right()));
        let fresh = Row::new(&mutants[1], 6, &catches);
        assert!(fresh.is_right());
    }

    #[test]
    fn one_that_does_not_fit_has_a_row_of_its_own() {
        let mutant = Mutant::named("GONE", None);
        let rows = [Row::misfit(&mutant)];
        assert!(!rows[0].is_right());
        let table = text(&rows);
        assert!(table.contains("GONE               NO FIT"), "{table}");
        assert_eq!(json(&rows).unwrap()["mutants"]["GONE"]["result"], "NO FIT");
    }

    #[test]
    fn a_check_that_must_find_a_mutant_alone_shows() {
        let mutant = Mutant {
            expect: vec!["bounds".to_owned()],
            ..Mutant::named("X", None)
        };
        let catch = Catch {
            seeds: vec![Some(3)],
            checks: vec!["bounds".to_owned()],
            alone: BTreeMap::from([
                ("agreement".to_owned(), Some(9)),
                ("forming".to_owned(), None),
            ]),
            ..Catch::default()
        };
        let catches = BTreeMap::from([("X".to_owned(), catch)]);
        let row = Row::new(&mutant, 0, &catches);
        assert!(!row.is_right());
        let table = text(&[row]);
        assert!(
            table.contains("bounds agreement alone: 9 forming alone: NEVER"),
            "{table}"
        );
    }
}
