//! One connection, with TLS or without: it ends when the node does, when it is not believed any
//! more, when nothing is asked on it, or when nothing of what is written is taken. Knows nothing
//! about what is said on it.

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
use crate::clock::{SystemClock, duration};
use crate::metrics::Opened;
use crate::ports::Clock;
use crate::shutdown::Stopped;
use crate::tls::live::Guard;
use crate::turn::Turn;

/// What TLS begins with that has met something else (RFC 8446, section 5.1); HTTP/2 begins with the
/// length of a short frame.
const TLS_ALERT: u8 = 21;

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
    stall: Option<Stall>,
    /// What may be read before others get a turn, and what is left of that.
    turn: Option<(usize, usize)>,
    yields: Option<Yields>,
    /// Whether what is read first is to be looked at: it may be TLS where none is spoken.
    looks_for_tls: bool,
    _keep: Keep,
}

/// Called once, when the other side is to be told to others as one that was cut off.
type Out = Box<dyn FnOnce() + Send>;
type OutStalled = Box<dyn FnOnce(Stalled) + Send>;

/// Until when something has to be asked: who only connects holds a place for nothing.
struct Patience {
    until: Pin<Box<Sleep>>,
    asked: Arc<AtomicBool>,
    out: Out,
}

/// How long what is written may wait without any of it being taken, and how long HTTP/2 may wait
/// with an answer, since its stream has no window. Keepalive does not notice whoever answers pings,
/// which can be guessed, and reads nothing.
struct Stall {
    limit: Duration,
    /// While something waits.
    until: Option<Pin<Box<Sleep>>>,
    /// Whether a write was not taken at all. One that is taken says nothing otherwise: TLS has
    /// room of its own for what the socket does not take.
    is_full: bool,
    out: OutStalled,
}

/// What the other side does not take, and for how long that is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stalled {
    #[error("nothing that was written was taken within {0:?}")]
    Socket(Duration),
    #[error("an answer has waited for {0:?}, since its stream is given no window")]
    Window(Duration),
}

/// When a client is not read from: what is read has to be answered, and before the node's loop gets
/// its turn every connection may get one; and whoever has been refused often, and not been told,
/// would be refused more. TCP tells the client to wait.
struct Yields {
    to: Turn,
    pause: Option<Pin<Box<Sleep>>>,
    /// Pauses for the loop since something was read.
    pauses: u32,
}

impl Yields {
    const PAUSE: Duration = Duration::from_millis(1);
    /// Whoever is always late has to serve clients all the same.
    const PAUSES_MAX: u32 = 50;
    /// Refusals are told within a fifth of a second: looking now and then is enough.
    const REFUSED_PAUSE: Duration = Duration::from_millis(10);
    const REFUSALS_MAX: usize = 8;

    fn poll_turn(&mut self, caller: &Caller, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let pause = if caller.refusals() >= Self::REFUSALS_MAX {
                Self::REFUSED_PAUSE
            } else if self.pauses < Self::PAUSES_MAX && self.to.is_overdue(SystemClock.now()) {
                self.pauses += 1;
                Self::PAUSE
            } else {
                self.pauses = 0;
                return Poll::Ready(());
            };
            self.pause = Some(Box::pin(tokio::time::sleep(pause)));
        }
    }
}

/// What is done with what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Write,
    Flush,
}

impl Stall {
    /// Also who is slow may have megabytes on its way, and be taking them.
    const WINDOWS: u32 = 3;

    /// What takes too long, if anything does.
    fn over(&mut self, caller: &Caller, cx: &mut Context<'_>) -> Option<Stalled> {
        let until = self.until.as_mut();
        if until.is_some_and(|until| until.as_mut().poll(cx).is_ready()) {
            return Some(Stalled::Socket(self.limit));
        }
        let (since, limit) = (caller.flow.waits_since()?, self.limit * Self::WINDOWS);
        let waits = duration(SystemClock.now().since(since));
        (waits >= limit).then_some(Stalled::Window(limit))
    }

    fn observe(&mut self, doing: Doing, waits: bool) {
        if waits {
            let limit = self.limit;
            let sleep = || Box::pin(tokio::time::sleep(limit));
            self.until.get_or_insert_with(sleep);
            self.is_full |= doing == Doing::Write;
        } else if doing == Doing::Flush || self.is_full {
            (self.until, self.is_full) = (None, false);
        }
    }
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
            stall: None,
            turn: None,
            yields: None,
            looks_for_tls: false,
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
    pub(super) fn with_patience(mut self, limit: Duration, out: Out) -> Self {
        self.patience = Some(Patience {
            until: Box::pin(tokio::time::sleep(limit)),
            asked: self.caller.asked(),
            out,
        });
        self
    }

    /// Ends it when the other side takes nothing of what is written for `limit`, or gives a stream
    /// no window for three times as long although an answer waits, and calls `out` then. TLS keeps
    /// up to 64 KiB itself: where there is some, less than that may be taken in time.
    pub(super) fn with_stall_limit(mut self, limit: Duration, out: OutStalled) -> Self {
        self.stall = Some(Stall {
            limit,
            until: None,
            is_full: false,
            out,
        });
        self
    }

    /// Reads no more than so many bytes before others get a turn: thousands of small frames fit in
    /// what a socket holds, and all of them would be handled at one go.
    pub(super) const fn with_turns_of(mut self, bytes: usize) -> Self {
        self.turn = Some((bytes, bytes));
        self
    }

    /// Reads nothing while the node's loop waits for its turn, or many refusals are to be told.
    pub(super) fn yields_to(mut self, turn: Turn) -> Self {
        self.yields = Some(Yields {
            to: turn,
            pause: None,
            pauses: 0,
        });
        self
    }

    /// Tells apart who answers by TLS, which reads badly as anything else.
    pub(super) const fn looking_for_tls(mut self) -> Self {
        self.looks_for_tls = true;
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
        if let Some(stall) = &mut self.stall
            && let Some(stalled) = stall.over(&self.caller, cx)
        {
            if let Some(stall) = self.stall.take() {
                (stall.out)(stalled);
            }
            self.cut = None;
            return Poll::Ready(io::ErrorKind::TimedOut.into());
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
        doing: Doing,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if let Some(stall) = &mut self.stall {
            stall.observe(doing, written.is_pending());
        }
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
        let this = &mut *self;
        if let Some(yields) = &mut this.yields {
            ready!(yields.poll_turn(&this.caller, cx));
        }
        if let Some((all, left @ 0)) = &mut self.turn {
            *left = *all;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let mut read = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Some((all, left)) = &mut self.turn {
            *left = match read {
                Poll::Ready(_) => left.saturating_sub(buf.filled().len() - before),
                Poll::Pending => *all,
            };
        }
        if self.looks_for_tls
            && let Some(first) = buf.filled().get(before)
        {
            self.looks_for_tls = false;
            if *first == TLS_ALERT {
                read = Poll::Ready(Err(io::Error::other(
                    "it answers by TLS, and this side was told to do without",
                )));
            }
        }
        read
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
        self.or_end(Doing::Write, written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.or_end(Doing::Flush, written, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        self.or_end(Doing::Flush, written, cx)
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
        self.or_end(Doing::Write, written, cx)
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
    use crate::net::flow::StreamFlow;
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
    async fn who_sends_much_lets_others_have_a_turn() {
        let (connection, mut other, _cut) = connected().await;
        let mut connection = connection.with_turns_of(16);
        other.write_all(&[0; 64]).await.unwrap();
        // All of it is there.
        connection.read_exact(&mut [0; 8]).await.unwrap();
        let mut buffer = [0; 8];
        let mut read = ReadBuf::new(&mut buffer);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut turns = Vec::new();
        for _ in 0..6 {
            read.clear();
            let ready = Pin::new(&mut connection).poll_read(&mut cx, &mut read);
            turns.push(ready.is_ready());
        }
        assert_eq!(turns, [true, false, true, true, false, true]);
    }

    #[tokio::test]
    async fn nothing_is_read_while_the_loop_waits_for_its_turn_but_not_for_ever() {
        let (connection, mut other, _cut) = connected().await;
        let turn = Turn::default();
        let mut connection = connection.yields_to(turn.clone());
        other.write_all(&[0; 64]).await.unwrap();
        let mut bytes = [0; 8];
        connection.read_exact(&mut bytes).await.unwrap();
        turn.over(chil_core::Time::ZERO);
        let began = std::time::Instant::now();
        let read = timeout(20 * Yields::PAUSE, connection.read_exact(&mut bytes)).await;
        assert!(read.is_err(), "it is read from");
        connection.read_exact(&mut bytes).await.unwrap();
        assert!(began.elapsed() >= Yields::PAUSE * Yields::PAUSES_MAX);
        turn.over(SystemClock.now() + chil_core::Span::from_millis(60_000));
        let read = timeout(20 * Yields::PAUSE, connection.read_exact(&mut bytes)).await;
        assert!(read.is_ok(), "it is not overdue");
    }

    #[tokio::test]
    async fn who_is_refused_often_is_read_from_when_it_has_been_told() {
        let (connection, mut other, _cut) = connected().await;
        let mut connection = connection.yields_to(Turn::default());
        let caller = connection.connect_info();
        other.write_all(&[0; 64]).await.unwrap();
        let mut bytes = [0; 8];
        let mut refusing: Vec<_> = (1..Yields::REFUSALS_MAX)
            .map(|_| caller.is_refused())
            .collect();
        connection.read_exact(&mut bytes).await.unwrap();
        refusing.push(caller.is_refused());
        let read = timeout(SOON, connection.read_exact(&mut bytes)).await;
        assert!(read.is_err(), "it is read from");
        refusing.pop();
        let read = timeout(SOON, connection.read_exact(&mut bytes)).await;
        assert!(read.is_ok(), "it has been told");
    }

    #[tokio::test]
    async fn who_takes_nothing_for_too_long_is_closed_and_who_takes_little_is_not() {
        for reads in [false, true] {
            let (connection, mut other, _cut) = connected().await;
            let (told, out) = std::sync::mpsc::channel();
            let stalled = Box::new(move |stalled| told.send(stalled).unwrap());
            let mut connection = connection.with_stall_limit(2 * SOON, stalled);
            let mut held = None;
            if reads {
                tokio::spawn(async move {
                    let mut some = vec![0; 512 << 10];
                    while matches!(other.read(&mut some).await, Ok(1..)) {
                        tokio::time::sleep(SOON / 20).await;
                    }
                });
            } else {
                // It says all that it has to say, and reads nothing.
                other.write_all(&[0; 64]).await.unwrap();
                held = Some(other);
            }
            let writing = async {
                loop {
                    connection.write_all(&[0; 64 << 10]).await?;
                }
            };
            let ended: Result<io::Result<()>, _> = timeout(6 * SOON, writing).await;
            let stalled = (!reads).then_some(Stalled::Socket(2 * SOON));
            assert_eq!((ended.is_err(), out.try_recv().ok()), (reads, stalled));
            if let Ok(Err(error)) = ended {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            }
            drop(held);
        }
    }

    #[tokio::test]
    async fn who_gives_an_answer_no_window_is_closed_though_it_takes_all_else() {
        let (connection, mut other, _cut) = connected().await;
        let (told, out) = std::sync::mpsc::channel();
        let mut connection =
            connection.with_stall_limit(SOON / 10, Box::new(move |it| told.send(it).unwrap()));
        let stream = StreamFlow::new(Arc::clone(&connection.caller.flow));
        let mut byte = [0];
        for hands in [false, true] {
            let answer = hands.then(|| stream.hands(vec![7].into(), ()));
            tokio::time::sleep(SOON).await;
            other.write_all(&[0]).await.unwrap();
            let read = connection.read_exact(&mut byte).await;
            let kind = read.err().map(|error| error.kind());
            assert_eq!(kind, hands.then_some(io::ErrorKind::TimedOut));
            let stalled = hands.then_some(Stalled::Window(SOON / 10 * 3));
            assert_eq!(out.try_recv().ok(), stalled);
            drop(answer);
        }
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
