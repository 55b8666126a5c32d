//! Outbound links: one connection per address and lane, kept up with back-off, fed by a queue.
//! Knows nothing about the protocol nor about sockets: it is written against the `Network` port.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Why it is not, as far as an attempt has shown.
    pub trouble: Option<String>,
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
    /// The addresses that are there only since somebody who said that it is there asked something.
    guests: BTreeSet<String>,
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
    state: State,
    used: Time,
    task: AbortHandle,
}

/// Whether a link is connected, or why not; nothing before the first attempt has ended. Its task
/// and the link share it.
#[derive(Clone, Debug, Default)]
struct State(Arc<Mutex<Option<Result<(), String>>>>);

impl State {
    fn set(&self, state: Result<(), String>) {
        *self.lock() = Some(state);
    }

    fn connected(&self) -> bool {
        matches!(*self.lock(), Some(Ok(())))
    }

    fn trouble(&self) -> Option<String> {
        self.lock().clone()?.err()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Result<(), String>>> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N: Network, C: Clock> Links<N, C> {
    /// Most addresses of this node's own choice; above it the one that was not used for longest is
    /// given up.
    const ADDRESSES_MAX: usize = 192;
    /// Most addresses that others chose. They may say what they like, and must not cost the links
    /// to members: without room, whoever was not used for so long goes, or else nothing is said.
    const GUESTS_MAX: usize = 64;
    const GUEST_IDLE: Span = Span::from_millis(1_000);

    /// No links yet. A lost connection is tried again after at most `retry_max` and a jitter.
    pub(crate) fn new(network: N, clock: C, retry_max: Span, seed: u64) -> Self {
        Self {
            network,
            clock,
            retry_max,
            seed,
            links: BTreeMap::new(),
            guests: BTreeSet::new(),
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
            self.cut(address);
        }
    }

    /// Lets so much wait on each lane of a link.
    pub(crate) const fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Sends `frame` to `address`; opens the links to it if there are none. It may be lost.
    pub(crate) fn send(&mut self, address: &str, lane: Lane, frame: Frame) {
        self.open(address);
        self.push(address, lane, frame);
    }

    /// Sends `frame` to where somebody says that it is who has asked for it. It may be lost, and is
    /// if too many say such things.
    pub(crate) fn answer(&mut self, address: &str, lane: Lane, frame: Frame) {
        if self.links.contains_key(address) || self.invite(address) {
            self.push(address, lane, frame);
        }
    }

    fn push(&mut self, address: &str, lane: Lane, frame: Frame) {
        let links = self.links.get_mut(address).expect("whoever calls has them");
        let link = links.iter_mut().find(|link| link.lane == lane);
        let link = link.expect("an address has a link for every lane");
        link.used = self.clock.now();
        link.queue.push(frame);
    }

    /// Opens the links to `address` before there is something to say.
    pub(crate) fn open(&mut self, address: &str) {
        if self.guests.remove(address) || self.links.contains_key(address) {
            return;
        }
        while self.links.len() - self.guests.len() >= Self::ADDRESSES_MAX {
            let Some((idle, _)) = self.longest_unused(|address| !self.guests.contains(address))
            else {
                break;
            };
            self.close(&idle);
        }
        self.connect_all(address);
    }

    /// Opens the links to an address that somebody else has chosen, if there is room for it.
    fn invite(&mut self, address: &str) -> bool {
        if self.guests.len() >= Self::GUESTS_MAX {
            let idle = self.longest_unused(|address| self.guests.contains(address));
            let now = self.clock.now();
            let Some((idle, _)) = idle.filter(|(_, used)| now.since(*used) >= Self::GUEST_IDLE)
            else {
                return false;
            };
            self.close(&idle);
        }
        self.connect_all(address);
        self.guests.insert(address.to_owned());
        true
    }

    /// Which of these addresses was not used for longest, and when it was.
    fn longest_unused(&self, which: impl Fn(&str) -> bool) -> Option<(String, Time)> {
        let of_them = self.links.iter().filter(|(address, _)| which(address));
        let used = of_them.filter_map(|(address, links)| {
            let used = links.iter().map(|link| link.used).max()?;
            Some((address, used))
        });
        let first = used.min_by_key(|(_, used)| *used);
        first.map(|(address, used)| (address.clone(), used))
    }

    fn connect_all(&mut self, address: &str) {
        let links = Lane::ALL.map(|lane| self.connect(address, lane));
        self.links.insert(address.to_owned(), links);
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

    /// Nothing is said there any more.
    fn close(&mut self, address: &str) {
        self.cut(address);
        self.network.forget(address);
    }

    fn cut(&mut self, address: &str) {
        self.guests.remove(address);
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
                connected: link.state.connected(),
                trouble: link.state.trouble(),
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

    /// The addresses of this node's choice to which none of the links is connected, and why not.
    pub(crate) fn not_reached(&self) -> impl Iterator<Item = (&str, String)> {
        let chosen = |(address, _): &(&String, _)| !self.guests.contains(*address);
        self.links
            .iter()
            .filter(chosen)
            .filter_map(|(address, links)| {
                if links.iter().any(|link| link.state.connected()) {
                    return None;
                }
                let trouble = links.iter().find_map(|link| link.state.trouble())?;
                Some((address.as_str(), trouble))
            })
    }

    fn connect(&mut self, address: &str, lane: Lane) -> Link {
        let queue = Arc::new(Queue::new(self.bounds));
        let state = State::default();
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
            state: state.clone(),
            retry_max: self.retry_max,
            rng: ChaCha8Rng::seed_from_u64(self.seed),
        };
        Link {
            lane,
            queue,
            state,
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
    state: State,
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
                    self.state.set(Ok(()));
                    let error = self.pump(connection).await;
                    self.state.set(Err(error.reason.clone()));
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
                    self.state.set(Err(error.reason));
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
