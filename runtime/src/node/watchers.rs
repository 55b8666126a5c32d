//! Who waits for decisions that are not there yet, and what each is told: entries, or that they
//! are gone. Knows nothing about connections: a watcher asks again when it has read what it got.

use std::collections::BTreeMap;

use chil_core::log::Log;
use chil_core::{Entry, Slot};

use crate::request::WatchReply;
use crate::watch::WatchError;

/// Watchers that wait at the end of the log, by the slot that they wait for.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    waiting: BTreeMap<Slot, Vec<WatchReply>>,
    count: usize,
}

/// Watchers that may wait.
const WAITING_MAX: usize = 1_024;
/// Bytes of entries that a watcher is handed at once, but for a single larger one.
const BATCH_BYTES_MAX: u64 = 256 << 10;

impl Watchers {
    /// Tells `reply` what is executed from `from` on: now, or when there is something.
    pub(super) fn ask(&mut self, from: Slot, reply: WatchReply, log: &Log, applied: Slot) {
        let from = from.max(Slot::ZERO.next());
        if let Some(answer) = answer(from, log, applied) {
            drop(reply.send(answer));
            return;
        }
        if self.count >= WAITING_MAX {
            self.forget_who_left();
        }
        if self.count >= WAITING_MAX {
            drop(reply.send(Err(WatchError::Overloaded)));
            return;
        }
        self.waiting.entry(from).or_default().push(reply);
        self.count += 1;
    }

    /// Tells everybody whose slot is executed, or gone.
    pub(super) fn executed(&mut self, log: &Log, applied: Slot) {
        while let Some(first) = self.waiting.first_entry() {
            let Some(answer) = answer(*first.key(), log, applied) else {
                break;
            };
            for reply in first.remove() {
                self.count -= 1;
                drop(reply.send(answer.clone()));
            }
        }
    }

    fn forget_who_left(&mut self) {
        self.waiting.retain(|_, replies| {
            replies.retain(|reply| !reply.is_closed());
            !replies.is_empty()
        });
        self.count = self.waiting.values().map(Vec::len).sum();
    }

    /// The node ends.
    pub(super) fn give_up(&mut self) {
        for reply in std::mem::take(&mut self.waiting).into_values().flatten() {
            drop(reply.send(Err(WatchError::Stopped)));
        }
        self.count = 0;
    }
}

/// What there is from `from` on; `None` if it is not executed yet.
fn answer(from: Slot, log: &Log, applied: Slot) -> Option<Result<Vec<Entry>, WatchError>> {
    let base = log.base();
    if from <= base {
        return Some(Err(WatchError::Compacted { first: base.next() }));
    }
    if applied < from {
        return None;
    }
    let before = from.prev();
    let end = log.end_within(before, applied, BATCH_BYTES_MAX);
    Some(Ok(log.entries(before, end)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chil_core::{Ballot, Command, EntryKind, Epoch, NodeId};
    use tokio::sync::oneshot;
    use tokio::sync::oneshot::Receiver;

    use super::*;

    type Answer = Receiver<Result<Vec<Entry>, WatchError>>;

    fn log(len: u64, payload: usize) -> Log {
        let origin = Ballot::new(Epoch::FIRST, 1, NodeId::new(1));
        let mut log = Log::default();
        for slot in 1..=len {
            let command = Command::sessionless(Bytes::from(vec![0; payload]));
            let kind = EntryKind::Command(command);
            log.append(Entry::new(log.chain(), Slot::new(slot), origin, kind));
        }
        log
    }

    fn ask(watchers: &mut Watchers, from: u64, log: &Log, applied: u64) -> Answer {
        let (reply, answer) = oneshot::channel();
        watchers.ask(Slot::new(from), reply, log, Slot::new(applied));
        answer
    }

    fn slots(mut answer: Answer) -> Vec<u64> {
        let entries = answer.try_recv().expect("answered").expect("entries");
        entries.iter().map(|entry| entry.slot().get()).collect()
    }

    #[test]
    fn what_is_executed_is_told_at_once_and_no_more_than_that() {
        let (mut watchers, log) = (Watchers::default(), log(9, 1));
        assert_eq!(slots(ask(&mut watchers, 2, &log, 4)), [2, 3, 4]);
        // Nobody knows what slot 0 would be: the log begins with 1.
        assert_eq!(slots(ask(&mut watchers, 0, &log, 1)), [1]);
    }

    #[test]
    fn who_is_at_the_end_waits_for_the_next_slot() {
        let (mut watchers, log) = (Watchers::default(), log(9, 1));
        let (near, mut far) = (
            ask(&mut watchers, 5, &log, 4),
            ask(&mut watchers, 8, &log, 4),
        );
        watchers.executed(&log, Slot::new(6));
        assert_eq!(slots(near), [5, 6]);
        assert!(far.try_recv().is_err(), "slot 8 is not executed yet");
        watchers.executed(&log, Slot::new(9));
        assert_eq!(slots(far), [8, 9]);
    }

    #[test]
    fn a_batch_is_bounded_but_never_empty() {
        let big = usize::try_from(BATCH_BYTES_MAX).unwrap() + 1;
        let (mut watchers, log) = (Watchers::default(), log(3, big));
        assert_eq!(slots(ask(&mut watchers, 1, &log, 3)), [1]);
    }

    #[test]
    fn what_is_trimmed_is_told_also_to_who_waits() {
        let (mut watchers, mut log) = (Watchers::default(), log(9, 1));
        let mut waiting = ask(&mut watchers, 5, &log, 4);
        log.trim(Slot::new(6));
        let first = Slot::new(7);
        let compacted = Err(WatchError::Compacted { first });
        let mut late = ask(&mut watchers, 6, &log, 9);
        assert_eq!(late.try_recv().unwrap(), compacted);
        watchers.executed(&log, Slot::new(4));
        assert_eq!(waiting.try_recv().unwrap(), compacted);
        assert_eq!(slots(ask(&mut watchers, 7, &log, 9)), [7, 8, 9]);
    }

    #[test]
    fn those_who_left_make_room_for_others() {
        let (mut watchers, log) = (Watchers::default(), log(1, 1));
        let mut waiting: Vec<Answer> = (0..WAITING_MAX)
            .map(|_| ask(&mut watchers, 2, &log, 1))
            .collect();
        let mut refused = ask(&mut watchers, 2, &log, 1);
        assert_eq!(refused.try_recv().unwrap(), Err(WatchError::Overloaded));
        waiting.pop();
        let mut taken = ask(&mut watchers, 2, &log, 1);
        assert!(taken.try_recv().is_err(), "it waits");
        watchers.give_up();
        assert_eq!(taken.try_recv().unwrap(), Err(WatchError::Stopped));
    }
}
