//! The protocol of chil: Multi-Paxos over one contiguous log, as a deterministic machine.
//! Knows no clock, thread, socket or file: those are the driver's.
#![warn(clippy::indexing_slicing, clippy::unwrap_used)]

pub mod command;
pub mod config;
pub mod detector;
pub mod input;
pub mod kv;
pub mod log;
pub mod membership;
pub mod message;
pub mod output;
pub mod quorum;
pub mod record;
pub mod replica;
pub mod state_machine;
pub mod status;
pub mod time;
pub mod types;

pub use command::{Chain, Command, Entry, EntryKind};
pub use config::{Config, ConfigError};
pub use input::Input;
pub use membership::{Member, Membership, MembershipError};
pub use message::{Envelope, Lane, Message};
pub use output::{Notice, Output, Refusal};
pub use record::{LogChange, Meta, Persist, Record, Recovered};
pub use replica::{RecoverError, Replica};
pub use state_machine::{Applied, Applier, StateMachine};
pub use status::{PeerStatus, Role, Status};
pub use time::{Span, Time};
pub use types::{Ballot, ClientId, ClusterId, DiskId, Epoch, Lsn, NodeId, Slot, Token};
