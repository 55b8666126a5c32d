//! The servers behind the listening socket: one for peers, one for clients, each with limits of
//! its own. Knows nothing about what the services do, nor who may call them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::accept::{Accepted, Incoming};
use super::transport::{
    BytesCodec, CONNECTION_WINDOW, FRAME_SIZE, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, LinkHandler,
    PATH, STREAM_WINDOW,
};
use crate::api::Guarded;
use crate::shutdown::Stopped;

/// What the other ends of one side's connections may ask of HTTP/2.
#[derive(Clone, Copy, Debug)]
struct Http2 {
    streams: u32,
    stream_window: u32,
    connection_window: u32,
    frame: u32,
    /// Streams that may be opened and reset without their being read (CVE-2023-44487).
    resets: usize,
    keepalive_interval: Duration,
    keepalive_timeout: Duration,
}

/// A peer has one stream a connection, with much on it.
const PEERS: Http2 = Http2 {
    streams: 4,
    stream_window: STREAM_WINDOW,
    connection_window: CONNECTION_WINDOW,
    frame: FRAME_SIZE,
    resets: 16,
    keepalive_interval: KEEPALIVE_INTERVAL,
    keepalive_timeout: KEEPALIVE_TIMEOUT,
};

/// Clients have many streams with little on each. What a thousand of them may have in flight
/// must fit into memory, and pings for them must cost nothing that shows. A frame is kept until it
/// is whole, before anybody counts it.
const CLIENTS: Http2 = Http2 {
    streams: CLIENT_STREAMS,
    stream_window: 256 << 10,
    connection_window: 1 << 20,
    frame: 16 << 10,
    resets: 20,
    keepalive_interval: Duration::from_secs(10),
    keepalive_timeout: Duration::from_secs(20),
};

/// The most streams of a client, where it is known that it is one.
pub(super) const CLIENT_STREAMS: u32 = 256;
/// The most streams that any connection has.
pub(super) const STREAMS_MAX: u32 = 1_024;

/// Where it is not known who is who, both have to find room.
const ANYBODY: Http2 = Http2 {
    streams: STREAMS_MAX,
    resets: 64,
    ..PEERS
};

/// The largest list of headers that is read.
const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// Frames that are wrong and make this side reset their stream, until the connection is closed.
const LOCAL_RESETS_MAX: usize = 64;

/// What is served to whom.
pub(crate) enum Services {
    /// Everything to everybody: nobody proves who it is.
    All(Routes),
    /// To peers the links only, to clients all but these.
    Apart {
        /// For peers.
        peers: Routes,
        /// For clients.
        clients: Routes,
    },
}

/// Serves what is accepted until `accepting` says stop, then until connections are through.
pub(super) async fn serve(
    accepted: Accepted,
    services: Services,
    guarded: Guarded,
    accepting: Stopped,
) -> Result<(), tonic::transport::Error> {
    let Accepted { peers, clients } = accepted;
    match services {
        Services::All(routes) => {
            drop(peers);
            one(clients, routes, ANYBODY, guarded, accepting).await
        }
        Services::Apart {
            peers: links,
            clients: calls,
        } => {
            let links = one(peers, links, PEERS, guarded.clone(), accepting.clone());
            let calls = one(clients, calls, CLIENTS, guarded, accepting);
            let (links, calls) = futures_util::future::join(links, calls).await;
            links.and(calls)
        }
    }
}

async fn one(
    incoming: Incoming,
    routes: Routes,
    http2: Http2,
    guarded: Guarded,
    mut accepting: Stopped,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .layer(guarded)
        .initial_stream_window_size(http2.stream_window)
        .initial_connection_window_size(http2.connection_window)
        .max_frame_size(http2.frame)
        .max_concurrent_streams(http2.streams)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(http2.resets))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .http2_keepalive_interval(Some(http2.keepalive_interval))
        .http2_keepalive_timeout(Some(http2.keepalive_timeout))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
            accepting.at_all().await;
        })
        .await
}

/// The service that peers' links arrive at. Written by hand, since its messages are raw bytes.
#[derive(Clone, Debug)]
pub(crate) struct PeerServer(pub(crate) LinkHandler);

impl NamedService for PeerServer {
    const NAME: &'static str = "chil.v1.Peer";
}

impl Service<http::Request<Body>> for PeerServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != PATH {
            let unknown = Status::unimplemented("the peer service has one method: Link");
            return Box::pin(async move { Ok(unknown.into_http()) });
        }
        let handler = self.0.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec)
                .max_decoding_message_size(handler.frame_bytes_max)
                .max_encoding_message_size(handler.frame_bytes_max);
            Ok(grpc.streaming(Link(handler), request).await)
        })
    }
}

struct Link(LinkHandler);

impl StreamingService<Bytes> for Link {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let handler = self.0.clone();
        Box::pin(async move { handler.link(request).await })
    }
}
