//! One connection, with TLS or without: it ends when the node does, when it is not believed any
//! more, or when nothing is asked on it. Knows nothing about what is said on it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use super::doors::Held;
use crate::caller::Caller;
use crate::metrics::Opened;
use crate::shutdown::Stopped;
use crate::tls::live::Guard;

/// What bytes go over.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What is kept for as long as a connection is open, and given back then.
pub(super) type Keep = (Option<Guard>, Option<(Held, Opened)>);

/// A connection that ends when it is told to, whatever its other side is doing.
pub(crate) struct Connection {
    socket: Socket,
    caller: Caller,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    patience: Option<Patience>,
    _keep: Keep,
}

/// Until when something has to be asked: who only connects holds a place for nothing.
struct Patience {
    until: Pin<Box<Sleep>>,
    asked: Arc<AtomicBool>,
    out: Box<dyn FnOnce() + Send>,
}

impl Connection {
    /// One with `caller` at its other end, which ends as soon as one of `told` says so.
    pub(super) fn new(socket: Socket, caller: Caller, told: Vec<Stopped>, keep: Keep) -> Self {
        let cut = async move {
            let told = told.into_iter().map(|mut told| {
                Box::pin(async move { told.at_once().await })
                    as Pin<Box<dyn Future<Output = ()> + Send>>
            });
            let told: Vec<_> = told.collect();
            if told.is_empty() {
                std::future::pending::<()>().await;
            }
            futures_util::future::select_all(told).await;
        };
        Self {
            socket,
            caller,
            cut: Box::pin(cut),
            patience: None,
            _keep: keep,
        }
    }

    /// Ends it, too, as soon as `end` resolves.
    pub(super) fn ends_with(mut self, end: impl Future<Output = ()> + Send + 'static) -> Self {
        let told = std::mem::replace(&mut self.cut, Box::pin(std::future::pending()));
        self.cut = Box::pin(async move {
            futures_util::future::select(told, Box::pin(end)).await;
        });
        self
    }

    /// Ends it when nothing has been asked on it after `limit`, and calls `out` then.
    pub(super) fn with_patience(mut self, limit: Duration, out: Box<dyn FnOnce() + Send>) -> Self {
        self.patience = Some(Patience {
            until: Box::pin(tokio::time::sleep(limit)),
            asked: self.caller.asked(),
            out,
        });
        self
    }

    /// Whether it has to end now.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
        }
        let Some(patience) = &mut self.patience else {
            return Poll::Pending;
        };
        if patience.asked.load(Ordering::Relaxed) {
            self.patience = None;
            return Poll::Pending;
        }
        ready!(patience.until.as_mut().poll(cx));
        if let Some(patience) = self.patience.take()
            && !patience.asked.load(Ordering::Relaxed)
        {
            (patience.out)();
            return Poll::Ready(io::ErrorKind::TimedOut.into());
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        match read {
            Poll::Ready(read) => Poll::Ready(read),
            // Whoever serves the connection waits here in the end, so looking here suffices.
            Poll::Pending => Poll::Ready(Err(ready!(self.poll_end(cx)))),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}
