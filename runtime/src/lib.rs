//! The production driver of `chil_core::Replica`: sockets, disk, and the handle that services use.
//! Knows nothing about how decisions come about: that is the core's.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use chil::{Consistency, KeyValue, Node, Tls};
//!
//! # #[cfg(feature = "grpc")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder("node-1")
//!     .bind("127.0.0.1:7001")
//!     .peers(["127.0.0.1:7002", "127.0.0.1:7003"])
//!     .data_dir("/var/lib/chil/node-1")
//!     .tls(Tls::files("/etc/chil/node-1.crt", "/etc/chil/node-1.key", "/etc/chil/ca.crt"))
//!     .state_machine(KeyValue::default())
//!     .start()
//!     .await?;
//! node.wait_for_leader().await;
//! let committed = node.propose("verification_decision", "verified").await?;
//! let value = node.read("verification_decision", Consistency::Linearizable).await?;
//! println!("slot {}: {value:?}", committed.slot);
//! node.shutdown(Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | responsible for |
//! |---|---|
//! | `builder`, `open`, `life`, `sockets`, `serve` | what a host says about a node; its address and directory; the order in which its parts begin and end; what it serves |
//! | `identity`, `tls`, `caller` | who somebody is by certificate, and how that is proven; who speaks on a connection |
//! | `audit`, `metrics`, `telemetry` | what was refused, counted, noticed |
//! | `handle`, `request` | what a host and the services ask of a running node |
//! | `node`, `apply`, `form` | the loop around the replica; executing; forming a cluster first |
//! | `discovery` | which socket addresses a peer's address stands for |
//! | `net` | links between nodes, and the listening socket |
//! | `api` | the gRPC services and the client library |
//! | `limits`, `delivery` | how much is let in from outside; what waits to be sent, and is left out |
//! | `restore` | a new cluster's directories from a snapshot of another |
//! | `ports`, `storage`, `clock` | what the loop needs from the world |
//! | `config` | settings from files, the environment and flags |
//!
//! The library installs nothing that is global to the process, reads no environment unless it is
//! asked to, and works on any tokio runtime, of one thread or of many: a node's tasks wake each
//! other often, so one thread for all of a node gives the best latency.
//!
//! Without the feature `grpc` there are no sockets: only what a simulator needs remains, on any
//! operating system. A node's directory, and with it a node, needs a Unix system.

#[cfg(all(feature = "grpc", not(unix)))]
compile_error!(
    "a chil node needs a Unix system; elsewhere take chil without its default features: state \
     machines, their tests with chil-sim, and the protocol itself work everywhere"
);

#[cfg(feature = "grpc")]
mod admit;
#[cfg(feature = "grpc")]
mod api;
#[cfg(feature = "grpc")]
mod apply;
#[cfg(feature = "grpc")]
mod audit;
#[cfg(feature = "grpc")]
mod book;
#[cfg(feature = "grpc")]
mod builder;
#[cfg(feature = "grpc")]
mod caller;
#[cfg(feature = "grpc")]
mod clock;
pub mod config;
pub mod delivery;
pub mod discovery;
#[cfg(feature = "grpc")]
mod error;
#[cfg(feature = "grpc")]
mod explain;
#[cfg(feature = "grpc")]
mod form;
#[cfg(feature = "grpc")]
mod handle;
pub mod identity;
#[cfg(feature = "grpc")]
mod introduce;
#[cfg(feature = "grpc")]
mod late;
#[cfg(feature = "grpc")]
mod life;
pub mod limits;
#[cfg(feature = "grpc")]
mod metrics;
#[cfg(feature = "grpc")]
mod net;
#[cfg(feature = "grpc")]
mod node;
#[cfg(feature = "grpc")]
mod open;
pub mod ports;
#[cfg(feature = "grpc")]
mod request;
#[cfg(unix)]
mod restore;
#[cfg(feature = "grpc")]
mod serve;
#[cfg(feature = "grpc")]
mod shutdown;
#[cfg(feature = "grpc")]
mod sockets;
#[cfg(feature = "grpc")]
mod status;
pub mod storage;
#[cfg(feature = "grpc")]
mod telemetry;
#[cfg(feature = "grpc")]
pub mod tls;
#[cfg(feature = "grpc")]
mod turn;
#[cfg(feature = "grpc")]
mod watch;

pub use chil_core::kv::{self, KeyValue, Versioned};
pub use chil_core::{
    ClientId, Command, Config as ProtocolConfig, FrozenState, Lease, SessionLimits, Slot,
    SnapshotPolicy, Span, StateMachine, canonical,
};
pub use config::Peer;
#[cfg(unix)]
pub use restore::{Restore, RestoreError, Restored};

#[cfg(feature = "grpc")]
pub use {
    api::client,
    builder::{ListedPeer, NodeBuilder, NodeReady},
    chil_proto::v1 as proto,
    clock::SystemClock,
    error::{NodeError, ProposeError, ReadError, Rejection, StartError, TransferError},
    explain::{Finding, Topic},
    handle::{Answer, Committed, Consistency, Executed, Node},
    net::LinkStatus,
    status::{MemberInfo, NodeStatus, Phase},
    tls::{Reloaded, Tls, TlsError},
    watch::{Decided, Decision, Watch, WatchError},
};

/// Compiles what the README shows.
#[cfg(all(doctest, feature = "grpc"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
