//! How often each check looked at something in the run of this thread.
//! Knows nothing about what the checks saw.

use std::cell::Cell;

macro_rules! checks {
    ($($name:literal),+ $(,)?) => {
        /// The names of all checks, in the order in which their looks are counted.
        pub(crate) const CHECKS: [&str; [$($name),+].len()] = [$($name),+];

        /// The position of a check in [`CHECKS`]. Names are literals where this is called: with
        /// those it is worked out by the compiler.
        #[inline(always)]
        fn position(check: &str) -> Option<usize> {
            let mut position = 0;
            $(
                if check == $name {
                    return Some(position);
                }
                position += 1;
            )+
            let _ = position;
            None
        }
    };
}

checks![
    "ack_is_durable",
    "acked_stays",
    "agreement",
    "answered",
    "apply_in_order",
    "bounded_memory",
    "bounds",
    "caught_up",
    "codec",
    "decided_is_chosen",
    "decided_stays",
    "exactly_once",
    "fair_admission",
    "forming",
    "gives_up_for_cause",
    "leader_completeness",
    "lease_is_exclusive",
    "linearizable",
    "local_is_chosen",
    "match_is_true",
    "monotone",
    "no_churn",
    "one_leader",
    "one_value_per_ballot",
    "promise_is_complete",
    "promise_kept",
    "read_is_fresh",
    "recovery_is_a_prefix",
    "same_ballot_prefix",
    "snapshot_is_chosen",
    "state_determinism",
    "steady_leader",
    "sync_is_atomic",
    "transfer_is_fresh",
    "unknown_is_honest",
    "voters_advance",
];

thread_local! {
    static LOOKS: [Cell<u64>; CHECKS.len()] = const { [const { Cell::new(0) }; CHECKS.len()] };
}

/// Counts a look.
#[inline(always)]
pub(crate) fn looks(check: &str) {
    if let Some(position) = position(check) {
        LOOKS.with(|looks| looks[position].set(looks[position].get() + 1));
    }
}

/// What was counted on this thread since the last time, and begins anew.
pub(crate) fn taken() -> [u64; CHECKS.len()] {
    LOOKS.with(|looks| std::array::from_fn(|position| looks[position].take()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn looks_are_counted_by_check_and_taken_once() {
        let _ = taken();
        looks("bounds");
        looks("bounds");
        looks("of nobody");
        let counts = taken();
        let of = |name| counts[CHECKS.iter().position(|check| *check == name).unwrap()];
        assert_eq!((of("bounds"), of("monotone")), (2, 0));
        assert_eq!(taken(), [0; CHECKS.len()]);
    }

    /// The literals behind `on(`, `everywhere(`, `ends(` and `check:` in a file.
    fn named(text: &str) -> Vec<String> {
        let mut names = Vec::new();
        for before in [" on(", "everywhere(", " ends(", "check:"] {
            for (at, _) in text.match_indices(before) {
                let rest = text[at + before.len()..].trim_start();
                let name = rest.strip_prefix('"').and_then(|r| r.split('"').next());
                names.extend(name.map(str::to_owned));
            }
        }
        names
    }

    fn walk(dir: &Path, each: &mut impl FnMut(&str)) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, each);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                each(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_check_that_the_code_names_is_counted() {
        // A panic is a violation of no check of ours; a second run is compared outside of runs.
        let others = ["assertion", "determinism"];
        let mut used = Vec::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        walk(&source, &mut |text| {
            let code = text
                .split("\n#[cfg(test)]\nmod ")
                .next()
                .unwrap_or_default();
            used.extend(named(code));
        });
        for name in &used {
            let known = CHECKS.contains(&name.as_str()) || others.contains(&name.as_str());
            assert!(
                known,
                "'{name}' is not in CHECKS: its looks are not counted"
            );
        }
        for check in CHECKS {
            assert!(used.iter().any(|name| name == check), "nobody uses {check}");
        }
    }
}
