//! The accounts of what clients ask of one node, shared by its services and its loop.
//! Knows nothing about what is asked for, nor how a refusal is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chil_core::{Span, Time};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Caller;
use crate::clock::SystemClock;
use crate::limits::{Admission, AdmissionLimits, Asker, Busy, Charge};
use crate::metrics::Metrics;
use crate::ports::Clock;

/// Lets requests in, or not.
#[derive(Clone, Debug)]
pub(crate) struct Admit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    admission: Mutex<Admission>,
    /// Places for those who are told late that they were not let in.
    waiting: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Refusals that are told late at the same time.
const WAITING_MAX: usize = 16_384;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client's own ends.
    Use,
    /// Looking after the cluster.
    Operate,
}

impl Admit {
    pub(crate) fn new(limits: AdmissionLimits, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            admission: Mutex::new(Admission::new(limits)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            metrics,
        }))
    }

    /// Lets a request of so many bytes in; it counts until what is returned is dropped.
    pub(crate) fn ask(
        &self,
        caller: Option<&Caller>,
        purpose: Purpose,
        bytes: usize,
    ) -> Result<Inside, Busy> {
        let key = caller.map_or("nobody", |caller| &**caller.key());
        let operates = operates(caller, purpose);
        let now = SystemClock.now();
        let ask = |asker| self.lock().ask(now, asker, bytes as u64);
        let asked = match purpose {
            Purpose::Operate if operates => ask(Asker::Operator),
            Purpose::Use | Purpose::Operate => ask(Asker::Client(key)),
        };
        // Whoever may look after the cluster is a client like any other first: the few places that
        // are kept for it are for when there is no other.
        let asked = match asked {
            Err(_) if operates && purpose == Purpose::Use => ask(Asker::Operator),
            asked => asked,
        };
        match asked {
            Ok(charge) => {
                self.0.metrics.admission.let_in(bytes as u64);
                Ok(Inside {
                    admit: self.clone(),
                    charge: Some((charge, bytes as u64)),
                })
            }
            Err(busy) => {
                self.0.metrics.admission.refused(busy.why.code());
                Err(busy)
            }
        }
    }

    /// A place in which somebody who was not let in may be kept for a while.
    pub(crate) fn place_to_wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.waiting).try_acquire_owned().ok()
    }

    /// The node met a deadline of its own so late.
    pub(crate) fn measured(&self, now: Time, late: Span) {
        self.lock().measured(now, late);
    }

    fn lock(&self) -> MutexGuard<'_, Admission> {
        // Every change leaves the accounts whole, so a panic elsewhere does not spoil them.
        let admission = &self.0.admission;
        admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody gets the places of those who look after the cluster. Where nobody proves who
/// it is, it is what is asked for that counts.
fn operates(caller: Option<&Caller>, purpose: Purpose) -> bool {
    match caller {
        Some(caller) if caller.identity().is_some() => caller.is_operator(),
        Some(_) | None => purpose == Purpose::Operate,
    }
}

/// A request that was let in.
#[derive(Debug)]
#[must_use = "it counts until it is dropped"]
pub(crate) struct Inside {
    admit: Admit,
    /// Taken when it is dropped.
    charge: Option<(Charge, u64)>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some((charge, bytes)) = self.charge.take() {
            self.admit.0.metrics.admission.left(bytes);
            self.admit.lock().done(charge);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::identity::{Identity, Kind, Role};
    use crate::limits::BusyReason;

    fn caller(kind: Option<Kind>) -> Caller {
        let mut caller = Caller::unknown(SocketAddr::from(([10, 0, 0, 1], 5)));
        if let Some(kind) = kind {
            caller.proves(Arc::new(Identity::new("local", kind, "a").unwrap()));
        }
        caller
    }

    #[test]
    fn what_is_let_in_counts_until_it_is_dropped_and_operators_get_in_all_the_same() {
        let limits = AdmissionLimits {
            in_flight: 1,
            ..AdmissionLimits::default()
        };
        let metrics = Arc::new(Metrics::new("n"));
        let admit = Admit::new(limits, Arc::clone(&metrics));
        let (somebody, admin) = (caller(None), caller(Some(Kind::Client(Role::Admin))));
        let held = admit.ask(Some(&somebody), Purpose::Use, 10).unwrap();
        let busy = admit.ask(
            Some(&caller(Some(Kind::Client(Role::Write)))),
            Purpose::Operate,
            1,
        );
        assert_eq!(busy.unwrap_err().why, BusyReason::InFlight);
        let operators = [
            admit.ask(Some(&admin), Purpose::Use, 1),
            admit.ask(Some(&somebody), Purpose::Operate, 1),
        ];
        assert!(operators.iter().all(Result::is_ok));
        let text = metrics.text();
        for line in [
            "chil_requests_in_flight{node=\"n\"} 3",
            "chil_request_bytes_in_flight{node=\"n\"} 12",
            "chil_requests_refused_total{node=\"n\",reason=\"in-flight\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop((held, operators));
        assert!(admit.ask(Some(&somebody), Purpose::Use, 10).is_ok());
        assert!(
            metrics
                .text()
                .contains("chil_requests_in_flight{node=\"n\"} 0")
        );
    }

    #[test]
    fn whoever_may_look_after_the_cluster_has_the_room_of_any_other_client() {
        let metrics = Arc::new(Metrics::new("n"));
        let admit = Admit::new(AdmissionLimits::default(), metrics);
        let admin = caller(Some(Kind::Client(Role::Admin)));
        let asked = (0..500).map(|_| admit.ask(Some(&admin), Purpose::Use, 1));
        let inside: Vec<_> = asked.collect();
        assert!(inside.iter().all(Result::is_ok));
    }
}
