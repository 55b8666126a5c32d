//! The life of one node over real sockets and files: binds, recovers, forms, loops, closes.
//! Knows nothing about the protocol; each part is somebody else's, this is their order.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use chil_core::forming::Forming;
use chil_core::membership::MembershipWarning;
use chil_core::{
    Applier, ClusterId, Config, Lease, Meta, NodeId, RecoverError, Recovered, Replica,
    SnapshotPolicy, Span, StateMachine,
};
use chil_proto::decode::FRAME_BYTES_MAX;
use tokio::sync::{mpsc, watch};

use crate::apply::Apply;
use crate::book::Book;
use crate::builder::{NodeReady, setting};
use crate::clock::{SystemClock, random_u64};
use crate::config::Peer;
use crate::delivery::Bounds;
use crate::discovery::Resolver;
use crate::error::{NodeError, StartError};
use crate::form;
use crate::handle::{Node, Shared};
use crate::introduce::{Introduction, check_members, check_terms};
use crate::late::Late;
use crate::metrics::{Metrics, Page};
use crate::net::inbox::Inbox;
use crate::net::peer::Links;
use crate::net::transport::{self, TonicNetwork};
use crate::net::watch::Watch;
use crate::node::{About, NodeLoop, Parts};
use crate::open::{bind, disk_of, open, restore, write_meta};
use crate::ports::Clock;
use crate::request::{Request, Requests};
use crate::serve::{Closing, Front, services};
use crate::shutdown::{self, Stopped};
use crate::sockets::{Ends, Sockets};
use crate::status::MemberInfo;
use crate::storage::snapshot_thread::SnapshotThread;
use crate::storage::thread::WalThread;
use crate::storage::{self, Opened, RealDisk, Snapshots, StorageError, Store};

/// How many heartbeats the longest pause between two attempts to connect lasts.
const RETRY_HEARTBEATS: u64 = 2;

impl<S: StateMachine> NodeReady<S> {
    /// Starts the node: listens, opens its directory, and from there on works in the background
    /// on the tokio runtime that this is called on. Does not wait until the cluster has formed.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing runs then.
    pub async fn start(self) -> Result<Node<S>, StartError> {
        let Self { mut node, machine } = self;
        let config = node.config()?;
        let data_dir = node.data_dir.take().ok_or_else(|| {
            let problem = "not set: name a directory for this node's log";
            setting("data_dir", problem.to_owned())
        })?;
        let (listener, local_addr) = bind(&node.bind).await?;
        let address = node.address(local_addr).await?;
        let others = node.others(&address)?;
        let trusted = node.trusted(local_addr.ip(), &others)?;
        let resolver = Resolver::new(&node.discovery);
        let resolver = resolver.map_err(|error| setting("discovery", error.to_string()))?;
        let page = Page::bind(node.metrics_address.as_deref()).await?;
        let dir = data_dir.display().to_string();
        let opened = open(data_dir, node.name.clone()).await?;
        let about = About {
            node: config.node,
            name: node.name.clone(),
            disk: disk_of(&opened),
            address,
            started: SystemTime::now(),
            priority: config.priority,
            round: config.heartbeat_interval,
        };
        let home = match opened {
            Opened::Formed(store, recovered) => {
                check_members(&dir, &recovered.meta, &others, node.single_node)?;
                check_terms(&recovered.meta, node.lease, node.sessions)?;
                let applier = applier(machine, node.snapshots, &recovered.meta);
                let snapshots = store.snapshots(&recovered)?;
                let snap = recovered.meta.snap.map(|snap| snap.id);
                let (snapshots, applier) = restore(&node.name, snap, snapshots, applier).await?;
                let member = member(store, snapshots, recovered, config.clone(), applier)?;
                Home::Formed(Box::new(member))
            }
            Opened::Unformed(unformed) => {
                let (disk, now) = (about.disk, SystemClock.now());
                let address = &about.address;
                let automaton = form::automaton(&node, &config, disk, address, &others, now)?;
                Home::Unformed(Box::new(Unformed {
                    directory: unformed,
                    automaton,
                    lease: node.lease,
                    machine,
                    snapshots: node.snapshots,
                }))
            }
        };
        let sockets = Sockets {
            listener,
            local_addr,
            limits: node.limits.for_rounds_of(config.heartbeat_interval),
            trusted,
            resolver,
            page,
        };
        Ok(run(config, about, home, &others, sockets))
    }
}

/// The data directory, opened, with what is to happen to it.
enum Home<S> {
    Formed(Box<Member<S>>),
    Unformed(Box<Unformed<S>>),
}

/// A node whose directory belongs to no cluster yet.
struct Unformed<S> {
    directory: storage::Unformed<RealDisk>,
    automaton: Forming,
    lease: Option<Lease>,
    machine: S,
    snapshots: SnapshotPolicy,
}

/// What makes a node a member of a cluster.
struct Member<S> {
    store: Store<RealDisk>,
    snapshots: Snapshots<RealDisk>,
    meta: Meta,
    replica: Replica,
    applier: Applier<S>,
}

/// Executes under the terms that are durable: settings say only what a new cluster shall have.
fn applier<S: StateMachine>(machine: S, policy: SnapshotPolicy, meta: &Meta) -> Applier<S> {
    Applier::with_limits(machine, policy, meta.membership.sessions)
}

fn member<S>(
    store: Store<RealDisk>,
    snapshots: Snapshots<RealDisk>,
    recovered: Recovered,
    config: Config,
    applier: Applier<S>,
) -> Result<Member<S>, RecoverError> {
    let meta = recovered.meta.clone();
    let replica = Replica::recover(config, recovered, SystemClock.now())?;
    Ok(Member {
        store,
        snapshots,
        meta,
        replica,
        applier,
    })
}

/// Nothing can go wrong any more: starts the tasks.
fn run<S: StateMachine>(
    config: Config,
    about: About,
    home: Home<S>,
    others: &[Peer],
    sockets: Sockets,
) -> Node<S> {
    let (stopper, stopped) = shutdown::signal();
    let (requests, to_loop) = Requests::channel(config.value_bytes_max);
    let (tell_leader, leader) = watch::channel(None);
    let (tell_ended, ended) = watch::channel(None);
    let cluster = Arc::new(OnceLock::new());
    let metrics = Arc::new(Metrics::new(&about.name));
    let front = Front::new(&sockets.limits, &config, &metrics);
    let watch = Watch::new(&about.name, &metrics);
    let (local_addr, limits) = (sockets.local_addr, sockets.limits);
    let metrics_addr = sockets.page.as_ref().map(Page::local_addr);
    let (cut, connected) = shutdown::signal();
    let Ends {
        listener,
        acceptor,
        dialler,
        reload,
        page,
    } = sockets.ends(&about.name, &watch, connected, &stopped);
    let (network, links_in) = transport::network(dialler, FRAME_BYTES_MAX);
    let apart = acceptor.proof.is_some();
    let late = acceptor.told_of_lateness(&metrics, &front.admit);
    let services = services(
        &requests, &front, &cluster, &stopped, links_in, &config, apart,
    );
    let serving = acceptor.serve(listener, services, stopped.clone());
    let closing = Closing {
        server: tokio::spawn(serving),
        page,
        cut,
        stopper: stopper.clone(),
        stopped: stopped.clone(),
    };
    let retry_max = config.heartbeat_interval.times(RETRY_HEARTBEATS);
    let name = about.name.clone();
    let introduction = introduction(&home, &about, others);
    let life = Life {
        links: links(network.clone(), retry_max, limits.queues, others),
        about,
        config,
        inbox: Inbox::open(network, watch, limits.inbox_bytes, &late.turn),
        requests: to_loop,
        stopped,
        leader: tell_leader,
        cluster,
        named: named(others),
        introduction,
        metrics: Arc::clone(&metrics),
        late,
    };
    let running = tokio::spawn(life.run(home));
    tokio::spawn(async move {
        let outcome = closing.after(running).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "the node has failed");
        }
        tell_ended.send_replace(Some(outcome));
    });
    Node::new(Shared {
        name,
        local_addr,
        metrics_addr,
        reload,
        requests,
        stopper,
        leader,
        ended,
        metrics,
    })
}

/// How a member tells those of its list who it is.
fn introduction<S>(home: &Home<S>, about: &About, others: &[Peer]) -> Option<Introduction> {
    let Home::Formed(member) = home else {
        return None;
    };
    let (name, address) = (&about.name, &about.address);
    Some(Introduction::new(name, address, &member.meta, others))
}

/// Links that know whom they lead to, as far as the lists say.
fn links(
    network: TonicNetwork<Resolver>,
    retry_max: Span,
    bounds: Bounds,
    others: &[Peer],
) -> Links<TonicNetwork<Resolver>, SystemClock> {
    let links = Links::new(network, SystemClock, retry_max, random_u64());
    let mut links = links.with_bounds(bounds);
    for peer in others {
        if let Some(name) = &peer.name {
            links.expect(&peer.address, name);
        }
    }
    links
}

/// What a node consists of before it knows whether it belongs to a cluster.
struct Life {
    about: About,
    config: Config,
    links: Links<TonicNetwork<Resolver>, SystemClock>,
    inbox: Inbox,
    requests: mpsc::Receiver<Request>,
    stopped: Stopped,
    leader: watch::Sender<Option<MemberInfo>>,
    cluster: Arc<OnceLock<ClusterId>>,
    /// Where the configuration says that members are, by name.
    named: BTreeMap<NodeId, String>,
    /// Of a node that was a member before it was started; who has just formed a cluster knows it.
    introduction: Option<Introduction>,
    metrics: Arc<Metrics>,
    late: Late,
}

impl Life {
    /// Forms a cluster first if the directory belongs to none, then serves until the end.
    async fn run<S: StateMachine>(mut self, home: Home<S>) -> Result<(), NodeError> {
        let member = match home {
            Home::Formed(member) => *member,
            Home::Unformed(unformed) => {
                let forming = form::Driver {
                    about: &self.about,
                    automaton: unformed.automaton,
                    lease: unformed.lease,
                    links: &mut self.links,
                    clock: SystemClock,
                    inbox: &mut self.inbox,
                    requests: &mut self.requests,
                    stopped: &mut self.stopped,
                };
                let Some(meta) = forming.run().await? else {
                    self.requests.close();
                    while let Ok(request) = self.requests.try_recv() {
                        request.refuse_stopped();
                    }
                    return Ok(());
                };
                let (store, recovered) = write_meta(unformed.directory, meta).await?;
                let snapshots = store.snapshots(&recovered).map_err(storage_failed)?;
                let (machine, policy) = (unformed.machine, unformed.snapshots);
                let applier = applier(machine, policy, &recovered.meta);
                member(store, snapshots, recovered, self.config.clone(), applier)?
            }
        };
        self.serve(member).await
    }

    async fn serve<S: StateMachine>(mut self, member: Member<S>) -> Result<(), NodeError> {
        let Member {
            store,
            snapshots,
            meta,
            replica,
            applier,
        } = member;
        let (node, address) = (self.config.node, self.about.address.as_str());
        let book = Book::new(&meta.membership, node, address, &self.named);
        for peer in book.peers() {
            self.links.expect(&peer.address, &peer.name);
            self.links.open(&peer.address);
        }
        let cluster = self.cluster.get_or_init(|| meta.cluster);
        tracing::info!(
            node = self.about.name,
            %cluster,
            address = self.about.address,
            members = book.members().len(),
            boot = meta.boot + 1,
            last = %replica.status().last,
            "serves"
        );
        for warning in meta.membership.warnings() {
            tracing::warn!(node = self.about.name, "{}", warning_text(&warning));
        }
        let storage = WalThread::start(store).map_err(|e| no_thread("chil-wal", e))?;
        let snapshots = SnapshotThread::start(snapshots);
        let snapshots = snapshots.map_err(|e| no_thread("chil-snapshots", e))?;
        let node = NodeLoop::new(Parts {
            about: self.about,
            meta,
            replica,
            apply: Apply::new(applier),
            storage,
            snapshots,
            links: self.links,
            clock: SystemClock,
            inbox: self.inbox,
            requests: self.requests,
            stopped: self.stopped,
            book,
            leader: self.leader,
            introduction: self.introduction,
            metrics: self.metrics,
            late: self.late,
        });
        node.run().await
    }
}

fn storage_failed(error: StorageError) -> NodeError {
    NodeError::Storage(Arc::new(error))
}

fn no_thread(name: &str, source: std::io::Error) -> NodeError {
    storage_failed(StorageError::Io {
        file: name.to_owned(),
        what: "start a thread",
        source,
    })
}

fn named(others: &[Peer]) -> BTreeMap<NodeId, String> {
    let named = |peer: &Peer| {
        let node = NodeId::from_name(peer.name.as_deref()?)?;
        Some((node, peer.address.clone()))
    };
    others.iter().filter_map(named).collect()
}

fn warning_text(warning: &MembershipWarning) -> String {
    match warning {
        MembershipWarning::SinglePointOfFailure(name) => {
            format!("without '{name}' there is no quorum: its weight is half of all or more")
        }
        MembershipWarning::EvenWeight(total) => {
            format!("the weights add up to {total}: an even sum tolerates no more than one less")
        }
    }
}
