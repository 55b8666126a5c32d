//! The client library's one pipelined stream: opens it to the leader, moves it when the leader
//! changes, sends again what was surely not executed. Knows nothing about what commands mean.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chil_proto::v1;
use chil_proto::v1::propose_response::Outcome;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::client::ClientError;
use super::job::Job;
use super::targets::Targets;
use crate::handle::Executed;
use chil_core::Slot;

/// Commands that wait to be sent; beyond that callers wait.
pub(super) const QUEUED_MAX: usize = 1_024;
/// Requests handed to a stream and not yet taken by its connection.
const SENDING_MAX: usize = 256;
/// Answers read and not yet looked at.
const EVENTS_MAX: usize = 1_024;
/// The first pause after a failure; it doubles from there to the last, which is short against the
/// time that an election takes: whoever waits longer finds the new leader late.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What happens to a stream. `stream` tells the current one from those being left.
enum Event {
    Opened {
        stream: u64,
        requests: mpsc::Sender<v1::ProposeStreamRequest>,
    },
    Answered {
        stream: u64,
        response: v1::ProposeStreamResponse,
    },
    Ended {
        stream: u64,
        reason: String,
    },
}

/// What the driver does next.
enum Step {
    Take(Event),
    Queue(Job),
    GoOn,
    Sent,
}

/// The current stream.
enum Link {
    Closed,
    Opening,
    Open(mpsc::Sender<v1::ProposeStreamRequest>),
}

/// By the request's id: the stream that it was sent on, and the command.
type InFlight = BTreeMap<u64, (u64, Job)>;

/// The task behind a client.
pub(super) struct Driver {
    jobs: mpsc::Receiver<Job>,
    targets: Arc<Targets>,
    retry_unknown: bool,
    queue: VecDeque<Job>,
    /// What is sent and not answered, with the stream that it was sent on.
    in_flight: InFlight,
    next_id: u64,
    link: Link,
    stream: u64,
    address: String,
    events: mpsc::Receiver<Event>,
    to_events: mpsc::Sender<Event>,
    paused_until: Option<Instant>,
    pause: Duration,
    rng: ChaCha8Rng,
}

impl Driver {
    pub(super) fn new(
        jobs: mpsc::Receiver<Job>,
        targets: Arc<Targets>,
        retry_unknown: bool,
        seed: u64,
    ) -> Self {
        let (to_events, events) = mpsc::channel(EVENTS_MAX);
        Self {
            jobs,
            targets,
            retry_unknown,
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_id: 0,
            link: Link::Closed,
            stream: 0,
            address: String::new(),
            events,
            to_events,
            paused_until: None,
            pause: PAUSE_MIN,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Runs until every clone of the client is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let paused = self.paused_until;
            if matches!(self.link, Link::Closed) && paused.is_none() && !self.queue.is_empty() {
                self.open();
            }
            let sending = match &self.link {
                Link::Open(requests) if paused.is_none() && !self.queue.is_empty() => {
                    Some(requests)
                }
                _ => None,
            };
            let step = tokio::select! {
                biased;
                Some(event) = self.events.recv() => Step::Take(event),
                () = sleep_until(paused) => Step::GoOn,
                room = reserve(sending) => {
                    let (queue, in_flight) = (&mut self.queue, &mut self.in_flight);
                    if let Some((id, payload)) = start(queue, in_flight, &mut self.next_id, self.stream) {
                        room.send(request(id, payload));
                    }
                    Step::Sent
                }
                job = self.jobs.recv(), if self.queue.len() < QUEUED_MAX => match job {
                    Some(job) => Step::Queue(job),
                    // Nobody is left who could wait for an answer.
                    None => return,
                },
            };
            match step {
                Step::Take(event) => self.take(event),
                Step::Queue(job) => self.queue.push_back(job),
                Step::GoOn => self.paused_until = None,
                Step::Sent => {}
            }
        }
    }

    fn open(&mut self) {
        self.stream += 1;
        self.address = self.targets.current();
        self.link = Link::Opening;
        let (stream, events) = (self.stream, self.to_events.clone());
        let (targets, address) = (Arc::clone(&self.targets), self.address.clone());
        tokio::spawn(async move {
            let reason = serve_stream(&targets, &address, stream, &events).await;
            drop(events.send(Event::Ended { stream, reason }).await);
        });
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened { stream, requests } => {
                if stream == self.stream {
                    self.link = Link::Open(requests);
                }
            }
            Event::Answered { stream, response } => {
                if let Some((_, job)) = self.in_flight.remove(&response.id) {
                    let outcome = response.result.and_then(|result| result.outcome);
                    self.answered(stream, job, outcome);
                }
            }
            Event::Ended { stream, reason } => self.ended(stream, &reason),
        }
    }

    fn answered(&mut self, stream: u64, job: Job, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Committed(committed)) => {
                self.pause = PAUSE_MIN;
                drop(job.reply.send(Ok(Executed {
                    slot: Slot::new(committed.slot),
                    reply: committed.reply,
                })));
            }
            Some(Outcome::NotLeader(leader)) => {
                self.again(job);
                self.leave(stream, &leader.address, "does not lead");
            }
            Some(Outcome::Unavailable(unavailable)) => {
                self.again(job);
                self.leave(stream, "", &unavailable.reason);
            }
            Some(Outcome::Overloaded(overloaded)) => {
                self.again(job);
                self.targets.failed(&self.address, "is overloaded");
                let least = Duration::from_millis(overloaded.retry_after_ms.min(1_000));
                self.rest(least);
            }
            Some(Outcome::TooLarge(v1::TooLarge { len, max })) => {
                job.reject(format!(
                    "the command has {len} bytes, but at most {max} are allowed"
                ));
            }
            Some(Outcome::Refused(refused)) => job.reject(refused.reason),
            Some(Outcome::SessionExpired(_)) => self.ambiguous(job, "the session has expired"),
            Some(Outcome::StaleSeq(_)) => self.ambiguous(job, "the reply is not kept any more"),
            Some(Outcome::WrongCluster(_)) => {
                job.reject(format!("{} belongs to another cluster", self.address));
            }
            Some(Outcome::Unknown(unknown)) => self.ambiguous(job, &unknown.reason),
            // A newer server's outcome: nothing is known about it here.
            None => self.ambiguous(job, "the answer is not understood"),
        }
    }

    /// The stream is over: what it did not answer may or may not have been executed.
    fn ended(&mut self, stream: u64, reason: &str) {
        if stream == self.stream && !matches!(self.link, Link::Closed) {
            self.targets.failed(&self.address, reason);
            self.link = Link::Closed;
            self.rest(Duration::ZERO);
        }
        let (lost, kept): (InFlight, InFlight) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition(|(_, (on, _))| *on == stream);
        self.in_flight = kept;
        for (_, (_, job)) in lost {
            self.ambiguous(job, reason);
        }
    }

    /// The node at the other end of `stream` does not serve: goes to `hint`, or to another one.
    fn leave(&mut self, stream: u64, hint: &str, reason: &str) {
        if stream != self.stream || matches!(self.link, Link::Closed) {
            return;
        }
        // Dropping the sender closes our half: what is still unanswered there will be answered.
        self.link = Link::Closed;
        if hint.is_empty() || hint == self.address {
            self.targets.failed(&self.address, reason);
            self.rest(Duration::ZERO);
        } else {
            self.targets.follow(hint);
            if self.pause > PAUSE_MIN {
                self.rest(Duration::ZERO);
            } else {
                // The first hint is followed at once; two nodes that name each other are not.
                self.pause = self.pause.saturating_mul(2);
            }
        }
    }

    /// Puts a command back into the queue, unless its caller has left.
    fn again(&mut self, job: Job) {
        if job.restart() {
            self.queue.push_back(job);
        }
    }

    fn ambiguous(&mut self, job: Job, reason: &str) {
        if self.retry_unknown {
            job.doubt();
            self.again(job);
        } else {
            let reason = reason.to_owned();
            drop(job.reply.send(Err(ClientError::Unknown { reason })));
        }
    }

    /// Pauses for at least `least`; longer after each failure in a row.
    fn rest(&mut self, least: Duration) {
        let half = self.pause / 2;
        let jitter = Duration::from_nanos(
            self.rng.next_u64() % u64::try_from(half.as_nanos().max(1)).unwrap_or(1),
        );
        self.paused_until = Some(Instant::now() + least.max(half + jitter));
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// Takes the next command whose caller still waits, and notes it as sent.
fn start(
    queue: &mut VecDeque<Job>,
    in_flight: &mut InFlight,
    next_id: &mut u64,
    stream: u64,
) -> Option<(u64, Bytes)> {
    loop {
        let job = queue.pop_front()?;
        if job.start() {
            *next_id += 1;
            let payload = job.payload.clone();
            in_flight.insert(*next_id, (stream, job));
            return Some((*next_id, payload));
        }
    }
}

fn request(id: u64, payload: Bytes) -> v1::ProposeStreamRequest {
    let request = v1::ProposeRequest {
        payload,
        ..v1::ProposeRequest::default()
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
    events: &mpsc::Sender<Event>,
) -> String {
    let mut client = match targets.consensus(address) {
        Ok(client) => client,
        Err(reason) => return reason,
    };
    let (requests, queued) = mpsc::channel(SENDING_MAX);
    let mut answers = match client.propose_stream(ReceiverStream::new(queued)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status_text(&status),
    };
    if events
        .send(Event::Opened { stream, requests })
        .await
        .is_err()
    {
        return "the client is gone".to_owned();
    }
    loop {
        match answers.message().await {
            Ok(Some(response)) => {
                let answered = Event::Answered { stream, response };
                if events.send(answered).await.is_err() {
                    return "the client is gone".to_owned();
                }
            }
            Ok(None) => return "the node closed the stream".to_owned(),
            Err(status) => return status_text(&status),
        }
    }
}

/// What a failed call says to people.
pub(super) fn status_text(status: &tonic::Status) -> String {
    let source = std::error::Error::source(status);
    source.map_or_else(|| status.message().to_owned(), crate::net::transport::chain)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Room for one request; never comes where nothing is to be sent.
async fn reserve(
    requests: Option<&mpsc::Sender<v1::ProposeStreamRequest>>,
) -> mpsc::Permit<'_, v1::ProposeStreamRequest> {
    if let Some(requests) = requests
        && let Ok(room) = requests.reserve().await
    {
        return room;
    }
    // Nothing to send, or the stream is ending, and its event will say so.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::api::job::Progress;

    #[test]
    fn what_may_have_been_executed_and_is_sent_again_stays_in_doubt() {
        let (_jobs, queued) = mpsc::channel(1);
        let targets = Arc::new(Targets::new(Vec::new()));
        let mut driver = Driver::new(queued, targets, true, 1);
        let progress = Arc::new(Progress::default());
        let (reply, _outcome) = oneshot::channel();
        let job = Job {
            payload: Bytes::new(),
            progress: Arc::clone(&progress),
            reply,
        };
        driver.queue.push_back(job);
        start(&mut driver.queue, &mut driver.in_flight, &mut 0, 1).expect("it is queued");
        driver.ended(1, "the stream broke");
        assert_eq!(driver.queue.len(), 1);
        assert!(!progress.give_up(), "the first sending may be executed");
    }
}
