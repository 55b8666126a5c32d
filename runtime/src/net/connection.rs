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
    /// `None` once it has said so.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
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
            cut: Some(Box::pin(cut)),
            patience: None,
            _keep: keep,
        }
    }

    /// Ends it, too, as soon as `end` resolves.
    pub(super) fn ends_with(mut self, end: impl Future<Output = ()> + Send + 'static) -> Self {
        if let Some(told) = self.cut.take() {
            self.cut = Some(Box::pin(async move {
                futures_util::future::select(told, Box::pin(end)).await;
            }));
        }
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

    /// Whether it has to end now. Asked before every read, so that somebody who never stops sending
    /// is cut off, and whenever a write waits, for somebody who never reads; never bounded by the
    /// budget of the task, which such a one would use up.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let end = std::future::poll_fn(|cx| self.poll_end_now(cx));
        let mut end = std::pin::pin!(tokio::task::coop::unconstrained(end));
        end.as_mut().poll(cx)
    }

    fn poll_end_now(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let cut = match &mut self.cut {
            Some(cut) => cut.as_mut().poll(cx).is_ready(),
            None => true,
        };
        if cut {
            self.cut = None;
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
        if let Some(patience) = self.patience.take() {
            (patience.out)();
        }
        self.cut = None;
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// What the socket says of a write, unless it waits and the connection has to end.
    fn or_end<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => Poll::Ready(Err(ready!(self.poll_end(cx)))),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        self.or_end(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.or_end(written, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        self.or_end(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.or_end(written, cx)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::shutdown::{Stop, Stopper, signal};

    const SOON: Duration = Duration::from_millis(200);

    /// A connection, its other end, and who cuts it.
    async fn connected() -> (Connection, TcpStream, Stopper) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (stream, from) = listener.accept().await.unwrap();
        let (cut, told) = signal();
        let caller = Caller::unknown(from);
        let socket = Socket::Plain(stream);
        let connection = Connection::new(socket, caller, vec![told], (None, None));
        (connection, other.unwrap(), cut)
    }

    #[tokio::test]
    async fn who_never_reads_is_cut_off() {
        let (mut connection, _other, cut) = connected().await;
        let bytes = vec![0; 1 << 20];
        while timeout(SOON, connection.write_all(&bytes)).await.is_ok() {}
        cut.tell(Stop::Now);
        let ended = timeout(SOON, connection.write_all(&bytes)).await;
        let error = ended.expect("it does not wait").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(timeout(SOON, connection.shutdown()).await.is_ok());
    }

    #[tokio::test]
    async fn who_never_stops_sending_is_cut_off() {
        let (mut connection, mut other, cut) = connected().await;
        other.write_all(&[0; 64]).await.unwrap();
        let mut byte = [0];
        connection.read_exact(&mut byte).await.unwrap();
        cut.tell(Stop::Now);
        // More is there to be read.
        let error = connection.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn who_asks_for_nothing_is_closed_and_who_asks_is_not() {
        for asks in [false, true] {
            let (connection, mut other, _cut) = connected().await;
            let (told, out) = std::sync::mpsc::channel();
            let out_of_patience = Box::new(move || told.send(()).unwrap());
            let mut connection = connection.with_patience(SOON, out_of_patience);
            if asks {
                connection.caller.asks();
            }
            // Bytes are no request.
            other.write_all(&[0; 8]).await.unwrap();
            let mut bytes = Vec::new();
            let read = timeout(3 * SOON, connection.read_to_end(&mut bytes)).await;
            assert_eq!((read.is_err(), out.try_recv().is_ok()), (asks, !asks));
        }
    }
}
