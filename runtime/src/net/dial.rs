//! Opens connections to others: finds where they are, proves who calls, and checks who answers.
//! Knows nothing about what is said then.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tonic::codegen::Service;

use super::accept::Proof;
use super::connection::{Connection, Socket};
use super::troubles::Troubles;
use crate::caller::Caller;
use crate::discovery::{Resolve, ResolveError, Tried};
use crate::identity::{Identity, shown};
use crate::ports::Target;
use crate::tls::Reason;
use crate::tls::live::Shown;

/// What every server is called in handshakes: nobody believes names there.
const SERVER_NAME: &str = "chil";
/// How long one of several addresses may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a handshake may take: less than the whole attempt, so that this is what is said.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Why nobody was reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Nobody knows where that is.
    #[error(transparent)]
    Nowhere(#[from] ResolveError),
    /// Nobody answers.
    #[error("{at}: {source}")]
    Socket {
        at: SocketAddr,
        source: std::io::Error,
    },
    /// One of both does not believe the other.
    #[error("{at}: {reason}")]
    Refused { at: SocketAddr, reason: Reason },
}

/// Opens connections.
#[derive(Clone, Debug)]
pub(crate) struct Dialler<R> {
    pub(crate) resolver: R,
    /// Without it, connections are not encrypted.
    pub(crate) proof: Option<Proof>,
    /// Who is told what does not work, if anybody is.
    pub(crate) troubles: Option<Troubles>,
}

impl DialError {
    /// What kind it is of.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Nowhere(_) => "nowhere",
            Self::Socket { .. } => "socket",
            Self::Refused { reason, .. } => reason.code(),
        }
    }
}

impl<R: Resolve> Dialler<R> {
    /// A connection to `target`.
    pub(crate) async fn dial(&self, target: &Target) -> Result<Connection, DialError> {
        let dialled = self.dial_any(target).await;
        if let Some(troubles) = &self.troubles {
            match &dialled {
                Ok(_) => troubles.reached(&target.address),
                Err(error) => troubles.failed(&target.address, error),
            }
        }
        dialled
    }

    async fn dial_any(&self, target: &Target) -> Result<Connection, DialError> {
        let addresses = self.resolver.resolve(&target.address).await?;
        let mut failed = None;
        for at in addresses {
            match self.dial_at(at, target).await {
                Ok(connection) => {
                    self.resolver.tried(&target.address, at, Tried::Connected);
                    let (resolver, address) = (self.resolver.clone(), target.address.clone());
                    let moved = async move { resolver.moved(&address, Some(at)).await };
                    return Ok(connection.ends_with(moved));
                }
                Err(error) => {
                    self.resolver.tried(&target.address, at, Tried::Failed);
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| {
            DialError::Nowhere(ResolveError::Nowhere {
                host: target.address.clone(),
                hint: "it was not found".to_owned(),
            })
        }))
    }

    async fn dial_at(&self, at: SocketAddr, target: &Target) -> Result<Connection, DialError> {
        let socket = |source| DialError::Socket { at, source };
        let connecting = tokio::time::timeout(ATTEMPT_TIMEOUT, TcpStream::connect(at)).await;
        let stream = connecting
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(socket)?;
        stream.set_nodelay(true).map_err(socket)?;
        let mut caller = Caller::unknown(at);
        let Some(proof) = &self.proof else {
            let socket = Socket::Plain(stream);
            let connection = Connection::new(socket, caller, Vec::new(), (None, None));
            return Ok(connection.looking_for_tls());
        };
        let refused = |reason| DialError::Refused { at, reason };
        if proof.looks {
            proof.trusted.look().await;
        }
        let trust = proof.trusted.now();
        let name = ServerName::try_from(SERVER_NAME).expect("it is a name of DNS");
        let connect = TlsConnector::from(Arc::clone(&trust.client)).connect(name, stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, connect)
            .await
            .map_err(|_| refused(Reason::TooSlow(HANDSHAKE_TIMEOUT)))?
            .map_err(|error| refused(Reason::of_io(&error)))?;
        let chain = stream.get_ref().1.peer_certificates();
        let (guard, not_believed) = proof
            .known(&trust, Shown::ByCalled, chain, &mut caller)
            .map_err(refused)?;
        check_name(&caller, target).map_err(refused)?;
        let keep = (Some(guard), None);
        let socket = Socket::Tls(Box::new(TlsStream::Client(stream)));
        Ok(Connection::new(socket, caller, vec![not_believed], keep))
    }
}

fn check_name(caller: &Caller, target: &Target) -> Result<(), Reason> {
    let found = caller.identity().map_or("nobody", Identity::name);
    match &target.name {
        Some(wanted) if wanted != found => Err(Reason::OtherName {
            found: shown(found),
            wanted: wanted.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Opens the connections of a channel of tonic, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Connector<R> {
    pub(crate) dialler: Dialler<R>,
    pub(crate) target: Target,
}

impl<R: Resolve> Service<http::Uri> for Connector<R> {
    type Response = TokioIo<Connection>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    /// The URI is tonic's: where to go is what the target says.
    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let connection = this.dialler.dial(&this.target).await?;
            Ok(TokioIo::new(connection))
        })
    }
}
