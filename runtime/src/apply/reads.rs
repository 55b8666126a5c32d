//! Reads that wait until the state machine has executed enough, bounded in number and in time.
//! Knows nothing about what proves how much is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use chil_core::{Slot, Span, Time};

use super::reply::Read;
use crate::error::ReadError;

/// How long a read may wait for the execution of what it has to see.
pub(super) const WAIT_MAX: Span = Span::from_millis(1_000);
/// Reads that may wait.
const WAITING_MAX: usize = 65_536;
/// What a reader is told to wait when too many do already.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// A read with what bounds it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) read: Read,
    /// If it rests on a lease: the answer must be there before.
    pub(super) until: Option<Time>,
    deadline: Time,
}

/// All reads that wait, by the slot that they wait for.
#[derive(Debug, Default)]
pub(super) struct Reads {
    by_slot: BTreeMap<Slot, Vec<Waiting>>,
    count: usize,
    /// No deadline passes before; set while something waits.
    next_deadline: Option<Time>,
}

impl Reads {
    /// Lets `read` wait until `needed` is executed.
    pub(super) fn wait(&mut self, now: Time, needed: Slot, read: Read, until: Option<Time>) {
        if self.count >= WAITING_MAX {
            let retry_after = RETRY_AFTER;
            return read.send(Err(ReadError::Overloaded { retry_after }));
        }
        let deadline = now + WAIT_MAX;
        self.count += 1;
        self.next_deadline.get_or_insert(deadline);
        let waiting = Waiting {
            read,
            until,
            deadline,
        };
        self.by_slot.entry(needed).or_default().push(waiting);
    }

    /// Those that can be answered once `applied` is executed.
    pub(super) fn ready(&mut self, applied: Slot) -> Vec<Waiting> {
        let mut ready = Vec::new();
        while let Some(first) = self.by_slot.first_entry()
            && *first.key() <= applied
        {
            ready.append(&mut first.remove());
        }
        self.count -= ready.len();
        if self.count == 0 {
            self.next_deadline = None;
        }
        ready
    }

    /// Tells those whose time is over.
    pub(super) fn expire(&mut self, now: Time, applied: Slot) {
        if self.next_deadline.is_none_or(|next| now < next) {
            return;
        }
        let mut next = None::<Time>;
        for (&needed, waiting) in &mut self.by_slot {
            let over = waiting.extract_if(.., |waiting| waiting.deadline <= now);
            for late in over {
                self.count -= 1;
                late.read.send(Err(ReadError::Behind { applied, needed }));
            }
            let first = waiting.first().map(|waiting| waiting.deadline);
            next = [next, first].into_iter().flatten().min();
        }
        self.by_slot.retain(|_, waiting| !waiting.is_empty());
        self.next_deadline = next;
    }

    /// When [`Reads::expire`] has something to do, at the earliest.
    pub(super) const fn next_deadline(&self) -> Option<Time> {
        self.next_deadline
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// The node ends.
    pub(super) fn give_up(&mut self) {
        for waiting in std::mem::take(self).by_slot.into_values().flatten() {
            waiting.read.send(Err(ReadError::Stopped));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::super::reply::ReadResult;
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::ZERO + Span::from_millis(ms)
    }

    fn wait(reads: &mut Reads, at: u64, needed: u64) -> oneshot::Receiver<ReadResult> {
        let (reply, answer) = oneshot::channel();
        let read = Read {
            query: Bytes::new(),
            min_slot: Slot::ZERO,
            stale: false,
            reply,
            inside: None,
        };
        reads.wait(ms(at), Slot::new(needed), read, None);
        answer
    }

    #[test]
    fn a_read_waits_for_its_slot_or_for_its_time_to_be_over() {
        let mut reads = Reads::default();
        let mut early = wait(&mut reads, 0, 9);
        let mut late = wait(&mut reads, 500, 9);
        let _soon = wait(&mut reads, 600, 3);
        assert_eq!(reads.ready(Slot::new(2)).len(), 0);
        assert_eq!(reads.ready(Slot::new(3)).len(), 1);
        reads.expire(ms(999), Slot::new(3));
        assert!(early.try_recv().is_err());
        assert_eq!(reads.next_deadline(), Some(ms(1_000)));
        reads.expire(ms(1_000), Slot::new(3));
        let (applied, needed) = (Slot::new(3), Slot::new(9));
        let behind = Err(ReadError::Behind { applied, needed });
        assert_eq!(early.try_recv().unwrap(), behind);
        assert!(late.try_recv().is_err());
        assert_eq!(reads.next_deadline(), Some(ms(1_500)));
        reads.expire(ms(1_500), Slot::new(3));
        assert_eq!(late.try_recv().unwrap(), behind);
        assert!(reads.is_empty() && reads.next_deadline().is_none());
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let mut reads = Reads::default();
        let _waiting: Vec<_> = (0..WAITING_MAX).map(|_| wait(&mut reads, 0, 1)).collect();
        let mut refused = wait(&mut reads, 0, 1);
        assert!(matches!(
            refused.try_recv().unwrap(),
            Err(ReadError::Overloaded { .. })
        ));
        assert_eq!(reads.ready(Slot::new(1)).len(), WAITING_MAX);
        assert!(
            wait(&mut reads, 0, 2).try_recv().is_err(),
            "there is room again"
        );
    }
}
