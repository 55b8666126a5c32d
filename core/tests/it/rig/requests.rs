//! What clients and operators ask nodes of the rig for, and whether what they read is fresh.
//! Knows nothing about how a node proves it.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::kv::KvCommand;
use chil_core::{Command, Input, NodeId, Output, ReadVia, Slot, Span, Time, Token, TransferError};

use super::Rig;

/// The requests of a run.
#[derive(Debug, Default)]
pub(super) struct Requests {
    tokens: u64,
    /// The last slot that anybody has executed: what it says may have been told to somebody.
    seen: Slot,
    /// The reads that wait: at which node, and what each must see: what was seen when it began.
    floors: BTreeMap<Token, (usize, Slot)>,
    /// The transfers under way, and the nodes that were asked for them.
    transfers: BTreeMap<Token, usize>,
}

impl Rig {
    /// Proposes to put `text` under the key `text`.
    pub(crate) fn propose(&mut self, number: usize, text: &str) -> Token {
        let (token, input) = self.proposal(text);
        self.handle(number, input);
        token
    }

    /// Proposes all of them before the node's outputs are looked at.
    pub(crate) fn propose_all(&mut self, number: usize, texts: &[&str]) {
        let inputs = texts.iter().map(|text| self.proposal(text).1).collect();
        self.handle_all(number, inputs);
    }

    fn proposal(&mut self, text: &str) -> (Token, Input) {
        let key = Bytes::copy_from_slice(text.as_bytes());
        let put = KvCommand::put(key.clone(), key);
        let command = Command::sessionless(put.encode());
        let token = self.token();
        (token, Input::Propose { token, command })
    }

    /// Asks for a session.
    pub(crate) fn register(&mut self, number: usize, nonce: u128) -> Token {
        let token = self.token();
        self.handle(number, Input::Register { token, nonce });
        token
    }

    /// Asks the leader for a read that a probe confirms.
    pub(crate) fn read(&mut self, number: usize) -> Token {
        self.read_via(number, ReadVia::Leader)
    }

    pub(crate) fn read_via(&mut self, number: usize, via: ReadVia) -> Token {
        self.read_late(number, via, Span::ZERO)
    }

    /// The same, and the driver's clock was last looked at some time ago.
    pub(crate) fn read_late(&mut self, number: usize, via: ReadVia, ago: Span) -> Token {
        let token = self.token();
        let floor = self.requests.seen;
        self.requests.floors.insert(token, (number, floor));
        let now = Time::ZERO + self.local(number).since(Time::ZERO + ago);
        self.handle_at(number, now, Input::Read { token, via });
        token
    }

    /// Asks the node to hand its leadership over.
    pub(crate) fn transfer(&mut self, number: usize, to: Option<NodeId>) -> Token {
        let token = self.token();
        self.requests.transfers.insert(token, number);
        self.handle(number, Input::Transfer { token, to });
        token
    }

    /// How the node's transfer ended, if it has.
    pub(crate) fn transfer_end(
        &mut self,
        number: usize,
        of: Token,
    ) -> Option<Result<(), TransferError>> {
        self.outputs(number)
            .into_iter()
            .find_map(|output| match output {
                Output::TransferEnded { token, outcome } if token == of => Some(outcome),
                _ => None,
            })
    }

    /// Judges what the node says about reads and transfers.
    pub(super) fn judge_answer(&mut self, number: usize, output: &Output) {
        match output {
            Output::ReadReady {
                token,
                index,
                until,
            } => {
                let floor = self.requests.floors.remove(token);
                let (_, floor) =
                    floor.unwrap_or_else(|| panic!("n{number} answers {token:?} twice"));
                // Whoever rests on a lease looks at the clock before it answers.
                let in_time = until.is_none_or(|until| self.local(number) < until);
                assert!(
                    !in_time || floor <= *index,
                    "n{number} reads {index}, but {floor} was seen before"
                );
            }
            Output::Refused { token, .. } => {
                self.requests.floors.remove(token);
            }
            Output::TransferEnded { token, .. } => {
                let began = self.requests.transfers.remove(token);
                assert_eq!(began, Some(number), "{token:?} ends again");
            }
            _ => {}
        }
    }

    /// The reads and transfers that nobody has answered.
    pub(crate) fn unanswered(&self) -> Vec<Token> {
        let reads = self.requests.floors.keys();
        reads
            .chain(self.requests.transfers.keys())
            .copied()
            .collect()
    }

    /// The node has crashed: it will answer nothing that it was asked.
    pub(super) fn forget_requests(&mut self, number: usize) {
        self.requests.floors.retain(|_, (at, _)| *at != number);
        self.requests.transfers.retain(|_, at| *at != number);
    }

    /// The node has executed everything up to `slot`.
    pub(super) fn saw(&mut self, slot: Slot) {
        self.requests.seen = slot.max(self.requests.seen);
    }

    pub(super) fn token(&mut self) -> Token {
        self.requests.tokens += 1;
        Token::new(self.requests.tokens)
    }

    /// The node executes nothing, as far as it says.
    pub(crate) fn hold_execution(&mut self, number: usize) {
        self.held.insert(number);
    }

    /// It executes what has piled up.
    pub(crate) fn release_execution(&mut self, number: usize) {
        self.held.remove(&number);
        self.handle(number, Input::Wake);
    }
}
