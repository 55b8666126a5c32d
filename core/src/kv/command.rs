//! What the key-value machine can be told and asked, and what it answers.
//! Knows nothing about bytes (see `codec`), nor about the state that it speaks of.

use bytes::Bytes;

/// A write. Its encoding is the payload of a [`Command`](crate::Command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvCommand {
    /// Gives `key` this value, if the condition holds.
    Put {
        /// The key; may be empty.
        key: Bytes,
        /// The value; may be empty, which is not the same as absent.
        value: Bytes,
        /// What must hold of the key.
        cond: Cond,
    },
    /// Makes `key` absent, if the condition holds. Deleting what is absent succeeds.
    Delete {
        /// The key.
        key: Bytes,
        /// What must hold of the key.
        cond: Cond,
    },
    /// Several writes at once, which of them depending on several conditions.
    Txn(Txn),
}

impl KvCommand {
    /// Gives `key` this value, whatever it had before.
    #[must_use]
    pub const fn put(key: Bytes, value: Bytes) -> Self {
        let cond = Cond::Any;
        Self::Put { key, value, cond }
    }

    /// Makes `key` absent, whatever it had before.
    #[must_use]
    pub const fn delete(key: Bytes) -> Self {
        let cond = Cond::Any;
        Self::Delete { key, cond }
    }
}

/// What must hold of a key when the command is executed, which is not when it is sent: conditions
/// are looked at in the order of the log, on every node alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cond {
    /// Nothing: the last writer wins.
    Any,
    /// It has no value.
    Absent,
    /// It has a value.
    Exists,
    /// Its value was written by this slot: nobody wrote since.
    VersionEq(u64),
    /// It has been there without interruption since this slot: nobody deleted it since, though
    /// perhaps somebody wrote.
    CreatedEq(u64),
    /// It has this value, whoever wrote it.
    ValueEq(Bytes),
}

/// All writes of one branch, at once: nobody sees some of them only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// What decides between the branches.
    pub checks: Vec<Check>,
    /// Written if all checks hold, in this order; no checks always hold.
    pub then: Vec<Write>,
    /// Written otherwise.
    pub otherwise: Vec<Write>,
}

impl Txn {
    /// Checks, and writes of each branch: one with more is refused as malformed.
    pub const OPERATIONS_MAX: u64 = 64;
}

/// A condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The key.
    pub key: Bytes,
    /// What must hold of it.
    pub cond: Cond,
}

/// One write of a [`Txn`]. Later ones see the earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Gives `key` this value.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Makes `key` absent.
    Delete {
        /// The key.
        key: Bytes,
    },
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvQuery {
    /// What is the value of `key`?
    Get {
        /// The key.
        key: Bytes,
    },
    /// How many keys have a value?
    Count,
    /// Which keys begin with `prefix`, in order, and what are their values?
    ///
    /// Each page shows the state of one slot; between two pages it may change.
    Scan {
        /// What the keys begin with; empty for all.
        prefix: Bytes,
        /// Only keys behind this one: the last of the page before.
        after: Option<Bytes>,
        /// At most so many; 0 for as many as fit in one answer.
        limit: u64,
    },
}

impl KvQuery {
    /// Most keys of one answer.
    pub const SCAN_KEYS_MAX: u64 = 10_000;
    /// Bytes of keys and values above which an answer takes no further key.
    pub const SCAN_BYTES_MAX: u64 = 1 << 20;
}

/// The answer to a [`KvCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvReply {
    /// To a `Put` or a `Delete`.
    Written {
        /// Whether the condition held. If not, nothing was written; the command succeeded all
        /// the same.
        applied: bool,
        /// The slot of the command: the version of what a `Put` wrote.
        version: u64,
        /// What the key had before; `None` if it was absent.
        previous: Option<Stamp>,
    },
    /// To a `Txn`.
    Decided {
        /// Whether all checks held: `then` was written, else `otherwise`.
        held: bool,
        /// The slot of the command: the version of what it wrote.
        version: u64,
        /// For each write of the branch, what its key had before; `None` if it was absent.
        previous: Vec<Option<Stamp>>,
    },
    /// The command could not be read. It changed nothing.
    Malformed,
}

/// The answer to a [`KvQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvAnswer {
    /// The key's value; `None` if it is absent.
    Value(Option<Versioned>),
    /// How many keys have a value.
    Count(u64),
    /// To a `Scan`: keys with their values, in order.
    Page {
        /// The keys and values.
        items: Vec<(Bytes, Versioned)>,
        /// Whether more follow behind the last one.
        more: bool,
    },
    /// The query could not be read.
    Malformed,
}

/// Who wrote a value, and since when its key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The slot of the write: later writes have greater versions, on every key alike.
    pub version: u64,
    /// The slot that the key has had a value since. A key that was deleted and written again has
    /// another, so it is not taken for the same.
    pub created: u64,
}

/// A value and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The slot of the write: later writes have greater versions, on every key alike.
    pub version: u64,
    /// The slot that the key has had a value since.
    pub created: u64,
}

/// Why bytes are no command, query, reply or answer of the key-value machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The bytes end within a field.
    #[error("cut off: {needed} more bytes were expected")]
    Truncated {
        /// How many are missing, at least.
        needed: u64,
    },
    /// Bytes follow the last field.
    #[error("{extra} bytes too many")]
    Trailing {
        /// How many.
        extra: u64,
    },
    /// The format is of a later version of this library.
    #[error("format version {found} is not known here (known: {known})", known = super::fields::FORMAT)]
    Format {
        /// The version found.
        found: u8,
    },
    /// The tag names nothing of the kind expected.
    #[error("unknown tag {found:#04x}")]
    Tag {
        /// The tag found.
        found: u8,
    },
    /// A list is longer than allowed.
    #[error("a list of {found}, but at most {max} are allowed")]
    TooMany {
        /// Its length.
        found: u64,
        /// The limit.
        max: u64,
    },
}
