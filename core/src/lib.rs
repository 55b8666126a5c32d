//! The protocol of chil: Multi-Paxos over one contiguous log, as a deterministic machine.
//! Knows no clock, thread, socket or file: those are the driver's.
//!
//! **One or more [`Replica::handle`]s are followed by draining [`Replica::poll_output`] to
//! [`Output::Wait`], and every [`Output::Persist`] is answered by [`Input::Persisted`] only once
//! it is on disk.** That is the whole contract. A driver cannot send too early: messages that
//! promise something stay inside until their record is confirmed.
//!
//! ```
//! use bytes::Bytes;
//! use chil_core::{
//!     Command, Config, DiskId, Epoch, Input, Member, Membership, Meta, Output, Recovered,
//!     Replica, Time, Token,
//! };
//!
//! // A cluster of one: it forms its own quorum.
//! let member = Member { name: "solo".into(), disk: DiskId::new(7), addr: String::new(), weight: 1 };
//! let membership = Membership::new(Epoch::FIRST, [member])?;
//! let node = *membership.members.keys().next().expect("one member");
//! let meta = Meta::format(membership.cluster_id(), node, DiskId::new(7), membership);
//! let mut now = Time::ZERO;
//! let mut replica =
//!     Replica::recover(Config::new(node, 1, 1), Recovered::formatted(meta), now)?;
//!
//! let mut proposed = false;
//! let mut decided = Vec::new();
//! while decided.is_empty() {
//!     let wait = loop {
//!         match replica.poll_output() {
//!             Output::Persist(persist) => {
//!                 // Write it and sync it here; only then:
//!                 replica.handle(now, Input::Persisted { lsn: persist.lsn });
//!             }
//!             Output::Decided { entries } => decided.extend(entries),
//!             Output::Send(envelope) => unreachable!("nobody to send {} to", envelope.body),
//!             Output::Wait(until) => break until,
//!             Output::Placed { .. } | Output::Refused { .. } | Output::Deposed { .. } => {}
//!             Output::ReadReady { .. } | Output::TransferEnded { .. } => {}
//!             // These need a state machine, and a place for its snapshots.
//!             Output::ReadChunk { .. } | Output::WriteChunk { .. } => {}
//!             Output::FinishSnapshot { .. } | Output::Install { .. } => {}
//!             Output::Notice(_) => {}
//!         }
//!     };
//!     if replica.status().leader == Some(node) && !proposed {
//!         let command = Command::sessionless(Bytes::from_static(b"hello"));
//!         replica.handle(now, Input::Propose { token: Token::new(1), command });
//!         proposed = true;
//!     } else {
//!         now = wait; // Sleep until then, or until an input arrives.
//!         replica.handle(now, Input::Wake);
//!     }
//! }
//! assert_eq!(decided.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`types`], [`time`] | slots, ballots, identities; instants handed in by the driver |
//! | [`command`], [`log`] | entries and their chain; the log in memory |
//! | [`membership`], [`quorum`] | who votes with which weight; the proof that enough did |
//! | [`message`] | what nodes say to each other, and what must be durable first |
//! | [`record`] | what must survive a crash, and its fold |
//! | [`input`], [`output`], [`status`] | the seam to the driver |
//! | [`explain`] | what stands in the way, for people |
//! | [`snapshot`] | which snapshot stands for the beginning of a log; a snapshot's bytes |
//! | [`config`] | every limit and interval |
//! | [`replica`] | the protocol: acceptor, candidate, leader, learner, reader, election |
//! | [`detector`] | when a silent peer counts as down |
//! | [`applier`], [`session`] | executes decided entries in order, each request of a session once |
//! | [`state_machine`], [`kv`] | what a command means: the trait, and the built-in machine |
//! | [`retry`] | the client's automaton: follows the leader, tries again under one number |
//! | [`canonical`] | numbers and byte strings in streams, for snapshots of machines |
#![warn(clippy::indexing_slicing, clippy::unwrap_used)]

pub mod applier;
pub mod canonical;
pub mod command;
pub mod config;
pub mod detector;
pub mod explain;
pub mod forming;
pub mod input;
pub mod kv;
pub mod log;
pub mod membership;
pub mod message;
mod ordered_map;
pub mod output;
pub mod quorum;
pub mod record;
pub mod replica;
pub mod retry;
pub mod session;
pub mod snapshot;
pub mod state_machine;
pub mod status;
pub mod time;
pub mod types;

pub use applier::{Applied, Applier};
pub use command::{Chain, Command, Entry, EntryKind};
pub use config::{Config, ConfigError};
pub use explain::{Explanation, Finding};
pub use input::{Input, ReadVia};
pub use membership::{Lease, Member, Membership, MembershipError};
pub use message::{Envelope, Lane, Message};
pub use output::{Notice, Output, Refusal, TransferError};
pub use record::{LogChange, Meta, Persist, Record, Recovered};
pub use replica::{Holding, RecoverError, Replica};
pub use session::{Outcome, SessionLimits};
pub use snapshot::{
    FrozenSnapshot, PartialSnapshot, SnapshotError, SnapshotHeader, SnapshotId, SnapshotMark,
    SnapshotPolicy,
};
pub use state_machine::{FrozenState, StateMachine};
pub use status::{PeerStatus, Role, Status};
pub use time::{Span, Time};
pub use types::{Ballot, ClientId, ClusterId, DiskId, Epoch, Lsn, NodeId, Slot, Token};
