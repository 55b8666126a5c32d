//! What a node serves on its listening address, and how that ends.
//! Knows nothing about the node's loop, but that it may end by itself.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chil_core::{ClusterId, Config};
use chil_proto::v1::admin_server::AdminServer;
use chil_proto::v1::consensus_server::ConsensusServer;
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::admit::Admit;
use crate::api::{AdminService, ConsensusService, Metered, Room, Saver, Watchers};
use crate::apply::panic_text;
use crate::error::NodeError;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::net::server::{PeerServer, Services};
use crate::net::transport::LinkHandler;
use crate::request::Requests;
use crate::shutdown::{Stop, Stopped, Stopper};

/// Bytes that a message may have besides its payload.
const MESSAGE_SLACK: u64 = 1 << 20;
/// After the loop has ended, how long connections may take to deliver the last answers.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Everything that is served on the listening address, `apart` for peers and clients where it is
/// known who is who.
pub(crate) fn services(
    requests: &Requests,
    front: &Front,
    cluster: &Arc<OnceLock<ClusterId>>,
    stopped: &Stopped,
    links_in: LinkHandler,
    config: &Config,
    apart: bool,
) -> Services {
    let consensus = ConsensusServer::new(ConsensusService {
        requests: requests.clone(),
        admit: front.admit.clone(),
        cluster: Arc::clone(cluster),
        stopped: stopped.clone(),
        watchers: front.watchers.clone(),
        answers: front.answers.clone(),
    });
    let consensus = consensus.max_decoding_message_size(with_slack(config.value_bytes_max));
    let admin = AdminServer::new(AdminService {
        requests: requests.clone(),
        admit: front.admit.clone(),
        saver: Saver::new(requests.clone(), stopped.clone()),
    });
    let receiving = &front.receiving;
    let consensus = Metered {
        service: consensus,
        receiving: receiving.clone(),
        answers: front.answers.clone(),
    };
    let admin = Metered {
        service: admin,
        receiving: receiving.clone(),
        answers: front.answers.clone(),
    };
    let links = Routes::new(Metered {
        service: PeerServer(links_in),
        receiving: front.links.clone(),
        answers: front.links.clone(),
    });
    if apart {
        Services::Apart {
            peers: links,
            clients: Routes::new(consensus).add_service(admin),
        }
    } else {
        Services::All(links.add_service(consensus).add_service(admin))
    }
}

/// What stands in front of the services.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) admit: Admit,
    receiving: Room,
    /// For answers that clients have not taken.
    answers: Room,
    /// For what is being received of peers' messages.
    links: Room,
    watchers: Watchers,
}

impl Front {
    /// Nobody has asked for anything yet.
    pub(crate) fn new(limits: &Limits, config: &Config, metrics: &Arc<Metrics>) -> Self {
        // One client alone gets half: one of the largest messages always fits.
        let largest = config.value_bytes_max.saturating_add(MESSAGE_SLACK);
        let receiving = limits.receiving_bytes.max(largest.saturating_mul(2));
        let batch = config.value_bytes_max.max(config.batch_bytes_max);
        let links = batch.saturating_add(MESSAGE_SLACK).saturating_mul(2);
        let links = limits.inbox_bytes.max(links);
        let room = |what, bytes| Room::new(what, bytes, Arc::clone(metrics));
        Self {
            admit: Admit::new(limits.admission, Arc::clone(metrics)),
            receiving: room("receiving", receiving),
            answers: room("answers", receiving),
            links: room("links", links),
            watchers: Watchers::new(metrics),
        }
    }
}

/// What is left to do once the loop has ended.
pub(crate) struct Closing {
    pub(crate) server: JoinHandle<Result<(), tonic::transport::Error>>,
    /// What shows the metrics: it ends by itself when the node is told to end at once.
    pub(crate) page: Option<JoinHandle<()>>,
    pub(crate) cut: Stopper,
    pub(crate) stopper: Stopper,
    pub(crate) stopped: Stopped,
}

impl Closing {
    /// Waits for the loop's end, then closes the socket and all connections in bounded time.
    pub(crate) async fn after(
        mut self,
        running: JoinHandle<Result<(), NodeError>>,
    ) -> Result<(), NodeError> {
        let outcome = match running.await {
            Ok(outcome) => outcome,
            Err(error) => Err(match error.try_into_panic() {
                Ok(panic) => NodeError::Invariant(panic_text(panic.as_ref())),
                Err(_) => NodeError::Runtime,
            }),
        };
        let at_once = self.stopped.now() == Stop::Now;
        // Also when the loop ended by itself: nothing is accepted from here on.
        self.stopper.tell(Stop::Now);
        let words = if at_once { Duration::ZERO } else { LAST_WORDS };
        if tokio::time::timeout(words, &mut self.server).await.is_err() {
            self.cut.tell(Stop::Now);
            if tokio::time::timeout(LAST_WORDS, &mut self.server)
                .await
                .is_err()
            {
                // Their tasks end by themselves once they are polled; the port is free already.
                self.server.abort();
            }
        }
        if let Some(page) = self.page {
            // Its port is free then; that it panicked would be logged.
            drop(page.await);
        }
        outcome
    }
}

fn with_slack(payload_bytes_max: u64) -> usize {
    let bytes = payload_bytes_max.saturating_add(MESSAGE_SLACK);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
