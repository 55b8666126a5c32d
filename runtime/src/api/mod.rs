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
mod save;

pub(crate) use admin::AdminService;
pub(crate) use body::{Metered, Receiving};
pub(crate) use consensus::ConsensusService;
pub(crate) use follow::WATCHERS_MAX;
pub(crate) use permit::Guarded;
pub(crate) use save::Saver;
