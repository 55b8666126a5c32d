//! Looks whether certificate, key and authorities have changed, takes what is good, and closes
//! what is not believed any more. Knows nothing about how files are replaced: contents count.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

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

/// The task that keeps a node's trust up to date.
pub(crate) struct Reloader {
    node: String,
    trusted: Arc<Trusted>,
    live: Live,
    watch: Watch,
    asked: mpsc::Receiver<Ask>,
    stopped: Stopped,
    /// What could not be used when it was seen: files that are replaced one by one do not fit
    /// together for a moment.
    bad: Option<Contents>,
    /// How many of [`WARN_BEFORE`] were said.
    warned: usize,
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
            warned: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let interval = self.trusted.tls().reload_interval;
        self.review();
        loop {
            let ask = tokio::select! {
                biased;
                () = self.stopped.at_once() => return,
                Some(ask) = self.asked.recv() => Some(ask),
                () = tokio::time::sleep(interval) => None,
            };
            let at_once = ask.is_some();
            let outcome = self.look(at_once);
            self.review();
            if let Some(ask) = ask {
                // Whoever asked may have gone.
                drop(ask.send(outcome));
            }
            self.renew().await;
        }
    }

    /// Looks at the files. What is bad is complained about `at_once`, or when it is seen again.
    fn look(&mut self, at_once: bool) -> Result<Reloaded, TlsError> {
        let changed = self.trusted.changed();
        let outcome = match changed {
            Ok(None) => {
                self.bad = None;
                self.watch.metrics.tls.bad(false);
                return Ok(Reloaded::Unchanged);
            }
            Ok(Some(contents)) => {
                let known = self.bad.as_ref() == Some(&contents);
                let outcome = self.trusted.replace(contents.clone());
                if outcome.is_err() && !known && !at_once {
                    self.bad = Some(contents);
                    return Ok(Reloaded::Unchanged);
                }
                outcome
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(trust) => {
                self.bad = None;
                self.warned = 0;
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
    fn review(&mut self) {
        let trust = self.trusted.now();
        self.tell_times(&trust);
        self.warn(&trust);
        for cut in self.live.review(&trust, self.trusted.time()) {
            let party = Party {
                from: &cut.from,
                who: Some(&*cut.who),
            };
            self.watch.cut(party, (cut.reason.code(), &cut.reason));
        }
    }

    /// Has the connections that this node has opened opened again, one by one, so that none hangs
    /// on what it does not show any more.
    async fn renew(&mut self) {
        while self.live.renew_one(self.trusted.now().generation) {
            tokio::select! {
                biased;
                () = self.stopped.at_once() => return,
                () = tokio::time::sleep(RENEW_PAUSE) => {}
            }
        }
    }

    fn tell_times(&self, trust: &Trust) {
        let (own, authority) = (self.left(trust.expires), self.left(trust.authority_expires));
        self.watch.metrics.tls.expires(own, authority);
    }

    fn left(&self, expires: u64) -> u64 {
        expires.saturating_sub(self.trusted.time().as_secs())
    }

    fn warn(&mut self, trust: &Trust) {
        let left = self.left(trust.expires);
        let due = WARN_BEFORE.iter().filter(|before| left <= **before).count();
        if due > self.warned {
            let at = date(trust.expires);
            if left == 0 {
                tracing::error!(
                    node = self.node,
                    at,
                    "its certificate has expired: nobody takes new connections of it"
                );
            } else {
                tracing::warn!(
                    node = self.node,
                    at,
                    "its certificate expires in {}",
                    span(left)
                );
            }
        }
        self.warned = due.max(self.warned);
    }
}
