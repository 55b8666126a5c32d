//! Which violations are the same one: by check, and for assertions by their place in the code.
//! Knows nothing about runs; shrinking keeps to a signature, campaigns group by it.

use std::fmt;

use crate::check::Violation;

/// What is the same of two violations of one bug. Its text has no numbers of the run, so that it is
/// the same for all seeds, sizes and times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    check: String,
    /// File and line, of an assertion.
    place: Option<String>,
}

impl Signature {
    /// The signature of a violation.
    #[must_use]
    pub fn of(violation: &Violation) -> Self {
        let is_assertion = violation.check == ASSERTION;
        Self {
            check: violation.check.to_owned(),
            place: is_assertion.then(|| place(&violation.what)),
        }
    }

    /// The check that did not hold.
    #[must_use]
    pub fn check(&self) -> &str {
        &self.check
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} at {place}", self.check),
            None => f.write_str(&self.check),
        }
    }
}

/// The check that panics of the code under test count for.
pub(crate) const ASSERTION: &str = "assertion";

/// How the place of a panic is written behind its message.
pub(crate) fn with_place(message: &str, place: &str) -> String {
    format!("{message}{AT}{place})")
}

const AT: &str = " (at ";

/// File and line of an assertion, from what [`with_place`] wrote.
fn place(what: &str) -> String {
    let place = what.rsplit_once(AT).map_or(what, |(_, place)| place);
    let place = place.trim_end_matches(')');
    // Columns move with each rewording, and directories are another machine's.
    let mut parts = place.rsplitn(3, ':');
    let (column, line, file) = (parts.next(), parts.next(), parts.next());
    match (file, line, column) {
        (Some(file), Some(line), Some(_)) => format!("{}:{line}", short(file)),
        _ => place.to_owned(),
    }
}

/// A path without what comes before the directory of its crate.
fn short(path: &str) -> String {
    let path = path.replace('\\', "/");
    let crate_at = path.rfind("/src/").and_then(|src| path[..src].rfind('/'));
    match crate_at {
        Some(slash) if path.starts_with('/') || path.contains(":/") => path[slash + 1..].to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(check: &'static str, node: Option<usize>, what: &str) -> Violation {
        Violation {
            check,
            node,
            what: what.to_owned(),
        }
    }

    #[test]
    fn numbers_and_nodes_make_no_difference() {
        let one = violation("agreement", Some(1), "chose two values for slot 7");
        let two = violation("agreement", None, "chose two values for slot 19");
        assert_eq!(Signature::of(&one), Signature::of(&two));
        assert_eq!(Signature::of(&one).to_string(), "agreement");
        let other = violation("bounds", Some(1), &one.what);
        assert_ne!(Signature::of(&one), Signature::of(&other));
    }

    #[test]
    fn assertions_are_told_apart_by_their_place() {
        let at = |message: &str, place: &str| {
            let what = with_place(message, place);
            Signature::of(&violation(ASSERTION, None, &what))
        };
        let first = at("commit 5 > last 4", "core/src/log.rs:33:9");
        assert_eq!(first, at("commit (7) > last 3", "core/src/log.rs:33:13"));
        assert_ne!(first, at("commit 5 > last 4", "core/src/log.rs:34:9"));
        assert_eq!(first.to_string(), "assertion at core/src/log.rs:33");
        let elsewhere = at("x", "/build/registry/chil-core-0.1.0/src/log.rs:33:9");
        let text = elsewhere.to_string();
        assert_eq!(text, "assertion at chil-core-0.1.0/src/log.rs:33");
    }
}
