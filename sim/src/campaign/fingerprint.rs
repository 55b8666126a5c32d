//! What seeds mean in this build, by a sample: two builds with another fingerprint give other runs.
//! Knows nothing about binaries: debug and release builds, and other machines, agree in it.
//!
//! Two with the same one mostly give the same, but may not: a change of what is drawn shows in the
//! plans, one of what is done only if it does so in the runs, which are two and short.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::run::Watch;
use crate::subject::Subject;
use crate::swarm;
use crate::sweep::guarded;

/// Plans that go into it: enough to notice when something is drawn in another way.
const PLANS: u64 = 64;
/// Runs that go into it: enough to notice when something is done in another way.
const RUNS: u64 = 2;

/// What the first seeds are planned and executed to, as sixteen digits.
#[must_use]
pub fn fingerprint(subject: &Subject) -> String {
    let mut hash = 0;
    for seed in 0..PLANS {
        let plan = format!("{:?}", swarm::plan(seed));
        hash = xxh3_64_with_seed(plan.as_bytes(), hash);
    }
    for seed in 0..RUNS {
        let outcome = guarded(subject, &swarm::short(seed), Watch::default());
        hash = xxh3_64_with_seed(&outcome.hash.to_le_bytes(), hash);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_every_time() {
        let subject = Subject::key_value();
        assert_eq!(fingerprint(&subject), fingerprint(&subject));
    }
}
