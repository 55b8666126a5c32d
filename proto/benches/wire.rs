//! What it costs to write and to read the message that there is most of: an `Accept` with 64
//! entries of 256 bytes. Knows nothing about sockets.
//!
//! `cargo bench -p chil-proto --bench wire`
#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use chil_core::command::Command;
use chil_core::message::Accept;
use chil_core::{
    Ballot, Chain, ClusterId, DiskId, Entry, EntryKind, Envelope, Epoch, Message, NodeId, Slot,
};
use chil_proto::{decode, encode};

const VALUE_BYTES: usize = 256;
const ROUNDS: usize = 2_000;
const REPEATS: u32 = 50;

fn main() {
    println!("Accept with entries of {VALUE_BYTES} bytes, best of {ROUNDS}");
    println!(
        "{:>8} {:>8} {:>10} {:>10}",
        "entries", "bytes", "encode ns", "decode ns"
    );
    for entries in [0, 1, 64] {
        let envelope = accept(entries);
        let bytes = encode::envelope(&envelope);
        let encoding = best(|| {
            black_box(encode::envelope(black_box(&envelope)));
        });
        let decoding = best(|| {
            black_box(decode::frame(black_box(bytes.clone()))).expect("what was encoded");
        });
        println!(
            "{entries:>8} {:>8} {encoding:>10.0} {decoding:>10.0}",
            bytes.len()
        );
    }
}

/// The best of many short rounds: what the work costs when nothing else wants the processor.
fn best(mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..REPEATS).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(REPEATS)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn accept(entries: u64) -> Envelope {
    let ballot = Ballot::new(Epoch::FIRST, 9, NodeId::new(0x1234_5678_9abc_def0));
    let mut chain = Chain::EMPTY;
    let prev = 1_000_000;
    let entries = (prev + 1..=prev + entries).map(|slot| {
        let payload = Bytes::from(vec![slot as u8; VALUE_BYTES]);
        let kind = EntryKind::Command(Command::sessionless(payload));
        let entry = Entry::new(chain, Slot::new(slot), ballot, kind);
        chain = entry.chain();
        entry
    });
    let entries = entries.collect();
    Envelope {
        cluster: ClusterId::new(1 << 100),
        from: ballot.node,
        from_disk: DiskId::new(1 << 101),
        boot: 3,
        run: u64::MAX,
        to: NodeId::new(u64::MAX),
        to_boot: 4,
        epoch: Epoch::FIRST,
        body: Message::Accept(Accept {
            ballot,
            sync: None,
            prev: Slot::new(prev),
            prev_chain: Chain::EMPTY,
            entries,
            commit: Slot::new(prev),
            seq: 77,
        }),
    }
}
