//! Hands a snapshot out in parts: the newest one on disk, or one of what is executed now.
//! Knows nothing about what is in it.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chil_core::{FrozenSnapshot, SnapshotId};
use chil_proto::v1;
use chil_proto::v1::save_snapshot_response::Event;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::outcome::{big_endian, overloaded, unavailable};
use crate::request::Requests;
use crate::shutdown::Stopped;

/// What a saver is sent.
pub(super) type Parts =
    Pin<Box<dyn Stream<Item = Result<v1::SaveSnapshotResponse, Status>> + Send>>;

/// Snapshots that are handed out at a time: each of what is executed now keeps a copy of whatever
/// is changed meanwhile.
const SAVING_MAX: usize = 2;
/// Bytes in one part.
const PART_BYTES: usize = 256 << 10;
/// Parts handed over and not yet taken by the connection.
const SENDING_MAX: usize = 4;
/// How long a saver may take for one part.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one too many is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Hands out snapshots of one node.
#[derive(Clone, Debug)]
pub(crate) struct Saver {
    requests: Requests,
    stopped: Stopped,
    room: Arc<Semaphore>,
}

impl Saver {
    pub(crate) fn new(requests: Requests, stopped: Stopped) -> Self {
        Self {
            requests,
            stopped,
            room: Arc::new(Semaphore::new(SAVING_MAX)),
        }
    }

    /// The parts of a snapshot: the newest one on disk (`stored`), or one of what is executed now.
    pub(super) fn save(&self, stored: bool) -> Parts {
        let (parts, sent) = mpsc::channel(SENDING_MAX);
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => {
                let saving = Saving {
                    parts,
                    stopped: self.stopped.clone(),
                    _room: room,
                };
                let requests = self.requests.clone();
                tokio::spawn(async move {
                    if stored {
                        saving.stored(requests).await;
                    } else {
                        saving.fresh(requests).await;
                    }
                });
            }
            Err(_) => {
                let full = parts.try_send(Event::Overloaded(overloaded(RETRY_AFTER)));
                debug_assert!(full.is_ok(), "the channel is empty");
            }
        }
        let response = |event| Ok(v1::SaveSnapshotResponse { event: Some(event) });
        Box::pin(ReceiverStream::new(sent).map(response))
    }
}

/// One snapshot that is being handed out.
struct Saving {
    parts: mpsc::Sender<Event>,
    stopped: Stopped,
    _room: OwnedSemaphorePermit,
}

impl Saving {
    /// From the disk, part by part as its reader reads.
    async fn stored(mut self, requests: Requests) {
        let (mut which, mut offset) = (None, 0);
        loop {
            let len = PART_BYTES as u64;
            let Some((id, bytes)) = requests.stored(which, offset, len).await else {
                let reason = match which {
                    None => "there is no snapshot on disk: ask for one of what is executed now",
                    Some(_) => "the snapshot was replaced by a newer one: try again",
                };
                self.send(Event::Unavailable(unavailable(&reason))).await;
                return;
            };
            which = Some(id);
            offset += bytes.len() as u64;
            if !self.send(Event::Chunk(bytes)).await {
                return;
            }
            if id.bytes <= offset {
                self.send(Event::Done(snapshot(&id))).await;
                return;
            }
        }
    }

    /// From the state, encoded on a thread that may block.
    async fn fresh(mut self, requests: Requests) {
        let Some(frozen) = requests.freeze().await else {
            let reason = "the node has no state to save now: try again";
            self.send(Event::Unavailable(unavailable(&reason))).await;
            return;
        };
        let handle = Handle::current();
        let encoding = tokio::task::spawn_blocking(move || self.encode(&frozen, &handle));
        if let Err(error) = encoding.await {
            // The stream ends without the last event, which says enough.
            tracing::error!(%error, "cannot encode a snapshot");
        }
    }

    fn encode(mut self, frozen: &FrozenSnapshot, handle: &Handle) {
        let mut out = PartWriter {
            saving: &mut self,
            handle,
            part: Vec::with_capacity(PART_BYTES),
        };
        let written = frozen.write_to(&mut out);
        if let Ok(id) = written.and_then(|id| out.flush().map(|()| id)) {
            handle.block_on(self.send(Event::Done(snapshot(&id))));
        }
    }

    /// Whether the reader took it.
    async fn send(&mut self, event: Event) -> bool {
        tokio::select! {
            biased;
            sent = self.parts.send_timeout(event, PATIENCE) => sent.is_ok(),
            () = self.stopped.at_once() => false,
        }
    }
}

/// Makes parts of what is written.
struct PartWriter<'a> {
    saving: &'a mut Saving,
    handle: &'a Handle,
    part: Vec<u8>,
}

impl Write for PartWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..take]);
        if self.part.len() == PART_BYTES {
            self.flush()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        let empty = Vec::with_capacity(PART_BYTES);
        let part = Bytes::from(std::mem::replace(&mut self.part, empty));
        if self.handle.block_on(self.saving.send(Event::Chunk(part))) {
            Ok(())
        } else {
            Err(io::Error::other("nobody reads the snapshot any more"))
        }
    }
}

/// What a snapshot is called, in the words of the wire.
pub(super) fn snapshot(id: &SnapshotId) -> v1::SnapshotStatus {
    v1::SnapshotStatus {
        slot: id.slot.get(),
        chain: big_endian(id.chain.get()),
        bytes: id.bytes,
        digest: big_endian(id.digest),
    }
}
