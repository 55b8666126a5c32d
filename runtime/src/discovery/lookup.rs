//! One look-up of a host by the system's own resolver, on a thread that nobody has to wait for.
//! Knows nothing about refreshing, nor what is done with the answer.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::ResolveError;

/// Asks where a host is, once.
pub trait Lookup: Clone + Send + Sync + 'static {
    /// The addresses of `host` and `port`. Fails rather than waits for ever.
    fn lookup(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, ResolveError>> + Send;
}

/// `getaddrinfo`, so that `/etc/hosts`, `/etc/resolv.conf` and everything else that the machine is
/// set up with hold. It can hang for as long as it likes and cannot be cancelled: a few threads of
/// their own wait for it, never a runtime's, whose shutdown would wait for them.
#[derive(Clone, Debug)]
pub struct SystemLookup {
    places: Arc<Semaphore>,
    limit: Duration,
}

impl SystemLookup {
    /// Most look-ups under way at a time; one that hangs keeps its place until it ends.
    pub const AT_A_TIME: usize = 8;

    /// Gives up waiting for an answer after `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(Self::AT_A_TIME)),
            limit,
        }
    }

    async fn ask(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let closed = "this semaphore is never closed";
        let place = Arc::clone(&self.places).acquire_owned().await;
        let name = host.to_owned();
        let answer = on_a_thread(place.expect(closed), move || {
            (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect)
        });
        let answer: io::Result<Vec<SocketAddr>> = answer.await;
        answer.map_err(|error| ResolveError::Failed {
            host: host.to_owned(),
            reason: error.to_string(),
        })
    }
}

impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let asking = tokio::time::timeout(self.limit, self.ask(host, port));
        asking.await.unwrap_or_else(|_| {
            Err(ResolveError::Silent {
                host: host.to_owned(),
                limit: self.limit,
            })
        })
    }
}

/// What `work` returns; `place` is given back when it ends, whether or not anybody still waits.
async fn on_a_thread<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name("chil-lookup".to_owned());
    thread.spawn(move || {
        let done = work();
        drop(place);
        // Whoever asked may have given up.
        let _ = tell.send(done);
    })?;
    told.await
        .unwrap_or_else(|_| Err(io::Error::other("the look-up broke off")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let lookup = SystemLookup::new(Duration::from_secs(5));
        let found = lookup.lookup("localhost", 7).await.unwrap();
        assert!(found.iter().all(|at| at.ip().is_loopback()), "{found:?}");
        assert!(found.iter().all(|at| at.port() == 7), "{found:?}");
    }

    #[tokio::test]
    async fn what_nobody_knows_is_an_error_with_the_name() {
        let lookup = SystemLookup::new(Duration::from_secs(20));
        let error = lookup.lookup("no host has spaces", 7).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("'no host has spaces' cannot be"), "{text}");
    }

    #[test]
    fn threads_that_hang_keep_their_places_and_hold_up_no_shutdown() {
        let places = Arc::new(Semaphore::new(1));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (free, hangs) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let hanging = on_a_thread(place, move || hangs.recv().map_err(io::Error::other));
            let waiting = tokio::time::timeout(Duration::from_millis(20), hanging).await;
            assert!(waiting.is_err(), "nobody has let it go");
            assert_eq!(places.available_permits(), 0, "it hangs on");
        });
        // Would wait for ever if the runtime had to join the thread.
        drop(runtime);
        free.send(()).unwrap();
        while places.available_permits() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
