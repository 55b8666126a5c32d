//! The production driver of `chil_core::Replica`: sockets, disk, and the handle that services use.
//! Knows nothing about how decisions come about: that is the core's.

#[cfg(feature = "grpc")]
mod api;
mod apply;
mod book;
mod builder;
mod clock;
pub mod config;
mod error;
mod form;
mod handle;
mod introduce;
#[cfg(feature = "grpc")]
mod life;
mod net;
mod node;
pub mod ports;
mod request;
mod shutdown;
mod status;
pub mod storage;

#[cfg(feature = "grpc")]
pub use api::client;
pub use builder::{ListedPeer, NodeBuilder, NodeReady};
pub use chil_core::kv::{self, KeyValue, Versioned};
pub use chil_core::{Config as ProtocolConfig, Slot, Span, StateMachine};
pub use chil_proto::v1 as proto;
pub use clock::SystemClock;
pub use config::Peer;
pub use error::{NodeError, ProposeError, ReadError, Rejection, StartError};
pub use handle::{Answer, Committed, Consistency, Executed, Node};
pub use net::LinkStatus;
pub use status::{MemberInfo, NodeStatus, Phase};
