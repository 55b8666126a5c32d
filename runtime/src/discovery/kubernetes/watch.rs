//! What to ask the Kubernetes API next, and what follows from its answers: list, then watch.
//! Knows nothing about HTTP, tokens or pods: requests are values, answers too.
//!
//! ```text
//! list (page by page) --> watch from there --> ended: watch on from the last version
//!          ^                   |
//!          +--- 410: too old --+          any failure: pause, then the same again
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chil_core::{Span, Time};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::slice::{Endpoint, Slice};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Fetch a page of all slices; the first, or the one that this text of the last page names.
    List {
        /// Where to go on.
        from: Option<String>,
    },
    /// Open a stream of everything that changes from this version on.
    Watch {
        /// The version of the last list, event or bookmark.
        version: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A page of the list.
    Page {
        /// What stands on it.
        slices: Vec<Slice>,
        /// The state that the list is of.
        version: String,
        /// Where it goes on; `None` on its last page.
        more: Option<String>,
    },
    /// The stream of changes is open.
    Opened,
    /// A slice is new, or is another one than before.
    Changed(Slice),
    /// A slice is gone.
    Deleted(Slice),
    /// Nothing has changed up to this version.
    Bookmark(String),
    /// The stream has ended in good order.
    Ended,
    /// The API said no, by the status of its answer or by an event of the stream.
    Refused {
        /// The status, as HTTP has it.
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Span>,
        /// Its words.
        text: String,
    },
    /// The connection failed, broke, fell silent, or carried what nobody understands.
    Broken(String),
}

/// What is known of a service's endpoints, and how to know more.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    slices: BTreeMap<String, Slice>,
    /// Whether `slices` is, or once was, all of them.
    listed: bool,
    next: Ask,
    /// Of a list that is under way.
    pages: BTreeMap<String, Slice>,
    not_before: Time,
    /// When the stream that is open was opened.
    opened: Option<Time>,
    failures: u32,
    /// How often a version was too old since a stream was of use: lists that succeed do not help
    /// then.
    too_old: u32,
    rng: ChaCha8Rng,
}

impl Watch {
    /// Shortest and longest pause behind a failure, and the longest that the API may ask for.
    const PAUSE_MIN: Span = Span::from_millis(1_000);
    const PAUSE_MAX: Span = Span::from_millis(30_000);
    const RETRY_AFTER_MAX: Span = Span::from_millis(120_000);
    /// A stream that ends sooner did not end because its time was over.
    const STREAM_MIN: Span = Span::from_millis(1_000);
    /// After so many failures running it does not go on, but begins anew.
    const FAILURES_MAX: u32 = 3;
    /// Most slices that are kept. A service has one for a hundred pods.
    pub(super) const SLICES_MAX: usize = 256;

    /// Begins with a list.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        Self {
            slices: BTreeMap::new(),
            listed: false,
            next: Ask::List { from: None },
            pages: BTreeMap::new(),
            not_before: Time::ZERO,
            opened: None,
            failures: 0,
            too_old: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// What to ask next, and when.
    #[must_use]
    pub(super) fn next(&self) -> (Time, Ask) {
        (self.not_before, self.next.clone())
    }

    /// Whether all slices were listed once.
    #[cfg(test)]
    pub(super) const fn is_listed(&self) -> bool {
        self.listed
    }

    /// Everybody who is known, by name; those that are about to end come last.
    #[must_use]
    pub(super) fn endpoints(&self) -> BTreeMap<String, Vec<Endpoint>> {
        let all = self.slices.values().flat_map(|slice| &slice.endpoints);
        // Ordered as the fields are: name, whether it ends, address.
        let all: BTreeSet<&Endpoint> = all.collect();
        let mut by_name: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
        for endpoint in all {
            let same = by_name.entry(endpoint.name.clone()).or_default();
            same.push(endpoint.clone());
        }
        by_name
    }

    /// Takes an answer in. Returns whether what is known has changed.
    pub(super) fn handle(&mut self, now: Time, answer: Answer) -> bool {
        match answer {
            Answer::Page {
                slices,
                version,
                more,
            } => self.page(slices, version, more),
            Answer::Opened => {
                self.opened = Some(now);
                false
            }
            Answer::Changed(slice) => {
                self.seen(&slice.version);
                let room = self.slices.len() < Self::SLICES_MAX;
                if !room && !self.slices.contains_key(&slice.name) {
                    return false;
                }
                let name = slice.name.clone();
                let before = self.slices.insert(name.clone(), slice);
                before.map(|slice| slice.endpoints).as_ref()
                    != self.slices.get(&name).map(|slice| &slice.endpoints)
            }
            Answer::Deleted(slice) => {
                self.seen(&slice.version);
                self.slices.remove(&slice.name).is_some()
            }
            Answer::Bookmark(version) => {
                self.seen(&version);
                false
            }
            Answer::Ended => {
                if !self.closed(now) {
                    self.pause(now, None);
                }
                false
            }
            Answer::Refused {
                status,
                retry_after,
                ..
            } => {
                self.refused(now, status, retry_after);
                false
            }
            Answer::Broken(_) => {
                self.pause(now, None);
                false
            }
        }
    }

    fn page(&mut self, slices: Vec<Slice>, version: String, more: Option<String>) -> bool {
        self.failures = 0;
        for slice in slices {
            if self.pages.len() < Self::SLICES_MAX {
                self.pages.insert(slice.name.clone(), slice);
            }
        }
        if let Some(from) = more {
            self.next = Ask::List { from: Some(from) };
            return false;
        }
        self.next = Ask::Watch { version };
        let before = self.endpoints();
        let first = !self.listed;
        self.slices = std::mem::take(&mut self.pages);
        self.listed = true;
        first || self.endpoints() != before
    }

    /// The stream goes on from `version` if it has to be opened again.
    fn seen(&mut self, version: &str) {
        self.failures = 0;
        if let Ask::Watch { version: last } = &mut self.next
            && !version.is_empty()
        {
            version.clone_into(last);
        }
    }

    fn refused(&mut self, now: Time, status: u16, retry_after: Option<Span>) {
        self.closed(now);
        match status {
            // Too old: what happened since is not kept any more. Of a list, its pages.
            410 => {
                self.list_again();
                self.failures = self.failures.max(self.too_old);
                self.too_old = self.too_old.saturating_add(1);
                // The first time is usual, and what is known is old: no time is lost then.
                if self.failures > 0 {
                    return self.pause(now, retry_after);
                }
                self.failures = 1;
            }
            // Tokens are replaced from time to time: the next request carries the new one.
            401 if self.failures == 0 => {
                self.failures += 1;
            }
            400..=499 if status != 429 && status != 408 => {
                // Nothing that this node does changes it; somebody has to.
                self.failures = self.failures.max(5);
                self.list_again();
                self.pause(now, retry_after);
            }
            _ => self.pause(now, retry_after),
        }
    }

    /// The stream, if there was one, is not open any more. Returns whether it was of use.
    fn closed(&mut self, now: Time) -> bool {
        let opened = self.opened.take();
        let lasted = opened.is_some_and(|opened| now.since(opened) >= Self::STREAM_MIN);
        if lasted {
            self.failures = 0;
            self.too_old = 0;
        }
        lasted
    }

    fn list_again(&mut self) {
        self.next = Ask::List { from: None };
        self.pages.clear();
    }

    /// Half of what doubles with each failure, and a random part of the other half.
    fn pause(&mut self, now: Time, retry_after: Option<Span>) {
        self.closed(now);
        // Whatever it is that does not work from there on: a list begins anew.
        if self.failures >= Self::FAILURES_MAX {
            self.list_again();
        }
        let doubled = Self::PAUSE_MIN.times(1 << self.failures.min(5));
        let longest = doubled.min(Self::PAUSE_MAX);
        let jitter = Span::from_nanos(self.rng.next_u64() % longest.nanos()).divided(2);
        let pause = longest.divided(2) + jitter;
        self.failures = self.failures.saturating_add(1);
        let wanted = retry_after.unwrap_or(Span::ZERO).min(Self::RETRY_AFTER_MAX);
        self.not_before = now + pause.max(wanted);
    }
}
