//! A listening socket that goes on when a connection cannot be accepted, and says so now and then.
//! Knows nothing about who may connect.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

/// Pause after a failed accept: the usual cause is that no file handle is left.
const PAUSE: Duration = Duration::from_millis(50);
/// After somebody was told of one, more of them are not worth a word for so long: it lasts, mostly,
/// and the log must not be what the next file handle is for.
const SILENCE: Duration = Duration::from_secs(10);

/// A socket that others connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    /// What connections are for, for people.
    purpose: &'static str,
    told: Option<Instant>,
}

impl Listener {
    pub(crate) const fn new(socket: TcpListener, purpose: &'static str) -> Self {
        let told = None;
        Self {
            socket,
            purpose,
            told,
        }
    }

    /// The next connection, and where it comes from. None is lost when this is given up.
    pub(crate) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    if self.told.is_none_or(|told| told.elapsed() >= SILENCE) {
                        tracing::warn!(%error, "cannot accept connections {}", self.purpose);
                        self.told = Some(Instant::now());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
