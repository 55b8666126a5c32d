//! Whoever leads, or tries to, gives up for a higher ballot only upon the word of somebody who owns
//! that ballot or has promised it; that somebody merely follows it says nothing about whether it
//! works. Knows nothing about who should lead.
//!
//! PROTOCOL.md, "Election". Ng et al., "OmniPaxos" (EuroSys '23), section 5: the ballots that others
//! follow are not adopted. Two nodes that do not hear each other would depose each other through a
//! third, and a ballot whose owner is gone would depose a leader that has a quorum.

use chil_core::{Ballot, Message};

/// What each node was told, by those who know.
#[derive(Debug)]
pub(crate) struct Told(Vec<Ballot>);

impl Told {
    /// Nobody was told anything.
    pub(crate) fn new(nodes: usize) -> Self {
        Self(vec![Ballot::default(); nodes])
    }

    /// A message comes to this node.
    pub(crate) fn hears(&mut self, node: usize, message: &Message) {
        let ballot = match message {
            Message::Prepare(m) => m.ballot,
            Message::Accept(m) => m.ballot,
            Message::HeartbeatReply(m) => m.ballot,
            Message::Nack(m) => m.promised,
            Message::Promise(_)
            | Message::Accepted(_)
            | Message::Learn(_)
            | Message::Fetch(_)
            | Message::Offer(_)
            | Message::FetchChunk(_)
            | Message::Chunk(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexReply(_)
            | Message::TransferNow(_)
            | Message::Heartbeat(_) => return,
        };
        self.0[node] = self.0[node].max(ballot);
    }

    /// This node gives `ballot` up, for a higher one as it says.
    pub(crate) fn check(&self, node: usize, ballot: Ballot) -> Result<(), String> {
        let told = self.0[node];
        if told > ballot {
            return Ok(());
        }
        Err(format!(
            "gives up {ballot} for a higher ballot, but nobody who owns or promised one has said \
             so: the highest that it was told of is {told}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ballot;
    use super::*;
    use chil_core::Slot;
    use chil_core::message::{HeartbeatReply, Nack, NackReason};

    fn reply(owned: Ballot, followed: Ballot) -> Message {
        Message::HeartbeatReply(HeartbeatReply {
            round: 1,
            data: false,
            ballot: owned,
            leader: followed,
            happy: true,
            able: true,
            commit: Slot::ZERO,
            priority: 0,
            fresh: None,
        })
    }

    #[test]
    fn giving_up_for_a_ballot_that_somebody_follows_is_found() {
        let mut told = Told::new(2);
        told.hears(0, &reply(Ballot::default(), ballot(3, 2)));
        assert!(told.check(0, ballot(2, 1)).is_err());
        told.hears(1, &reply(ballot(3, 2), ballot(3, 2)));
        assert!(told.check(0, ballot(2, 1)).is_err());
        assert_eq!(told.check(1, ballot(2, 1)), Ok(()));
        assert!(told.check(1, ballot(3, 2)).is_err());
    }

    #[test]
    fn giving_up_for_what_was_promised_elsewhere_is_right() {
        let mut told = Told::new(1);
        told.hears(
            0,
            &Message::Nack(Nack {
                ballot: ballot(2, 1),
                promised: ballot(3, 2),
                acc: ballot(1, 1),
                last: Slot::ZERO,
                commit: Slot::ZERO,
                reason: NackReason::Ballot,
            }),
        );
        assert_eq!(told.check(0, ballot(2, 1)), Ok(()));
    }
}
