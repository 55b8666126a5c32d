//! What a node needs of its host before it can run: an address and a directory.
//! Knows nothing about what the node does with them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chil_core::{Applier, DiskId, Meta, Recovered, SnapshotId, StateMachine};
use tokio::net::{TcpListener, UdpSocket};

use crate::apply::panic_text;
use crate::builder::{NodeBuilder, setting};
use crate::clock::random_u128;
use crate::config::check_address;
use crate::error::{NodeError, StartError};
use crate::storage::{Opened, RealDisk, Snapshots, Store, Unformed};

/// Listens on `address`, before anything else is done: it fails most often.
pub(crate) async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind {
        address: address.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    Ok((listener, local_addr))
}

/// Opens the directory off the runtime's threads: reading a long log takes its time.
pub(crate) async fn open(path: PathBuf, name: String) -> Result<Opened<RealDisk>, StartError> {
    let fresh = DiskId::new(random_u128());
    let opening = tokio::task::spawn_blocking(move || {
        let disk = RealDisk::open(path)?;
        Store::open(disk, &name, fresh)
    });
    let opened = opening.await.map_err(|_| StartError::Runtime)?;
    Ok(opened?)
}

/// Makes the directory member of a cluster.
pub(crate) async fn write_meta(
    unformed: Unformed<RealDisk>,
    meta: Meta,
) -> Result<(Store<RealDisk>, Recovered), NodeError> {
    let writing = tokio::task::spawn_blocking(move || unformed.form(&meta));
    let written = writing.await.map_err(|_| NodeError::Runtime)?;
    written.map_err(|error| NodeError::Storage(Arc::new(error)))
}

/// Lets the state machine begin with the snapshot that the directory's log begins behind. Off the
/// runtime's threads; a large one takes its time, and must not look like a hang.
pub(crate) async fn restore<S: StateMachine>(
    node: &str,
    snapshot: Option<SnapshotId>,
    mut snapshots: Snapshots<RealDisk>,
    mut applier: Applier<S>,
) -> Result<(Snapshots<RealDisk>, Applier<S>), StartError> {
    let Some(id) = snapshot else {
        return Ok((snapshots, applier));
    };
    let (slot, bytes, began) = (id.slot, id.bytes, Instant::now());
    tracing::info!(node, %slot, bytes, "restores its snapshot");
    let mut restoring = tokio::task::spawn_blocking(move || {
        let restored = snapshots.restore(&id, &mut applier);
        restored.map(|_| (snapshots, applier))
    });
    let restored = loop {
        match tokio::time::timeout(NEWS_EVERY, &mut restoring).await {
            Ok(restored) => break restored,
            Err(_) => {
                let so_far = began.elapsed();
                tracing::info!(node, %slot, bytes, ?so_far, "still restores its snapshot");
            }
        }
    };
    let restored = restored.map_err(|error| match error.try_into_panic() {
        Ok(panic) => StartError::Restore {
            slot,
            panic: panic_text(panic.as_ref()),
        },
        Err(_) => StartError::Runtime,
    })??;
    tracing::info!(node, %slot, bytes, took = ?began.elapsed(), "restored its snapshot");
    Ok(restored)
}

/// How often it is told that a restore goes on.
const NEWS_EVERY: Duration = Duration::from_secs(2);

impl NodeBuilder {
    /// Where others shall reach this node, which listens on `local`.
    pub(crate) async fn address(&self, local: SocketAddr) -> Result<String, StartError> {
        if let Some(address) = &self.advertise {
            check_address(address).map_err(|error| setting("advertise", error.to_string()))?;
            return Ok(address.clone());
        }
        if !local.ip().is_unspecified() {
            // The name that was bound says more than the number that it stands for today.
            return Ok(match self.bind.rsplit_once(':') {
                Some((host, _)) => format!("{host}:{}", local.port()),
                None => local.to_string(),
            });
        }
        let towards = self
            .first_peer()
            .unwrap_or_else(|| "127.0.0.1:1".to_owned());
        match address_towards(&towards, local).await {
            Some(ip) => Ok(SocketAddr::new(ip, local.port()).to_string()),
            None => Err(setting(
                "advertise",
                format!(
                    "{local} is no address that others can use, and no route to {towards} was \
                     found that would tell one: set the address that peers reach this node at"
                ),
            )),
        }
    }
}

/// The address of this host on the way to `peer`. Nothing is sent: only a route is looked up.
async fn address_towards(peer: &str, local: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(local.ip(), 0)).await.ok()?;
    socket.connect(peer).await.ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The directory's identity.
pub(crate) fn disk_of(opened: &Opened<RealDisk>) -> DiskId {
    match opened {
        Opened::Unformed(unformed) => unformed.disk_id(),
        Opened::Formed(_, recovered) => recovered.meta.disk,
    }
}
