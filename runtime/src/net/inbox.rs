//! Inbound frames: decodes what connections carry and queues it by lane for the node's loop.
//! Knows nothing about what a message means; of who sends it, only whether that was proven.

use std::sync::Arc;

use chil_core::forming::FormingMessage;
use chil_core::{Lane, NodeId};
use chil_proto::{Frame, decode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::watch::{Party, Watch};
use crate::clock::SystemClock;
use crate::identity::shown;
use crate::ports::{Clock, Network, ReceiveFrames};
use crate::turn::Turn;

/// What has arrived, urgent lanes first. Dropping it ends every connection's reader.
#[derive(Debug)]
pub(crate) struct Inbox {
    heartbeats: mpsc::Receiver<Waiting>,
    quorum: mpsc::Receiver<Waiting>,
    bulk: mpsc::Receiver<Waiting>,
}

#[derive(Clone, Debug)]
struct Lanes {
    heartbeats: To,
    quorum: To,
    bulk: To,
    /// Told that the loop has something to do.
    turn: Turn,
}

/// The way into one lane.
#[derive(Clone, Debug)]
struct To {
    frames: mpsc::Sender<Waiting>,
    /// Room for bytes of all its connections.
    room: Arc<Semaphore>,
    /// How much that is when nothing waits; a larger frame waits alone.
    bytes_max: u32,
}

/// A frame, and the room that it takes up for as long as it waits.
#[derive(Debug)]
struct Waiting {
    frame: Frame,
    _room: OwnedSemaphorePermit,
}

impl Inbox {
    /// Frames that may wait on a lane; a full lane pushes back on its connections alone.
    const FRAMES_MAX: usize = 256;
    /// Most bytes of a heartbeat or an answer to one: they carry numbers only.
    const HEARTBEAT_BYTES_MAX: usize = 64 << 10;
    /// Bytes of heartbeats that may wait: nothing else takes their room.
    const HEARTBEATS_BYTES_MAX: u64 = 4 << 20;
    /// Connections that are read at a time: enough for the largest membership, twice.
    const CONNECTIONS_MAX: usize = 512;

    /// Starts to accept the connections of `network`. Of all peers' frames, but heartbeats, at most
    /// so many bytes wait, half of them for what decides.
    pub(crate) fn open<N: Network>(network: N, watch: Watch, bytes_max: u64, turn: &Turn) -> Self {
        let half = bytes_max / 2;
        let (heartbeats, heartbeats_out) = To::lane(Self::FRAMES_MAX, Self::HEARTBEATS_BYTES_MAX);
        let (quorum, quorum_out) = To::lane(Self::FRAMES_MAX, half);
        let (bulk, bulk_out) = To::lane(Self::FRAMES_MAX / 8, half);
        let lanes = Lanes {
            heartbeats,
            quorum,
            bulk,
            turn: turn.clone(),
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
        let waiting = tokio::select! {
            biased;
            Some(waiting) = self.heartbeats.recv() => waiting,
            Some(waiting) = self.quorum.recv() => waiting,
            Some(waiting) = self.bulk.recv() => waiting,
            else => std::future::pending().await,
        };
        waiting.frame
    }

    /// A frame that is here already.
    pub(crate) fn ready(&mut self) -> Option<Frame> {
        let urgent = self
            .heartbeats
            .try_recv()
            .or_else(|_| self.quorum.try_recv());
        let waiting = urgent.or_else(|_| self.bulk.try_recv()).ok()?;
        Some(waiting.frame)
    }
}

impl To {
    fn lane(frames_max: usize, bytes_max: u64) -> (Self, mpsc::Receiver<Waiting>) {
        let (frames, waiting) = mpsc::channel(frames_max);
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX).max(1);
        let permits = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let to = Self {
            frames,
            room: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            bytes_max,
        };
        (to, waiting)
    }

    /// Waits for room: who sends more than the loop takes is not read from. Says that the loop is
    /// wanted, where that has a `turn`. False if there is no loop any more.
    async fn put(&self, frame: Frame, bytes: usize, turn: Option<&Turn>) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room);
        let room = tokio::select! {
            biased;
            () = self.frames.closed() => return false,
            room = room.acquire_many_owned(bytes.min(self.bytes_max)) => room,
        };
        let Ok(room) = room else { return false };
        let waiting = Waiting { frame, _room: room };
        // Before it is there: the loop may take it at once, and would be waited for behind that.
        if let Some(turn) = turn {
            turn.wanted(SystemClock.now());
        }
        self.frames.send(waiting).await.is_ok()
    }
}

fn party<'a>(from: &'a String, who: Option<&'a String>) -> Party<'a> {
    Party {
        from,
        who: who.map(|who| who as &(dyn std::fmt::Display + Sync)),
    }
}

async fn accept<N: Network>(network: N, lanes: Lanes, watch: Watch) {
    let slots = Arc::new(Semaphore::new(Inbox::CONNECTIONS_MAX));
    loop {
        let incoming = tokio::select! {
            biased;
            () = lanes.heartbeats.frames.closed() => return,
            incoming = network.accept() => incoming,
        };
        let Ok(incoming) = incoming else { return };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            let text = format!("there are {} links already", Inbox::CONNECTIONS_MAX);
            let from = incoming.from().to_owned();
            let who = incoming.sender().map(str::to_owned);
            watch.refused(party(&from, who.as_ref()), ("too-many-links", &text));
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
    let from = incoming.from().to_owned();
    let sender = incoming.sender().map(str::to_owned);
    let party = party(&from, sender.as_ref());
    let node = sender.as_deref().and_then(NodeId::from_name);
    loop {
        let received = tokio::select! {
            biased;
            () = lanes.heartbeats.frames.closed() => return,
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
        let len = bytes.len();
        let frame = match decode::frame(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                // Whoever sends this speaks another language: nothing good can follow.
                watch.cut(party, ("invalid-frame", &error));
                return;
            }
        };
        if let Some(name) = &sender
            && let Err(text) = check_sender(&frame, name, node)
        {
            watch.cut(party, ("other-sender", &text));
            return;
        }
        let lane = match &frame {
            Frame::Envelope(envelope) => envelope.body.lane(),
            Frame::Forming(_) => Lane::Bulk,
        };
        if lane == Lane::Heartbeat && len > Inbox::HEARTBEAT_BYTES_MAX {
            let text = format!("a heartbeat of {len} bytes");
            watch.cut(party, ("large-heartbeat", &text));
            return;
        }
        let to = match lane {
            Lane::Heartbeat => &lanes.heartbeats,
            Lane::Quorum => &lanes.quorum,
            Lane::Bulk => &lanes.bulk,
        };
        let turn = (lane != Lane::Bulk).then_some(&lanes.turn);
        if !to.put(frame, len, turn).await {
            return;
        }
    }
}

/// Whether a frame is from the node called `name`, which has proven to be the one that sends it.
/// Whoever speaks for another is broken, or lies.
fn check_sender(frame: &Frame, name: &str, node: Option<NodeId>) -> Result<(), String> {
    let said = match frame {
        Frame::Envelope(envelope) if Some(envelope.from) == node => return Ok(()),
        Frame::Envelope(envelope) => format!("the node {}", envelope.from),
        Frame::Forming(message) => {
            let said = match &**message {
                FormingMessage::Hello(m) => &m.name,
                FormingMessage::HelloReply(m) => &m.name,
                FormingMessage::Confirm(m) => &m.name,
                FormingMessage::Confirmed(m) => &m.name,
            };
            if said == name {
                return Ok(());
            }
            format!("'{}'", shown(said))
        }
    };
    Err(format!(
        "a message of {said} comes from '{name}', which may send its own only"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chil_core::forming::{Confirm, FormingMessage};
    use chil_core::{ClusterId, DiskId};
    use tokio::time::timeout;

    use super::*;

    fn frame(nonce: u64) -> Frame {
        let confirm = Confirm {
            name: "a".to_owned(),
            disk: DiskId::new(1),
            addr: "a:1".to_owned(),
            candidate: ClusterId::new(1),
            nonce,
        };
        Frame::Forming(FormingMessage::Confirm(confirm).into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_waits_for_room_and_takes_what_is_larger_than_all_of_it_alone() {
        const SOON: Duration = Duration::from_millis(5);
        let most = 64 << 20;
        let (to, mut lane) = To::lane(16, 64 << 20);
        assert!(to.put(frame(1), most / 2, None).await);
        assert!(to.put(frame(2), most / 2, None).await);
        assert!(timeout(SOON, to.put(frame(3), 1, None)).await.is_err());
        assert_eq!(lane.recv().await.unwrap().frame, frame(1));
        assert!(to.put(frame(4), 1, None).await);
        let huge = to.put(frame(5), 3 * most, None);
        let mut huge = std::pin::pin!(huge);
        assert!(timeout(SOON, &mut huge).await.is_err());
        for n in [2, 4] {
            assert_eq!(lane.recv().await.unwrap().frame, frame(n));
        }
        assert_eq!(timeout(SOON, &mut huge).await, Ok(true));
        assert!(timeout(SOON, to.put(frame(6), 1, None)).await.is_err());
        drop(lane);
        assert!(!to.put(frame(7), 1, None).await, "nobody takes it any more");
    }
}
