//! What waits to leave: records to persist, messages that promise something, and plain effects.
//! Knows nothing about why they are sent; it alone knows what is durable.
//!
//! | message | waits for |
//! |---|---|
//! | `Prepare` | the candidate's own promise |
//! | `Promise` | the promise, and every record before it: it reports the log in memory |
//! | `Accepted` | the sync of its ballot; it reports durable slots only |
//! | everything else | the boot count of this process life |

use std::collections::VecDeque;

use crate::log::Log;
use crate::message::Message;
use crate::output::{Notice, Output};
use crate::record::{LogChange, Meta, Persist, Record};
use crate::time::{Span, Time};
use crate::types::{Ballot, Lsn, Slot, Token};

/// How slowly it is forgotten that a disk was slow: with each write by one part of so many.
const SLOWEST_FADES: u64 = 8;

/// The end of the log together with the ballot it was accepted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) acc: Ballot,
    pub(super) last: Slot,
}

/// Where the log stands: what a log record says beside its entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogHead {
    pub(super) acc: Ballot,
    pub(super) commit: Slot,
    pub(super) commit_in: Ballot,
}

#[derive(Clone, Debug)]
pub(super) struct Outbox {
    /// Records that the next `Persist` will carry, in order.
    records: Vec<Record>,
    /// The log changed behind this slot since the last of `records`.
    log_dirty: Option<Slot>,
    /// The last `Persist` handed out.
    submitted: Lsn,
    /// Everything up to here is on disk.
    durable: Lsn,
    /// The `Persist` that makes this process life known; no message leaves before it is durable.
    booted: Lsn,
    /// Persists under way: their LSN, when they were handed out, and the log's end then.
    in_flight: VecDeque<(Lsn, Time, Mark)>,
    durable_mark: Mark,
    /// How long the slowest of the last `Persist`s took.
    slowest: Span,
    /// Messages to the member at a position that wait for an LSN; LSNs never decrease.
    held: VecDeque<(Lsn, usize, Message)>,
    messages: VecDeque<(usize, Message)>,
    effects: VecDeque<Output>,
    placed: Option<(Ballot, Slot, Vec<Token>)>,
}

impl Outbox {
    pub(super) fn new(boot: u64, durable_mark: Mark) -> Self {
        let start = Lsn::start_of(boot);
        Self {
            records: Vec::new(),
            log_dirty: None,
            submitted: start,
            durable: start,
            booted: start.next(),
            in_flight: VecDeque::new(),
            durable_mark,
            slowest: Span::ZERO,
            held: VecDeque::new(),
            messages: VecDeque::new(),
            effects: VecDeque::new(),
            placed: None,
        }
    }

    /// Records a change of the metadata, behind all changes of the log so far.
    pub(super) fn meta_changed(&mut self, meta: &Meta, log: &Log, head: LogHead) {
        self.seal_log(log, head);
        if let Some(Record::Meta(pending)) = self.records.last_mut() {
            pending.as_mut().clone_from(meta);
        } else {
            self.records.push(Record::Meta(Box::new(meta.clone())));
        }
    }

    /// Records that entries up to `to` are not needed any more, behind all changes so far. What
    /// the log says beside its entries is stated again, since the place that said it may go.
    pub(super) fn trimmed(&mut self, to: Slot, log: &Log, head: LogHead) {
        self.log_changed(log.last());
        self.seal_log(log, head);
        self.records.push(Record::Trim(to));
    }

    /// Records that the log changed behind `keep`: was cut, extended, or got another `acc`.
    pub(super) fn log_changed(&mut self, keep: Slot) {
        self.log_dirty = Some(self.log_dirty.map_or(keep, |dirty| dirty.min(keep)));
    }

    /// The LSN that covers every change recorded so far.
    pub(super) fn barrier(&self) -> Lsn {
        if self.records.is_empty() && self.log_dirty.is_none() {
            self.submitted
        } else {
            self.submitted.next()
        }
    }

    pub(super) fn is_durable(&self, lsn: Lsn) -> bool {
        lsn <= self.durable
    }

    pub(super) fn is_booted(&self) -> bool {
        self.booted <= self.durable
    }

    /// What is on disk of the log.
    pub(super) const fn durable_mark(&self) -> Mark {
        self.durable_mark
    }

    /// When the oldest unfinished `Persist` was handed out.
    pub(super) fn oldest_in_flight(&self) -> Option<Time> {
        self.in_flight.front().map(|(_, since, _)| *since)
    }

    /// How long the slowest of the last `Persist`s took; it fades as others follow.
    pub(super) const fn slowest(&self) -> Span {
        self.slowest
    }

    /// The driver says that everything up to `lsn` is on disk.
    pub(super) fn persisted(&mut self, lsn: Lsn, now: Time) {
        assert!(
            lsn <= self.submitted,
            "the driver confirms {lsn}, but only {} was handed out",
            self.submitted
        );
        self.durable = self.durable.max(lsn);
        while let Some((oldest, since, mark)) = self.in_flight.front()
            && *oldest <= lsn
        {
            let forgotten = self.slowest.divided(SLOWEST_FADES);
            self.slowest = (self.slowest - forgotten).max(now.since(*since));
            self.durable_mark = *mark;
            self.in_flight.pop_front();
        }
    }

    /// Sends now.
    pub(super) fn send(&mut self, to: usize, message: Message) {
        if self.is_booted() {
            self.messages.push_back((to, message));
        }
    }

    /// Sends once everything recorded so far is durable.
    pub(super) fn send_durable(&mut self, to: usize, message: Message) {
        self.held.push_back((self.barrier(), to, message));
    }

    /// How many messages wait for the disk.
    pub(super) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// How much waits for nothing but to be polled.
    pub(super) fn unpolled(&self) -> u64 {
        let placed = usize::from(self.placed.is_some());
        (self.messages.len() + self.effects.len() + self.records.len() + placed) as u64
    }

    /// Whether a `Promise` to the member at `to` waits for the disk.
    pub(super) fn holds_promise(&self, to: usize) -> bool {
        let mut held = self.held.iter();
        held.any(|(_, at, message)| *at == to && matches!(message, Message::Promise(_)))
    }

    /// Forgets what waits for the disk: a higher ballot made it pointless.
    pub(super) fn drop_held(&mut self) {
        self.held.clear();
    }

    pub(super) fn effect(&mut self, effect: Output) {
        // `Placed` must precede whatever may end the wait for it.
        self.flush_placed();
        self.effects.push_back(effect);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.effects.push_back(Output::Notice(notice));
    }

    /// A proposal stands in `slot`; merged with its predecessors.
    pub(super) fn placed(&mut self, ballot: Ballot, slot: Slot, token: Token) {
        if let Some((in_ballot, first, tokens)) = &mut self.placed
            && *in_ballot == ballot
            && first.get() + tokens.len() as u64 == slot.get()
        {
            tokens.push(token);
            return;
        }
        self.flush_placed();
        self.placed = Some((ballot, slot, vec![token]));
    }

    /// The next effect that needs nothing from the log.
    pub(super) fn poll_effect(&mut self) -> Option<Output> {
        if self.effects.is_empty() {
            self.flush_placed();
        }
        self.effects.pop_front()
    }

    /// The next `Persist`, with everything recorded since the last one.
    pub(super) fn poll_persist(&mut self, now: Time, log: &Log, head: LogHead) -> Option<Persist> {
        self.seal_log(log, head);
        if self.records.is_empty() {
            return None;
        }
        self.submitted = self.submitted.next();
        let mark = Mark {
            acc: head.acc,
            last: log.last(),
        };
        self.in_flight.push_back((self.submitted, now, mark));
        Some(Persist {
            lsn: self.submitted,
            records: std::mem::take(&mut self.records),
        })
    }

    /// The next message that may leave.
    pub(super) fn poll_message(&mut self) -> Option<(usize, Message)> {
        if let Some((lsn, _, _)) = self.held.front()
            && *lsn <= self.durable
        {
            return self.held.pop_front().map(|(_, to, message)| (to, message));
        }
        self.messages.pop_front()
    }

    fn flush_placed(&mut self) {
        if let Some((ballot, first, tokens)) = self.placed.take() {
            self.effects.push_back(Output::Placed {
                ballot,
                first,
                tokens,
            });
        }
    }

    /// Puts every change of the log so far into a record: the log is about to be replaced, and
    /// what it held must still become durable, or be counted as such, in its order.
    pub(super) fn seal_log(&mut self, log: &Log, head: LogHead) {
        if let Some(keep) = self.log_dirty.take() {
            self.records.push(Record::Log(LogChange {
                keep,
                entries: log.entries(keep, log.last()),
                acc: head.acc,
                commit: head.commit,
                commit_in: head.commit_in,
            }));
        }
    }
}
