//! The production network: one HTTP/2 connection a lane, one gRPC stream on it, whose message
//! bodies are the frames. Knows nothing about what frames contain.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use chil_core::Lane;
use http::uri::PathAndQuery;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status, Streaming};

use super::dial::{Connector, Dialler};
use crate::caller::Caller;
use crate::discovery::Resolve;
use crate::ports::{NetError, Network, ReceiveFrames, SendFrames, Target};
use crate::tls::Reason;

/// Where peers send their frames.
pub(super) const PATH: &str = "/chil.v1.Peer/Link";
/// Frames that may wait in a connection before the link's own queue fills.
const FRAMES_AHEAD: usize = 32;
/// Opened connections that may wait to be read.
const ACCEPTED_MAX: usize = 64;
/// After so long without any connection a peer counts as unreachable, and is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an idle connection is probed, and how long the answer may take.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes in flight on a stream and on a connection: a lane is one of each.
pub(super) const STREAM_WINDOW: u32 = 8 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest HTTP/2 frame: a batch of small messages, or a piece of a large one.
pub(super) const FRAME_SIZE: u32 = 256 << 10;

/// The network as tonic makes it. Clones share the accepting end.
#[derive(Clone)]
pub(crate) struct TonicNetwork<R> {
    dialler: Dialler<R>,
    accepted: Arc<Mutex<mpsc::Receiver<TonicIncoming>>>,
    frame_bytes_max: usize,
}

/// The sending end of a connection.
#[derive(Debug)]
pub(crate) struct TonicOutgoing {
    address: String,
    frames: mpsc::Sender<Bytes>,
    acks: Streaming<Bytes>,
}

/// The receiving end of a connection.
#[derive(Debug)]
pub(crate) struct TonicIncoming {
    address: String,
    /// Which node it has proven to be.
    sender: Option<String>,
    frames: Streaming<Bytes>,
    /// Ends the answering stream, and so the connection, when it is dropped.
    _open: mpsc::Sender<Result<Bytes, Status>>,
}

/// The network and the handler that feeds its accepting end; `frame_bytes_max` bounds a frame.
pub(crate) fn network<R>(
    dialler: Dialler<R>,
    frame_bytes_max: usize,
) -> (TonicNetwork<R>, LinkHandler) {
    let (accept, accepted) = mpsc::channel(ACCEPTED_MAX);
    let network = TonicNetwork {
        dialler,
        accepted: Arc::new(Mutex::new(accepted)),
        frame_bytes_max,
    };
    let handler = LinkHandler {
        accept,
        frame_bytes_max,
    };
    (network, handler)
}

impl<R: Resolve> Network for TonicNetwork<R> {
    type Outgoing = TonicOutgoing;
    type Incoming = TonicIncoming;

    async fn connect(&self, target: &Target, _lane: Lane) -> Result<TonicOutgoing, NetError> {
        let addr = target.address.as_str();
        let error = |reason: String| NetError {
            addr: addr.to_owned(),
            reason,
        };
        let opening = async {
            let endpoint = endpoint(addr).map_err(|e| error(chain(&e)))?;
            let connector = Connector {
                dialler: self.dialler.clone(),
                target: target.clone(),
            };
            let connecting = endpoint.connect_with_connector(connector);
            let channel = connecting.await.map_err(|e| error(chain(&e)))?;
            let mut grpc = tonic::client::Grpc::new(channel)
                .max_decoding_message_size(self.frame_bytes_max)
                .max_encoding_message_size(self.frame_bytes_max);
            grpc.ready().await.map_err(|e| error(chain(&e)))?;
            let (frames, queued) = mpsc::channel(FRAMES_AHEAD);
            let request = Request::new(ReceiverStream::new(queued));
            let path = PathAndQuery::from_static(PATH);
            let answer = grpc.streaming(request, path, BytesCodec).await;
            // That this side's certificate is refused, the other says behind its handshake.
            let acks = answer.map_err(|status| error(status_text(&status)))?;
            Ok(TonicOutgoing {
                address: addr.to_owned(),
                frames,
                acks: acks.into_inner(),
            })
        };
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await;
        opened.unwrap_or_else(|_| Err(error("does not answer".to_owned())))
    }

    async fn accept(&self) -> Result<TonicIncoming, NetError> {
        let incoming = self.accepted.lock().await.recv().await;
        incoming.ok_or_else(|| NetError {
            addr: "the listening socket".to_owned(),
            reason: "is closed".to_owned(),
        })
    }

    async fn moved(&self, address: &str) {
        self.dialler.resolver.moved(address, None).await;
    }

    fn forget(&self, address: &str) {
        self.dialler.resolver.forget(address);
        if let Some(troubles) = &self.dialler.troubles {
            troubles.forget(address);
        }
    }
}

/// What a failed call says to people.
pub(crate) fn status_text(status: &Status) -> String {
    let source = std::error::Error::source(status);
    source.map_or_else(|| status.message().to_owned(), chain)
}

/// How a connection to `address` is made.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE);
    Ok(endpoint)
}

/// An error with its causes, since tonic's own text names none. Where one of them is TLS saying
/// why the other side refuses this one, that is all that matters.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    Reason::of_alert(&text).map_or(text, |reason| reason.to_string())
}

impl SendFrames for TonicOutgoing {
    async fn send(&mut self, frame: Bytes) -> Result<(), NetError> {
        if self.frames.send(frame).await.is_ok() {
            return Ok(());
        }
        Err(self.closed().await)
    }

    async fn closed(&mut self) -> NetError {
        let reason = loop {
            match self.acks.message().await {
                // Acknowledgements carry nothing today; a later version may send some.
                Ok(Some(_)) => {}
                Ok(None) => break "closed by the peer".to_owned(),
                Err(status) => break status_text(&status),
            }
        };
        NetError {
            addr: self.address.clone(),
            reason,
        }
    }
}

impl ReceiveFrames for TonicIncoming {
    async fn receive(&mut self) -> Result<Option<Bytes>, NetError> {
        self.frames.message().await.map_err(|status| NetError {
            addr: self.address.clone(),
            reason: status.message().to_owned(),
        })
    }

    fn from(&self) -> &str {
        &self.address
    }

    fn sender(&self) -> Option<&str> {
        self.sender.as_deref()
    }
}

/// Takes the streams that peers open.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandler {
    accept: mpsc::Sender<TonicIncoming>,
    pub(super) frame_bytes_max: usize,
}

impl LinkHandler {
    pub(super) async fn link(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<ReceiverStream<Result<Bytes, Status>>>, Status> {
        let caller = request.extensions().get::<Caller>();
        let address = caller.map_or_else(|| "a peer".to_owned(), |caller| caller.from.to_string());
        let identity = caller.and_then(Caller::identity);
        let sender = identity.map(|identity| identity.name().to_owned());
        let (open, acks) = mpsc::channel(1);
        let incoming = TonicIncoming {
            address,
            sender,
            frames: request.into_inner(),
            _open: open,
        };
        match self.accept.try_send(incoming) {
            Ok(()) => Ok(Response::new(ReceiverStream::new(acks))),
            Err(_) => Err(Status::unavailable("the node takes no connections now")),
        }
    }
}

/// Message bodies as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        // What is ready goes out together, up to one HTTP/2 frame.
        BufferSettings::new(32 << 10, FRAME_SIZE as usize)
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(64 << 10, FRAME_SIZE as usize)
    }
}
