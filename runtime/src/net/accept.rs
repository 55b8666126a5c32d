//! The listening socket: lets connections in, has them prove who they are, and hands them to the
//! server that is for them. Knows nothing about what is served.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::connection::{Connection, Socket, Stalled};
use super::doors::{Doors, Held};
use super::flow::Flow;
use super::goodbye;
use super::listen::Listener;
use super::server::{CLIENT_STREAMS, Services, serve};
use super::watch::Watch;
use crate::admit::Admit;
use crate::api::Guarded;
use crate::caller::Caller;
use crate::discovery::Resolve;
use crate::identity::{Identity, Kind, Role};
use crate::late::Late;
use crate::limits::{GateReason, Who};
use crate::metrics::Metrics;
use crate::shutdown::Stopped;
use crate::tls::live::{Entry, Guard, Live, Shown};
use crate::tls::trust::{Trust, Trusted};
use crate::tls::{Reason, leaf};
use crate::turn::Turn;

/// Connections that may wait for their server.
const ACCEPTED_MAX: usize = 2_048;
/// Within what time a handshake has to be through, and something has to be asked behind it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long what is written to somebody may wait without any of it being taken.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// What is read from a client before others get a turn: some hundred of the smallest frames.
const TURN_BYTES: usize = 4 << 10;

/// Connections for one server.
pub(super) type Incoming = mpsc::Receiver<io::Result<Connection>>;
type Hand = mpsc::Sender<io::Result<Connection>>;

/// How a connection proves who is at its other end.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) live: Live,
    /// Whether whoever dials looks for new files, since nobody else does.
    pub(crate) looks: bool,
}

impl Proof {
    /// The other end of a handshake that began with `trust` has shown this chain, and it was
    /// believed: `caller` is known from now on. The connection ends when what is returned says so.
    pub(super) fn known(
        &self,
        trust: &Trust,
        shown: Shown,
        chain: Option<&[CertificateDer<'static>]>,
        caller: &mut Caller,
    ) -> Result<(Guard, Stopped), Reason> {
        let chain = chain.unwrap_or_default();
        let identity = Arc::new(leaf::identity(chain.first().ok_or(Reason::NoCertificate)?)?);
        caller.proves(Arc::clone(&identity));
        let open = self.live.open(Entry {
            who: identity,
            from: caller.from,
            shown,
            chain: chain.to_vec(),
            generation: trust.generation,
        });
        // Where trust has changed since the handshake began, nobody has judged this one since.
        let now = self.trusted.now();
        if now.generation != trust.generation {
            now.judge(shown, chain, self.trusted.time())?;
        }
        Ok(open)
    }
}

/// What an acceptor needs.
#[derive(Clone)]
pub(crate) struct Acceptor<R> {
    /// Without it, nobody proves anything, and everybody may do everything.
    pub(crate) proof: Option<Proof>,
    pub(crate) doors: Doors,
    /// When clients are not read from.
    pub(crate) turn: Turn,
    pub(crate) resolver: R,
    pub(crate) watch: Watch,
    /// Says when all connections are to be cut.
    pub(crate) connected: Stopped,
}

/// Where connections go: to the server for peers, or to that for clients; without TLS all are for
/// one.
#[derive(Clone)]
struct Hands {
    peers: Hand,
    clients: Hand,
}

/// A connection that is to be closed, since it gets no place; until then it has that of its
/// handshake.
struct NoPlace {
    socket: Socket,
    why: GateReason,
    held: Held,
}

impl NoPlace {
    async fn say_so(self) {
        let why = self.why.to_string();
        match self.socket {
            Socket::Plain(stream) => goodbye::say(stream, &why).await,
            Socket::Tls(stream) => goodbye::say(stream, &why).await,
        }
        drop(self.held);
    }
}

/// The connections for the two servers.
pub(super) struct Accepted {
    pub(super) peers: Incoming,
    pub(super) clients: Incoming,
}

impl<R: Resolve> Acceptor<R> {
    /// All who are to be told how late the node's loop comes.
    pub(crate) fn told_of_lateness(&self, metrics: &Arc<Metrics>, admit: &Admit) -> Late {
        Late {
            metrics: Arc::clone(metrics),
            admit: admit.clone(),
            doors: self.doors.clone(),
            turn: self.turn.clone(),
        }
    }

    /// Accepts on `listener` and serves `services` until `accepting` says stop.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        services: Services,
        accepting: Stopped,
    ) -> Result<(), tonic::transport::Error> {
        let guarded = Guarded(self.watch.clone());
        let accepted = self.start(listener, accepting.clone());
        serve(accepted, services, guarded, accepting).await
    }

    fn start(self, listener: TcpListener, accepting: Stopped) -> Accepted {
        let (peers, peers_out) = mpsc::channel(ACCEPTED_MAX);
        let (clients, clients_out) = mpsc::channel(ACCEPTED_MAX);
        tokio::spawn(self.run(listener, accepting, Hands { peers, clients }));
        Accepted {
            peers: peers_out,
            clients: clients_out,
        }
    }

    async fn run(self, listener: TcpListener, mut accepting: Stopped, hands: Hands) {
        let mut listener = Listener::new(listener, "of peers and clients");
        loop {
            let (stream, from) = tokio::select! {
                biased;
                () = accepting.at_all() => return,
                accepted = listener.next() => accepted,
            };
            self.accepted(stream, Caller::unknown(from), &hands);
        }
    }

    fn accepted(&self, stream: TcpStream, caller: Caller, hands: &Hands) {
        let ip = caller.from.ip();
        let held = match self.doors.arrive(ip, self.resolver.leads_to(ip)) {
            Ok(held) => held,
            Err(reason) => return self.turned_away(&caller, reason),
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "an accepted connection keeps its delay");
        }
        let Some(proof) = self.proof.clone() else {
            let entered = self.enter(Socket::Plain(stream), caller, held, None, hands);
            if let Err(no_place) = entered {
                self.until_cut(no_place.say_so());
            }
            return;
        };
        let (this, hands) = (self.clone(), hands.clone());
        self.until_cut(async move { this.shake(proof, stream, caller, held, hands).await });
    }

    /// Does this beside the loop, for as long as there are to be connections.
    fn until_cut(&self, doing: impl Future<Output = ()> + Send + 'static) {
        let mut connected = self.connected.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = connected.at_once() => {}
                () = doing => {}
            }
        });
    }

    /// Has the other end prove who it is.
    async fn shake(
        &self,
        proof: Proof,
        stream: TcpStream,
        mut caller: Caller,
        held: Held,
        hands: Hands,
    ) {
        let wait = held.wait();
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
        let trust = proof.trusted.now();
        let limit = HANDSHAKE_TIMEOUT;
        let accept = TlsAcceptor::from(Arc::clone(&trust.server)).accept(stream);
        let shaken = tokio::time::timeout(limit, accept.into_fallible()).await;
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                self.refused(&caller, &Reason::of_io(&error));
                return goodbye::drain(stream).await;
            }
            Err(_) => return self.refused(&caller, &Reason::TooSlow(limit)),
        };
        let chain = stream.get_ref().1.peer_certificates();
        let live = match proof.known(&trust, Shown::ByCaller, chain, &mut caller) {
            Ok(live) => live,
            Err(reason) => return self.refused(&caller, &reason),
        };
        let stream = Socket::Tls(Box::new(TlsStream::Server(stream)));
        if let Err(no_place) = self.enter(stream, caller, held, Some(live), &hands) {
            no_place.say_so().await;
        }
    }

    /// Hands a connection to the server that is for it, if it gets a place.
    fn enter(
        &self,
        socket: Socket,
        mut caller: Caller,
        mut held: Held,
        live: Option<(Guard, Stopped)>,
        hands: &Hands,
    ) -> Result<(), Box<NoPlace>> {
        let key = &**caller.key();
        let (side, who) = match caller.identity().map(Identity::kind) {
            None => ("anybody", Who::Anybody),
            Some(Kind::Node) => ("peers", Who::Peer(key)),
            Some(Kind::Client(Role::Admin)) => ("clients", Who::Operator(key)),
            Some(Kind::Client(_)) => ("clients", Who::Client(key)),
        };
        let evicted = match held.identified(who) {
            Ok(evicted) => evicted,
            Err(why) => {
                self.turned_away(&caller, why);
                return Err(Box::new(NoPlace { socket, why, held }));
            }
        };
        if side == "clients" {
            caller.flow = Arc::new(Flow::new(CLIENT_STREAMS));
        }
        let mut told = vec![self.connected.clone(), evicted];
        let opened = self.watch.metrics.net.opened(side);
        let guard = live.map(|(guard, not_believed)| {
            told.push(not_believed);
            guard
        });
        let keep = (guard, Some((held, opened)));
        let (watch, silent, limit) = (self.watch.clone(), caller.clone(), FIRST_REQUEST_TIMEOUT);
        let out = move || {
            let text = format!("nothing was asked within {limit:?}");
            watch.cut(silent.party(), ("silent", &text));
        };
        let connection = Connection::new(socket, caller.clone(), told, keep);
        let connection = connection.with_patience(limit, Box::new(out));
        let (watch, stalled) = (self.watch.clone(), caller.clone());
        let out = move |how: Stalled| watch.cut(stalled.party(), ("stalled", &how));
        let mut connection = connection.with_stall_limit(STALL_TIMEOUT, Box::new(out));
        if side != "peers" {
            connection = connection.with_turns_of(TURN_BYTES);
        }
        // Where it is not known who is who, a peer may be at its other end.
        if side == "clients" {
            connection = connection.yields_to(self.turn.clone());
        }
        let hand = if side == "peers" {
            &hands.peers
        } else {
            &hands.clients
        };
        // A server that is gone has nothing to say: the node ends.
        if let Err(mpsc::error::TrySendError::Full(_)) = hand.try_send(Ok(connection)) {
            let text = format!("{ACCEPTED_MAX} connections wait for their server");
            self.watch.refused(caller.party(), ("accept-queue", &text));
        }
        Ok(())
    }

    fn refused(&self, caller: &Caller, reason: &Reason) {
        self.watch.refused(caller.party(), (reason.code(), reason));
    }

    fn turned_away(&self, caller: &Caller, reason: GateReason) {
        self.watch.refused(caller.party(), (reason.code(), &reason));
    }
}
