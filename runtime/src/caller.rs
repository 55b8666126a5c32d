//! Who speaks on a connection, for everything that is served on it.
//! Knows nothing about how that was found out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::identity::{Identity, Kind, Role};
use crate::net::flow::Flow;

/// Who speaks on a connection; every request has it among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who it has proven to be. `None` on connections without TLS: then it may do anything.
    identity: Option<Arc<Identity>>,
    /// What its requests are counted under.
    key: Arc<str>,
    /// Where it speaks from.
    pub(crate) from: SocketAddr,
    /// Whether it has asked for anything yet.
    asked: Arc<AtomicBool>,
    /// What it is being answered.
    pub(crate) flow: Arc<Flow>,
    /// Its refusals that are not told yet.
    refusals: Arc<AtomicUsize>,
}

/// A refusal that is not told yet.
#[derive(Debug)]
pub(crate) struct Refusing(Arc<AtomicUsize>);

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Caller {
    /// Whoever speaks from there without TLS.
    pub(crate) fn unknown(from: SocketAddr) -> Self {
        Self {
            identity: None,
            key: from.ip().to_string().into(),
            from,
            asked: Arc::default(),
            flow: Arc::default(),
            refusals: Arc::default(),
        }
    }

    /// It has proven who it is.
    pub(crate) fn proves(&mut self, identity: Arc<Identity>) {
        self.key = format!("{}/{}", identity.kind().name(), identity.name()).into();
        self.identity = Some(identity);
    }

    /// Who it has proven to be.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// Something that it asks for is refused, and it is told so when what is returned is dropped.
    pub(crate) fn is_refused(&self) -> Refusing {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        Refusing(Arc::clone(&self.refusals))
    }

    /// How many of its refusals are not told yet.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Whether it has proven to be somebody who looks after the cluster.
    pub(crate) fn is_operator(&self) -> bool {
        let identity = self.identity();
        identity.is_some_and(|it| it.kind() == Kind::Client(Role::Admin))
    }

    /// It asks for something.
    pub(crate) fn asks(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether it has asked for anything: true from then on.
    pub(crate) fn asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// What its requests are counted under.
    pub(crate) const fn key(&self) -> &Arc<str> {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(kind: Option<Kind>) -> Caller {
        let mut caller = Caller::unknown(SocketAddr::from(([127, 0, 0, 1], 5)));
        if let Some(kind) = kind {
            caller.proves(Arc::new(Identity::new("local", kind, "a").unwrap()));
        }
        caller
    }

    #[test]
    fn without_tls_callers_are_counted_by_address() {
        assert_eq!(&**caller(None).key(), "127.0.0.1");
        let writer = caller(Some(Kind::Client(Role::Write)));
        assert_eq!(&**writer.key(), "write/a");
    }
}
