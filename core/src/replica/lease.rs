//! Reads without a round trip: how long this leader may trust the answers that it has, and how
//! long a new leader decides nothing because its predecessor may still do so.
//! Knows no clock but this node's: only the *rates* of two clocks are assumed to be alike.
//!
//! ```text
//! old leader   --+-- Accept sent --------------------------+ lease ends: sent + trust
//!                |         \                               |
//! acceptor       |          + answered ... + promises      |
//!                |                          \              |
//! new leader     |                           + quorum -----+----------+ decides: quorum + wait
//! ```
//!
//! An acceptor answers only while it has promised nothing higher. So whoever is in both quorums
//! answered before it promised, and the lease began, with the sending, before the wait did. Had
//! it begun with the answer's arrival, it could outlive the wait.

use std::collections::VecDeque;

use crate::membership::Lease;
use crate::time::{Span, Time};

use super::{Replica, Role};

/// A lease is measured in so many steps: of the `Accept`s sent within one only the first counts,
/// so that no more than these have to be remembered.
const STEPS: u64 = 16;

/// What a leader of a cluster with leases keeps.
#[derive(Clone, Debug)]
pub(super) struct LeaseBook {
    trust: Span,
    /// `(seq, at)`: every `Accept` from `seq` on was sent at `at` or later. Both rise.
    sent: VecDeque<(u64, Time)>,
    /// Leadership is being handed over: there is no lease any more in this ballot.
    is_void: bool,
    /// Nothing new is decided before.
    decides_from: Option<Time>,
}

impl LeaseBook {
    /// The promises came together at `now`, or before.
    pub(super) fn new(lease: &Lease, now: Time) -> Self {
        Self {
            trust: lease.trust(),
            sent: VecDeque::new(),
            is_void: false,
            decides_from: Some(now + lease.wait()),
        }
    }

    /// The `Accept` with this number is about to be sent.
    pub(super) fn sends(&mut self, seq: u64, now: Time) {
        let step = self.trust.divided(STEPS);
        if let Some(&(_, last)) = self.sent.back()
            && (now <= last || now.since(last) < step)
        {
            return;
        }
        // Once the second is too old to found a lease on, so is the first.
        while let Some(&(_, second)) = self.sent.get(1)
            && second + self.trust <= now
        {
            self.sent.pop_front();
        }
        self.sent.push_back((seq, now));
    }

    /// An instant that is not later than the sending of `seq`; `None` if it was too long ago.
    fn sent_at(&self, seq: u64) -> Option<Time> {
        let later = self.sent.partition_point(|&(first, _)| first <= seq);
        let index = later.checked_sub(1)?;
        self.sent.get(index).map(|&(_, at)| at)
    }

    /// There is no lease any more, nor will there be one in this ballot.
    pub(super) fn void(&mut self) {
        self.is_void = true;
    }

    pub(super) const fn is_void(&self) -> bool {
        self.is_void
    }

    pub(super) fn check(&self) {
        let most = usize::try_from(STEPS + 2).unwrap_or(usize::MAX);
        assert!(self.sent.len() <= most, "{} sendings kept", self.sent.len());
    }
}

impl Replica {
    /// When this leader's lease ends; `None` if it has none now.
    ///
    /// It has one where a read-index would need no answer more: it leads, everything adopted is
    /// decided, the wait for its predecessor is over; and an accept quorum has lately answered.
    pub(super) fn lease_until(&self) -> Option<Time> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let book = leading.lease.as_ref()?;
        let ready = book.decides_from.is_none() && leading.adopted_last <= self.commit;
        if book.is_void || !ready {
            return None;
        }
        let answered: Vec<Time> = (0..self.peers.len())
            .map(|position| {
                if position == self.me {
                    return self.now;
                }
                // Nothing was sent to a member of that number before the first one.
                let acked = leading.progress(position).acked_seq;
                book.sent_at(acked).unwrap_or(Time::ZERO)
            })
            .collect();
        let asked = self.weights.reached_by_accept_quorum(&answered);
        let until = asked + book.trust;
        (asked > Time::ZERO && self.now < until).then_some(until)
    }

    /// Until when this leader decides nothing, because its predecessor may have a lease.
    pub(super) fn defers_until(&self) -> Option<Time> {
        match &self.role {
            Role::Leading(leading) => leading.lease.as_ref()?.decides_from,
            Role::Follower | Role::Preparing(_) => None,
        }
    }

    /// Decides what is held back, once the predecessor's lease has surely ended.
    pub(super) fn tend_deferral(&mut self) {
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if let Some(book) = &mut leading.lease
            && book.decides_from.is_some_and(|at| at <= now)
        {
            book.decides_from = None;
            self.try_commit();
        }
    }
}
