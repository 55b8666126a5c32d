//! Requests for the built-in key-value machine: reads, scans, writes, conditions, transactions.
//! Knows nothing about who asks whom, or how.

use std::collections::BTreeMap;

use bytes::Bytes;
use chil_core::kv::{Check, Cond, KvAnswer, KvCommand, KvQuery, Txn, Versioned, Write};

use super::{Draw, Request, Workload};
use crate::plan::{Plan, WorkloadPlan};

/// Clients of the key-value machine.
#[derive(Debug)]
pub(super) struct KvWorkload {
    plan: WorkloadPlan,
    payload_bytes_max: u64,
    /// Those that were asked for so far.
    keys: BTreeMap<u64, Bytes>,
    /// What was read last, by key.
    known: BTreeMap<Bytes, Versioned>,
}

impl Workload for KvWorkload {
    fn request(&mut self, draw: &mut Draw<'_>) -> Request {
        let key = self.key(draw);
        if draw.chance_ppm(self.plan.read_ppm) {
            return Request::Query(self.query(draw, key).encode());
        }
        Request::Command(self.write(draw, key))
    }

    fn learns(&mut self, query: &Bytes, answer: &Bytes) {
        if let Ok(KvQuery::Get { key }) = KvQuery::decode(query)
            && let Ok(KvAnswer::Value(Some(found))) = KvAnswer::decode(answer)
        {
            self.known.insert(key, found);
        }
    }
}

impl KvWorkload {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.workload.clone(),
            payload_bytes_max: plan.cluster.value_bytes_max,
            keys: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    fn write(&mut self, draw: &mut Draw<'_>, key: Bytes) -> Bytes {
        let mut value = draw.number().to_le_bytes().to_vec();
        if draw.chance_ppm(self.plan.conditional_ppm) {
            let command = self.conditional(draw, key.clone(), Bytes::from(value.clone()));
            let payload = command.encode();
            if payload.len() as u64 <= self.payload_bytes_max {
                return payload;
            }
        }
        if draw.chance_ppm(self.plan.delete_ppm) {
            return KvCommand::delete(key).encode();
        }
        // Every value is written once, so that a read names the write that it saw.
        let more = draw.below(self.plan.value_bytes_max.max(1));
        value.resize(8 + usize::try_from(more).unwrap_or(0), b'.');
        KvCommand::put(key, Bytes::from(value)).encode()
    }

    /// A write that depends on what is there; sometimes on exactly what somebody has read.
    fn conditional(&mut self, draw: &mut Draw<'_>, key: Bytes, value: Bytes) -> KvCommand {
        let cond = self.cond(draw, &key);
        match draw.below(6) {
            0 => KvCommand::Delete { key, cond },
            1 | 2 => {
                let other = self.key(draw);
                let checks = vec![
                    Check {
                        cond: self.cond(draw, &other),
                        key: other.clone(),
                    },
                    Check {
                        key: key.clone(),
                        cond,
                    },
                ];
                let put = Write::Put {
                    key,
                    value: value.clone(),
                };
                let then = vec![put.clone(), Write::Delete { key: other }, put];
                let key = self.key(draw);
                let otherwise = vec![Write::Put { key, value }];
                KvCommand::Txn(Txn {
                    checks,
                    then,
                    otherwise,
                })
            }
            _ => KvCommand::Put { key, value, cond },
        }
    }

    fn cond(&self, draw: &mut Draw<'_>, key: &Bytes) -> Cond {
        let known = self.known.get(key).cloned();
        match (draw.below(6), known) {
            (0, _) => Cond::Absent,
            (1, _) | (_, None) => Cond::Exists,
            (2, Some(found)) => Cond::CreatedEq(found.created),
            (3, Some(found)) if found.value.len() == 8 => Cond::ValueEq(found.value),
            (_, Some(found)) => Cond::VersionEq(found.version),
        }
    }

    /// What a read asks: mostly one key.
    fn query(&self, draw: &mut Draw<'_>, key: Bytes) -> KvQuery {
        if draw.below(8) != 0 {
            return KvQuery::Get { key };
        }
        KvQuery::Scan {
            prefix: Bytes::from_static(b"k"),
            after: draw.coin().then_some(key),
            limit: draw.range(1, self.plan.keys + 1),
        }
    }

    fn key(&mut self, draw: &mut Draw<'_>) -> Bytes {
        let number = draw.below(self.plan.keys);
        let key = self.keys.entry(number);
        key.or_insert_with(|| format!("k{number}").into()).clone()
    }
}

/// Whether a request means anything to the machine.
pub(super) fn is_understood(request: &Request) -> bool {
    match request {
        Request::Command(bytes) => KvCommand::decode(bytes).is_ok(),
        Request::Query(bytes) => KvQuery::decode(bytes).is_ok(),
    }
}

/// Requests that are simpler than this one, the simplest first: without conditions, shorter.
pub(super) fn simpler(request: &Request) -> Vec<Request> {
    let command = |command: KvCommand| Request::Command(command.encode());
    match request {
        Request::Command(bytes) => {
            let Ok(decoded) = KvCommand::decode(bytes) else {
                return Vec::new();
            };
            let simpler = match decoded {
                KvCommand::Put { key, value, cond } => simpler_puts(&key, &value, cond),
                KvCommand::Delete { key, cond } if cond != Cond::Any => {
                    vec![KvCommand::delete(key)]
                }
                KvCommand::Delete { .. } => Vec::new(),
                KvCommand::Txn(txn) => simpler_txns(&txn),
            };
            simpler.into_iter().map(command).collect()
        }
        Request::Query(bytes) => match KvQuery::decode(bytes) {
            Ok(KvQuery::Scan { prefix, .. }) => {
                let key = prefix;
                vec![Request::Query(KvQuery::Get { key }.encode())]
            }
            Ok(KvQuery::Get { .. } | KvQuery::Count) | Err(_) => Vec::new(),
        },
    }
}

fn simpler_puts(key: &Bytes, value: &Bytes, cond: Cond) -> Vec<KvCommand> {
    // The first byte still tells most writes of a short run apart.
    let short = value.slice(..value.len().min(1));
    let mut puts = Vec::new();
    if value.len() > 1 {
        puts.push(KvCommand::put(key.clone(), short.clone()));
    }
    if cond != Cond::Any {
        puts.push(KvCommand::put(key.clone(), value.clone()));
        let key = key.clone();
        let value = short;
        puts.push(KvCommand::Put { key, value, cond });
    }
    puts
}

/// A single write of a transaction, or the transaction with fewer of its parts.
fn simpler_txns(txn: &Txn) -> Vec<KvCommand> {
    let writes = txn.then.iter().chain(&txn.otherwise);
    let mut simpler: Vec<KvCommand> = writes
        .map(|write| match write {
            Write::Put { key, value } => {
                KvCommand::put(key.clone(), value.slice(..value.len().min(1)))
            }
            Write::Delete { key } => KvCommand::delete(key.clone()),
        })
        .collect();
    let without = |change: fn(&mut Txn)| {
        let mut less = txn.clone();
        change(&mut less);
        KvCommand::Txn(less)
    };
    simpler.push(without(|txn| txn.checks.clear()));
    simpler.push(without(|txn| txn.otherwise.clear()));
    simpler.push(without(|txn| drop(txn.then.pop())));
    simpler.push(without(|txn| drop(txn.checks.pop())));
    simpler
}
