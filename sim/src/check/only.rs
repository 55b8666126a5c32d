//! Which checks count in the runs of this thread: all, unless somebody wants to know what a few
//! find alone. Knows nothing about what they look for.
//!
//! A check that does not count looks all the same, and the run goes on behind what it finds, so
//! that those get their turn which it otherwise comes before. Assertions always count.

use std::cell::Cell;

use super::looked::CHECKS;

/// A set of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Only(u64);

impl Only {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);
    /// The names that a set can be made of.
    pub const NAMES: [&'static str; CHECKS.len()] = CHECKS;

    /// Those of these names; all, if there are none.
    ///
    /// # Errors
    /// If a name is not that of a check.
    pub fn named<S: AsRef<str>>(names: &[S]) -> Result<Self, String> {
        if names.is_empty() {
            return Ok(Self::ALL);
        }
        let mut set = 0;
        for name in names {
            let name = name.as_ref();
            let at = CHECKS.iter().position(|check| *check == name);
            let at = at.ok_or_else(|| format!("there is no check '{name}'"))?;
            set |= 1 << at;
        }
        Ok(Self(set))
    }

    /// Whether a check counts; what has another name, as assertions have, always does.
    #[must_use]
    pub fn has(self, check: &str) -> bool {
        let at = CHECKS.iter().position(|name| *name == check);
        at.is_none_or(|at| self.0 & 1 << at != 0)
    }
}

impl Default for Only {
    fn default() -> Self {
        Self::ALL
    }
}

const _: () = assert!(CHECKS.len() <= 64, "a set of checks is one word");

thread_local! {
    static ONLY: Cell<Only> = const { Cell::new(Only::ALL) };
}

/// From now on these count on this thread.
pub(crate) fn count(only: Only) {
    ONLY.set(only);
}

/// Whether what a check finds counts on this thread.
#[cold]
pub(crate) fn counts(check: &str) -> bool {
    ONLY.get().has(check)
}

#[cfg(test)]
mod tests {
    use super::super::violation::{ends, everywhere, found_everywhere, on};
    use super::*;

    #[test]
    fn what_does_not_count_is_passed_over_unless_nothing_can_follow() {
        fn wrong<T>() -> Result<T, String> {
            Err("wrong".to_owned())
        }
        let few = Only::named(&["linearizable", "bounds"]).unwrap();
        count(few);
        assert_eq!(on("monotone", 1, wrong()), Ok(()));
        assert_eq!(everywhere("agreement", wrong()), Ok(()));
        assert_eq!(found_everywhere::<u8>("one_leader", wrong()), Ok(None));
        assert_eq!(found_everywhere("one_leader", Ok(3)), Ok(Some(3)));
        assert!(on("bounds", 1, wrong()).is_err());
        assert!(everywhere("linearizable", wrong()).is_err());
        assert!(
            ends("no_churn", None, wrong()).is_err(),
            "or it goes on for ever"
        );
        count(Only::ALL);
        assert!(on("monotone", 1, wrong()).is_err());
        assert!(few.has("assertion") && few.has("determinism") && !few.has("no_churn"));
        assert!(CHECKS.iter().all(|check| Only::default().has(check)));
        assert_eq!(Only::named::<&str>(&[]), Ok(Only::ALL));
        assert!(Only::named(&["linearisable"]).is_err());
    }
}
