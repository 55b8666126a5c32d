//! What the core was handed and has not answered yet, and who waits for it.
//! Knows nothing about what the answers are.

use std::collections::HashMap;

use chil_core::{NodeId, Token};

use crate::apply::{Read, ReplyTo};
use crate::error::{ProposeError, ReadError, TransferError};
use crate::request::TransferReply;

/// By token: proposals and registrations, reads, and transfers of leadership.
#[derive(Debug, Default)]
pub(super) struct Pending {
    next: u64,
    proposals: HashMap<Token, ReplyTo>,
    reads: HashMap<Token, Read>,
    transfers: HashMap<Token, (Option<NodeId>, TransferReply)>,
}

impl Pending {
    /// A token that was not given out before.
    pub(super) const fn token(&mut self) -> Token {
        self.next += 1;
        Token::new(self.next)
    }

    pub(super) fn propose(&mut self, reply: ReplyTo) -> Token {
        let token = self.token();
        self.proposals.insert(token, reply);
        token
    }

    pub(super) fn read(&mut self, read: Read) -> Token {
        let token = self.token();
        self.reads.insert(token, read);
        token
    }

    pub(super) fn transfer(&mut self, to: Option<NodeId>, reply: TransferReply) -> Token {
        let token = self.token();
        self.transfers.insert(token, (to, reply));
        token
    }

    /// Who waits for a proposal that was placed.
    pub(super) fn placed(&mut self, token: Token) -> ReplyTo {
        let reply = self.proposals.remove(&token);
        reply.expect("the core places each proposal once")
    }

    /// The read that can be answered, or is refused.
    pub(super) fn take_read(&mut self, token: Token) -> Option<Read> {
        self.reads.remove(&token)
    }

    /// Who waits for a proposal that is refused.
    pub(super) fn take_proposal(&mut self, token: Token) -> Option<ReplyTo> {
        self.proposals.remove(&token)
    }

    /// Who waits for a transfer that has ended, and to whom it was to be.
    pub(super) fn take_transfer(
        &mut self,
        token: Token,
    ) -> Option<(Option<NodeId>, TransferReply)> {
        self.transfers.remove(&token)
    }

    /// Whether nobody waits for a proposal or a read.
    pub(super) fn is_idle(&self) -> bool {
        self.proposals.is_empty() && self.reads.is_empty()
    }

    /// The node ends.
    pub(super) fn give_up(&mut self) {
        for reply in std::mem::take(&mut self.proposals).into_values() {
            reply.send(Err(ProposeError::Unknown));
        }
        for read in std::mem::take(&mut self.reads).into_values() {
            read.send(Err(ReadError::Stopped));
        }
        for (_, reply) in std::mem::take(&mut self.transfers).into_values() {
            drop(reply.send(Err(TransferError::Stopped)));
        }
    }
}
