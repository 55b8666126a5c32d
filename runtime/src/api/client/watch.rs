//! Watching what is decided: a stream that survives the nodes that it comes from, and goes on
//! behind the last slot that it gave. Knows nothing about what commands mean.

use std::collections::BTreeSet;
use std::time::Duration;

use chil_core::{ClientId, Slot};
use chil_proto::v1;
use chil_proto::v1::decision::What;
use chil_proto::v1::watch_response::Event;
use futures_util::{Stream, stream};
use tokio::time::{Instant, timeout};
use tonic::Streaming;

use super::targets::Refusal;
use super::{Client, ClientError, WatchError, status_text};
pub use crate::watch::{Decided, Decision};

/// The decisions of a cluster from some slot on, each once and in order, without end.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    /// The slot due next; zero until the first connection: from what is decided next on.
    next: Slot,
    open: Option<(String, Streaming<v1::WatchResponse>)>,
    /// Somebody has trimmed the slot that is due, and the others are asked for it.
    trimmed: Option<Trimmed>,
    /// Nothing was heard since; bounded by the client's timeout while nobody serves.
    failing_since: Option<Instant>,
    pause: Duration,
}

/// Nodes trim their logs each for itself: what is gone at one may be there at another.
#[derive(Debug)]
struct Trimmed {
    /// The first slot that somebody said to have.
    first: Slot,
    /// Who has said since that it does not have it.
    asked: BTreeSet<String>,
    /// How often somebody else was of no use: the next one is asked then.
    failures: usize,
}

/// Why an open stream is of no use any more.
enum Ended {
    /// Another node may do better.
    Failed(String),
    /// The slot that is due was trimmed elsewhere, and this node does not have it yet.
    Lacks,
}

/// The first pause after a failure; it doubles from there to the last.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A node that has been silent for so long (or for the client's timeout) is asked whether it still has a leader: cut off from
/// the others, it would be silent for ever.
const SILENCE_MAX: Duration = Duration::from_secs(3);

impl Client {
    /// Watches what is decided from slot `from` on; from [`Slot::ZERO`]: from where the first node
    /// stands that answers the first [`Watch::next`]. If that node lags, that is a little of what
    /// was decided before. Once known ([`Watch::due`]), the beginning stays, whichever nodes the
    /// rest comes from: no slot is left out, and none comes twice.
    #[must_use]
    pub fn watch(&self, from: Slot) -> Watch {
        Watch {
            client: self.clone(),
            next: from,
            open: None,
            trimmed: None,
            failing_since: None,
            pause: PAUSE_MIN,
        }
    }
}

impl Watch {
    /// The next decision. Waits until there is one, on one node after the other.
    ///
    /// # Errors
    /// [`WatchError::Compacted`] when the slot that is due was trimmed, and all the addresses that
    /// the client was given have said that they do not have it either. [`WatchError::Client`] when
    /// no node served the watch for the client's timeout, although somebody may have the slot.
    /// Called again after either, it asks all of them again.
    pub async fn next(&mut self) -> Result<Decision, WatchError> {
        loop {
            let Some(address) = self.open() else {
                match self.connect().await {
                    Ok(()) => {}
                    Err((address, Refusal::Failed(reason))) => {
                        self.failed(&address, &reason).await?;
                    }
                    Err((_, Refusal::Forever(error))) => return Err(error.into()),
                }
                continue;
            };
            let event = match self.receive(&address).await {
                Ok(event) => event,
                Err(Ended::Failed(reason)) => {
                    self.failed(&address, &reason).await?;
                    continue;
                }
                Err(Ended::Lacks) => {
                    self.open = None;
                    self.asked(&address)?;
                    continue;
                }
            };
            match event {
                Event::Decision(decision) => {
                    if let Some(decision) = self.decided(&address, decision).await? {
                        return Ok(decision);
                    }
                }
                Event::Compacted(v1::Compacted { first_slot }) => {
                    self.open = None;
                    self.trimmed(&address, Slot::new(first_slot))?;
                }
                Event::Unavailable(v1::Unavailable { reason }) => {
                    self.failed(&address, &reason).await?;
                }
                Event::Overloaded(_) => self.failed(&address, "is overloaded").await?,
                Event::WrongCluster(wrong) => {
                    let targets = &self.client.targets;
                    return Err(targets.other_cluster(&address, &wrong.cluster).into());
                }
            }
        }
    }

    /// The same as a stream. It ends behind the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Decision, WatchError>> + Send {
        stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            let next = watch.next().await;
            let rest = next.is_ok().then_some(watch);
            Some((next, rest))
        })
    }

    /// The slot that comes next, if it is known.
    #[must_use]
    pub fn due(&self) -> Option<Slot> {
        (self.next > Slot::ZERO).then_some(self.next)
    }

    fn open(&self) -> Option<String> {
        self.open.as_ref().map(|(address, _)| address.clone())
    }

    /// Whom to ask next.
    fn address(&self) -> String {
        let targets = &self.client.targets;
        let Some(trimmed) = &self.trimmed else {
            return targets.any();
        };
        let listed = targets.addresses().iter();
        let unasked: Vec<&String> = listed.filter(|a| !trimmed.asked.contains(*a)).collect();
        let turn = trimmed.failures.checked_rem(unasked.len()).unwrap_or(0);
        unasked
            .get(turn)
            .map_or_else(|| targets.any(), |address| (*address).clone())
    }

    /// The node at `address` has nothing before `first`. An error once nobody is left to ask.
    fn trimmed(&mut self, address: &str, first: Slot) -> Result<(), WatchError> {
        let trimmed = self.trimmed.get_or_insert_with(|| Trimmed {
            first,
            asked: BTreeSet::new(),
            failures: 0,
        });
        trimmed.first = trimmed.first.min(first);
        self.asked(address)
    }

    /// The node at `address` has said that it does not have what is due.
    fn asked(&mut self, address: &str) -> Result<(), WatchError> {
        let Some(trimmed) = &mut self.trimmed else {
            return Ok(());
        };
        trimmed.asked.insert(address.to_owned());
        let addresses = self.client.targets.addresses();
        if addresses.iter().any(|a| !trimmed.asked.contains(a)) {
            return Ok(());
        }
        let first = trimmed.first;
        (self.trimmed, self.failing_since) = (None, None);
        Err(WatchError::Compacted { first })
    }

    async fn connect(&mut self) -> Result<(), (String, Refusal)> {
        let address = self.address();
        let limit = self.client.one_attempt();
        let opening = timeout(limit, self.ask(&address)).await;
        let answer =
            opening.unwrap_or_else(|_| Err(Refusal::Failed("did not answer in time".to_owned())));
        match answer {
            Ok(stream) => {
                self.open = Some((address, stream));
                Ok(())
            }
            Err(refusal) => Err((address, refusal)),
        }
    }

    async fn ask(&mut self, address: &str) -> Result<Streaming<v1::WatchResponse>, Refusal> {
        let targets = &self.client.targets;
        let cluster = targets.cluster(address).await?;
        if self.next == Slot::ZERO {
            // As a number, so that nothing is left out when this connection ends before its
            // first decision.
            let status = self.client.status_of(address).await;
            let status = status.map_err(|error| Refusal::Failed(error.to_string()))?;
            // Where another cluster stands, or a node that has none yet, says nothing.
            targets.seen(address, &status.cluster)?;
            self.next = Slot::new(status.commit.max(status.applied)).next();
        }
        let mut consensus = targets.consensus(address).map_err(Refusal::Failed)?;
        let request = v1::WatchRequest {
            from_slot: self.next.get(),
            cluster,
        };
        match consensus.watch(request).await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(status) => Err(Refusal::of(&status)),
        }
    }

    /// What the open stream says next; the error says why it is of no use any more.
    async fn receive(&mut self, address: &str) -> Result<Event, Ended> {
        let failed = |reason: &str| Err(Ended::Failed(reason.to_owned()));
        let silence_max = SILENCE_MAX.min(self.client.options.timeout);
        loop {
            let Some((_, stream)) = &mut self.open else {
                return failed("the stream is closed");
            };
            match timeout(silence_max, stream.message()).await {
                Ok(Ok(Some(response))) => match response.event {
                    Some(event) => return Ok(event),
                    None => return failed("the answer is not understood"),
                },
                Ok(Ok(None)) => return failed("the node closed the stream"),
                Ok(Err(status)) => return failed(&status_text(&status)),
                Err(_) => match self.client.status_of(address).await {
                    Ok(status) if self.trimmed.is_some() => {
                        // Who has it and does not send it may do so yet.
                        let lacks = Slot::new(status.commit) < self.next;
                        return if lacks {
                            Err(Ended::Lacks)
                        } else {
                            failed("does not send what it has")
                        };
                    }
                    Ok(status) if status.happy => self.failing_since = None,
                    Ok(_) => return failed("has no leader that works"),
                    Err(error) => return failed(&error.to_string()),
                },
            }
        }
    }

    /// Takes what stands in the next slot; `None` for what was given already.
    async fn decided(
        &mut self,
        address: &str,
        decision: v1::Decision,
    ) -> Result<Option<Decision>, WatchError> {
        let slot = Slot::new(decision.slot);
        if slot < self.next {
            return Ok(None);
        }
        let what = what(decision.what);
        let (Some(what), true) = (what, slot == self.next) else {
            let reason = format!(
                "sent slot {slot} where {} was due, or nothing in it",
                self.next
            );
            self.failed(address, &reason).await?;
            return Ok(None);
        };
        self.next = slot.next();
        (self.trimmed, self.failing_since) = (None, None);
        self.pause = PAUSE_MIN;
        Ok(Some(Decision { slot, what }))
    }

    /// Leaves the node, and pauses; gives up once nobody has served for the client's timeout.
    async fn failed(&mut self, address: &str, reason: &str) -> Result<(), WatchError> {
        self.open = None;
        self.client.targets.failed(address, reason);
        if let Some(trimmed) = &mut self.trimmed {
            // Whoever does not answer may have it: nobody has said that it is gone.
            trimmed.failures += 1;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() + self.pause >= self.client.options.timeout {
            (self.trimmed, self.failing_since) = (None, None);
            let reason = self.client.targets.last_failure();
            return Err(ClientError::Unavailable { reason }.into());
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

fn what(what: Option<What>) -> Option<Decided> {
    match what? {
        What::Command(command) => Some(Decided::Command {
            client: ClientId::new(command.client),
            seq: command.seq,
            payload: command.payload,
        }),
        What::Registration(registration) => {
            let nonce = <[u8; 16]>::try_from(registration.nonce.as_ref()).ok()?;
            Some(Decided::Registration {
                nonce: u128::from_be_bytes(nonce),
            })
        }
    }
}
