//! Inbound frames: decodes what connections carry and queues it by lane for the node's loop.
//! Knows nothing about what a message means, nor who may send it: the core compares identities.

use std::fmt;
use std::sync::Arc;

use chil_core::Lane;
use chil_proto::{Frame, decode};
use tokio::sync::{Semaphore, mpsc};

use crate::audit::{Audit, Verdict};
use crate::metrics::Metrics;
use crate::ports::{Network, ReceiveFrames};

/// What has arrived, urgent lanes first. Dropping it ends every connection's reader.
#[derive(Debug)]
pub(crate) struct Inbox {
    heartbeats: mpsc::Receiver<Frame>,
    quorum: mpsc::Receiver<Frame>,
    bulk: mpsc::Receiver<Frame>,
}

#[derive(Clone, Debug)]
struct Lanes {
    heartbeats: mpsc::Sender<Frame>,
    quorum: mpsc::Sender<Frame>,
    bulk: mpsc::Sender<Frame>,
}

impl Inbox {
    /// Frames that may wait on a lane; a full lane pushes back on its connections alone.
    const FRAMES_MAX: usize = 256;
    /// Connections that are read at a time: enough for the largest membership, twice.
    const CONNECTIONS_MAX: usize = 512;

    /// Starts to accept the connections of `network`.
    pub(crate) fn open<N: Network>(network: N, watch: Watch) -> Self {
        let (heartbeats, heartbeats_out) = mpsc::channel(Self::FRAMES_MAX);
        let (quorum, quorum_out) = mpsc::channel(Self::FRAMES_MAX);
        let (bulk, bulk_out) = mpsc::channel(Self::FRAMES_MAX / 8);
        let lanes = Lanes {
            heartbeats,
            quorum,
            bulk,
        };
        tokio::spawn(accept(network, lanes, watch));
        Self {
            heartbeats: heartbeats_out,
            quorum: quorum_out,
            bulk: bulk_out,
        }
    }

    /// The next frame. Cancel-safe. Never resolves once nothing can arrive any more.
    pub(crate) async fn next(&mut self) -> Frame {
        tokio::select! {
            biased;
            Some(frame) = self.heartbeats.recv() => frame,
            Some(frame) = self.quorum.recv() => frame,
            Some(frame) = self.bulk.recv() => frame,
            else => std::future::pending().await,
        }
    }

    /// A frame that is here already.
    pub(crate) fn ready(&mut self) -> Option<Frame> {
        let urgent = self
            .heartbeats
            .try_recv()
            .or_else(|_| self.quorum.try_recv());
        urgent.or_else(|_| self.bulk.try_recv()).ok()
    }
}

/// Who is told when a connection cannot be used.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) audit: Audit,
    pub(crate) metrics: Arc<Metrics>,
}

impl Watch {
    fn refused(&self, incoming: &impl ReceiveFrames, why: (&'static str, &dyn fmt::Display)) {
        self.metrics.net.refused(why.0);
        self.tell(Verdict::Refused, incoming, why);
    }

    fn cut(&self, incoming: &impl ReceiveFrames, why: (&'static str, &dyn fmt::Display)) {
        self.metrics.net.cut(why.0);
        self.tell(Verdict::Cut, incoming, why);
    }

    fn tell(
        &self,
        verdict: Verdict,
        incoming: &impl ReceiveFrames,
        why: (&'static str, &dyn fmt::Display),
    ) {
        let who = incoming.sender();
        let who = who.as_ref().map(|name| name as &dyn fmt::Display);
        self.audit.tell(verdict, &incoming.from(), who, why);
    }
}

async fn accept<N: Network>(network: N, lanes: Lanes, watch: Watch) {
    let slots = Arc::new(Semaphore::new(Inbox::CONNECTIONS_MAX));
    loop {
        let incoming = tokio::select! {
            biased;
            () = lanes.heartbeats.closed() => return,
            incoming = network.accept() => incoming,
        };
        let Ok(incoming) = incoming else { return };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            let text = format!("there are {} links already", Inbox::CONNECTIONS_MAX);
            watch.refused(&incoming, ("too-many-links", &text));
            continue;
        };
        let (lanes, watch) = (lanes.clone(), watch.clone());
        tokio::spawn(async move {
            read(incoming, lanes, &watch).await;
            drop(slot);
        });
    }
}

async fn read(mut incoming: impl ReceiveFrames, lanes: Lanes, watch: &Watch) {
    let _open = watch.metrics.net.opened("links");
    loop {
        let received = tokio::select! {
            biased;
            () = lanes.heartbeats.closed() => return,
            received = incoming.receive() => received,
        };
        let bytes = match received {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "an inbound connection broke");
                return;
            }
        };
        let frame = match decode::frame(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                // Whoever sends this speaks another language: nothing good can follow.
                watch.cut(&incoming, ("invalid-frame", &error));
                return;
            }
        };
        let lane = match &frame {
            Frame::Envelope(envelope) => envelope.body.lane(),
            Frame::Forming(_) => Lane::Bulk,
        };
        let to = match lane {
            Lane::Heartbeat => &lanes.heartbeats,
            Lane::Quorum => &lanes.quorum,
            Lane::Bulk => &lanes.bulk,
        };
        if to.send(frame).await.is_err() {
            return;
        }
    }
}
