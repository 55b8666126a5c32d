//! Whom a client talks to: the known addresses, the one that is believed to lead, a connection to
//! each, and the one cluster that all of them have to belong to. Knows nothing about requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use chil_core::ClusterId;
use chil_proto::v1;
use chil_proto::v1::admin_client::AdminClient;
use chil_proto::v1::consensus_client::ConsensusClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::tls::connection;
use super::{ClientError, ClientTls, status_text};
use crate::discovery::StaticResolver;
use crate::net::dial::Dialler;
use crate::net::transport::chain;

/// Largest answer that a client takes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Most connections kept; hints may name any number of addresses over time.
const CHANNELS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Targets {
    addresses: Vec<String>,
    dialler: Dialler<StaticResolver>,
    pinned: OnceLock<Pinned>,
    state: Mutex<State>,
}

/// The cluster that this client talks to, for as long as it lives.
#[derive(Clone, Debug)]
struct Pinned {
    cluster: ClusterId,
    /// Where it was seen first; `None` if the caller said it.
    seen_at: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// Followed from a hint; else `addresses[next]` is asked.
    leader: Option<String>,
    next: usize,
    /// The address that reads ask which any node answers.
    any: usize,
    channels: BTreeMap<String, Channel>,
    last_failure: Option<String>,
}

/// Why a node was not asked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another node, or the same a little later, may do.
    Failed(String),
    /// Whoever is asked will say the same.
    Forever(ClientError),
}

impl Refusal {
    /// What a call that ended without an answer says of whether others are to be asked.
    pub(super) fn of(status: &Status) -> Self {
        let reason = status_text(status);
        // Whoever may not, or sends more than fits, may not, and does, at every node.
        if matches!(status.code(), Code::PermissionDenied | Code::OutOfRange) {
            return Self::Forever(ClientError::Rejected { reason });
        }
        Self::Failed(reason)
    }
}

impl Targets {
    pub(super) fn new(
        mut addresses: Vec<String>,
        cluster: Option<ClusterId>,
        tls: Option<&ClientTls>,
    ) -> Self {
        if addresses.is_empty() {
            // Nobody is there: what is asked fails as it does when nobody answers.
            addresses.push(String::new());
        }
        let pinned = OnceLock::new();
        if let Some(cluster) = cluster {
            pinned.get_or_init(|| Pinned {
                cluster,
                seen_at: None,
            });
        }
        Self {
            addresses,
            pinned,
            dialler: Dialler {
                resolver: StaticResolver::default(),
                proof: tls.map(|tls| tls.0.clone()),
                troubles: None,
            },
            state: Mutex::default(),
        }
    }

    /// The addresses that the caller gave.
    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The address to ask next for what only a leader does.
    pub(super) fn current(&self) -> String {
        let state = self.lock();
        state
            .leader
            .clone()
            .unwrap_or_else(|| self.listed(state.next))
    }

    /// The address to ask next for what every node does: the first given one that works.
    pub(super) fn any(&self) -> String {
        let any = self.lock().any;
        self.listed(any)
    }

    /// `leader` is said to lead.
    pub(super) fn follow(&self, leader: &str) {
        self.lock().leader = Some(leader.to_owned());
    }

    /// `address` does not serve: asks another one, unless that was decided already.
    pub(super) fn failed(&self, address: &str, reason: &str) {
        let mut state = self.lock();
        state.last_failure = Some(format!("{address}: {reason}"));
        if self.listed(state.any) == address {
            state.any = state.any.wrapping_add(1);
        }
        let current = state.leader.as_deref();
        if current.map_or_else(|| self.listed(state.next) == address, |l| l == address) {
            if state.leader.take().is_some() {
                // Not the same again through the list, if the list begins with it.
                let at = self.addresses.iter().position(|listed| listed == address);
                state.next = at.unwrap_or(state.next);
            }
            state.next = state.next.wrapping_add(1);
        }
    }

    /// Notes why an attempt at `address` failed, and goes on asking there.
    pub(super) fn busy(&self, address: &str, reason: &str) {
        self.lock().last_failure = Some(format!("{address}: {reason}"));
    }

    /// Why the last attempt failed, for people.
    pub(super) fn last_failure(&self) -> String {
        let failure = self.lock().last_failure.clone();
        failure.unwrap_or_else(|| format!("no answer from {}", self.addresses.join(", ")))
    }

    pub(super) fn consensus(&self, address: &str) -> Result<ConsensusClient<Channel>, String> {
        let client = ConsensusClient::new(self.channel(address)?);
        Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    pub(super) fn admin(&self, address: &str) -> Result<AdminClient<Channel>, String> {
        let client = AdminClient::new(self.channel(address)?);
        Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// The cluster that requests have to name, as they name it: the one that the first node
    /// belongs to which is asked anything. From then on another cluster's nodes refuse.
    pub(super) async fn cluster(&self, address: &str) -> Result<Bytes, Refusal> {
        let cluster = match self.pinned.get() {
            Some(pinned) => pinned.cluster,
            None => self.verify(address).await?,
        };
        Ok(Bytes::copy_from_slice(&cluster.get().to_be_bytes()))
    }

    /// Asks a node which cluster it belongs to: for requests that cannot name theirs.
    pub(super) async fn verify(&self, address: &str) -> Result<ClusterId, Refusal> {
        let mut admin = self.admin(address).map_err(Refusal::Failed)?;
        let status = admin.status(v1::StatusRequest {}).await;
        let status = status.map_err(|status| Refusal::of(&status))?;
        self.seen(address, &status.into_inner().cluster)
    }

    /// Takes note that the node at `address` belongs to `cluster`.
    pub(super) fn seen(&self, address: &str, cluster: &[u8]) -> Result<ClusterId, Refusal> {
        let Ok(found) = <[u8; 16]>::try_from(cluster) else {
            return Err(Refusal::Failed("belongs to no cluster yet".to_owned()));
        };
        let found = ClusterId::new(u128::from_be_bytes(found));
        let pinned = self.pinned.get_or_init(|| Pinned {
            cluster: found,
            seen_at: Some(address.to_owned()),
        });
        if pinned.cluster == found {
            return Ok(found);
        }
        Err(Refusal::Forever(self.other_cluster(address, cluster)))
    }

    /// The error for a node at `address` that belongs to the cluster `found`.
    pub(super) fn other_cluster(&self, address: &str, found: &[u8]) -> ClientError {
        let found = <[u8; 16]>::try_from(found).map_or(0, u128::from_be_bytes);
        let pinned = self.pinned.get();
        let origin = match pinned.map(|pinned| &pinned.seen_at) {
            Some(Some(first)) => format!("which it saw first at {first}"),
            Some(None) | None => "as it was told to".to_owned(),
        };
        ClientError::OtherCluster {
            address: address.to_owned(),
            found: ClusterId::new(found),
            expected: pinned.map(|pinned| pinned.cluster).unwrap_or_default(),
            origin,
        }
    }

    fn listed(&self, at: usize) -> String {
        let listed = self.addresses.get(at % self.addresses.len().max(1));
        listed.cloned().unwrap_or_default()
    }

    /// A connection that is made when it is used first, and again after it is lost.
    fn channel(&self, address: &str) -> Result<Channel, String> {
        let mut state = self.lock();
        if let Some(channel) = state.channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = connection(self.dialler.clone(), address);
        let channel = channel.map_err(|error| chain(&error))?;
        if state.channels.len() >= CHANNELS_MAX {
            state.channels.pop_first();
        }
        state.channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(addresses: &[&str]) -> Targets {
        Targets::new(
            addresses.iter().map(|a| (*a).to_owned()).collect(),
            None,
            None,
        )
    }

    #[test]
    fn who_fails_is_left_and_who_is_busy_is_not() {
        let targets = targets(&["a:1", "b:1"]);
        targets.busy("a:1", "is overloaded");
        assert_eq!(
            (targets.current(), targets.any()),
            ("a:1".into(), "a:1".into())
        );
        targets.follow("c:1");
        targets.failed("a:1", "does not answer");
        assert_eq!(
            (targets.current(), targets.any()),
            ("c:1".into(), "b:1".into())
        );
        targets.failed("c:1", "does not lead");
        assert_eq!(targets.current(), "b:1");
        // A late report about somebody else changes nothing.
        targets.failed("c:1", "does not lead");
        assert_eq!(targets.current(), "b:1");
        assert_eq!(targets.last_failure(), "c:1: does not lead");
    }

    #[test]
    fn the_first_cluster_that_is_seen_is_the_only_one() {
        let targets = targets(&["a:1"]);
        assert!(matches!(targets.seen("a:1", b""), Err(Refusal::Failed(_))));
        let (first, second) = ([1; 16], [2; 16]);
        assert!(targets.seen("a:1", &first).is_ok());
        assert!(targets.seen("b:1", &first).is_ok());
        let Err(Refusal::Forever(error)) = targets.seen("b:1", &second) else {
            panic!("it took another cluster's node");
        };
        let text = error.to_string();
        assert!(text.contains("b:1 belongs to cluster 0202"), "{text}");
        assert!(
            text.contains("0101") && text.contains("first at a:1"),
            "{text}"
        );
    }
}
