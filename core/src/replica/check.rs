//! Asserts every relation between the parts of a replica's state.
//! Knows nothing about how a state was reached: tests, simulations and fuzzers call it after
//! every step.

use crate::types::Slot;

use super::progress::Stage;
use super::{Replica, Role};

impl Replica {
    /// Asserts what always holds: the bounds of the log, the ballots' order, and what each role
    /// may assume.
    ///
    /// # Panics
    /// If one of them does not hold, with its numbers.
    pub fn check(&self) {
        let last = self.log.last();
        let (applied, delivered, commit) = (self.applied, self.delivered, self.commit);
        assert!(
            applied <= delivered,
            "applied {applied} > delivered {delivered}"
        );
        assert!(
            delivered <= commit,
            "delivered {delivered} > commit {commit}"
        );
        assert!(commit <= last, "commit {commit} > last {last}");
        let (base, snap) = (self.log.base(), self.snapshot_slot());
        assert!(
            base <= snap,
            "the log begins behind {base}, snapshot {snap}"
        );
        assert!(snap <= delivered, "snapshot {snap} > delivered {delivered}");
        if let Some(snap) = &self.meta.snap {
            let chain = self.log.chain_at(snap.id.slot);
            assert!(
                chain == Some(snap.id.chain),
                "{} and the log differ",
                snap.id
            );
        }
        let promised = self.meta.promised;
        assert!(
            self.acc <= promised,
            "acc {} > promised {promised}",
            self.acc
        );
        assert!(
            self.commit_in <= promised,
            "commit_in {} > {promised}",
            self.commit_in
        );
        if let Some(entry) = self.log.get(last) {
            let prev = self.log.chain_at(last.prev()).expect("prev < last");
            assert!(
                entry.follows(last.prev(), prev),
                "{entry} does not follow its prefix"
            );
            assert!(
                entry.origin() <= promised,
                "{entry} is newer than {promised}"
            );
        }
        self.check_reads();
        self.check_transfer();
        match &self.role {
            Role::Follower => {}
            Role::Preparing(preparing) => {
                assert!(
                    preparing.ballot == promised,
                    "prepares {}",
                    preparing.ballot
                );
                assert!(
                    preparing.ballot.node == self.meta.node,
                    "prepares another's ballot"
                );
                assert!(
                    self.acc < promised,
                    "prepares {promised}, but accepted in it"
                );
                assert!(self.meta.damaged.is_none(), "prepares while damaged");
            }
            Role::Leading(_) => self.check_leading(),
        }
    }

    fn check_leading(&self) {
        let Role::Leading(leading) = &self.role else {
            return;
        };
        let (ballot, last) = (leading.ballot, self.log.last());
        assert!(
            ballot == self.meta.promised,
            "leads {ballot}, promised {}",
            self.meta.promised
        );
        assert!(
            ballot == self.acc,
            "leads {ballot}, accepted in {}",
            self.acc
        );
        assert!(
            ballot.node == self.meta.node,
            "leads another's ballot {ballot}"
        );
        assert!(
            leading.adopted_last <= last,
            "adopted {} > {last}",
            leading.adopted_last
        );
        assert!(self.meta.damaged.is_none(), "leads while damaged");
        if let Some(book) = &leading.lease {
            book.check();
        }
        let durable = self.outbox.durable_mark();
        let own = leading.matched(self.me);
        assert!(
            own == Slot::ZERO || (durable.acc == ballot && own <= durable.last),
            "own vote"
        );
        for position in self.others() {
            let (progress, matched) = (leading.progress(position), leading.matched(position));
            assert!(matched <= last, "{position} matched {matched} > {last}");
            if progress.stage == Stage::Synced {
                assert!(progress.sent <= last, "sent {} > {last}", progress.sent);
                assert!(
                    matched <= progress.sent,
                    "matched {matched} > {}",
                    progress.sent
                );
            }
        }
    }
}
