//! Who is told how late the node's loop comes to what it has to do at a time.
//! Knows nothing about what they make of it, nor how lateness is measured.

use std::sync::Arc;

use chil_core::{Span, Time};

use crate::admit::Admit;
use crate::metrics::Metrics;
use crate::net::doors::Doors;
use crate::turn::Turn;

/// Those who take on less while the loop comes late, and what counts it.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admit: Admit,
    pub(crate) doors: Doors,
    pub(crate) turn: Turn,
}

impl Late {
    /// The loop has done what there was to do, and is due again at `deadline`.
    pub(crate) fn is_due(&self, deadline: Time) {
        self.turn.over(deadline);
    }

    /// A deadline was met so late.
    pub(crate) fn measured(&self, now: Time, late: Span) {
        self.metrics.node.lagged(late);
        self.admit.measured(now, late);
        self.doors.measured(now, late);
    }
}
