//! The directory of one node, shared by those who ask and those who find out; wakes the former.
//! Knows nothing about how anything is found out.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use super::{Directory, ResolveError, Tried};
use crate::metrics::{DiscoveryMetrics, Knowledge};
use crate::ports::Clock;

/// A directory with a clock and somebody to wake.
#[derive(Debug)]
pub(super) struct Places<C> {
    clock: C,
    directory: Mutex<Directory>,
    /// Told whenever an attempt to find something out has ended.
    told: watch::Sender<()>,
    metrics: OnceLock<DiscoveryMetrics>,
}

impl<C: Clock> Places<C> {
    pub(super) fn new(clock: C, patience: u32) -> Self {
        Self {
            clock,
            directory: Mutex::new(Directory::new(patience)),
            told: watch::Sender::new(()),
            metrics: OnceLock::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Directory> {
        // Nothing that holds the lock can leave the directory half changed.
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn clock(&self) -> &C {
        &self.clock
    }

    /// Counts there what is found out here. Only the first call has an effect.
    pub(super) fn count(self: &Arc<Self>, metrics: &DiscoveryMetrics) {
        if self.metrics.set(metrics.clone()).is_ok() {
            let places = Arc::downgrade(self);
            metrics.knows(move || {
                places
                    .upgrade()
                    .map(|this| this.knowledge())
                    .unwrap_or_default()
            });
        }
    }

    fn knowledge(&self) -> Knowledge {
        let now = self.clock.now();
        let directory = self.lock();
        Knowledge {
            addresses: directory.spots(),
            age: directory.age(now),
        }
    }

    /// An attempt to find something out has ended, well or not.
    pub(super) fn refreshed(&self, well: bool) {
        if let Some(metrics) = self.metrics.get() {
            metrics.refreshed(well);
        }
    }

    /// Takes an answer in and wakes whoever waits for it.
    pub(super) fn learned(&self, address: &str, answer: Result<Vec<SocketAddr>, ResolveError>) {
        let now = self.clock.now();
        let (changed, candidates) = {
            let mut directory = self.lock();
            let changed = directory.learned(now, address, answer);
            (changed, directory.candidates(address))
        };
        if changed {
            tracing::debug!(address, ?candidates, "discovery has news");
        }
        self.told.send_replace(());
    }

    pub(super) fn tried(&self, address: &str, at: SocketAddr, outcome: Tried) {
        self.lock().tried(address, at, outcome);
    }

    pub(super) fn leads_to(&self, ip: IpAddr) -> bool {
        self.lock().leads_to(ip)
    }

    /// Resolves once `answer` finds something to say; it is asked again whenever there is news.
    pub(super) async fn until<T>(&self, mut answer: impl FnMut(&Directory) -> Option<T>) -> T {
        let mut told = self.told.subscribe();
        loop {
            if let Some(answer) = answer(&self.lock()) {
                return answer;
            }
            told.changed()
                .await
                .expect("the sender lives as long as what is borrowed here");
        }
    }

    /// As [`super::Resolve::moved`].
    pub(super) async fn moved(&self, address: &str, from: Option<SocketAddr>) {
        let began = self.lock().version(address);
        self.until(|directory| {
            let moved = match from {
                Some(at) => directory.left(address, at),
                None => directory.version(address) != began,
            };
            moved.then_some(())
        })
        .await;
    }
}
