//! What a check says when a property did not hold, and on behalf of whom it looked.
//! Knows nothing about the properties.

use super::looked::looks;
use super::only::counts;

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The check, by the name of its file.
    pub check: &'static str,
    /// The node that it was seen on.
    pub node: Option<usize>,
    /// What happened, in a sentence.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.node {
            Some(node) => write!(f, "{}: node {node} {}", self.check, self.what),
            None => write!(f, "{}: {}", self.check, self.what),
        }
    }
}

/// What every observation returns.
pub type Verdict = Result<(), Violation>;

/// Puts the name of a check and a node on what it found, and counts that it looked.
#[inline(always)]
pub(crate) fn on(check: &'static str, node: usize, found: Result<(), String>) -> Verdict {
    looks(check);
    match found {
        Ok(()) => Ok(()),
        Err(what) => if_it_counts(check, Some(node), what),
    }
}

/// Puts the name of a check on what it found about the whole cluster, and counts that it looked.
#[inline(always)]
pub(crate) fn everywhere(check: &'static str, found: Result<(), String>) -> Verdict {
    found_everywhere(check, found).map(|_| ())
}

/// The same for a check that finds something out; nothing if it does not, and does not count.
#[inline(always)]
pub(crate) fn found_everywhere<T>(
    check: &'static str,
    found: Result<T, String>,
) -> Result<Option<T>, Violation> {
    looks(check);
    match found {
        Ok(found) => Ok(Some(found)),
        Err(what) => if_it_counts(check, None, what).map(|()| None),
    }
}

/// The same for a check behind which a run must not go on, whether it counts or not: without a
/// verdict, if it does not.
#[inline(always)]
pub(crate) fn ends(check: &'static str, node: Option<usize>, found: Result<(), String>) -> Verdict {
    looks(check);
    found.map_err(|what| Violation { check, node, what })
}

#[cold]
fn if_it_counts(check: &'static str, node: Option<usize>, what: String) -> Verdict {
    if counts(check) {
        Err(Violation { check, node, what })
    } else {
        Ok(())
    }
}
