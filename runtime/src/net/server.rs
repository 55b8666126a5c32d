//! The listening socket: accepts connections and serves all services on them.
//! Knows nothing about what the services do.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::connection::Connection;
use super::transport::{
    BytesCodec, CONNECTION_WINDOW, FRAME_SIZE, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, LinkHandler,
    PATH, STREAM_WINDOW,
};
use crate::caller::Caller;
use crate::shutdown::Stopped;

/// Streams that one connection may have open at a time.
const STREAMS_MAX: u32 = 1_024;
/// Streams that a connection may open and reset without their being read (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 64;
/// Pause after a failed accept: the usual cause is that no file handle is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `routes` on `listener`: accepts until `accepting` says stop, then waits until the
/// connections are through or `connected` says that they are to be cut.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Routes,
    mut accepting: Stopped,
    connected: Stopped,
) -> Result<(), tonic::transport::Error> {
    let incoming = Accepting {
        listener,
        connected,
        pause: None,
    };
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESET_STREAMS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, async move { accepting.at_all().await })
        .await
}

/// Connections as they come.
struct Accepting {
    listener: TcpListener,
    connected: Stopped,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Stream for Accepting {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(pause) = self.pause.as_mut() {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        match ready!(self.listener.poll_accept(cx)) {
            Ok((stream, from)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "an accepted connection keeps its delay");
                }
                let connection =
                    Connection::new(stream, Caller::unknown(from), self.connected.clone());
                Poll::Ready(Some(Ok(connection)))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                self.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                Poll::Ready(Some(Err(error)))
            }
        }
    }
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
