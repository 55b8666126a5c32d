//! The connections that are open, with what was shown on them: judged again when trust changes
//! or time passes, and closed when it no longer holds. Knows nothing about what they are used for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls_pki_types::{CertificateDer, UnixTime};

use super::reason::Reason;
use super::trust::Trust;
use crate::identity::Identity;
use crate::shutdown::{Stop, Stopped, Stopper, signal};

pub(crate) use super::judge::Shown;

/// The open connections of one node or client. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, Open>,
}

/// One connection behind its handshake.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Who is at the other end.
    pub(crate) who: Arc<Identity>,
    pub(crate) from: SocketAddr,
    /// Who has called whom.
    pub(crate) shown: Shown,
    /// What the other end has shown, its own certificate first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Of what this end has shown.
    pub(crate) generation: u64,
}

#[derive(Debug)]
struct Open {
    entry: Entry,
    cut: Stopper,
}

/// A connection that was closed, and why.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) who: Arc<Identity>,
    pub(crate) from: SocketAddr,
    pub(crate) reason: Reason,
}

/// Keeps a connection's entry for as long as it lives.
#[derive(Debug)]
pub(crate) struct Guard {
    live: Live,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.live.lock().open.remove(&self.id);
    }
}

impl Live {
    /// A connection is open: it is to be closed when the second result says so.
    pub(crate) fn open(&self, entry: Entry) -> (Guard, Stopped) {
        let (cut, told) = signal();
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, Open { entry, cut });
        let live = self.clone();
        (Guard { live, id }, told)
    }

    /// Judges all again, and closes those that are not believed any more.
    pub(crate) fn review(&self, trust: &Trust, now: UnixTime) -> Vec<Cut> {
        let mut cut = Vec::new();
        for open in self.lock().open.values() {
            let entry = &open.entry;
            if let Err(reason) = trust.judge(entry.shown, &entry.chain, now) {
                open.cut.tell(Stop::Now);
                cut.push(Cut {
                    who: Arc::clone(&entry.who),
                    from: entry.from,
                    reason,
                });
            }
        }
        cut
    }

    /// Closes the oldest connection that this side has opened and on which it has shown what it
    /// does not show any more. Returns whether there was one.
    pub(crate) fn renew_one(&self, generation: u64) -> bool {
        let state = self.lock();
        let old = |open: &&Open| {
            let entry = &open.entry;
            entry.shown == Shown::ByCalled && entry.generation < generation && !open.cut.told()
        };
        let found = state.open.values().find(old);
        if let Some(open) = found {
            open.cut.tell(Stop::Now);
        }
        found.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
