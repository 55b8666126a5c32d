//! Streams to nodes: opens one to each address that something is sent to, and hands in what
//! becomes of each attempt. Knows nothing about when and where attempts are made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chil_core::retry::{Answer, Ask};
use chil_core::{Command, Span};
use chil_proto::v1;
use chil_proto::v1::propose_response::Outcome;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::outcomes::{proposed, register, too_large};
use super::targets::{Refusal, Targets};
use super::{ClientError, PENDING_MAX};
use crate::api::guard::value_bytes_max;

/// The address of a node.
pub(super) type Address = Arc<str>;
/// What became of an attempt.
pub(super) type Result = Answer<Address, ClientError>;

/// Requests handed to a stream and not yet taken by its connection: all that may be under way,
/// and as much again of what is sent a second time.
const SENDING_MAX: usize = 2 * PENDING_MAX;
/// Answers read and not yet looked at.
const EVENTS_MAX: usize = 1_024;
/// A registration that is not answered for so long may or may not have been done.
const REGISTER_MAX: Duration = Duration::from_secs(4);

/// What happens to a stream, or to a call beside them.
#[derive(Debug)]
pub(super) enum Event {
    Opened {
        stream: u64,
        requests: mpsc::Sender<v1::ProposeStreamRequest>,
        cluster: Bytes,
    },
    Answered {
        stream: u64,
        response: v1::ProposeStreamResponse,
    },
    Ended {
        stream: u64,
        why: Over,
    },
    Registered {
        id: u64,
        result: Result,
    },
}

/// Why a stream is over.
#[derive(Debug)]
pub(super) enum Over {
    Refused(Refusal),
    /// A request was larger than this, and was not read.
    TooLarge {
        max: u64,
    },
}

/// One stream, named by its number.
#[derive(Debug)]
struct Link {
    stream: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What is to be sent waits for the stream.
    Opening(Vec<(u64, Command)>),
    Open {
        requests: mpsc::Sender<v1::ProposeStreamRequest>,
        cluster: Bytes,
    },
}

/// An attempt under way; `tag` is whatever the driver calls it.
#[derive(Debug)]
struct Flight<K> {
    tag: K,
    /// 0 for what travels in no stream.
    stream: u64,
    /// Of its payload.
    bytes: u64,
}

/// All streams of one client.
#[derive(Debug)]
pub(super) struct Links<K> {
    targets: Arc<Targets>,
    /// How long a stream may take to open.
    opening_max: Duration,
    links: BTreeMap<Address, Link>,
    flights: BTreeMap<u64, Flight<K>>,
    next_id: u64,
    next_stream: u64,
    /// The stream that something was executed on last.
    leading: u64,
    settled: Vec<(K, Result)>,
    events: mpsc::Receiver<Event>,
    to_events: mpsc::Sender<Event>,
}

impl<K> Links<K> {
    pub(super) fn new(targets: Arc<Targets>, opening_max: Duration) -> Self {
        let (to_events, events) = mpsc::channel(EVENTS_MAX);
        Self {
            targets,
            opening_max,
            links: BTreeMap::new(),
            flights: BTreeMap::new(),
            next_id: 0,
            next_stream: 0,
            leading: 0,
            settled: Vec::new(),
            events,
            to_events,
        }
    }

    /// Sends it once; what becomes of it is among the [`Links::settled`] some time.
    pub(super) fn send(&mut self, tag: K, to: &Address, ask: Ask) {
        self.next_id += 1;
        let id = self.next_id;
        match ask {
            Ask::Register { nonce } => {
                let (stream, bytes) = (0, 0);
                self.flights.insert(id, Flight { tag, stream, bytes });
                let (targets, to) = (Arc::clone(&self.targets), Arc::clone(to));
                let events = self.to_events.clone();
                tokio::spawn(async move {
                    let asking = timeout(REGISTER_MAX, register(&targets, &to, nonce));
                    let result = asking.await.unwrap_or(Answer::Unknown);
                    drop(events.send(Event::Registered { id, result }).await);
                });
            }
            Ask::Propose(command) => self.propose(id, tag, to, command),
        }
    }

    fn propose(&mut self, id: u64, tag: K, to: &Address, command: Command) {
        if !self.links.contains_key(to) {
            self.open(to);
        }
        let Some(link) = self.links.get_mut(to) else {
            return;
        };
        let stream = link.stream;
        let bytes = command.payload.len() as u64;
        self.flights.insert(id, Flight { tag, stream, bytes });
        match &mut link.state {
            State::Opening(waiting) => waiting.push((id, command)),
            State::Open { requests, cluster } => {
                let full = requests
                    .try_send(request(id, command, cluster.clone()))
                    .is_err();
                if full {
                    self.settle(id, Answer::Unavailable);
                }
            }
        }
    }

    fn open(&mut self, to: &Address) {
        // Streams that nothing is under way on are of no more use: the leader is elsewhere.
        let flights = &self.flights;
        let used = |stream: u64| flights.values().any(|flight| flight.stream == stream);
        self.links.retain(|_, link| used(link.stream));
        self.next_stream += 1;
        let stream = self.next_stream;
        let link = Link {
            stream,
            state: State::Opening(Vec::new()),
        };
        self.links.insert(Arc::clone(to), link);
        let (targets, to) = (Arc::clone(&self.targets), Arc::clone(to));
        let (events, limit) = (self.to_events.clone(), self.opening_max);
        tokio::spawn(async move {
            let why = serve_stream(&targets, &to, stream, limit, &events).await;
            drop(events.send(Event::Ended { stream, why }).await);
        });
    }

    /// The next thing that happens.
    pub(super) async fn event(&mut self) -> Event {
        // `to_events` is held here, so the channel does not close.
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// What has happened already.
    pub(super) fn ready_event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Opened {
                stream,
                requests,
                cluster,
            } => self.opened(stream, requests, cluster),
            Event::Answered { stream, response } => {
                let outcome = response.result.and_then(|result| result.outcome);
                let address = self.address(stream, &outcome);
                let result = proposed(&self.targets, &address, outcome);
                self.settle(response.id, result);
            }
            Event::Ended { stream, why } => self.ended(stream, why),
            Event::Registered { id, result } => self.settle(id, result),
        }
    }

    /// Whether something waits for a stream that is opening.
    pub(super) fn is_opening(&self) -> bool {
        let opening = |link: &Link| matches!(link.state, State::Opening(_));
        self.links.values().any(opening)
    }

    /// Takes back those attempts that are not sent yet because their stream is still opening, and
    /// pass `which`: nothing more is heard of them.
    pub(super) fn take_back(&mut self, which: impl Fn(&K) -> bool) -> Vec<K> {
        let mut taken = Vec::new();
        for link in self.links.values_mut() {
            let State::Opening(waiting) = &mut link.state else {
                continue;
            };
            waiting.retain(|(id, _)| {
                let flight = self.flights.get(id);
                let wanted = !flight.is_some_and(|flight| which(&flight.tag));
                if !wanted && let Some(flight) = self.flights.remove(id) {
                    taken.push(flight.tag);
                }
                wanted
            });
        }
        taken
    }

    /// What became of attempts since the last call.
    pub(super) fn settled(&mut self) -> Vec<(K, Result)> {
        std::mem::take(&mut self.settled)
    }

    fn opened(
        &mut self,
        stream: u64,
        requests: mpsc::Sender<v1::ProposeStreamRequest>,
        cluster: Bytes,
    ) {
        let Some(link) = self.links.values_mut().find(|link| link.stream == stream) else {
            return;
        };
        let state = State::Open {
            requests: requests.clone(),
            cluster: cluster.clone(),
        };
        if let State::Opening(waiting) = std::mem::replace(&mut link.state, state) {
            for (id, command) in waiting {
                let full = requests
                    .try_send(request(id, command, cluster.clone()))
                    .is_err();
                if full {
                    self.settle(id, Answer::Unavailable);
                }
            }
        }
    }

    /// The stream is over. What it did not answer may or may not have been executed, but for what
    /// had not even been sent.
    fn ended(&mut self, stream: u64, why: Over) {
        let at = self.links.iter().find(|(_, link)| link.stream == stream);
        let link = at
            .map(|(address, _)| Arc::clone(address))
            .and_then(|address| {
                let link = self.links.remove(&address)?;
                Some((address, link))
            });
        let (mut rejected, mut most) = (None, None);
        match why {
            Over::Refused(Refusal::Failed(reason)) => {
                if let Some((address, _)) = &link {
                    self.targets.failed(address, &reason);
                }
            }
            Over::Refused(Refusal::Forever(error)) => rejected = Some(error),
            Over::TooLarge { max } => most = Some(max),
        }
        if let Some((
            _,
            Link {
                state: State::Opening(waiting),
                ..
            },
        )) = link
        {
            for (id, _) in waiting {
                let result = rejected
                    .clone()
                    .map_or(Answer::Unavailable, Answer::Rejected);
                self.settle(id, result);
            }
        }
        let lost = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.stream == stream);
        let lost: Vec<(u64, u64)> = lost.map(|(id, flight)| (*id, flight.bytes)).collect();
        let mut read = true;
        for (id, len) in lost {
            let result = match most {
                Some(max) if len > max => {
                    read = false;
                    Answer::Rejected(too_large(len, max))
                }
                // It was sent behind that one, and nobody read it. The node is as well as before.
                Some(_) if !read => Answer::Overloaded {
                    retry_after: Span::ZERO,
                },
                Some(_) | None => Answer::Unknown,
            };
            self.settle(id, result);
        }
    }

    fn settle(&mut self, id: u64, result: Result) {
        if let Some(flight) = self.flights.remove(&id) {
            self.settled.push((flight.tag, result));
        }
    }

    /// Where the stream leads. Who executes leads: reads go there, too.
    fn address(&mut self, stream: u64, outcome: &Option<Outcome>) -> Address {
        let executed = matches!(outcome, Some(Outcome::Committed(_)));
        if executed && self.leading == stream {
            // Not needed: nothing is said about it.
            return Address::default();
        }
        let link = self.links.iter().find(|(_, link)| link.stream == stream);
        let address = link.map(|(address, _)| Arc::clone(address));
        if executed && let Some(address) = &address {
            self.leading = stream;
            self.targets.follow(address);
        }
        address.unwrap_or_default()
    }
}

fn request(id: u64, command: Command, cluster: Bytes) -> v1::ProposeStreamRequest {
    let request = v1::ProposeRequest {
        client: command.client.get(),
        seq: command.seq,
        ack_floor: command.ack_floor,
        payload: command.payload,
        cluster,
    };
    v1::ProposeStreamRequest {
        id,
        request: Some(request),
    }
}

/// Opens a stream to `address` and reports its answers, until it ends: returns why.
async fn serve_stream(
    targets: &Targets,
    address: &str,
    stream: u64,
    limit: Duration,
    events: &mpsc::Sender<Event>,
) -> Over {
    let failed = |reason: &str| Over::Refused(Refusal::Failed(reason.to_owned()));
    let opening = timeout(limit, open_stream(targets, address)).await;
    let (requests, cluster, mut answers) = match opening {
        Ok(Ok(opened)) => opened,
        Ok(Err(refusal)) => return Over::Refused(refusal),
        Err(_) => return failed("did not answer in time"),
    };
    let opened = Event::Opened {
        stream,
        requests,
        cluster,
    };
    const GONE: &str = "the client is gone";
    if events.send(opened).await.is_err() {
        return failed(GONE);
    }
    loop {
        match answers.message().await {
            Ok(Some(response)) => {
                let answered = Event::Answered { stream, response };
                if events.send(answered).await.is_err() {
                    return failed(GONE);
                }
            }
            Ok(None) => return failed("the node closed the stream"),
            Err(status) => {
                return match value_bytes_max(&status) {
                    Some(max) => Over::TooLarge { max },
                    None => Over::Refused(Refusal::of(&status)),
                };
            }
        }
    }
}

type OpenStream = (
    mpsc::Sender<v1::ProposeStreamRequest>,
    Bytes,
    Streaming<v1::ProposeStreamResponse>,
);

async fn open_stream(targets: &Targets, address: &str) -> std::result::Result<OpenStream, Refusal> {
    let cluster = targets.cluster(address).await?;
    let mut client = targets.consensus(address).map_err(Refusal::Failed)?;
    let (requests, queued) = mpsc::channel(SENDING_MAX);
    let answers = client.propose_stream(ReceiverStream::new(queued)).await;
    let answers = answers.map_err(|status| Refusal::of(&status))?;
    Ok((requests, cluster, answers.into_inner()))
}
