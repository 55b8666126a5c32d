//! Room for bytes that clients make a node hold, all together and for each client: a client may have
//! as much as is left for all. Knows nothing about what the bytes are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::caller::Caller;
use crate::metrics::Metrics;

/// Room of one kind. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    taken: Mutex<Taken>,
    /// What refusals are counted as.
    what: &'static str,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Taken {
    most: u64,
    all: u64,
    by_client: BTreeMap<Arc<str>, u64>,
}

/// What one of a client's requests holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    room: Room,
    client: Arc<str>,
    bytes: u64,
}

impl Room {
    /// For at most so many bytes at a time; refusals are counted under this name.
    pub(crate) fn new(what: &'static str, most: u64, metrics: Arc<Metrics>) -> Self {
        let taken = Mutex::new(Taken {
            most,
            all: 0,
            by_client: BTreeMap::new(),
        });
        Self(Arc::new(Shared {
            taken,
            what,
            metrics,
        }))
    }

    /// Nothing yet.
    pub(super) fn held_by(&self, caller: Option<&Caller>) -> Held {
        Held {
            room: self.clone(),
            client: caller
                .map(|caller| Arc::clone(caller.key()))
                .unwrap_or_default(),
            bytes: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Takes room for more of a client, unless that has as much as is left for all.
    fn take(&mut self, client: &Arc<str>, bytes: u64) -> bool {
        let own = self.by_client.get(client).copied().unwrap_or(0);
        if own + bytes > self.most.saturating_sub(self.all) {
            return false;
        }
        self.all += bytes;
        *self.by_client.entry(Arc::clone(client)).or_default() += bytes;
        true
    }

    fn give_back(&mut self, client: &Arc<str>, bytes: u64) {
        self.all -= bytes;
        let own = self.by_client.get_mut(client);
        let left = own.map_or(0, |own| {
            *own -= bytes;
            *own
        });
        if left == 0 {
            self.by_client.remove(client);
        }
    }
}

impl Held {
    /// Has so much, and not what it had before. Without room for it nothing changes.
    pub(super) fn hold(&mut self, bytes: u64) -> bool {
        if bytes == self.bytes {
            return true;
        }
        let mut taken = self.room.lock();
        if bytes < self.bytes {
            taken.give_back(&self.client, self.bytes - bytes);
        } else if !taken.take(&self.client, bytes - self.bytes) {
            drop(taken);
            self.room.0.metrics.admission.refused(self.room.0.what);
            return false;
        }
        drop(taken);
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_no_more_than_is_left_for_all_and_gives_all_of_it_back() {
        let metrics = Arc::new(Metrics::new("n"));
        let room = Room::new("receiving", 100, Arc::clone(&metrics));
        let held = |client: &str| Held {
            room: room.clone(),
            client: client.into(),
            bytes: 0,
        };
        let (mut one, mut same, mut other) = (held("a"), held("a"), held("b"));
        assert!(one.hold(50) && !same.hold(1) && !one.hold(51));
        assert!(other.hold(25) && !other.hold(26));
        assert!(one.hold(10) && same.hold(20) && !same.hold(60));
        drop((one, same, other));
        let taken = room.lock();
        assert_eq!((taken.all, taken.by_client.len()), (0, 0));
        let refused = "chil_requests_refused_total{node=\"n\",reason=\"receiving\"} 4";
        assert!(metrics.text().contains(refused), "{}", metrics.text());
    }
}
