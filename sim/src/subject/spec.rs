//! What the search for a linear order needs: states that can be copied, compared, and tried.
//! Knows nothing about how the search goes.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use chil_core::kv::{Cond, KvAnswer, KvCommand, KvQuery, KvReply};
use xxhash_rust::xxh3::Xxh3;

use super::plain::Sequential;
use super::{Model, Request};
use crate::check::linearizable::Seen;

/// A sequential specification at some state: what a search for a linear order tries operations on.
pub trait Spec {
    /// Executes a request; whether it may have had this reply, if one is known. After `false` the
    /// state is not looked at any more.
    fn step(&mut self, request: &Request, reply: Option<&Bytes>) -> bool;

    /// Equal states have equal ones, and others most likely not.
    fn fingerprint(&self) -> u64;

    /// Another one in the same state.
    fn copy(&self) -> Box<dyn Spec>;
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Xxh3::new();
    state.hash(&mut hasher);
    hasher.finish()
}

impl<M: Model> Spec for Sequential<M> {
    fn step(&mut self, request: &Request, reply: Option<&Bytes>) -> bool {
        let right = match request {
            Request::Command(command) => self.0.apply(command),
            Request::Query(query) => self.0.query(query),
        };
        reply.is_none_or(|reply| *reply == right)
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(&self.0)
    }

    fn copy(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }
}

/// The history of each key; none at all if something was written that spans keys or depends on
/// what is there, which only the log can judge.
pub(super) fn by_key(seen: Vec<Seen>) -> Vec<(Box<dyn Spec>, Vec<Seen>)> {
    let mut histories: BTreeMap<Bytes, Vec<Seen>> = BTreeMap::new();
    for seen in seen {
        match (key(&seen.request), &seen.request) {
            (Some(key), _) => histories.entry(key).or_default().push(seen),
            (None, Request::Command(_)) => return Vec::new(),
            (None, Request::Query(_)) => {}
        }
    }
    let spec = || -> Box<dyn Spec> { Box::new(Key::default()) };
    histories.into_values().map(|seen| (spec(), seen)).collect()
}

/// One key of the built-in machine, as far as reads and unconditional writes go.
#[derive(Clone, Debug, Default, Hash)]
struct Key(Option<Bytes>);

/// The key that a request is about, if it is of the kind that [`Key`] knows.
fn key(request: &Request) -> Option<Bytes> {
    match request {
        Request::Command(bytes) => match KvCommand::decode(bytes).ok()? {
            KvCommand::Put {
                key,
                cond: Cond::Any,
                ..
            }
            | KvCommand::Delete {
                key,
                cond: Cond::Any,
            } => Some(key),
            _ => None,
        },
        Request::Query(bytes) => match KvQuery::decode(bytes).ok()? {
            KvQuery::Get { key } => Some(key),
            _ => None,
        },
    }
}

impl Spec for Key {
    fn step(&mut self, request: &Request, reply: Option<&Bytes>) -> bool {
        match request {
            Request::Command(command) => {
                let existed = self.0.is_some();
                self.0 = match KvCommand::decode(command) {
                    Ok(KvCommand::Put { value, .. }) => Some(value),
                    _ => None,
                };
                match reply.map(KvReply::decode) {
                    None => true,
                    Some(Ok(KvReply::Written {
                        applied, previous, ..
                    })) => applied && previous.is_some() == existed,
                    Some(_) => false,
                }
            }
            Request::Query(_) => match reply.map(KvAnswer::decode) {
                None => true,
                Some(Ok(KvAnswer::Value(found))) => found.map(|found| found.value) == self.0,
                Some(_) => false,
            },
        }
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(self)
    }

    fn copy(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }
}

/// A register of text, for tests of the search.
#[cfg(test)]
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Register(Bytes);

#[cfg(test)]
impl Spec for Register {
    fn step(&mut self, request: &Request, reply: Option<&Bytes>) -> bool {
        match request {
            Request::Command(value) => {
                self.0 = value.clone();
                true
            }
            Request::Query(_) => reply.is_none_or(|reply| *reply == self.0),
        }
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(self)
    }

    fn copy(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }
}
