//! The judges of a run: they see everything that happens and say what was violated.
//! Knows nothing about how the world works; each property has its own file, written from the papers.
//!
//! | file | property |
//! |---|---|
//! | `agreement` | I1: one value a slot |
//! | `one_value_per_ballot` | I2: one value a ballot and slot, one proposer a ballot |
//! | `decided_is_chosen` | I3: decided only with a quorum of durable votes |
//! | `local_is_chosen` | I4: what is executed is what was chosen |
//! | `snapshot_is_chosen` | I4: a snapshot is of what was chosen, the same everywhere, and durable before it counts |
//! | `leader_completeness` | I5: a leader has all that was chosen below its ballot |
//! | `bounds` | I6: `applied <= commit <= last`, no holes |
//! | `monotone` | I7: promises, ballots of logs, boots and commits never go back |
//! | `promise_kept` | I8: no vote below a promise |
//! | `decided_stays` | I9: what is decided is never cut |
//! | `ack_is_durable` | I10: what is said would survive a crash now |
//! | `promise_is_complete` | phase 1(b): a promise reports everything accepted before it |
//! | `sync_is_atomic` | I11: a log takes a ballot only whole |
//! | `match_is_true` | I12: what a leader believes of a log was once durable |
//! | `same_ballot_prefix` | I13: logs of one ballot agree |
//! | `apply_in_order` | I17: executed once and in order |
//! | `state_determinism` | I18: same slot, same state |
//! | `acked_stays` | I19: acknowledged writes stay |
//! | `exactly_once` | I20: one effect a request, and the answers that follow from the sequence |
//! | `unknown_is_honest` | what was denied to a client is never executed |
//! | `linearizable` | what clients saw has an order, found without looking at the log |
//! | `read_is_fresh` | I21: reads see what was acknowledged before |
//! | `lease_is_exclusive` | I22: nobody else decides or answers while a lease serves |
//! | `transfer_is_fresh` | a word to take over is honoured only by whom it was meant for, and in time; and nothing is proposed behind it |
//! | `gives_up_for_cause` | nobody gives up for a ballot that others merely follow |
//! | `recovery_is_a_prefix` | I24: a disk gives back a prefix of what was written |
//! | `one_leader` | V1: after the faults exactly one node leads, and hears a quorum |
//! | `voters_advance` | V2: after the faults all voters vote, and know the same slots, more than before |
//! | `answered` | V3: after the faults every operation gets its answer |
//! | `bounded_memory` | queues and caches of replicas and hosts stay within their limits |
//! | `steady_leader` | under plain overload nobody else begins to lead |
//! | `fair_admission` | what is let in stays within the limits, and nobody is turned away without need |
//! | `caught_up` | V4: after the faults every node holds what was decided a while ago |
//! | `no_churn` | V5: after the faults nobody starts ballots, and the run comes to rest |

pub(crate) mod ack_is_durable;
pub(crate) mod acked_stays;
pub(crate) mod agreement;
pub(crate) mod answered;
pub(crate) mod apply_in_order;
pub(crate) mod bounded_memory;
pub(crate) mod bounds;
pub(crate) mod caught_up;
mod clients;
pub(crate) mod decided_is_chosen;
pub(crate) mod decided_stays;
pub(crate) mod exactly_once;
pub(crate) mod fair_admission;
pub mod ghost;
pub(crate) mod gives_up_for_cause;
mod installs;
pub(crate) mod leader_completeness;
pub(crate) mod lease_is_exclusive;
pub mod linearizable;
pub(crate) mod local_is_chosen;
pub(crate) mod looked;
pub(crate) mod match_is_true;
pub(crate) mod model;
pub(crate) mod monotone;
pub(crate) mod no_churn;
pub(crate) mod one_leader;
pub(crate) mod one_value_per_ballot;
pub mod only;
pub(crate) mod promise_is_complete;
pub(crate) mod promise_kept;
pub(crate) mod read_is_fresh;
pub(crate) mod recovery_is_a_prefix;
pub(crate) mod same_ballot_prefix;
pub(crate) mod snapshot_is_chosen;
pub(crate) mod state_determinism;
pub(crate) mod steady_leader;
pub(crate) mod sync_is_atomic;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod transfer_is_fresh;
pub(crate) mod unknown_is_honest;
mod violation;
pub(crate) mod voters_advance;
pub(crate) mod wishes;
mod written;

use chil_core::{
    Ballot, Entry, Envelope, LogChange, Message, Meta, NodeId, Outcome, Record, Role, Slot,
    SnapshotMark, Status,
};

use ghost::Ghost;
use gives_up_for_cause::Told;
use lease_is_exclusive::Leases;
use model::Model;
use read_is_fresh::Reads;
use snapshot_is_chosen::Snapshots;
use state_determinism::Digests;
use transfer_is_fresh::Words;
pub use violation::{Verdict, Violation};
pub(crate) use violation::{ends, everywhere, found_everywhere, on};
use wishes::Wishes;

/// All checks with the ghost state that they share.
pub struct Judge {
    /// What is voted, promised, chosen.
    pub ghost: Ghost,
    /// What clients were told.
    pub(crate) reads: Reads,
    digests: Digests,
    snapshots: Snapshots,
    leases: Leases,
    model: Model,
    wishes: Wishes,
    words: Words,
    told: Told,
    ids: Vec<NodeId>,
    /// See [`crate::run::Watch::judged`].
    pub(crate) looks_away: bool,
}

impl Judge {
    /// A judge for a cluster of these nodes, whose directories were just formatted.
    #[must_use]
    pub(crate) fn new(ids: Vec<NodeId>, weights: &[u32], metas: &[Meta], model: Model) -> Self {
        let mut ghost = Ghost::new(weights);
        for (state, meta) in ghost.nodes.iter_mut().zip(metas) {
            let bottom = Ballot::bottom(meta.membership.epoch);
            state.promised = meta.promised;
            (state.acc, state.written_acc) = (bottom, bottom);
        }
        Self {
            ghost,
            reads: Reads::default(),
            digests: Digests::default(),
            snapshots: Snapshots::default(),
            leases: Leases::new(metas.len()),
            model,
            wishes: Wishes::default(),
            words: Words::new(metas.len()),
            told: Told::new(metas.len()),
            ids,
            looks_away: false,
        }
    }

    /// From now on whatever happens is right.
    pub(crate) const fn look_away(&mut self) {
        self.looks_away = true;
    }

    /// A record became durable on a node.
    pub(crate) fn durable(&mut self, node: usize, record: &Record) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        match record {
            Record::Meta(meta) => self.durable_meta(node, meta),
            Record::Log(change) => self.durable_change(node, change),
            Record::Trim(_) => Ok(()),
        }
    }

    fn durable_meta(&mut self, node: usize, meta: &Meta) -> Verdict {
        let state = &mut self.ghost.nodes[node];
        on("monotone", node, monotone::check_meta(state, meta))?;
        if meta.promised > state.promised {
            state.promised = meta.promised;
            state.promise_floor = (state.acc, state.durable.last());
        }
        state.boot = meta.boot;
        if let Some(snap) = meta.snap
            && snap.id.slot > state.snap
        {
            return self.durable_install(node, &snap);
        }
        Ok(())
    }

    /// A snapshot becomes the beginning of a node's durable log: I11 and I13 have the exception
    /// that this may take voted slots away, as a conflict on learning does. What stays of the
    /// votes is what the chosen log does not contradict; and what was decided in a ballot up to
    /// that of the log is part of that ballot's log, so that holding it is voting for it.
    fn durable_install(&mut self, node: usize, snap: &SnapshotMark) -> Verdict {
        let Ghost { nodes, chosen, .. } = &mut self.ghost;
        let state = &mut nodes[node];
        state.snap = snap.id.slot;
        let did = state.durable.install(chosen, snap.id.slot);
        if let Some(differs) = did.differs {
            state.voted_to = state.voted_to.min(differs.prev());
            state.promise_floor = state.promise_floor.min((state.acc, did.last));
        }
        if snap.decided_in > state.acc || state.promised > state.acc {
            return Ok(());
        }
        let (acc, last) = (state.acc, did.last);
        state.voted_to = last;
        self.vote(node, acc, last)
    }

    fn durable_change(&mut self, node: usize, change: &LogChange) -> Verdict {
        let state = &mut self.ghost.nodes[node];
        let did = state.durable.change(change);
        on("monotone", node, monotone::check_change(state, change, did))?;
        on(
            "promise_kept",
            node,
            promise_kept::check(state, change, did.last),
        )?;
        let is_new = change.acc > state.acc;
        state.acc = change.acc;
        if is_new {
            state.voted_to = Slot::ZERO;
            let log = &self.ghost.nodes[node].durable;
            let found = sync_is_atomic::check(&self.ghost, change.acc, log);
            on("sync_is_atomic", node, found)?;
        }
        let state = &mut self.ghost.nodes[node];
        let learned = change.commit_in > change.acc
            || (state.promised > change.acc && did.last <= change.commit);
        if learned {
            let intact = did.differs.map_or(did.last, Slot::prev);
            state.voted_to = state.voted_to.min(intact);
            // What a decided entry of a higher ballot contradicts was never chosen: a promise
            // need not report it any more.
            state.promise_floor = state.promise_floor.min((change.acc, did.last));
        } else {
            state.voted_to = did.last;
            self.vote(node, change.acc, did.last)?;
        }
        let found = same_ballot_prefix::check(&self.ghost, node);
        on("same_ballot_prefix", node, found)
    }

    /// Records the votes of a node in `ballot` for its durable log, which ends at `last`.
    fn vote(&mut self, node: usize, ballot: Ballot, last: Slot) -> Verdict {
        let found = one_value_per_ballot::check_vote(&self.ghost, node, ballot, last);
        on("one_value_per_ballot", node, found)?;
        self.ghost.vote(node, ballot, last);
        self.choose(node, ballot)
    }

    /// Finds what the votes of `ballot` have chosen by now.
    fn choose(&mut self, node: usize, ballot: Ballot) -> Verdict {
        let Some(voted) = self.ghost.ballots.get(&ballot) else {
            return Ok(());
        };
        let to = self.ghost.quorum_reach(&voted.reach);
        if to <= voted.chosen_to {
            return Ok(());
        }
        on("agreement", node, agreement::check(&self.ghost, ballot, to))?;
        let found = leader_completeness::check_chosen(&self.ghost, ballot, to);
        on("leader_completeness", node, found)?;
        let Ghost {
            ballots, chosen, ..
        } = &mut self.ghost;
        if let Some(voted) = ballots.get_mut(&ballot) {
            voted.chosen_to = to;
            chosen.extend_from(&voted.log, to);
        }
        Ok(())
    }

    /// A node begins to lead, with everything that it has handed to its disk as its log, and knows
    /// everything up to `commit` to be decided.
    pub(crate) fn leads(
        &mut self,
        node: usize,
        ballot: Ballot,
        adopted: Slot,
        commit: Slot,
    ) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        self.leases.leads(node, ballot, commit);
        let found = one_value_per_ballot::check_leader(&self.ghost, node, self.ids[node], ballot);
        on("one_value_per_ballot", node, found)?;
        let log = self.ghost.nodes[node].written.clone();
        let found = leader_completeness::check_leader(&self.ghost, ballot, &log);
        on("leader_completeness", node, found)?;
        let ghost = self.ghost.ballot(ballot);
        ghost.log = log;
        ghost.log.truncate(adopted);
        ghost.adopted = Some((node, adopted));
        Ok(())
    }

    /// A message leaves a node.
    pub(crate) fn sends(&mut self, node: usize, envelope: &Envelope) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let found = ack_is_durable::check(&self.ghost, node, envelope);
        on("ack_is_durable", node, found)?;
        let commit = match &envelope.body {
            Message::Prepare(m) => m.commit,
            Message::Promise(m) => {
                let state = &self.ghost.nodes[node];
                let found = promise_is_complete::check(state, m);
                on("promise_is_complete", node, found)?;
                m.commit
            }
            Message::Accept(m) => {
                let found = self.words.check_accept(node, m);
                on("transfer_is_fresh", node, found)?;
                self.leases.states(node, m.commit);
                m.commit
            }
            Message::Nack(m) => m.commit,
            Message::Learn(m) => m.commit,
            Message::HeartbeatReply(m) => m.commit,
            Message::Offer(m) => m.commit,
            Message::ReadIndexReply(m) => {
                if m.index.is_some() {
                    self.leases.answers(node, "a follower's read was answered");
                }
                m.index.unwrap_or(Slot::ZERO)
            }
            Message::TransferNow(m) => {
                self.words.tells(node, m);
                return Ok(());
            }
            Message::Accepted(_)
            | Message::Fetch(_)
            | Message::FetchChunk(_)
            | Message::Chunk(_)
            | Message::ReadIndex(_)
            | Message::Heartbeat(_) => return Ok(()),
        };
        let name = envelope.body.name();
        let found = decided_is_chosen::check(&self.ghost, commit, name);
        on("decided_is_chosen", node, found)
    }

    /// A message comes to a node.
    pub(crate) fn hears(&mut self, node: usize, message: &Message) {
        self.told.hears(node, message);
    }

    /// Whoever led, or tried to, gives up because of a higher ballot, as it says.
    pub(crate) fn gives_up(&self, node: usize, ballot: Ballot) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        on("gives_up_for_cause", node, self.told.check(node, ballot))
    }

    /// A node hands out an entry for execution.
    pub(crate) fn decides(&mut self, node: usize, entry: &Entry) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let slot = entry.slot();
        let before = self.ghost.nodes[node].decided;
        on("apply_in_order", node, apply_in_order::check(before, slot))?;
        let found = decided_is_chosen::check(&self.ghost, slot, "the node");
        on("decided_is_chosen", node, found)?;
        let found = local_is_chosen::check(&self.ghost, entry);
        on("local_is_chosen", node, found)?;
        self.ghost.nodes[node].decided = slot;
        self.leases.states(node, slot);
        on("snapshot_is_chosen", node, self.snapshots.note(entry))?;
        if !self.model.take(entry) {
            return Ok(());
        }
        let Some(payload) = self.model.executed(slot) else {
            return Ok(());
        };
        let wish = self.wishes.executes(slot, payload);
        on("exactly_once", node, exactly_once::executes(slot, wish))?;
        on(
            "unknown_is_honest",
            node,
            unknown_is_honest::executes(slot, wish),
        )
    }

    /// A node has executed a slot with this outcome, and its state has this digest.
    pub(crate) fn executed(
        &mut self,
        node: usize,
        slot: Slot,
        outcome: &Outcome,
        digest: u128,
    ) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        let state = &mut self.ghost.nodes[node];
        let found = apply_in_order::check(state.applied, slot);
        on("apply_in_order", node, found)?;
        state.applied = slot;
        let found = exactly_once::check(&self.model, slot, outcome);
        on("exactly_once", node, found)?;
        let found = self.digests.check(slot, digest);
        on("state_determinism", node, found)
    }

    /// What a node shows of itself.
    pub(crate) fn shows(&mut self, node: usize, status: &Status) -> Verdict {
        if self.looks_away {
            return Ok(());
        }
        on("bounds", node, bounds::check_status(status))?;
        let state = &mut self.ghost.nodes[node];
        on("monotone", node, monotone::check_status(state, status))?;
        state.shown_commit = status.commit;
        state.shown_promised = status.promised;
        let found = decided_is_chosen::check(&self.ghost, status.commit, "its state");
        on("decided_is_chosen", node, found)?;
        if status.role != Role::Leading {
            return Ok(());
        }
        for peer in &status.peers {
            let Some(index) = self.ids.iter().position(|id| *id == peer.node) else {
                continue;
            };
            let matched = peer.matched.unwrap_or(Slot::ZERO);
            let found = match_is_true::check(&self.ghost, status.ballot, index, matched);
            on("match_is_true", node, found)?;
        }
        Ok(())
    }

    /// A node begins another life with what is durable.
    pub(crate) fn restarts(&mut self, node: usize) {
        let state = &mut self.ghost.nodes[node];
        state.written = state.durable.clone();
        state.written_acc = state.acc;
        state.written_snap = state.snap;
        state.written_base = Slot::ZERO;
        state.decided = Slot::ZERO;
        state.applied = Slot::ZERO;
        state.replaced = Slot::ZERO;
        state.shown_commit = Slot::ZERO;
        state.shown_promised = state.promised;
    }
}
