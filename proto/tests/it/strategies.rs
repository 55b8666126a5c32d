//! Arbitrary valid messages. Knows the rules that well-formed messages keep, and tries everything
//! else, the ends of every range included.
//!
//! Boxed, since nested strategies by value do not fit the stack of a test thread.

use bytes::Bytes;
use chil_core::command::Command;
use chil_core::forming::{
    Confirm, Confirmed, FormingMessage, Hello, HelloReply, HelloState, Listed,
};
use chil_core::message::{
    Accept, Accepted, Chunk, Fetch, FetchChunk, Heartbeat, HeartbeatReply, Learn, Nack, NackReason,
    Offer, Prepare, Promise, ReadIndex, ReadIndexReply, TransferNow,
};
use chil_core::{
    Ballot, Chain, ClientId, ClusterId, DiskId, Entry, EntryKind, Envelope, Epoch, Lease, Member,
    Membership, Message, NodeId, SessionLimits, Slot, SnapshotId,
};
use chil_proto::Frame;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn frame() -> BoxedStrategy<Frame> {
    prop_oneof![
        4 => envelope().prop_map(|e| Frame::Envelope(Box::new(e))),
        1 => forming().prop_map(|message| Frame::Forming(message.into())),
    ]
    .boxed()
}

fn envelope() -> BoxedStrategy<Envelope> {
    let ends = (any::<u128>(), not_zero(), any::<u128>(), not_zero());
    let lives = (count(), any::<u64>(), count(), count());
    (ends, lives, message())
        .prop_map(|((cluster, from, disk, to), lives, body)| Envelope {
            cluster: ClusterId::new(cluster),
            from: NodeId::new(from),
            from_disk: DiskId::new(disk),
            boot: lives.0.max(1),
            run: lives.1,
            to: NodeId::new(to),
            to_boot: lives.2,
            epoch: Epoch::new(lives.3.max(1)),
            body,
        })
        .boxed()
}

/// A number that is counted on from: small, large, and at the ends.
fn count() -> BoxedStrategy<u64> {
    number().prop_map(|n| n.min(u64::MAX / 2)).boxed()
}

/// Small, large, and at the ends.
fn number() -> BoxedStrategy<u64> {
    prop_oneof![Just(0), 0..300_u64, any::<u64>(), Just(u64::MAX)].boxed()
}

fn not_zero() -> BoxedStrategy<u64> {
    (1..=u64::MAX).boxed()
}

fn owned() -> BoxedStrategy<Ballot> {
    (count(), count(), not_zero())
        .prop_map(|(epoch, n, node)| {
            Ballot::new(Epoch::new(epoch), n.min(Ballot::N_MAX), NodeId::new(node))
        })
        .boxed()
}

fn ballot() -> BoxedStrategy<Ballot> {
    prop_oneof![
        owned(),
        count().prop_map(|epoch| Ballot::bottom(Epoch::new(epoch)))
    ]
    .boxed()
}

fn chain() -> BoxedStrategy<Chain> {
    any::<u128>().prop_map(Chain::new).boxed()
}

fn command() -> BoxedStrategy<Command> {
    let payload = vec(any::<u8>(), 0..400).prop_map(Bytes::from);
    (number(), number(), number(), payload)
        .prop_map(|(client, seq, ack_floor, payload)| Command {
            client: ClientId::new(client),
            seq,
            ack_floor,
            payload,
        })
        .boxed()
}

/// A slot and the entries behind it, whose last slot is no more than the largest there is.
fn run() -> BoxedStrategy<(u64, Vec<Entry>)> {
    let kind = prop_oneof![
        4 => command().prop_map(EntryKind::Command),
        1 => any::<u128>().prop_map(|nonce| EntryKind::Register { nonce }),
    ];
    let entries = vec((owned(), chain(), kind), 0..6);
    (count(), entries)
        .prop_map(|(prev, parts)| {
            let prev = prev.min(u64::MAX / 2 - parts.len() as u64);
            let entries = (prev + 1..)
                .zip(parts)
                .map(|(slot, (origin, chain, kind))| {
                    Entry::from_parts(Slot::new(slot), origin, chain, kind)
                });
            (prev, entries.collect())
        })
        .boxed()
}

fn message() -> BoxedStrategy<Message> {
    prop_oneof![
        prepare().prop_map(Message::Prepare),
        promise().prop_map(Message::Promise),
        accept().prop_map(Message::Accept),
        accepted().prop_map(Message::Accepted),
        nack().prop_map(Message::Nack),
        learn().prop_map(Message::Learn),
        fetch().prop_map(Message::Fetch),
        (any::<u64>(), any::<bool>(), any::<bool>()).prop_map(|(round, data, happy)| {
            Message::Heartbeat(Heartbeat { round, data, happy })
        }),
        heartbeat_reply().prop_map(Message::HeartbeatReply),
        about_snapshots(),
        about_leaders(),
    ]
    .boxed()
}

fn prepare() -> BoxedStrategy<Prepare> {
    (owned(), ballot(), count(), count(), chain())
        .prop_map(|(b, acc, x, y, chain)| Prepare {
            ballot: b,
            acc,
            last: Slot::new(x.max(y)),
            commit: Slot::new(x.min(y)),
            chain_at_commit: chain,
        })
        .boxed()
}

fn promise() -> BoxedStrategy<Promise> {
    let ends = (run(), count(), count());
    (owned(), ballot(), ends, chain(), any::<bool>())
        .prop_map(|(b, acc, ((from, suffix), last, commit), chain, damaged)| {
            let last = suffix.last().map_or(last, |entry| entry.slot().get());
            Promise {
                ballot: b,
                acc,
                last: Slot::new(last),
                chain_at_last: chain,
                commit: Slot::new(commit.min(last)),
                from: Slot::new(from),
                suffix,
                damaged,
            }
        })
        .boxed()
}

fn accept() -> BoxedStrategy<Accept> {
    (
        owned(),
        option::of(count()),
        run(),
        chain(),
        count(),
        number(),
    )
        .prop_map(|(b, sync, (prev, entries), chain, commit, seq)| Accept {
            ballot: b,
            sync: sync.map(|at| Slot::new(at.min(prev + entries.len() as u64))),
            prev: Slot::new(prev),
            prev_chain: chain,
            entries,
            commit: Slot::new(commit),
            seq,
        })
        .boxed()
}

fn accepted() -> BoxedStrategy<Accepted> {
    (owned(), count(), number())
        .prop_map(|(b, last, seq)| Accepted {
            ballot: b,
            last: Slot::new(last),
            seq,
        })
        .boxed()
}

fn nack() -> BoxedStrategy<Nack> {
    let reason = prop::sample::select(vec![
        NackReason::Ballot,
        NackReason::NeedPrepare,
        NackReason::NeedSync,
        NackReason::Gap,
        NackReason::Damaged,
    ]);
    (ballot(), ballot(), ballot(), count(), count(), reason)
        .prop_map(|(b, promised, acc, last, commit, reason)| Nack {
            ballot: b,
            promised,
            acc,
            last: Slot::new(last),
            commit: Slot::new(commit),
            reason,
        })
        .boxed()
}

fn learn() -> BoxedStrategy<Learn> {
    (ballot(), run(), chain(), count())
        .prop_map(|(b, (prev, entries), chain, commit)| {
            let end = prev + entries.len() as u64;
            Learn {
                decided_in: b,
                prev: Slot::new(prev),
                prev_chain: chain,
                entries,
                commit: Slot::new(commit.max(end)),
            }
        })
        .boxed()
}

fn fetch() -> BoxedStrategy<Fetch> {
    (count(), count())
        .prop_map(|(x, y)| Fetch {
            prev: Slot::new(x.min(y)),
            to: Slot::new(x.max(y)),
        })
        .boxed()
}

fn heartbeat_reply() -> BoxedStrategy<HeartbeatReply> {
    (
        any::<u64>(),
        owned(),
        ballot(),
        any::<bool>(),
        any::<bool>(),
        count(),
        any::<u32>(),
        any::<bool>(),
        option::of(count()),
    )
        .prop_map(
            |(round, own, leader, happy, able, commit, priority, data, fresh)| HeartbeatReply {
                round,
                data,
                ballot: own,
                leader,
                happy,
                able,
                commit: Slot::new(commit),
                priority,
                fresh: fresh.map(chil_core::Span::from_nanos),
            },
        )
        .boxed()
}

fn snapshot_id() -> BoxedStrategy<SnapshotId> {
    (1..u64::MAX / 2, chain(), 1..u64::MAX / 2, any::<u128>())
        .prop_map(|(slot, chain, bytes, digest)| SnapshotId {
            slot: Slot::new(slot),
            chain,
            bytes,
            digest,
        })
        .boxed()
}

fn offer() -> BoxedStrategy<Offer> {
    (snapshot_id(), ballot(), count())
        .prop_map(|(id, decided_in, commit)| Offer {
            id,
            decided_in,
            commit: Slot::new(commit.max(id.slot.get())),
        })
        .boxed()
}

fn chunk() -> BoxedStrategy<Chunk> {
    (snapshot_id(), count(), vec(any::<u8>(), 1..400))
        .prop_map(|(mut id, offset, bytes)| {
            let offset = offset.min(u64::MAX / 4);
            id.bytes = id.bytes.max(offset + bytes.len() as u64);
            let bytes = Bytes::from(bytes);
            Chunk { id, offset, bytes }
        })
        .boxed()
}

fn about_snapshots() -> BoxedStrategy<Message> {
    prop_oneof![
        offer().prop_map(Message::Offer),
        (snapshot_id(), count(), 1..u64::MAX / 2)
            .prop_map(|(id, offset, len)| Message::FetchChunk(FetchChunk { id, offset, len })),
        chunk().prop_map(Message::Chunk),
    ]
    .boxed()
}

fn about_leaders() -> BoxedStrategy<Message> {
    prop_oneof![
        any::<u64>().prop_map(|token| Message::ReadIndex(ReadIndex { token })),
        (any::<u64>(), option::of(count())).prop_map(|(token, index)| {
            let index = index.map(Slot::new);
            Message::ReadIndexReply(ReadIndexReply { token, index })
        }),
        (owned(), count()).prop_map(|(ballot, last)| {
            let last = Slot::new(last);
            Message::TransferNow(TransferNow { ballot, last })
        }),
    ]
    .boxed()
}

fn forming() -> BoxedStrategy<FormingMessage> {
    prop_oneof![
        (identity(), any::<u64>(), number()).prop_map(|((name, disk, addr), nonce, round)| {
            FormingMessage::Hello(Hello {
                name,
                disk,
                addr,
                nonce,
                round,
            })
        }),
        (identity(), any::<u64>(), number(), state()).prop_map(
            |((name, disk, addr), nonce, round, state)| {
                FormingMessage::HelloReply(HelloReply {
                    name,
                    disk,
                    addr,
                    nonce,
                    round,
                    state,
                })
            }
        ),
        (identity(), any::<u128>(), any::<u64>()).prop_map(
            |((name, disk, addr), candidate, nonce)| {
                let candidate = ClusterId::new(candidate);
                FormingMessage::Confirm(Confirm {
                    name,
                    disk,
                    addr,
                    candidate,
                    nonce,
                })
            }
        ),
        (identity(), any::<u128>(), any::<u64>()).prop_map(
            |((name, disk, _), candidate, nonce)| {
                let candidate = ClusterId::new(candidate);
                FormingMessage::Confirmed(Confirmed {
                    name,
                    disk,
                    candidate,
                    nonce,
                })
            }
        ),
    ]
    .boxed()
}

fn identity() -> BoxedStrategy<(String, DiskId, String)> {
    (
        "[a-zß-]{1,40}",
        any::<u128>().prop_map(DiskId::new),
        "[a-z.:0-9]{1,60}",
    )
        .boxed()
}

fn list() -> BoxedStrategy<Vec<Listed>> {
    let listed = (option::of("[a-z-]{1,20}"), "[a-z.:0-9]{1,30}", any::<u32>());
    vec(
        listed.prop_map(|(name, addr, weight)| Listed { name, addr, weight }),
        0..5,
    )
    .boxed()
}

fn state() -> BoxedStrategy<HelloState> {
    prop_oneof![
        (list(), option::of(lease()), sessions()).prop_map(|(list, lease, sessions)| {
            HelloState::Forming {
                list,
                lease,
                sessions,
            }
        }),
        (any::<u128>(), membership()).prop_map(|(cluster, membership)| HelloState::Formed {
            cluster: ClusterId::new(cluster),
            membership,
        }),
    ]
    .boxed()
}

fn lease() -> BoxedStrategy<Lease> {
    (1..u64::MAX / 2, 0..=Lease::DRIFT_PPM_MAX)
        .prop_map(|(duration_us, drift_ppm)| Lease {
            duration_us,
            drift_ppm,
        })
        .boxed()
}

fn sessions() -> BoxedStrategy<SessionLimits> {
    (1..u64::MAX / 2, number())
        .prop_map(|(sessions_max, reply_bytes_max)| SessionLimits {
            sessions_max,
            reply_bytes_max,
        })
        .boxed()
}

fn membership() -> BoxedStrategy<Membership> {
    let members = vec(("[a-z.:0-9]{0,30}", any::<u32>()), 1..6);
    let terms = (any::<u32>(), option::of(lease()), sessions());
    (count(), members, any::<u128>(), terms)
        .prop_map(|(epoch, parts, disk, (protocol, lease, sessions))| {
            let members = (0_u8..).zip(parts).map(|(i, (addr, weight))| Member {
                name: format!("node-{}", b'z' - i),
                disk: DiskId::new(disk.wrapping_add(u128::from(i))),
                addr,
                weight: weight.max(1),
            });
            let mut membership = Membership::new(Epoch::new(epoch.max(1)), members).expect("valid");
            membership.protocol = protocol;
            membership.lease = lease;
            membership.sessions = sessions;
            membership
        })
        .boxed()
}
