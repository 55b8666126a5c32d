//! How a node that belongs to a cluster already answers one that is still forming.
//! Knows nothing about forming's progress: it is a function of what is durable here.

use super::message::{FormingMessage, HelloReply, HelloState};
use crate::record::Meta;

/// What the node with this metadata, reachable at `advertise_addr`, answers, and where to.
///
/// Only a [`super::Hello`] is answered. A [`super::Confirm`] must not be: it asks whether this
/// node is still forming. Call it only with metadata that is durable.
#[must_use]
pub fn answer_formed(
    meta: &Meta,
    advertise_addr: &str,
    message: &FormingMessage,
) -> Option<(String, FormingMessage)> {
    let FormingMessage::Hello(hello) = message else {
        return None;
    };
    let reply = HelloReply {
        name: meta.membership.members.get(&meta.node)?.name.clone(),
        disk: meta.disk,
        addr: advertise_addr.to_owned(),
        nonce: hello.nonce,
        round: hello.round,
        state: HelloState::Formed {
            cluster: meta.cluster,
            membership: meta.membership.clone(),
        },
    };
    Some((hello.addr.clone(), FormingMessage::HelloReply(reply)))
}
