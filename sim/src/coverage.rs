//! Which states and events of the protocol runs have reached, and how often: arrays of counters.
//! Knows nothing about what is right, nor about what ought to be reached.

use chil_core::forming::FormingMessage;
use chil_core::message::NackReason;
use chil_core::output::{IgnoreReason, StepDown};
use chil_core::{Message, Notice, Output, Refusal};
use chil_proto::Frame;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::looked::CHECKS;
use crate::stages::Stage;

/// What runs have reached, or their sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Messages that arrived: by [`Coverage::MESSAGES`], then by what the receiver was then, in
    /// the order of [`Coverage::STAGES`].
    pub received: [Counts<STAGES>; MESSAGES],
    /// What nodes were, and what they became, in the order of [`Coverage::STAGES`].
    pub became: [Counts<STAGES>; STAGES],
    /// What replicas wanted done, in the order of [`Coverage::OUTPUTS`].
    pub outputs: Counts<OUTPUTS>,
    /// What replicas noticed, in the order of [`Coverage::NOTICES`].
    pub notices: Counts<NOTICES>,
    /// How often each check looked at something, in the order of [`Coverage::CHECKS`].
    pub checks: Counts<{ CHECKS.len() }>,
}

impl Coverage {
    /// What a node is at some moment.
    pub const STAGES: [&'static str; STAGES] = Stage::NAMES;

    /// The checks.
    pub const CHECKS: [&'static str; CHECKS.len()] = CHECKS;

    /// Kinds of messages.
    pub const MESSAGES: [&'static str; MESSAGES] = [
        "Prepare",
        "Promise",
        "Accept",
        "Accepted",
        "Nack",
        "Learn",
        "Fetch",
        "Heartbeat",
        "HeartbeatReply",
        "Offer",
        "FetchChunk",
        "Chunk",
        "ReadIndex",
        "ReadIndexReply",
        "TransferNow",
        "Hello",
        "HelloReply",
        "Confirm",
        "Confirmed",
    ];

    /// What a replica may want done; the last ones are refusals, by their reason.
    pub const OUTPUTS: [&'static str; OUTPUTS] = [
        "Persist",
        "Send",
        "Placed",
        "Deposed",
        "Decided",
        "ReadReady",
        "TransferEnded",
        "ReadChunk",
        "WriteChunk",
        "FinishSnapshot",
        "Install",
        "Refused: NotLeader",
        "Refused: Overloaded",
        "Refused: TooLarge",
    ];

    /// What a replica may notice, with the reasons.
    pub const NOTICES: [&'static str; NOTICES] = [
        "Campaigning",
        "Leading",
        "Following",
        "PeerDown",
        "PeerUp",
        "CatchingUp",
        "Trimmed",
        "FetchingSnapshot",
        "Installed",
        "Transferring",
        "SteppedDown: HigherBallot",
        "SteppedDown: HigherDecision",
        "SteppedDown: NoQuorum",
        "SteppedDown: DiskStalled",
        "SteppedDown: PrepareTimeout",
        "SteppedDown: TransferTimeout",
        "SteppedDown: LyingDisk",
        "Refused: Ballot",
        "Refused: NeedPrepare",
        "Refused: NeedSync",
        "Refused: Gap",
        "Refused: Damaged",
        "Ignored: WrongCluster",
        "Ignored: WrongAddressee",
        "Ignored: UnknownSender",
        "Ignored: WrongDisk",
        "Ignored: ClonedDisk",
        "Ignored: WrongEpoch",
        "Ignored: BadBallot",
        "Ignored: Malformed",
        "Ignored: Stale",
    ];

    /// Adds what other runs have reached.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.received.iter_mut().zip(&other.received) {
            sum.add(more);
        }
        for (sum, more) in self.became.iter_mut().zip(&other.became) {
            sum.add(more);
        }
        self.outputs.add(&other.outputs);
        self.notices.add(&other.notices);
        self.checks.add(&other.checks);
    }

    pub(crate) fn receives(&mut self, frame: &Frame, as_what: Stage) {
        self.received[kind(frame)].0[as_what as usize] += 1;
    }

    pub(crate) fn becomes(&mut self, from: Stage, to: Stage) {
        self.became[from as usize].0[to as usize] += 1;
    }

    pub(crate) fn wants(&mut self, output: &Output) {
        let index = match output {
            Output::Persist(_) => 0,
            Output::Send(_) => 1,
            Output::Placed { .. } => 2,
            Output::Deposed { .. } => 3,
            Output::Decided { .. } => 4,
            Output::ReadReady { .. } => 5,
            Output::TransferEnded { .. } => 6,
            Output::ReadChunk { .. } => 7,
            Output::WriteChunk { .. } => 8,
            Output::FinishSnapshot { .. } => 9,
            Output::Install { .. } => 10,
            Output::Refused { reason, .. } => match reason {
                Refusal::NotLeader { .. } => 11,
                Refusal::Overloaded => 12,
                Refusal::TooLarge { .. } => 13,
            },
            Output::Notice(notice) => {
                self.notices.0[noticed(notice)] += 1;
                return;
            }
            Output::Wait(_) => return,
        };
        self.outputs.0[index] += 1;
    }
}

/// Position of a message's kind in [`Coverage::MESSAGES`].
const fn kind(frame: &Frame) -> usize {
    match frame {
        Frame::Envelope(envelope) => match &envelope.body {
            Message::Prepare(_) => 0,
            Message::Promise(_) => 1,
            Message::Accept(_) => 2,
            Message::Accepted(_) => 3,
            Message::Nack(_) => 4,
            Message::Learn(_) => 5,
            Message::Fetch(_) => 6,
            Message::Heartbeat(_) => 7,
            Message::HeartbeatReply(_) => 8,
            Message::Offer(_) => 9,
            Message::FetchChunk(_) => 10,
            Message::Chunk(_) => 11,
            Message::ReadIndex(_) => 12,
            Message::ReadIndexReply(_) => 13,
            Message::TransferNow(_) => 14,
        },
        Frame::Forming(message) => match &**message {
            FormingMessage::Hello(_) => 15,
            FormingMessage::HelloReply(_) => 16,
            FormingMessage::Confirm(_) => 17,
            FormingMessage::Confirmed(_) => 18,
        },
    }
}

/// Position of a notice in [`Coverage::NOTICES`].
const fn noticed(notice: &Notice) -> usize {
    match notice {
        Notice::Campaigning { .. } => 0,
        Notice::Leading { .. } => 1,
        Notice::Following { .. } => 2,
        Notice::PeerDown { .. } => 3,
        Notice::PeerUp { .. } => 4,
        Notice::CatchingUp { .. } => 5,
        Notice::Trimmed { .. } => 6,
        Notice::FetchingSnapshot { .. } => 7,
        Notice::Installed { .. } => 8,
        Notice::Transferring { .. } => 9,
        Notice::SteppedDown { reason, .. } => match reason {
            StepDown::HigherBallot => 10,
            StepDown::HigherDecision => 11,
            StepDown::NoQuorum => 12,
            StepDown::DiskStalled => 13,
            StepDown::PrepareTimeout => 14,
            StepDown::TransferTimeout => 15,
            StepDown::LyingDisk => 16,
        },
        Notice::Refused { reason, .. } => match reason {
            NackReason::Ballot => 17,
            NackReason::NeedPrepare => 18,
            NackReason::NeedSync => 19,
            NackReason::Gap => 20,
            NackReason::Damaged => 21,
        },
        Notice::Ignored { reason, .. } => match reason {
            IgnoreReason::WrongCluster => 22,
            IgnoreReason::WrongAddressee => 23,
            IgnoreReason::UnknownSender => 24,
            IgnoreReason::WrongDisk => 25,
            IgnoreReason::ClonedDisk => 26,
            IgnoreReason::WrongEpoch => 27,
            IgnoreReason::BadBallot => 28,
            IgnoreReason::Malformed => 29,
            IgnoreReason::Stale => 30,
        },
    }
}

const STAGES: usize = Stage::NAMES.len();
const MESSAGES: usize = 19;
const OUTPUTS: usize = 14;
const NOTICES: usize = 31;

/// So many counters, which are added one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts<const N: usize>(pub [u64; N]);

impl<const N: usize> Counts<N> {
    fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Serialize for Counts<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Counts<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counts = Vec::<u64>::deserialize(deserializer)?;
        counts.try_into().map(Self).map_err(|counts: Vec<u64>| {
            serde::de::Error::invalid_length(counts.len(), &format!("{N} counters").as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_adds_up_and_survives_being_written_down() {
        let mut one = Coverage::default();
        one.becomes(Stage::Following, Stage::Preparing);
        one.wants(&Output::Notice(Notice::Campaigning {
            ballot: chil_core::Ballot::default(),
        }));
        one.checks.0[3] = 7;
        let mut two = one.clone();
        two.becomes(Stage::Preparing, Stage::Leading);
        two.add(&one);
        assert_eq!(two.became[Stage::Following as usize].0[3], 2);
        assert_eq!(two.became[Stage::Preparing as usize].0[4], 1);
        assert_eq!((two.notices.0[0], two.checks.0[3]), (2, 14));
        let text = serde_json::to_string(&two).unwrap();
        assert_eq!(serde_json::from_str::<Coverage>(&text).unwrap(), two);
        let short = text.replacen("\"outputs\":[0,", "\"outputs\":[", 1);
        let error = serde_json::from_str::<Coverage>(&short).unwrap_err();
        assert!(error.to_string().contains("14 counters"), "{error}");
    }

    #[test]
    fn no_name_stands_twice() {
        let names = |names: &[&str]| {
            let set: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(set.len(), names.len(), "{names:?}");
        };
        names(&Coverage::MESSAGES);
        names(&Coverage::OUTPUTS);
        names(&Coverage::NOTICES);
        names(&CHECKS);
    }
}
