//! Looks whether certificate, key and authorities have changed, takes what is good, and closes
//! what is not believed any more. Knows nothing about how files are replaced: contents count.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::files::Contents;
use super::live::Live;
use super::trust::{Trust, Trusted};
use super::{TlsError, date, span};
use crate::net::accept::Proof;
use crate::net::watch::{Party, Watch};
use crate::shutdown::Stopped;

/// What came of looking at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// They contain what they did.
    Unchanged,
    /// What they contain holds from now on.
    Changed,
}

/// An order to look at once.
pub(crate) type Ask = oneshot::Sender<Result<Reloaded, TlsError>>;

/// Between two connections of a node that are closed because it shows another certificate now.
const RENEW_PAUSE: Duration = Duration::from_millis(100);
/// From so long before the end on, it is said that a certificate expires, each time once.
const WARN_BEFORE: [u64; 4] = [30 * 86_400, 7 * 86_400, 86_400, 0];

/// What cannot be used. Files that are replaced one by one do not fit together for a moment, and
/// one that is replaced may be missing for a moment.
#[derive(PartialEq, Eq)]
enum Bad {
    Contents(Contents),
    Unreadable,
}

/// The task that keeps a node's trust up to date.
pub(crate) struct Reloader {
    node: String,
    trusted: Arc<Trusted>,
    live: Live,
    watch: Watch,
    asked: mpsc::Receiver<Ask>,
    stopped: Stopped,
    /// What could not be used when it was seen.
    bad: Option<Bad>,
    /// How many of [`WARN_BEFORE`] were said, of the own certificate and of the authorities.
    warned: [usize; 2],
}

impl Reloader {
    pub(crate) fn new(
        node: &str,
        proof: &Proof,
        watch: Watch,
        asked: mpsc::Receiver<Ask>,
        stopped: Stopped,
    ) -> Self {
        Self {
            node: node.to_owned(),
            trusted: Arc::clone(&proof.trusted),
            live: proof.live.clone(),
            watch,
            asked,
            stopped,
            bad: None,
            warned: [0; 2],
        }
    }

    pub(crate) async fn run(mut self) {
        let interval = self.trusted.tls().reload_interval;
        self.review().await;
        let mut look_at = Instant::now() + interval;
        // When the next connection that shows what does not hold any more is opened anew.
        let mut renew_at = None;
        loop {
            let ask = tokio::select! {
                biased;
                () = self.stopped.at_once() => return,
                Some(ask) = self.asked.recv() => Some(ask),
                () = tokio::time::sleep_until(look_at) => None,
                () = tokio::time::sleep_until(renew_at.unwrap_or(look_at)), if renew_at.is_some() => {
                    let more = self.live.renew_one(self.trusted.now().generation);
                    renew_at = more.then(|| Instant::now() + RENEW_PAUSE);
                    continue;
                }
            };
            let at_once = ask.is_some();
            let outcome = self.look(at_once).await;
            self.review().await;
            if let Some(ask) = ask {
                // Whoever asked may have gone.
                drop(ask.send(outcome));
            }
            let now = Instant::now();
            look_at = now + interval;
            renew_at = renew_at.or(Some(now));
        }
    }

    /// Looks at the files. What is bad is complained about `at_once`, or when it is seen again.
    async fn look(&mut self, at_once: bool) -> Result<Reloaded, TlsError> {
        let (bad, outcome) = match self.trusted.changed().await {
            Ok(None) => {
                self.bad = None;
                self.watch.metrics.tls.bad(false);
                return Ok(Reloaded::Unchanged);
            }
            Ok(Some(contents)) => {
                let outcome = self.trusted.replace(contents.clone());
                (Bad::Contents(contents), outcome)
            }
            Err(error) => (Bad::Unreadable, Err(error)),
        };
        if outcome.is_err() && !at_once && self.bad.as_ref() != Some(&bad) {
            self.bad = Some(bad);
            return Ok(Reloaded::Unchanged);
        }
        match outcome {
            Ok(trust) => {
                self.bad = None;
                self.warned = [0; 2];
                self.watch.metrics.tls.reloaded("changed");
                self.watch.metrics.tls.bad(false);
                tracing::info!(
                    node = self.node,
                    expires = date(trust.expires),
                    "shows and believes what its files contain now"
                );
                Ok(Reloaded::Changed)
            }
            Err(error) => {
                self.watch.metrics.tls.reloaded("bad");
                self.watch.metrics.tls.bad(true);
                let left = self.left(self.trusted.now().expires);
                tracing::error!(
                    node = self.node,
                    %error,
                    "keeps the certificate that it has, which expires in {}",
                    span(left)
                );
                Err(error)
            }
        }
    }

    /// Judges what is open anew: authorities may have gone, and time has passed.
    async fn review(&mut self) {
        let before = self.trusted.now().generation;
        if let Err(error) = self.trusted.leave_out_expired() {
            // The own certificate is then of no use, either, and that is said louder.
            tracing::debug!(node = self.node, %error, "believes its authorities on");
        }
        let trust = self.trusted.now();
        if trust.generation != before {
            // What is said of the next authority was not said of the one that is left out.
            self.warned[1] = 0;
        }
        self.tell_times(&trust);
        for (of, expires) in [(0, trust.expires), (1, trust.authority_expires)] {
            self.warn(of, expires);
        }
        for cut in self.live.review(&trust, self.trusted.time()).await {
            let party = Party {
                from: &cut.from,
                who: Some(&*cut.who),
            };
            self.watch.cut(party, (cut.reason.code(), &cut.reason));
        }
    }

    fn tell_times(&self, trust: &Trust) {
        let (own, authority) = (self.left(trust.expires), self.left(trust.authority_expires));
        self.watch.metrics.tls.expires(own, authority);
    }

    fn left(&self, expires: u64) -> u64 {
        expires.saturating_sub(self.trusted.time().as_secs())
    }

    fn warn(&mut self, of: usize, expires: u64) {
        let left = self.left(expires);
        let due = WARN_BEFORE.iter().filter(|before| left <= **before).count();
        if due > self.warned[of] {
            let (node, at, span) = (&self.node, date(expires), span(left));
            match (of, left) {
                (0, 0) => tracing::error!(
                    node,
                    at,
                    "its certificate has expired: nobody takes new connections of it"
                ),
                (0, _) => tracing::warn!(node, at, "its certificate expires in {span}"),
                (_, _) => tracing::warn!(
                    node,
                    at,
                    "an authority of its ca_file expires in {span}, and is believed no longer"
                ),
            }
        }
        self.warned[of] = due.max(self.warned[of]);
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
