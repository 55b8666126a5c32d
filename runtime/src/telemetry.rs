//! What the core notices, as `tracing` events with the names that people know.
//! Knows nothing about who listens: the library installs no subscriber.

use chil_core::Notice;

use crate::book::Book;

/// Says what the core of `node` noticed.
pub(crate) fn tell(node: &str, book: &Book, notice: &Notice) {
    match notice {
        Notice::Leading {
            ballot,
            adopted_last,
        } => tracing::info!(node, %ballot, from_slot = %adopted_last, "leads"),
        Notice::Campaigning { ballot } => tracing::info!(node, %ballot, "campaigns"),
        Notice::SteppedDown { ballot, reason } => {
            tracing::warn!(node, %ballot, ?reason, "stepped down");
        }
        Notice::Following { ballot } => {
            tracing::info!(node, leader = book.name(ballot.node), %ballot, "follows");
        }
        Notice::PeerDown { node: peer } => {
            tracing::warn!(node, peer = book.name(*peer), "peer is down");
        }
        Notice::PeerUp { node: peer } => {
            tracing::info!(node, peer = book.name(*peer), "peer is up");
        }
        Notice::Ignored {
            from,
            message,
            reason,
        } => {
            let from = book.name(*from);
            tracing::debug!(node, from, message, ?reason, "ignored a message");
        }
        Notice::Refused { by, reason } => {
            tracing::debug!(node, by = book.name(*by), ?reason, "was refused");
        }
        Notice::CatchingUp { from, commit, to } => {
            let from = book.name(*from);
            tracing::info!(node, from, %commit, %to, "catches up");
        }
        Notice::Trimmed { to } => tracing::debug!(node, %to, "trimmed its log"),
        Notice::FetchingSnapshot { from, id, have } => {
            let (from, slot, bytes) = (book.name(*from), id.slot, id.bytes);
            tracing::info!(node, from, %slot, bytes, have, "fetches a snapshot");
        }
        Notice::Installed { id } => {
            tracing::info!(node, slot = %id.slot, bytes = id.bytes, "installed a snapshot");
        }
        Notice::Transferring { to } => {
            tracing::info!(node, to = book.name(*to), "hands its leadership over");
        }
    }
}
