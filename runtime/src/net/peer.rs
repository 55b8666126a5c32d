//! Outbound links: one connection per address and lane, kept up with back-off, fed by a queue.
//! Knows nothing about the protocol nor about sockets: it is written against the `Network` port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chil_core::{Lane, Span, Time};
use chil_proto::{Frame, encode};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::task::AbortHandle;

use super::queue::Queue;
use crate::delivery::{Bounds, Counts, DropReason};
use crate::ports::{Clock, NetError, Network, SendFrames, Target};

/// What a link has done so far, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Where it leads.
    pub address: String,
    /// Which lane of it.
    pub lane: Lane,
    /// Whether it is connected now.
    pub connected: bool,
    /// Frames handed to a connection.
    pub sent: u64,
    /// Frames dropped because the link was down or its queue full.
    pub dropped: u64,
    /// Frames left out because a later one said the same and more.
    pub superseded: u64,
    /// The same by reason.
    pub counts: Counts,
}

/// All links of a node. Dropping it closes them.
pub(crate) struct Links<N, C> {
    network: N,
    clock: C,
    retry_max: Span,
    seed: u64,
    /// By address; the links of one, in the order of [`Lane::ALL`].
    links: BTreeMap<String, [Link; Lane::ALL.len()]>,
    /// By address, the name of the node that has to answer there.
    expected: BTreeMap<String, String>,
    /// How much waits on each lane.
    bounds: Bounds,
    /// What became of the frames of links that are closed, by lane.
    closed: [Counts; Lane::ALL.len()],
}

struct Link {
    lane: Lane,
    queue: Arc<Queue>,
    connected: Arc<AtomicBool>,
    used: Time,
    task: AbortHandle,
}

impl<N: Network, C: Clock> Links<N, C> {
    /// Most addresses; above it the one that was not used for longest is given up.
    const ADDRESSES_MAX: usize = 192;

    /// No links yet. A lost connection is tried again after at most `retry_max` and a jitter.
    pub(crate) fn new(network: N, clock: C, retry_max: Span, seed: u64) -> Self {
        Self {
            network,
            clock,
            retry_max,
            seed,
            links: BTreeMap::new(),
            expected: BTreeMap::new(),
            bounds: Bounds::default(),
            closed: Default::default(),
        }
    }

    /// From now on, only the node of this name may answer at `address`.
    pub(crate) fn expect(&mut self, address: &str, name: &str) {
        self.expected.retain(|at, who| at == address || who != name);
        let before = self.expected.insert(address.to_owned(), name.to_owned());
        if before.is_none_or(|before| before != name) {
            // Somebody else may be at the other end of the links that there are.
            self.close(address);
        }
    }

    /// Lets so much wait on each lane of a link.
    pub(crate) const fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Sends `frame` to `address`; opens the links to it if there are none. It may be lost.
    pub(crate) fn send(&mut self, address: &str, lane: Lane, frame: Frame) {
        if !self.links.contains_key(address) {
            self.open(address);
        }
        let links = self.links.get_mut(address).expect("opened above");
        let link = links.iter_mut().find(|link| link.lane == lane);
        let link = link.expect("an address has a link for every lane");
        link.used = self.clock.now();
        link.queue.push(frame);
    }

    /// Opens the links to `address` before there is something to say.
    pub(crate) fn open(&mut self, address: &str) {
        while self.links.len() >= Self::ADDRESSES_MAX {
            let used = |links: &[Link; Lane::ALL.len()]| links.iter().map(|link| link.used).max();
            let idle = self.links.iter().min_by_key(|(_, links)| used(links));
            let Some(idle) = idle.map(|(address, _)| address.clone()) else {
                break;
            };
            self.close(&idle);
        }
        if !self.links.contains_key(address) {
            let links = Lane::ALL.map(|lane| self.connect(address, lane));
            self.links.insert(address.to_owned(), links);
        }
    }

    /// Closes the links that have not been used for `idle`, but for those to `wanted` addresses.
    pub(crate) fn close_idle(&mut self, idle: Span, wanted: impl Fn(&str) -> bool) {
        let now = self.clock.now();
        let used = |link: &Link| now.since(link.used) < idle;
        let is_idle = |(address, links): &(&String, &[Link; Lane::ALL.len()])| {
            !links.iter().any(used) && !wanted(address)
        };
        let idle = self.links.iter().filter(is_idle);
        let idle: Vec<String> = idle.map(|(address, _)| address.clone()).collect();
        idle.iter().for_each(|address| self.close(address));
    }

    fn close(&mut self, address: &str) {
        let links = self.links.remove(address).into_iter().flatten();
        for (link, sum) in links.zip(&mut self.closed) {
            link.queue.clear(DropReason::Closed);
            sum.add(&link.queue.counts());
        }
    }

    /// What became of all frames so far, by lane.
    pub(crate) fn counts(&self) -> [Counts; Lane::ALL.len()] {
        let mut sums = self.closed;
        for links in self.links.values() {
            for (link, sum) in links.iter().zip(&mut sums) {
                sum.add(&link.queue.counts());
            }
        }
        sums
    }

    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        let status = |address: &String, link: &Link| {
            let counts = link.queue.counts();
            LinkStatus {
                address: address.clone(),
                lane: link.lane,
                connected: link.connected.load(Ordering::Relaxed),
                sent: counts.sent,
                dropped: counts.lost(),
                superseded: counts.dropped(DropReason::Superseded),
                counts,
            }
        };
        let of_address = |(address, links): (&String, &[Link; Lane::ALL.len()])| {
            links
                .iter()
                .map(|link| status(address, link))
                .collect::<Vec<_>>()
        };
        self.links.iter().flat_map(of_address).collect()
    }

    fn connect(&mut self, address: &str, lane: Lane) -> Link {
        let queue = Arc::new(Queue::new(self.bounds));
        let connected = Arc::new(AtomicBool::new(false));
        self.seed = self.seed.wrapping_add(1);
        let connector = Connector {
            network: self.network.clone(),
            clock: self.clock.clone(),
            target: Target {
                address: address.to_owned(),
                name: self.expected.get(address).cloned(),
            },
            lane,
            queue: Arc::clone(&queue),
            connected: Arc::clone(&connected),
            retry_max: self.retry_max,
            rng: ChaCha8Rng::seed_from_u64(self.seed),
        };
        Link {
            lane,
            queue,
            connected,
            used: self.clock.now(),
            task: tokio::spawn(connector.run()).abort_handle(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task behind one link.
struct Connector<N, C> {
    network: N,
    clock: C,
    target: Target,
    lane: Lane,
    queue: Arc<Queue>,
    connected: Arc<AtomicBool>,
    retry_max: Span,
    rng: ChaCha8Rng,
}

impl<N: Network, C: Clock> Connector<N, C> {
    async fn run(mut self) {
        let mut pause = RETRY_MIN;
        let mut told = false;
        loop {
            match self.network.connect(&self.target, self.lane).await {
                Ok(connection) => {
                    tracing::debug!(address = %self.target.address, lane = ?self.lane, "connected");
                    let since = self.clock.now();
                    self.connected.store(true, Ordering::Relaxed);
                    let error = self.pump(connection).await;
                    self.connected.store(false, Ordering::Relaxed);
                    tracing::debug!(address = %self.target.address, lane = ?self.lane, %error, "connection lost");
                    told = false;
                    // One that breaks at once is no better than none: only a lasting one resets.
                    if self.clock.now().since(since) >= self.retry_max {
                        pause = RETRY_MIN;
                    }
                }
                Err(error) => {
                    if !told {
                        tracing::debug!(address = %self.target.address, lane = ?self.lane, %error, "cannot connect, will keep trying");
                        told = true;
                    }
                    self.queue.clear(DropReason::Unreachable);
                }
            }
            let jitter = Span::from_nanos(self.rng.next_u64() % pause.nanos().max(1)).divided(2);
            self.clock.sleep(pause.divided(2) + jitter).await;
            pause = pause.times(2).min(self.retry_max.max(RETRY_MIN));
        }
    }

    async fn pump(&self, mut connection: N::Outgoing) -> NetError {
        loop {
            while let Some(frame) = self.queue.pop() {
                if let Err(error) = connection.send(encode::frame(&frame)).await {
                    return error;
                }
            }
            tokio::select! {
                biased;
                error = connection.closed() => return error,
                () = self.queue.filled() => {}
            }
        }
    }
}

/// The first pause after a lost connection; it doubles from there.
const RETRY_MIN: Span = Span::from_millis(10);
