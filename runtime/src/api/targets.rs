//! Whom a client talks to: the known addresses, the one that is believed to lead, and a
//! connection to each. Knows nothing about requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chil_proto::v1::admin_client::AdminClient;
use chil_proto::v1::consensus_client::ConsensusClient;
use tonic::transport::Channel;

use crate::net::transport::{chain, endpoint};

/// Largest answer that a client takes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Most connections kept; hints may name any number of addresses over time.
const CHANNELS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Targets {
    addresses: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Followed from a hint; else `addresses[next]` is asked.
    leader: Option<String>,
    next: usize,
    channels: BTreeMap<String, Channel>,
    last_failure: Option<String>,
}

impl Targets {
    pub(super) fn new(addresses: Vec<String>) -> Self {
        Self {
            addresses,
            state: Mutex::default(),
        }
    }

    /// The address to ask next.
    pub(super) fn current(&self) -> String {
        let state = self.lock();
        let listed = || {
            self.addresses
                .get(state.next % self.addresses.len().max(1))
                .cloned()
        };
        state.leader.clone().or_else(listed).unwrap_or_default()
    }

    /// `leader` is said to lead.
    pub(super) fn follow(&self, leader: &str) {
        self.lock().leader = Some(leader.to_owned());
    }

    /// `address` does not serve: asks another one, unless that was decided already.
    pub(super) fn failed(&self, address: &str, reason: &str) {
        let current = self.current();
        let mut state = self.lock();
        state.last_failure = Some(format!("{address}: {reason}"));
        if current == address {
            if state.leader.take().is_some() {
                // Not the same again through the list, if the list begins with it.
                let at = self.addresses.iter().position(|listed| listed == address);
                state.next = at.unwrap_or(state.next);
            }
            state.next = state.next.wrapping_add(1);
        }
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
        Ok(AdminClient::new(self.channel(address)?))
    }

    /// A connection that is made when it is used first, and again after it is lost.
    fn channel(&self, address: &str) -> Result<Channel, String> {
        let mut state = self.lock();
        if let Some(channel) = state.channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = endpoint(address).map_err(|error| chain(&error))?;
        let channel = endpoint.connect_lazy();
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
