//! The services that clients and operators call, and the client library that calls them.
//! Knows nothing about peers: their frames travel elsewhere.

mod admin;
mod body;
pub mod client;
mod consensus;
mod follow;
mod guard;
mod outcome;
mod permit;
mod roles;
mod room;
mod save;

pub(crate) use admin::AdminService;
pub(crate) use body::Metered;
pub(crate) use consensus::ConsensusService;
pub(crate) use follow::Watchers;
pub(crate) use permit::Guarded;
pub(crate) use room::{Held, Room};
pub(crate) use save::Saver;
