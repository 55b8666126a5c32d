//! The connections that are open, with what was shown on them: judged again when trust changes
//! or time passes, and closed when it no longer holds. Knows nothing about what they are used for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls_pki_types::{CertificateDer, UnixTime};

use super::leaf::{self, Validity};
use super::reason::Reason;
use super::trust::Trust;
use crate::identity::Identity;
use crate::shutdown::{Stop, Stopped, Stopper, signal};

pub(crate) use super::judge::Shown;

/// Chains that are judged before others get their turn: each takes about a fifth of a millisecond.
const JUDGED_AT_ONCE: usize = 8;

/// The open connections of one node or client. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, Arc<Open>>,
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
    /// While every certificate of the chain holds.
    holds: Validity,
    /// The generation of the trust that has believed it last.
    judged: AtomicU64,
    cut: Stopper,
}

impl Open {
    /// Whether it is believed as it was: judging it again would come to the same.
    fn is_as_it_was(&self, generation: u64, now: UnixTime) -> bool {
        let in_time = (self.holds.from..=self.holds.to).contains(&now.as_secs());
        in_time && self.judged.load(Ordering::Relaxed) == generation
    }
}

/// While all of these hold. What cannot be read never does: that is found out where it is judged.
fn all_hold(chain: &[CertificateDer<'_>]) -> Validity {
    let never = Validity { from: 1, to: 0 };
    let all = Validity {
        from: 0,
        to: u64::MAX,
    };
    chain.iter().fold(all, |all, certificate| {
        let one = leaf::validity(certificate).unwrap_or(never);
        Validity {
            from: all.from.max(one.from),
            to: all.to.min(one.to),
        }
    })
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
        let open = Open {
            holds: all_hold(&entry.chain),
            judged: AtomicU64::new(entry.generation),
            entry,
            cut,
        };
        state.open.insert(id, Arc::new(open));
        let live = self.clone();
        (Guard { live, id }, told)
    }

    /// Judges all again, and closes those that are not believed any more. Those that were judged
    /// by `trust` already are judged again when one of their certificates does not hold any more.
    ///
    /// Whoever opens a connection meanwhile compares its trust with what holds then.
    pub(crate) async fn review(&self, trust: &Trust, now: UnixTime) -> Vec<Cut> {
        // Judging takes its time: neither new connections nor those that close wait for it.
        let open: Vec<Arc<Open>> = self.lock().open.values().map(Arc::clone).collect();
        let (mut cut, mut judged) = (Vec::new(), 0);
        for open in open {
            if open.cut.told() || open.is_as_it_was(trust.generation, now) {
                continue;
            }
            judged += 1;
            if judged % JUDGED_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            let entry = &open.entry;
            match trust.judge(entry.shown, &entry.chain, now) {
                Ok(_) => open.judged.store(trust.generation, Ordering::Relaxed),
                Err(reason) => {
                    open.cut.tell(Stop::Now);
                    cut.push(Cut {
                        who: Arc::clone(&entry.who),
                        from: entry.from,
                        reason,
                    });
                }
            }
        }
        cut
    }

    /// Closes the oldest connection that this side has opened and on which it has shown what it
    /// does not show any more. Returns whether there was one.
    pub(crate) fn renew_one(&self, generation: u64) -> bool {
        let state = self.lock();
        let old = |open: &&Arc<Open>| {
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
