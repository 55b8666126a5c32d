//! Requests as somebody sends them who knows the protocol and none of its manners: to one node,
//! once each, whatever was answered before. Knows nothing about how often that is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chil::client::ClientTls;
use chil::kv::KvCommand;
use chil_proto::v1::consensus_client::ConsensusClient;
use chil_proto::v1::propose_response::Outcome;
use chil_proto::v1::{ProposeRequest, ProposeResponse};
use tonic::Code;
use tonic::transport::Channel;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    WarmUp,
    Before,
    During,
    After,
}

impl Phase {
    pub(super) const COUNT: usize = 4;

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// The one of this index.
    pub(super) fn of(index: u64) -> Self {
        let all = [Self::WarmUp, Self::Before, Self::During, Self::After];
        let found = all.into_iter().find(|phase| phase.index() as u64 == index);
        found.unwrap_or(Self::WarmUp)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Admitted,
    Refused,
    Failed,
    /// It was not sent.
    HeldBack,
}

/// How often which answer was given. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Arc<[[AtomicU64; 4]; Phase::COUNT]>);

impl Counts {
    pub(super) fn count(&self, phase: Phase, told: Told) {
        self.0[phase.index()][told as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self, phase: Phase, told: Told) -> u64 {
        self.0[phase.index()][told as usize].load(Ordering::Relaxed)
    }
}

/// One client's connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) client: ConsensusClient<Channel>,
    pub(super) request: ProposeRequest,
}

impl Asker {
    /// Writes `value` to the key `name` on the node at `address`.
    pub(super) fn new(
        address: &str,
        tls: &ClientTls,
        name: &str,
        value: &[u8],
    ) -> anyhow::Result<Self> {
        let command = KvCommand::put(
            Bytes::copy_from_slice(name.as_bytes()),
            Bytes::copy_from_slice(value),
        );
        Ok(Self {
            client: ConsensusClient::new(tls.channel(address)?),
            request: ProposeRequest {
                payload: command.encode(),
                ..ProposeRequest::default()
            },
        })
    }

    /// Asks once.
    pub(super) async fn ask(&mut self) -> Told {
        match self.client.propose(self.request.clone()).await {
            Ok(response) => told(&response.into_inner()),
            Err(status) if status.code() == Code::ResourceExhausted => Told::Refused,
            Err(_) => Told::Failed,
        }
    }
}

/// What an answer means.
pub(super) const fn told(response: &ProposeResponse) -> Told {
    match &response.outcome {
        Some(Outcome::Committed(_)) => Told::Admitted,
        Some(Outcome::Overloaded(_)) => Told::Refused,
        _ => Told::Failed,
    }
}
