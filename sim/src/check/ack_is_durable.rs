//! I10 Said means durable: what a message states about its sender would survive a crash now.
//! Knows nothing about who receives it.
//!
//! Lamport, "Paxos Made Simple" (2001), section 2.5: "the acceptor records its intended response
//! in stable storage before actually sending the response".

use chil_core::{Envelope, Message};

use super::ghost::Ghost;
use super::snapshot_is_chosen;

/// `envelope` leaves the node with index `node`.
pub(crate) fn check(ghost: &Ghost, node: usize, envelope: &Envelope) -> Result<(), String> {
    let Some(state) = ghost.nodes.get(node) else {
        return Ok(());
    };
    if envelope.boot != state.boot {
        return Err(format!(
            "sends {} in boot {}, but boot {} is what is durable",
            envelope.body.name(),
            envelope.boot,
            state.boot
        ));
    }
    let promise = match &envelope.body {
        Message::Prepare(m) => Some(m.ballot),
        Message::Promise(m) => Some(m.ballot),
        Message::Accept(m) => Some(m.ballot),
        Message::Accepted(m) => {
            let reach = ghost.reach(node, m.ballot);
            if m.last > reach {
                return Err(format!(
                    "acknowledges slot {} in {}, but a crash now would leave its votes there \
                     only up to slot {reach}",
                    m.last, m.ballot
                ));
            }
            Some(m.ballot)
        }
        Message::TransferNow(m) => Some(m.ballot),
        Message::Offer(m) => {
            snapshot_is_chosen::check_named(ghost, state, &m.id)?;
            None
        }
        Message::Nack(_)
        | Message::FetchChunk(_)
        | Message::Chunk(_)
        | Message::ReadIndex(_)
        | Message::ReadIndexReply(_)
        | Message::Learn(_)
        | Message::Fetch(_)
        | Message::Heartbeat(_)
        | Message::HeartbeatReply(_) => None,
    };
    match promise {
        Some(ballot) if ballot > state.promised => Err(format!(
            "sends {} in {ballot}, but a crash now would leave its promise at {}",
            envelope.body.name(),
            state.promised
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;
    use chil_core::message::Accepted;
    use chil_core::{ClusterId, DiskId, Epoch, Slot};

    fn accepted(n: u64, last: u64) -> Envelope {
        let ballot = ballot(n, 0);
        Envelope {
            cluster: ClusterId::new(1),
            from: ballot.node,
            from_disk: DiskId::new(1),
            boot: 0,
            run: 1,
            to: ballot.node,
            to_boot: 0,
            epoch: Epoch::FIRST,
            body: Message::Accepted(Accepted {
                ballot,
                last: Slot::new(last),
                seq: 1,
            }),
        }
    }

    #[test]
    fn an_ack_or_a_promise_before_the_disk_has_it_is_found() {
        let one = ballot(1, 0);
        let history = ghost(&[(one, &[one])]);
        assert_eq!(check(&history, 0, &accepted(1, 1)), Ok(()));
        assert!(check(&history, 0, &accepted(1, 2)).is_err());
        assert!(check(&history, 0, &accepted(2, 0)).is_err());
    }

    #[test]
    fn an_offer_of_a_snapshot_that_is_not_on_disk_is_found() {
        let one = ballot(1, 0);
        let mut history = ghost(&[(one, &[one])]);
        history.chosen = history.ballots[&one].log.clone();
        let id = chil_core::SnapshotId {
            slot: Slot::new(1),
            chain: chil_core::Chain::EMPTY,
            bytes: 1,
            digest: 1,
        };
        let mut envelope = accepted(1, 1);
        envelope.body = Message::Offer(chil_core::message::Offer {
            id,
            decided_in: one,
            commit: Slot::new(1),
        });
        assert!(check(&history, 0, &envelope).is_err());
        history.nodes[0].snapshots.insert(id);
        assert_eq!(check(&history, 0, &envelope), Ok(()));
    }

    #[test]
    fn a_message_before_its_boot_is_durable_is_found() {
        let one = ballot(1, 0);
        let history = ghost(&[(one, &[one])]);
        let mut envelope = accepted(1, 1);
        envelope.boot = 1;
        assert!(check(&history, 0, &envelope).is_err());
    }
}
