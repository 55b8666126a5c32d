//! Who is told when a connection is refused or cut: the audit and the metrics.
//! Knows nothing about why.

use std::fmt;
use std::sync::Arc;

use crate::audit::{Audit, Verdict};
use crate::caller::Caller;
use crate::metrics::Metrics;

/// A short name for metrics, and a text for people.
pub(crate) type Why<'a> = (&'static str, &'a dyn fmt::Display);

/// Who is told. Clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    audit: Audit,
    pub(crate) metrics: Arc<Metrics>,
}

/// Whom it happens to.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) from: &'a (dyn fmt::Display + Sync),
    pub(crate) who: Option<&'a (dyn fmt::Display + Sync)>,
}

impl Caller {
    /// Whom something happens to that happens to this caller.
    pub(crate) fn party(&self) -> Party<'_> {
        let who = self.identity();
        Party {
            from: &self.from,
            who: who.map(|who| who as &(dyn fmt::Display + Sync)),
        }
    }
}

impl Watch {
    /// Tells the audit of the node of this name, and its metrics.
    pub(crate) fn new(node: &str, metrics: &Arc<Metrics>) -> Self {
        Self {
            audit: Audit::new(node),
            metrics: Arc::clone(metrics),
        }
    }

    /// A connection, or what was sent on it first, is not taken.
    pub(crate) fn refused(&self, party: Party<'_>, why: Why<'_>) {
        self.metrics.net.refused(why.0);
        self.tell(Verdict::Refused, party, why);
    }

    /// Whoever was called is not believed, or does not believe this node.
    pub(crate) fn not_reached(&self, party: Party<'_>, why: Why<'_>) {
        self.metrics.net.dial_refused(why.0);
        self.tell(Verdict::Refused, party, why);
    }

    /// An open connection is closed.
    pub(crate) fn cut(&self, party: Party<'_>, why: Why<'_>) {
        self.metrics.net.cut(why.0);
        self.tell(Verdict::Cut, party, why);
    }

    /// A request is not allowed.
    pub(crate) fn denied(&self, party: Party<'_>, why: Why<'_>) {
        self.metrics.net.denied(why.0);
        self.tell(Verdict::Refused, party, why);
    }

    fn tell(&self, verdict: Verdict, party: Party<'_>, why: Why<'_>) {
        let who = party.who.map(|who| who as &dyn fmt::Display);
        self.audit.tell(verdict, party.from, who, why);
    }
}
