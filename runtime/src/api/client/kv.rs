//! What a cluster with the key-value machine offers besides: writes, conditions, small
//! transactions, reads of single keys and of all keys with a prefix.
//! Knows nothing about how commands and queries travel.

use std::future::Future;

use bytes::Bytes;
use chil_core::Slot;
use chil_core::kv::{Cond, KvAnswer, KvCommand, KvQuery, KvReply, Stamp, Txn, Versioned};
use futures_util::{Stream, stream};

use super::{Client, ClientError, Committed, Consistency, ReadOptions};
use crate::error::ProposeError;

/// What became of a [`Txn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOutcome {
    /// Where it stands in the log, which is the version of what it wrote.
    pub slot: Slot,
    /// Whether all checks held: `then` was written, else `otherwise`.
    pub held: bool,
    /// For each write of that branch, what its key had before; `None` if it was absent.
    pub previous: Vec<Option<Stamp>>,
}

/// Keys in order with their values, as they were at one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The keys and values.
    pub items: Vec<(Bytes, Versioned)>,
    /// The slot that they were read at.
    pub applied: Slot,
}

/// All keys with a prefix, page by page. Each page shows the state of one slot, never of an
/// earlier one than the page before: what is written between two pages may be seen.
#[derive(Clone, Debug)]
pub struct Scan {
    client: Client,
    prefix: Bytes,
    after: Option<Bytes>,
    page_keys: u64,
    options: ReadOptions,
    over: bool,
}

impl Client {
    /// Writes `value` under `key`, whatever was there.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Committed, ClientError>> + Send {
        self.write(KvCommand::put(key.into(), value.into()))
    }

    /// Writes `value` under `key` if `cond` holds when the command is executed: whether it did is
    /// [`Committed::applied`].
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn put_if(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        cond: Cond,
    ) -> impl Future<Output = Result<Committed, ClientError>> + Send {
        let (key, value) = (key.into(), value.into());
        self.write(KvCommand::Put { key, value, cond })
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn delete(
        &self,
        key: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Committed, ClientError>> + Send {
        self.write(KvCommand::delete(key.into()))
    }

    /// Removes `key` if `cond` holds when the command is executed: whether it did is
    /// [`Committed::applied`].
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn delete_if(
        &self,
        key: impl Into<Bytes>,
        cond: Cond,
    ) -> impl Future<Output = Result<Committed, ClientError>> + Send {
        let key = key.into();
        self.write(KvCommand::Delete { key, cond })
    }

    /// Executes several writes at once, which of them depending on several conditions.
    ///
    /// # Errors
    /// As [`Client::submit`]; [`ClientError::Rejected`] with more than [`Txn::OPERATIONS_MAX`]
    /// checks, or writes of a branch.
    pub async fn txn(&self, txn: Txn) -> Result<TxnOutcome, ClientError> {
        let lists = [txn.checks.len(), txn.then.len(), txn.otherwise.len()];
        if lists
            .into_iter()
            .any(|len| len as u64 > Txn::OPERATIONS_MAX)
        {
            let max = Txn::OPERATIONS_MAX;
            return Err(ClientError::Rejected {
                reason: format!("a transaction may have {max} checks, and writes of each branch"),
            });
        }
        let executed = self.submit(KvCommand::Txn(txn).encode()).await?;
        match KvReply::decode(&executed.reply) {
            Ok(KvReply::Decided { held, previous, .. }) => Ok(TxnOutcome {
                slot: executed.slot,
                held,
                previous,
            }),
            Ok(KvReply::Malformed) => Err(other_machine()),
            Ok(KvReply::Written { .. }) | Err(_) => Err(not_its_reply()),
        }
    }

    /// The value of `key` and its version; `None` if it has none. As fresh as can be.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Versioned>, ClientError> {
        self.get_with(key, Consistency::Linearizable).await
    }

    /// The value of `key` and its version, as fresh as the options say.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn get_with(
        &self,
        key: impl Into<Bytes>,
        options: impl Into<ReadOptions>,
    ) -> Result<Option<Versioned>, ClientError> {
        let query = KvQuery::Get { key: key.into() };
        let answer = self.query(query.encode(), options).await?;
        match KvAnswer::decode(&answer.answer) {
            Ok(KvAnswer::Value(value)) => Ok(value),
            Ok(KvAnswer::Count(_) | KvAnswer::Page { .. } | KvAnswer::Malformed) | Err(_) => {
                Err(other_machine())
            }
        }
    }

    /// Begins to read all keys that begin with `prefix`, in their order; `page_keys` bounds a
    /// page (0: as many as fit in one answer).
    #[must_use]
    pub fn scan(
        &self,
        prefix: impl Into<Bytes>,
        page_keys: u64,
        options: impl Into<ReadOptions>,
    ) -> Scan {
        Scan {
            client: self.clone(),
            prefix: prefix.into(),
            after: None,
            page_keys,
            options: options.into(),
            over: false,
        }
    }

    async fn write(&self, command: KvCommand) -> Result<Committed, ClientError> {
        let executed = self.submit(command.encode()).await?;
        crate::handle::committed(&executed).map_err(|error| match error {
            ProposeError::Unknown => not_its_reply(),
            error => ClientError::Rejected {
                reason: error.to_string(),
            },
        })
    }
}

impl Scan {
    /// The next page; `None` when there are no more keys.
    ///
    /// # Errors
    /// As [`Client::query`]; called again, it asks for the same page again.
    pub async fn next_page(&mut self) -> Result<Option<Page>, ClientError> {
        if self.over {
            return Ok(None);
        }
        let query = KvQuery::Scan {
            prefix: self.prefix.clone(),
            after: self.after.clone(),
            limit: self.page_keys,
        };
        let answer = self.client.query(query.encode(), self.options).await?;
        let Ok(KvAnswer::Page { items, more }) = KvAnswer::decode(&answer.answer) else {
            return Err(other_machine());
        };
        // Whichever node is asked next, it must not be behind this one.
        self.options.min_slot = self.options.min_slot.max(answer.applied);
        self.over = !more;
        match items.last() {
            Some((last, _)) => self.after = Some(last.clone()),
            None => {
                self.over = true;
                return Ok(None);
            }
        }
        Ok(Some(Page {
            items,
            applied: answer.applied,
        }))
    }

    /// The pages as a stream. It ends behind the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Page, ClientError>> + Send {
        stream::unfold(Some(self), |scan| async {
            let mut scan = scan?;
            let page = scan.next_page().await.transpose()?;
            let rest = page.is_ok().then_some(scan);
            Some((page, rest))
        })
    }
}

fn other_machine() -> ClientError {
    ClientError::Rejected {
        reason: "the cluster's state machine is not the key-value machine, or of another version"
            .to_owned(),
    }
}

/// Executed it was, by another machine or by a newer one: who knows to what effect.
fn not_its_reply() -> ClientError {
    ClientError::Unknown {
        reason: "it was executed, but its reply is not the key-value machine's".to_owned(),
    }
}
