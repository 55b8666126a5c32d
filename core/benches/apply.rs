//! What executing one decided entry costs, and what freezing the state for a snapshot does to it.
//! Knows nothing about how entries are decided, nor about disks: a snapshot is written to nowhere.
//!
//! `cargo bench -p chil-core --bench apply`
#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]

use std::time::Duration;

use bytes::Bytes;
use chil_core::kv::{KeyValue, KvCommand};
use chil_core::{
    Applier, Ballot, Chain, ClientId, Command, DiskId, Entry, EntryKind, Epoch, Member, Membership,
    NodeId, Slot,
};

const VALUE_BYTES: usize = 256;
const ENTRIES: u64 = 300_000;
const SESSIONS: u64 = 1_000;

fn main() {
    println!("puts of {VALUE_BYTES} bytes, ns each, chain check and all");
    println!(
        "{:>9} {:>8} {:>11} {:>11} {:>12} {:>12}",
        "keys", "put", "in session", "freeze", "put, frozen", "write, MB/s"
    );
    for keys in [10_000, 1_000_000] {
        let mut bench = Bench::new(keys);
        let entries = bench.entries(ENTRIES, false);
        let plain = bench.apply(&entries);
        bench.open_sessions();
        let entries = bench.entries(ENTRIES, true);
        let in_session = bench.apply(&entries);
        let membership = membership();
        let mut frozen = None;
        let freeze = stopwatch(|| frozen = Some(bench.applier.freeze(&membership)));
        let entries = bench.entries(ENTRIES.min(keys), false);
        let while_frozen = bench.apply(&entries);
        let frozen = frozen.expect("frozen above");
        let mut bytes = 0;
        let write = stopwatch(|| {
            let id = frozen.write_to(&mut std::io::sink());
            bytes = id.expect("nowhere takes everything").bytes;
        });
        println!(
            "{keys:>9} {plain:>8.0} {in_session:>11.0} {:>11} {while_frozen:>12.0} {:>12.0}",
            freeze.as_nanos(),
            bytes as f64 / write.as_secs_f64() / 1e6
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the machine; nothing in the core looks at its clock"
)]
fn stopwatch(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

fn membership() -> Membership {
    let member = Member {
        name: "solo".into(),
        disk: DiskId::new(7),
        addr: String::new(),
        weight: 1,
    };
    Membership::new(Epoch::FIRST, [member]).expect("one member is a membership")
}

struct Bench {
    applier: Applier<KeyValue>,
    keys: u64,
    /// What the next entry stands behind.
    next: (Slot, Chain),
}

impl Bench {
    /// With a value under every key.
    fn new(keys: u64) -> Self {
        let mut bench = Self {
            applier: Applier::new(KeyValue::default()),
            keys,
            next: (Slot::new(1), Chain::EMPTY),
        };
        for i in 0..keys {
            let entry = bench.entry(EntryKind::Command(Command::sessionless(put(i))));
            bench.applier.apply(&entry);
        }
        bench
    }

    fn open_sessions(&mut self) {
        for nonce in 0..SESSIONS {
            let nonce = nonce.into();
            let entry = self.entry(EntryKind::Register { nonce });
            self.applier.apply(&entry);
        }
    }

    fn entry(&mut self, kind: EntryKind) -> Entry {
        let (slot, chain) = self.next;
        let origin = Ballot::new(Epoch::FIRST, 1, NodeId::new(1));
        let entry = Entry::new(chain, slot, origin, kind);
        self.next = (slot.next(), entry.chain());
        entry
    }

    /// Puts to keys that are spread over all of them.
    fn entries(&mut self, count: u64, in_session: bool) -> Vec<Entry> {
        let first_session = self.next.0.get() - SESSIONS;
        let one = |i: u64| {
            let payload = put(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.keys);
            let mut command = Command::sessionless(payload);
            if in_session {
                command.client = ClientId::new(first_session + i % SESSIONS);
                command.seq = i / SESSIONS + 1;
                command.ack_floor = command.seq - 1;
            }
            EntryKind::Command(command)
        };
        let kinds: Vec<EntryKind> = (0..count).map(one).collect();
        kinds.into_iter().map(|kind| self.entry(kind)).collect()
    }

    /// Nanoseconds per entry.
    fn apply(&mut self, entries: &[Entry]) -> f64 {
        let took = stopwatch(|| {
            for entry in entries {
                self.applier.apply(entry);
            }
        });
        took.as_secs_f64() * 1e9 / entries.len() as f64
    }
}

fn put(key: u64) -> Bytes {
    let key = Bytes::from(format!("key-{key:012}"));
    KvCommand::put(key, Bytes::from(vec![7; VALUE_BYTES])).encode()
}
