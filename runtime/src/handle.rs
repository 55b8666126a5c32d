//! The handle of a running node: propose, read, status, shutdown. Cheap to clone.
//! Knows nothing about how the node works: it asks the loop and waits for the answer.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chil_core::kv::{KeyValue, KvAnswer, KvCommand, KvQuery, KvReply, Versioned};
use chil_core::{ClientId, Command, Slot, Span};
use tokio::sync::{mpsc, oneshot, watch};

use crate::builder::NodeBuilder;
use crate::clock::SystemClock;
use crate::error::{NodeError, ProposeError, ReadError, Rejection, TransferError};
use crate::explain::Finding;
use crate::metrics::Metrics;
use crate::ports::Clock;
use crate::request::Requests;
use crate::shutdown::{Ended, Stop, Stopper, ended};
use crate::status::{MemberInfo, NodeStatus};
use crate::tls::reload::Ask;
use crate::tls::{Reloaded, TlsError};
use crate::watch::{Watch, WatchError};

/// A command's outcome: it is decided, and this node has executed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Where it stands in the log.
    pub slot: Slot,
    /// The state machine's reply.
    pub reply: Bytes,
}

/// A query's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The state machine's answer.
    pub answer: Bytes,
    /// The last slot that was executed when it was given.
    pub applied: Slot,
    /// Of a [`Consistency::Stale`] read: for how long the node has not known that what it has
    /// executed was everything decided; `None` when it never has.
    pub age: Option<Duration>,
}

/// A write of the key-value machine that is decided and executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where it stands in the log.
    pub slot: Slot,
    /// Whether the write's condition held; a write without one is always applied.
    pub applied: bool,
    /// The key's version from now on, if it was applied.
    pub version: u64,
    /// The key's version before, if it had a value.
    pub previous: Option<u64>,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Sees everything that was acknowledged before it began. Only the leader answers.
    #[default]
    Linearizable,
    /// As `Linearizable`, but without a round trip while the leader holds a lease: it rests on
    /// the bound for the clocks' rates that the cluster was formed with.
    Lease,
    /// As `Linearizable`, but any node answers, after it has asked its leader.
    Follower,
    /// Sees what this node has executed, however long ago.
    Stale,
}

/// A running node with the state machine `S`. It runs until it is shut down, fails, or the last
/// handle is dropped, which ends it at once like a crash would and never blocks.
pub struct Node<S> {
    shared: Arc<Shared>,
    machine: PhantomData<fn() -> S>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) local_addr: SocketAddr,
    pub(crate) metrics_addr: Option<SocketAddr>,
    pub(crate) requests: Requests,
    pub(crate) stopper: Stopper,
    pub(crate) leader: watch::Receiver<Option<MemberInfo>>,
    pub(crate) ended: watch::Receiver<Ended>,
    pub(crate) metrics: Arc<Metrics>,
    /// `None` without TLS.
    pub(crate) reload: Option<mpsc::Sender<Ask>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopper.tell(Stop::Now);
    }
}

impl Node<()> {
    /// Begins to describe a node called `name`. The name is its identity: it never changes, and
    /// no other member of the cluster has it.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        NodeBuilder::new(name.into())
    }
}

impl<S> Node<S> {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            machine: PhantomData,
        }
    }

    /// Has the cluster decide `command` and returns the state machine's reply to it. Only the
    /// leader takes commands; the others say who leads.
    ///
    /// # Errors
    /// See [`ProposeError`]: each variant says whether the command can have been executed.
    pub async fn submit(&self, command: impl Into<Bytes>) -> Result<Executed, ProposeError> {
        let command = Command::sessionless(command.into());
        self.shared.requests.submit(command, None).await
    }

    /// As [`Node::submit`], with what makes the command execute once however often it is sent:
    /// its session, its number in it, and up to which number its client has seen the outcomes.
    ///
    /// # Errors
    /// See [`ProposeError`]: each variant says whether the command can have been executed.
    pub async fn submit_command(&self, command: Command) -> Result<Executed, ProposeError> {
        self.shared.requests.submit(command, None).await
    }

    /// Opens a session. `nonce` is random, drawn once for each session that is wanted: asked
    /// again with the same one, the cluster opens no second session.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn register(&self, nonce: u128) -> Result<ClientId, ProposeError> {
        self.shared.requests.register(nonce, None).await
    }

    /// Asks the state machine.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn query(
        &self,
        query: impl Into<Bytes>,
        consistency: Consistency,
    ) -> Result<Answer, ReadError> {
        self.query_from(query, consistency, Slot::ZERO).await
    }

    /// As [`Node::query`], of a state that has executed `min_slot` at least: with the slot of
    /// its own last write, whoever asks reads its own writes from any node. Waits for it for a
    /// second.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn query_from(
        &self,
        query: impl Into<Bytes>,
        consistency: Consistency,
        min_slot: Slot,
    ) -> Result<Answer, ReadError> {
        let requests = &self.shared.requests;
        let query = query.into();
        requests.query(query, consistency, min_slot, None).await
    }

    /// Follows what is decided, from slot `from` on; without one, from what this node has not
    /// executed yet.
    ///
    /// # Errors
    /// [`WatchError::Stopped`] if the node has ended. What is not there (any more) is told by
    /// [`Watch::next`].
    pub async fn watch(&self, from: Option<Slot>) -> Result<Watch, WatchError> {
        let requests = self.shared.requests.clone();
        let from = match from {
            Some(from) => from,
            None => {
                let status = requests.status().await.ok_or(WatchError::Stopped)?;
                status.applied.next()
            }
        };
        Ok(Watch::new(requests, from))
    }

    /// Has this leader hand its leadership over, to the member called `to` or to whoever suits
    /// best, and says who leads then.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leadership(&self, to: Option<&str>) -> Result<MemberInfo, TransferError> {
        self.shared.requests.transfer(to.map(str::to_owned)).await
    }

    /// What stands in the way of what: why nobody leads, why a peer is behind, what proposals
    /// wait for. Empty when nothing does; `None` once the node has ended.
    pub async fn explain(&self) -> Option<Vec<Finding>> {
        self.shared.requests.explain().await
    }

    /// How things stand; `None` once the node has ended.
    pub async fn status(&self) -> Option<NodeStatus> {
        self.shared.requests.status().await
    }

    /// Looks at once whether certificate, key and authorities have changed, and takes what they
    /// contain now. Without TLS, and while the node ends, nothing has changed.
    ///
    /// # Errors
    /// Why what the files contain cannot be used: the node goes on with what it has.
    pub async fn reload(&self) -> Result<Reloaded, TlsError> {
        let (ask, answer) = oneshot::channel();
        if let Some(reload) = &self.shared.reload
            && reload.send(ask).await.is_ok()
            && let Ok(outcome) = answer.await
        {
            return outcome;
        }
        Ok(Reloaded::Unchanged)
    }

    /// What the node has counted so far, in the text format of OpenMetrics, as the page has it
    /// that [`NodeBuilder::metrics_address`] asks for. Names begin with `chil_`, and every one has the label `node`.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.shared.metrics.text()
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The address that it listens on: with the port that the system chose, if it was to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// The address of the page with its metrics, if it has one: with the port that the system
    /// chose, if it was to.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.shared.metrics_addr
    }

    /// Who leads, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<MemberInfo> {
        self.shared.leader.borrow().clone()
    }

    /// Waits until this node knows a leader that works; `None` if it ends before.
    pub async fn wait_for_leader(&self) -> Option<MemberInfo> {
        let mut leader = self.shared.leader.clone();
        let mut ended = self.shared.ended.clone();
        tokio::select! {
            biased;
            found = leader.wait_for(Option::is_some) => found.ok()?.clone(),
            _ = ended.wait_for(Option::is_some) => None,
        }
    }

    /// Ends the node: takes nothing new, finishes what is in flight, hands its leadership over,
    /// closes. What is not finished by `deadline` is given up (its outcome unknown), so this
    /// returns soon after.
    ///
    /// # Errors
    /// What the node failed with, if it did before it was shut down.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), NodeError> {
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        let until = SystemClock.now() + Span::from_nanos(nanos);
        self.shared.stopper.tell(Stop::Drain(until));
        self.join().await
    }

    /// Waits until the node has ended, and its port and directory are free.
    ///
    /// # Errors
    /// Why it ended by itself: a failed disk, a panic of the state machine, a refused cluster.
    pub async fn join(&self) -> Result<(), NodeError> {
        ended(self.shared.ended.clone()).await
    }
}

impl Node<KeyValue> {
    /// Writes `value` under `key`.
    ///
    /// # Errors
    /// As [`Node::submit`].
    pub async fn propose(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Committed, ProposeError> {
        let command = KvCommand::put(key.into(), value.into());
        committed(&self.submit(command.encode()).await?)
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// As [`Node::submit`].
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<Committed, ProposeError> {
        let command = KvCommand::delete(key.into());
        committed(&self.submit(command.encode()).await?)
    }

    /// The value of `key` and its version; `None` if it has none.
    ///
    /// # Errors
    /// As [`Node::query`].
    pub async fn read(
        &self,
        key: impl Into<Bytes>,
        consistency: Consistency,
    ) -> Result<Option<Versioned>, ReadError> {
        let query = KvQuery::Get { key: key.into() };
        let answer = self.query(query.encode(), consistency).await?;
        match KvAnswer::decode(&answer.answer) {
            Ok(KvAnswer::Value(value)) => Ok(value),
            Ok(other) => Err(ReadError::Failed(format!("answered a get with {other:?}"))),
            Err(error) => Err(ReadError::Failed(error.to_string())),
        }
    }
}

/// What the key-value machine's reply says.
pub(crate) fn committed(executed: &Executed) -> Result<Committed, ProposeError> {
    let not_understood = |text| ProposeError::Rejected(Rejection::NotUnderstood(text));
    match KvReply::decode(&executed.reply) {
        Ok(KvReply::Written {
            applied,
            version,
            previous,
        }) => Ok(Committed {
            slot: executed.slot,
            applied,
            version,
            previous: previous.map(|stamp| stamp.version),
        }),
        Ok(KvReply::Decided { .. }) => Err(not_understood(
            "a transaction, whose result is not a single write's".into(),
        )),
        Ok(KvReply::Malformed) => Err(not_understood(
            "not a command of the key-value machine".into(),
        )),
        // Executed it was, by another machine or by a newer one: who knows to what effect.
        Err(error) => {
            tracing::error!(slot = %executed.slot, %error, "a reply is not understood");
            Err(ProposeError::Unknown)
        }
    }
}

impl<S> Clone for Node<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            machine: PhantomData,
        }
    }
}

impl<S> std::fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.shared.name)
            .field("local_addr", &self.shared.local_addr)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(reply: Bytes) -> Result<Committed, ProposeError> {
        let slot = Slot::new(1);
        committed(&Executed { slot, reply })
    }

    #[test]
    fn a_reply_that_is_not_understood_says_nothing_of_what_was_executed() {
        let foreign = Bytes::from_static(b"another machine's");
        assert_eq!(outcome(foreign), Err(ProposeError::Unknown));
        assert!(matches!(
            outcome(KvReply::Malformed.encode()),
            Err(ProposeError::Rejected(Rejection::NotUnderstood(_)))
        ));
    }
}
