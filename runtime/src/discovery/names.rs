//! Discovery by names: each address that was asked for has a task that looks it up when it is due.
//! Knows nothing about how a look-up is done, nor who lives at an address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use chil_core::Span;
use futures_util::FutureExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::places::Places;
use super::{Directory, Lookup, Resolve, ResolveError, Tried};
use crate::metrics::DiscoveryMetrics;
use crate::ports::Clock;

/// When names are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So often, give or take a fifth; `None`: only where somebody is about to connect.
    pub refresh: Option<Span>,
    /// In how many answers running an address must be missing before it is given up.
    pub patience: u32,
    /// A name that leads nowhere now is looked up at once by whoever asks, but no more often.
    pub again: Span,
    /// Of the jitter.
    pub seed: u64,
}

/// Names and what they stand for, kept fresh. Clones share it; dropping the last one ends it.
#[derive(Debug)]
pub struct Names<L, C> {
    shared: Arc<Shared<L, C>>,
}

#[derive(Debug)]
struct Shared<L, C> {
    places: Arc<Places<C>>,
    lookup: L,
    pace: Pace,
    tasks: Mutex<BTreeMap<String, Task>>,
}

/// What looks one address up.
#[derive(Debug)]
struct Task {
    at_once: Arc<Notify>,
    running: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl<L, C> Clone for Names<L, C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<L, C> Shared<L, C> {
    /// Nobody has asked for this address for long: nobody looks it up any more.
    fn forget(&self, address: &str) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.remove(address);
    }
}

impl<L: Lookup, C: Clock> Names<L, C> {
    /// Looks names up with `lookup`, at this pace.
    #[must_use]
    pub fn new(lookup: L, clock: C, pace: Pace) -> Self {
        let shared = Shared {
            places: Arc::new(Places::new(clock, pace.patience)),
            lookup,
            pace,
            tasks: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Counts there what is found out.
    pub(crate) fn count(&self, metrics: &DiscoveryMetrics) {
        self.shared.places.count(metrics);
    }

    /// Has `address` looked up by the task that it has, or gets now. On a tokio runtime only.
    fn refresh(&self, address: &str, host: &str, port: u16, forgotten: Option<&str>) {
        let shared = &self.shared;
        if let Some(forgotten) = forgotten {
            shared.forget(forgotten);
        }
        let mut tasks = shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tasks.get(address) {
            return task.at_once.notify_one();
        }
        let at_once = Arc::new(Notify::new());
        let refresher = Refresher {
            places: Arc::clone(&shared.places),
            lookup: shared.lookup.clone(),
            pace: shared.pace,
            at_once: Arc::clone(&at_once),
            address: address.to_owned(),
            host: host.to_owned(),
            port,
        };
        let running = tokio::spawn(refresher.run()).abort_handle();
        tasks.insert(address.to_owned(), Task { at_once, running });
    }
}

impl<L: Lookup, C: Clock> Resolve for Names<L, C> {
    async fn resolve(&self, address: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let places = &self.shared.places;
        let now = places.clock().now();
        if let Ok(literal) = address.parse::<SocketAddr>() {
            let forgotten = places.lock().ask(address);
            if let Some(forgotten) = forgotten {
                self.shared.forget(&forgotten);
            }
            places.learned(address, Ok(vec![literal]));
            return Ok(vec![literal]);
        }
        let (host, port) = host_and_port(address)?;
        let (known, lost, since, attempts, forgotten) = {
            let mut directory = places.lock();
            let forgotten = directory.ask(address);
            let known = directory.candidates(address);
            let since = directory.since_attempt(now, address);
            let lost = directory.is_lost(address);
            let attempts = directory.attempts(address);
            (known, lost, since, attempts, forgotten)
        };
        let pace = self.shared.pace;
        let long_ago = since.is_none_or(|since| since >= pace.again);
        let wanted = long_ago && (lost || pace.refresh.is_none());
        if wanted || forgotten.is_some() {
            self.refresh(address, host, port, forgotten.as_deref());
        }
        if !known.is_empty() {
            return Ok(known);
        }
        // Nothing is known: worth waiting for. Of those that wait at a time, one asks for all.
        let answer = |directory: &Directory| {
            let known = directory.candidates(address);
            if !known.is_empty() {
                return Some(Ok(known));
            }
            if wanted && directory.attempts(address) == attempts {
                return None;
            }
            let error = directory.error(address);
            Some(Err(error.unwrap_or_else(|| nowhere(host))))
        };
        places.until(answer).await
    }

    fn tried(&self, address: &str, at: SocketAddr, outcome: Tried) {
        self.shared.places.tried(address, at, outcome);
    }

    fn forget(&self, address: &str) {
        self.shared.places.lock().forget(address);
        self.shared.forget(address);
    }

    async fn moved(&self, address: &str, from: Option<SocketAddr>) {
        self.shared.places.moved(address, from).await;
    }

    fn leads_to(&self, ip: IpAddr) -> bool {
        self.shared.places.leads_to(ip)
    }
}

/// The task behind one address.
struct Refresher<L, C> {
    places: Arc<Places<C>>,
    lookup: L,
    pace: Pace,
    at_once: Arc<Notify>,
    address: String,
    host: String,
    port: u16,
}

impl<L: Lookup, C: Clock> Refresher<L, C> {
    async fn run(self) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.pace.seed ^ hash(&self.address));
        loop {
            let answer = self.lookup.lookup(&self.host, self.port).await;
            let answer = answer.and_then(|found| {
                let some = (!found.is_empty()).then_some(found);
                some.ok_or_else(|| nowhere(&self.host))
            });
            self.places.refreshed(answer.is_ok());
            if let Err(error) = &answer {
                tracing::debug!(address = %self.address, %error, "keeps what was known");
            }
            self.places.learned(&self.address, answer);
            // Whoever asked meanwhile has the answer.
            let _ = self.at_once.notified().now_or_never();
            tokio::select! {
                biased;
                () = self.at_once.notified() => {}
                () = self.due(&mut rng) => {}
            }
        }
    }

    /// Resolves when it is time again. Nodes that were started together must not ask together.
    async fn due(&self, rng: &mut ChaCha8Rng) {
        let Some(refresh) = self.pace.refresh else {
            return std::future::pending().await;
        };
        let jitter = Span::from_nanos(rng.next_u64() % (refresh.nanos() / 5 * 2).max(1));
        let pause = refresh.divided(5).times(4) + jitter;
        self.places.clock().sleep(pause).await;
    }
}

fn nowhere(host: &str) -> ResolveError {
    ResolveError::Nowhere {
        host: host.to_owned(),
        hint: "add A or AAAA records, or correct the name".to_owned(),
    }
}

fn hash(address: &str) -> u64 {
    let number = |hash: u64, byte: u8| hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte);
    address.bytes().fold(0xcbf2_9ce4_8422_2325, number)
}

/// `host:port` in its parts.
pub(super) fn host_and_port(address: &str) -> Result<(&str, u16), ResolveError> {
    let parts = address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| ResolveError::Failed {
        host: address.to_owned(),
        reason: "it has no port: write host:port".to_owned(),
    })
}
