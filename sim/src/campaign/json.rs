//! The summary of a campaign for programs, as one JSON value.
//! Knows nothing about how it was run.

use serde_json::{Value, json};

use super::merge::Merged;
use super::tally::{Failed, Group};
use super::words::replay_command;
use crate::coverage::Coverage;
use crate::plan::FaultKind;

/// The summary. Everything but `seconds` is the same for the same seeds, however they were spread.
#[must_use]
pub fn json(merged: &Merged) -> Value {
    let header = &merged.header;
    let groups = merged.tally.groups();
    let mut shown: Vec<&Failed> = groups.iter().flat_map(|g| g.failures.clone()).collect();
    shown.sort_by_key(|failed| failed.seed);
    json!({
        "version": header.version,
        "code": header.code,
        "from": header.shard.from,
        "to": header.shard.to,
        "short": header.short,
        "missing": merged.missing,
        "gaps": merged.gaps,
        "seconds": merged.seconds,
        "stats": merged.tally.stats,
        "fault_kinds": FaultKind::NAMES,
        "messages": Coverage::MESSAGES,
        "stages": Coverage::STAGES,
        "outputs": Coverage::OUTPUTS,
        "notices": Coverage::NOTICES,
        "checks": Coverage::CHECKS.as_slice(),
        "never_reached": merged.tally.stats.coverage.missed(),
        "impossible_and_reached": merged.tally.stats.coverage.contradictions(),
        "impossible_seeds": merged.tally.impossible,
        "tops": merged.tally.tops,
        "failed": merged.tally.failures.len(),
        "signatures": groups.iter().map(group).collect::<Vec<Value>>(),
        "failures": shown.iter().map(|one| failure(one, merged)).collect::<Vec<Value>>(),
    })
}

fn group(group: &Group<'_>) -> Value {
    let seeds: Vec<u64> = group.failures.iter().map(|failed| failed.seed).collect();
    json!({ "signature": group.signature, "count": group.count, "seeds": seeds })
}

fn failure(failed: &Failed, merged: &Merged) -> Value {
    json!({
        "seed": failed.seed,
        "check": failed.check,
        "node": failed.node,
        "what": failed.what,
        "explained": failed.explained,
        "repeats": failed.repeats,
        "ended": failed.ended,
        "replay": replay_command(merged, &failed.token),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::testing::{failed, header, part};

    #[test]
    fn failures_are_by_seed_and_counted_by_signature() {
        let mut part = part(header(0, 40, 0, 1), 40);
        for seed in 0..30 {
            let check = ["bounds", "agreement"][usize::from(seed % 3 == 0)];
            part.tally.failures.push(failed(seed, check, "slot 7"));
        }
        let json = json(&Merged::alone(&part));
        assert_eq!(json["failed"], 30);
        assert_eq!(json["signatures"][0]["count"], 20);
        assert_eq!(json["signatures"][0]["seeds"].as_array().unwrap().len(), 10);
        let failures = json["failures"].as_array().unwrap();
        assert_eq!(failures.len(), 20, "ten of each signature");
        let seeds: Vec<u64> = failures.iter().filter_map(|f| f["seed"].as_u64()).collect();
        assert!(seeds.is_sorted(), "{seeds:?}");
        assert_eq!(failures[1]["replay"], "cargo chaos replay 1");
    }
}
