//! A queue that is bounded in messages and bytes, and drops what is missed least.
//! Knows nothing about messages but what they say of themselves.
//!
//! What a later message says as well need not be sent: that is seen at once where the two are
//! near each other, and looked for everywhere when there is no room. Then go messages of older
//! ballots than the newest that waits, since nobody takes them any more, and then the oldest. The
//! newest stays, however large it is.

use std::collections::{BTreeMap, VecDeque};

use chil_core::Ballot;

/// How far back a new message looks for one that it supersedes: heartbeats, their answers and the
/// little that is between them.
const REACH: usize = 4;

/// What an [`Outbox`] has to know of what it holds.
pub trait Parcel {
    /// Bytes that it counts for.
    fn cost(&self) -> u64;

    /// A name for those among which one may supersede another; `None` if it never does.
    fn kind(&self) -> Option<u8>;

    /// Whether it says everything that `older`, of the same kind, does.
    fn supersedes(&self, older: &Self) -> bool;

    /// The ballot without which nobody takes it.
    fn ballot(&self) -> Option<Ballot>;
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages; one at least.
    pub messages: usize,
    /// Bytes of more than one message.
    pub bytes: u64,
}

impl Default for Bounds {
    /// A window of entries, and as much again.
    fn default() -> Self {
        Self {
            messages: 4_096,
            bytes: 32 << 20,
        }
    }
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// A later one says the same and more.
    Superseded,
    /// One of a newer ballot waits behind it, and there was no room.
    StaleBallot,
    /// There was no room, and it was the oldest.
    Full,
    /// The peer cannot be reached.
    Unreachable,
    /// Nobody speaks to that address any more.
    Closed,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Superseded,
        Self::StaleBallot,
        Self::Full,
        Self::Unreachable,
        Self::Closed,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::StaleBallot => "stale-ballot",
            Self::Full => "full",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
        }
    }
}

/// What became of the messages of a queue so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to a connection.
    pub sent: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Counts {
    /// Messages that were not sent for this reason.
    #[must_use]
    pub const fn dropped(&self, why: DropReason) -> u64 {
        self.dropped[why as usize]
    }

    /// Messages that were not sent although nothing else said what they did.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped.iter().sum::<u64>() - self.dropped(DropReason::Superseded)
    }

    /// Adds those of another queue.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        for (sum, more) in self.dropped.iter_mut().zip(other.dropped) {
            *sum += more;
        }
    }
}

/// What waits to be sent on one connection.
#[derive(Clone, Debug)]
pub struct Outbox<P> {
    bounds: Bounds,
    waiting: VecDeque<P>,
    bytes: u64,
    counts: Counts,
    /// Messages that are still to come before all are looked through again.
    search_in: usize,
}

impl<P: Parcel> Outbox<P> {
    /// Nothing waits.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiting: VecDeque::new(),
            bytes: 0,
            counts: Counts {
                sent: 0,
                dropped: [0; DropReason::ALL.len()],
            },
            search_in: 0,
        }
    }

    /// Adds a message; others make room for it.
    pub fn push(&mut self, parcel: P) {
        if let Some(at) = self.superseded_near_the_end(&parcel) {
            self.remove(at, DropReason::Superseded);
        }
        self.bytes += parcel.cost();
        self.waiting.push_back(parcel);
        self.search_in = self.search_in.saturating_sub(1);
        if self.is_over() && self.search_in == 0 {
            let before = self.waiting.len();
            self.drop_superseded();
            if self.is_over() {
                self.drop_stale();
            }
            if self.waiting.len() == before {
                // Looking costs as much as there are messages: not each time in vain.
                self.search_in = before / 16;
            }
        }
        while self.is_over() {
            self.remove(0, DropReason::Full);
        }
    }

    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<P> {
        let parcel = self.waiting.pop_front()?;
        self.bytes -= parcel.cost();
        self.counts.sent += 1;
        Some(parcel)
    }

    /// Drops everything.
    pub fn clear(&mut self, why: DropReason) {
        self.counts.dropped[why as usize] += self.waiting.len() as u64;
        self.waiting.clear();
        self.bytes = 0;
    }

    /// What became of the messages so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Panics if the bounds do not hold.
    pub fn check(&self) {
        let bytes: u64 = self.waiting.iter().map(Parcel::cost).sum();
        assert_eq!(bytes, self.bytes, "bytes that wait");
        assert!(
            !self.is_over(),
            "{} messages of {bytes} bytes wait",
            self.len()
        );
    }

    fn is_over(&self) -> bool {
        let is_many = self.waiting.len() > self.bounds.messages || self.bytes > self.bounds.bytes;
        is_many && self.waiting.len() > 1
    }

    fn superseded_near_the_end(&self, new: &P) -> Option<usize> {
        let kind = new.kind()?;
        let near = self.waiting.iter().enumerate().rev().take(REACH);
        let mut same = near.filter(|(_, old)| old.kind() == Some(kind));
        same.find_map(|(at, old)| new.supersedes(old).then_some(at))
    }

    fn remove(&mut self, at: usize, why: DropReason) {
        if let Some(parcel) = self.waiting.remove(at) {
            self.bytes -= parcel.cost();
            self.counts.dropped[why as usize] += 1;
        }
    }

    /// Drops whatever the next that stays of its kind says as well.
    fn drop_superseded(&mut self) {
        let mut next: BTreeMap<u8, &P> = BTreeMap::new();
        let mut drops = vec![false; self.waiting.len()];
        for (parcel, drop) in self.waiting.iter().zip(&mut drops).rev() {
            let Some(kind) = parcel.kind() else {
                continue;
            };
            *drop = next.get(&kind).is_some_and(|next| next.supersedes(parcel));
            if !*drop {
                next.insert(kind, parcel);
            }
        }
        self.drop_these(&drops, DropReason::Superseded);
    }

    /// Drops what is of an older ballot than another, but for what has just come.
    fn drop_stale(&mut self) {
        let newest = self.waiting.iter().filter_map(Parcel::ballot).max();
        let is_stale = |parcel: &P| parcel.ballot().is_some() && parcel.ballot() < newest;
        let mut drops: Vec<bool> = self.waiting.iter().map(is_stale).collect();
        if let Some(last) = drops.last_mut() {
            *last = false;
        }
        self.drop_these(&drops, DropReason::StaleBallot);
    }

    fn drop_these(&mut self, drops: &[bool], why: DropReason) {
        let mut drops = drops.iter();
        let (bytes, dropped) = (&mut self.bytes, &mut self.counts.dropped[why as usize]);
        self.waiting.retain(|parcel| {
            let goes = drops.next().is_some_and(|drop| *drop);
            if goes {
                *bytes -= parcel.cost();
                *dropped += 1;
            }
            !goes
        });
    }
}
