//! Bounded memory: what a replica and its host keep stays within the limits of their configuration.
//! Knows nothing about how they keep to them.
//!
//! PROTOCOL.md, "Snapshots". TigerBeetle, "TIGER_STYLE": a limit on everything, in production as well.

use chil_core::{Config, Entry, Holding, Membership};

/// What is looked at, in the order in which the shares of the limits are counted.
pub(crate) const NAMES: [&str; 14] = [
    "entries proposed",
    "bytes proposed",
    "bytes not executed",
    "bytes handed out",
    "reads queued",
    "reads asked for",
    "log behind a snapshot",
    "messages held",
    "not polled",
    "early parts",
    "parts being read",
    "host: to execute",
    "host: waiting for slots",
    "host: sessions",
];

/// Parts that a member is read at the same time at most, whatever it asks for.
const PARTS_READ_MAX: u64 = 64;

/// What the host of a replica keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    /// Entries that wait for their execution.
    pub(crate) to_execute: u64,
    /// Those who wait for a slot.
    pub(crate) waiting: u64,
    /// Open sessions.
    pub(crate) sessions: u64,
}

/// The most of each.
pub(crate) type Limits = [u64; NAMES.len()];

/// What a node may keep that is configured like this.
pub(crate) fn limits(config: &Config, membership: &Membership) -> Limits {
    let overhead = Entry::OVERHEAD as u64;
    let largest = config.value_bytes_max + overhead;
    // More is handed out, in one piece, only while no more than that is waiting.
    let handed_out = config.unapplied_bytes_max + config.batch_bytes_max.max(largest);
    // More is proposed only while no more than that is waiting.
    let unexecuted = config.unapplied_bytes_max + largest;
    let reads = config.reads_queued_max as u64;
    let members = membership.members.len() as u64;
    [
        config.in_flight_entries_max,
        config.in_flight_bytes_max,
        unexecuted,
        handed_out,
        // What was asked for and got no answer goes back into the queue.
        2 * reads,
        2 * reads,
        // Not trimmed entry by entry: a part of it must be worth it.
        config.log_tail_bytes.max(config.log_keep_bytes_max) + config.log_tail_bytes / 4,
        // A question or an answer to each other member.
        2 * members,
        0,
        config.chunks_in_flight_max,
        PARTS_READ_MAX,
        handed_out / overhead + 1,
        unexecuted / overhead + 1,
        membership.sessions.sessions_max,
    ]
}

/// How much of each limit is used at most in a run, in thousandths.
pub(crate) type Shares = [u64; NAMES.len()];

/// What a node holds when nothing more is to be polled; notes how near to its limits that is.
pub(crate) fn check(
    holding: &Holding,
    kept: Kept,
    limits: &Limits,
    shares: &mut Shares,
) -> Result<(), String> {
    let used = [
        holding.proposed_entries,
        holding.proposed_bytes,
        holding.unexecuted_bytes,
        holding.delivered_bytes,
        holding.reads_queued,
        holding.reads_asked,
        holding.log_spared_bytes,
        holding.messages_held,
        holding.unpolled,
        holding.parts_early,
        holding.parts_read,
        kept.to_execute,
        kept.waiting,
        kept.sessions,
    ];
    for (((name, used), limit), share) in NAMES.iter().zip(used).zip(limits).zip(shares) {
        if used > *limit {
            return Err(format!(
                "keeps {used} of '{name}', and {limit} at most are allowed"
            ));
        }
        // Multiplied out: a division for each look would cost as much as all the rest.
        if used * 1_000 > *share * *limit {
            *share = used * 1_000 / (*limit).max(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    fn limits_of(change: impl FnOnce(&mut Config)) -> Limits {
        let plan: Plan = crate::scenario::plan_of(&[1, 1, 1], 1);
        let mut dice = crate::dice::Dice::new(1, crate::dice::Concern::Nodes);
        let metas = crate::node::metas(&plan, &mut dice);
        let mut config = crate::node::config(&plan, 0, &mut dice);
        change(&mut config);
        limits(&config, &metas[0].membership)
    }

    #[test]
    fn too_much_of_anything_is_found_and_named() {
        let limits = limits_of(|config| {
            config.in_flight_entries_max = 4;
            config.reads_queued_max = 3;
        });
        let check_it = |change: &dyn Fn(&mut Holding, &mut Kept)| {
            let (mut holding, mut kept) = (Holding::default(), Kept::default());
            change(&mut holding, &mut kept);
            check(&holding, kept, &limits, &mut Shares::default())
        };
        assert_eq!(check_it(&|holding, _| holding.proposed_entries = 4), Ok(()));
        let found = check_it(&|holding, _| holding.proposed_entries = 5);
        assert!(found.is_err_and(|what| what.contains("5 of 'entries proposed'")));
        assert_eq!(check_it(&|holding, _| holding.reads_queued = 6), Ok(()));
        let found = check_it(&|holding, _| holding.reads_queued = 7);
        assert!(found.is_err_and(|what| what.contains("'reads queued'")));
        let found = check_it(&|holding, _| holding.unpolled = 1);
        assert!(found.is_err_and(|what| what.contains("'not polled'")));
        let found = check_it(&|_, kept| kept.sessions = u64::MAX / 2);
        assert!(found.is_err_and(|what| what.contains("'host: sessions'")));
        for excess in [
            |holding: &mut Holding| holding.proposed_bytes = 1 << 40,
            |holding: &mut Holding| holding.unexecuted_bytes = 1 << 40,
            |holding: &mut Holding| holding.delivered_bytes = 1 << 40,
            |holding: &mut Holding| holding.reads_asked = 1 << 40,
            |holding: &mut Holding| holding.log_spared_bytes = 1 << 40,
            |holding: &mut Holding| holding.messages_held = 1 << 40,
            |holding: &mut Holding| holding.parts_early = 1 << 40,
            |holding: &mut Holding| holding.parts_read = 1 << 40,
        ] {
            assert!(check_it(&|holding, _| excess(holding)).is_err());
        }
    }

    #[test]
    fn how_near_it_comes_is_noted() {
        let limits = limits_of(|config| config.in_flight_entries_max = 4);
        let mut shares = Shares::default();
        for proposed_entries in [1, 3, 2] {
            let holding = Holding {
                proposed_entries,
                ..Holding::default()
            };
            check(&holding, Kept::default(), &limits, &mut shares).unwrap();
        }
        assert_eq!(shares[0], 750);
    }
}
