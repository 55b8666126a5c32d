//! The two ends of a node's connections: how it listens, and how it calls others.
//! Knows nothing about what is said on them.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::discovery::Resolver;
use crate::limits::Limits;
use crate::metrics::Page;
use crate::net::accept::{Acceptor, Proof};
use crate::net::dial::Dialler;
use crate::net::doors::Doors;
use crate::net::troubles::Troubles;
use crate::net::watch::Watch;
use crate::shutdown::Stopped;
use crate::tls::live::Live;
use crate::tls::reload::{Ask, Reloader};
use crate::tls::trust::Trusted;
use crate::turn::Turn;

/// Where a node listens, and whom it lets in.
pub(crate) struct Sockets {
    pub(crate) listener: TcpListener,
    pub(crate) local_addr: SocketAddr,
    pub(crate) limits: Limits,
    /// `None`: connections are not encrypted, and nobody proves anything.
    pub(crate) trusted: Option<Trusted>,
    pub(crate) resolver: Resolver,
    /// Where its metrics are read, if anywhere.
    pub(crate) page: Option<Page>,
}

/// How a node meets others: who calls it, and whom it calls.
pub(crate) struct Ends {
    pub(crate) listener: TcpListener,
    pub(crate) acceptor: Acceptor<Resolver>,
    pub(crate) dialler: Dialler<Resolver>,
    pub(crate) reload: Option<mpsc::Sender<Ask>>,
    pub(crate) page: Option<JoinHandle<()>>,
}

impl Sockets {
    /// Starts to look after certificates, if there are any, and to show metrics, if asked for. All connections are cut when
    /// `connected` says so.
    pub(crate) fn ends(
        self,
        node: &str,
        watch: &Watch,
        connected: Stopped,
        stopped: &Stopped,
    ) -> Ends {
        self.resolver.count(&watch.metrics.discovery);
        let proof = self.trusted.map(|trusted| Proof {
            trusted: Arc::new(trusted),
            live: Live::default(),
            looks: false,
        });
        let reload = proof.as_ref().map(|proof| {
            let (ask, asked) = mpsc::channel(1);
            let reloader = Reloader::new(node, proof, watch.clone(), asked, stopped.clone());
            tokio::spawn(reloader.run());
            ask
        });
        let page = self.page.map(|page| {
            let metrics = Arc::clone(&watch.metrics);
            tokio::spawn(page.serve(metrics, stopped.clone()))
        });
        let dialler = Dialler {
            resolver: self.resolver,
            proof: proof.clone(),
            troubles: Some(Troubles::new(watch.clone())),
        };
        let acceptor = Acceptor {
            proof,
            doors: Doors::new(self.limits.connections),
            turn: Turn::default(),
            resolver: dialler.resolver.clone(),
            watch: watch.clone(),
            connected,
        };
        Ends {
            listener: self.listener,
            acceptor,
            dialler,
            reload,
            page,
        }
    }
}
