//! How far one peer has come in the leader's ballot, and what it is to be sent next.
//! Knows nothing about the other peers, and nothing about what is decided.

use crate::message::Nack;
use crate::snapshot::SnapshotId;
use crate::time::{Span, Time};
use crate::types::{Ballot, Slot};

/// Where a peer said that its log stands, before it was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) acc: Ballot,
    pub(super) last: Slot,
    pub(super) commit: Slot,
}

/// What stands between the peer and the leader's ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not promised the ballot, as far as is known.
    Unpromised,
    /// It has promised, and waits for the sync, or for decided entries before it.
    Behind(Position),
    /// It accepts in the ballot; its log is confirmed or on its way up to `sent`.
    Synced,
}

/// `matched <= sent <= log.last` for a peer that is synced.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    /// Something that answers the stage is under way, since `sent_at`.
    pub(super) awaiting: bool,
    /// End of what was sent.
    pub(super) sent: Slot,
    /// The commit that it was last told.
    pub(super) commit_sent: Slot,
    /// Highest `seq` that it answered.
    pub(super) acked_seq: u64,
    /// The round in which it last answered on the quorum lane in this ballot.
    pub(super) answered_in: u64,
    /// The round in which it was last sent, synced, an `Accept`: its answer waits for no disk.
    pub(super) asked_in: u64,
    /// An empty `Accept` is owed: a heartbeat, or the probe of a read.
    pub(super) probe_due: bool,
    /// When something that waits for an answer was last sent, or last answered.
    pub(super) since: Time,
    /// How often in a row it was sent again without an answer; doubles the wait.
    pub(super) retries: u32,
    /// The slot of the snapshot that it fetches from here, and when it last asked for a part.
    pub(super) pinned: Option<(Slot, Time)>,
    /// The snapshot that it fetches from here, how far it asked for it, and when.
    pub(super) fetches: Option<(SnapshotId, u64, Time)>,
    /// Where a gap last sent it back to: its twins in flight do not count again.
    rewound: Option<Rewound>,
}

/// A gap that was acted on.
#[derive(Clone, Copy, Debug)]
struct Rewound {
    to: Slot,
    /// The number of the last `Accept` before.
    seq: u64,
    at: Time,
}

impl Progress {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Unpromised,
            awaiting: false,
            sent: Slot::ZERO,
            commit_sent: Slot::ZERO,
            acked_seq: 0,
            answered_in: 0,
            asked_in: 0,
            probe_due: false,
            since: Time::ZERO,
            retries: 0,
            pinned: None,
            fetches: None,
            rewound: None,
        }
    }

    /// It promised the ballot, and its log stands there.
    pub(super) fn promised(&mut self, position: Position, round: u64) {
        self.answered_in = round;
        if self.stage == Stage::Unpromised {
            self.stage = Stage::Behind(position);
            self.answered();
        }
    }

    /// It accepts in the ballot up to `last`.
    pub(super) fn accepted(&mut self, last: Slot, seq: u64, round: u64) {
        self.answered_in = round;
        self.acked_seq = self.acked_seq.max(seq);
        if self.stage != Stage::Synced {
            self.stage = Stage::Synced;
            // What was sent before the sync is confirmed may have been dropped there.
            self.sent = last;
            self.answered();
        }
        self.sent = self.sent.max(last);
    }

    /// It has restarted. A position that its earlier life reported may be one that was never
    /// written, so it no longer counts; what was acknowledged was written. False if nothing is
    /// to be asked again.
    pub(super) const fn restarted(&mut self) -> bool {
        let forgets = matches!(self.stage, Stage::Behind(_));
        if forgets {
            self.stage = Stage::Unpromised;
            self.answered();
        }
        forgets
    }

    /// It refused and said where it stands instead. What it said before, or says twice, starts
    /// nothing: otherwise every duplicate would start another conversation.
    pub(super) fn moved(&mut self, nack: &Nack) {
        let mut position = Position {
            acc: nack.acc,
            last: nack.last,
            commit: nack.commit,
        };
        if let Stage::Behind(known) = self.stage {
            let decided_only = Position {
                acc: Ballot::default(),
                ..position
            };
            if known == decided_only
                || (known.commit, known.last) > (position.commit, position.last)
            {
                return;
            }
            if known == position {
                // A sync from there was refused already: what is decided surely agrees.
                position = decided_only;
            }
        }
        self.stage = Stage::Behind(position);
        self.answered();
    }

    /// Entries are missing behind `last`: goes on from there. False if that is known already.
    ///
    /// Every rewind sends a whole window again, and on a network that reorders each of its
    /// messages may report a gap of its own. So the next one waits until the peer has answered
    /// something that was sent after the last one, or each window would bring forth several more;
    /// and a lower gap is an older report. `seq` is the number of the last `Accept` so far.
    pub(super) fn rewind(&mut self, last: Slot, seq: u64, now: Time, patience: Span) -> bool {
        if last >= self.sent {
            return false;
        }
        if let Some(before) = &self.rewound
            && now.since(before.at) < patience
            && (last < before.to || self.acked_seq <= before.seq)
        {
            return false;
        }
        self.rewound = Some(Rewound {
            to: last,
            seq,
            at: now,
        });
        self.sent = last;
        true
    }

    /// Something new was heard: waiting begins anew.
    pub(super) const fn answered(&mut self) {
        self.awaiting = false;
        self.retries = 0;
    }
}
