//! What clients and operators say and hear, pinned in `tests/golden` next to the messages between
//! nodes: every outcome that a caller must tell apart. Knows nothing about what they mean.

use bytes::Bytes;
use chil_proto::v1;
use prost::Message;

use crate::golden::check;

fn payload() -> Bytes {
    Bytes::from_static(b"payload")
}

fn cluster() -> Bytes {
    Bytes::from_static(&[7; 16])
}

fn not_leader() -> v1::NotLeader {
    v1::NotLeader {
        name: "node-2".to_owned(),
        address: "host-2:7000".to_owned(),
    }
}

const fn overloaded() -> v1::Overloaded {
    v1::Overloaded { retry_after_ms: 50 }
}

fn unknown() -> v1::OutcomeUnknown {
    let reason = "stopping".to_owned();
    v1::OutcomeUnknown { reason }
}

fn unavailable() -> v1::Unavailable {
    let reason = "stopping".to_owned();
    v1::Unavailable { reason }
}

fn wrong_cluster() -> v1::WrongCluster {
    let cluster = cluster();
    v1::WrongCluster { cluster }
}

fn snapshot() -> v1::SnapshotStatus {
    v1::SnapshotStatus {
        slot: 65_536,
        chain: Bytes::from_static(&[5; 16]),
        bytes: 123_456,
        digest: Bytes::from_static(&[6; 16]),
    }
}

fn check_all<M: Message>(prefix: &str, messages: impl IntoIterator<Item = (&'static str, M)>) {
    for (name, message) in messages {
        check(&format!("{prefix}_{name}"), &message.encode_to_vec());
    }
}

#[test]
fn what_clients_ask_is_pinned() {
    let request = v1::ProposeRequest {
        client: 1,
        seq: 2,
        ack_floor: 3,
        payload: payload(),
        cluster: cluster(),
    };
    let streamed = v1::ProposeStreamRequest {
        id: 9,
        request: Some(request),
    };
    check("propose_stream_request", &streamed.encode_to_vec());
    let register = v1::RegisterRequest {
        nonce: Bytes::from_static(&[8; 16]),
        cluster: cluster(),
    };
    check("register_request", &register.encode_to_vec());
    let watch = v1::WatchRequest {
        from_slot: 77,
        cluster: cluster(),
    };
    check("watch_request", &watch.encode_to_vec());
    let read = |consistency: v1::Consistency| v1::ReadRequest {
        query: payload(),
        consistency: consistency.into(),
        cluster: cluster(),
        min_slot: 77,
    };
    check_all(
        "read_request",
        [
            ("linearizable", read(v1::Consistency::Linearizable)),
            ("stale", read(v1::Consistency::Stale)),
            ("lease", read(v1::Consistency::Lease)),
            ("follower", read(v1::Consistency::Follower)),
        ],
    );
}

#[test]
fn outcomes_of_proposals_are_pinned() {
    use v1::propose_response::Outcome;
    let committed = v1::Committed {
        slot: 77,
        reply: payload(),
    };
    let too_large = v1::TooLarge {
        len: 2_000_000,
        max: 1_048_576,
    };
    let reason = "beyond the window".to_owned();
    let outcomes = [
        ("committed", Outcome::Committed(committed)),
        ("not_leader", Outcome::NotLeader(not_leader())),
        ("overloaded", Outcome::Overloaded(overloaded())),
        ("too_large", Outcome::TooLarge(too_large)),
        ("unknown", Outcome::Unknown(unknown())),
        ("unavailable", Outcome::Unavailable(unavailable())),
        ("wrong_cluster", Outcome::WrongCluster(wrong_cluster())),
        (
            "session_expired",
            Outcome::SessionExpired(v1::SessionExpired {}),
        ),
        ("stale_seq", Outcome::StaleSeq(v1::StaleSeq {})),
        ("refused", Outcome::Refused(v1::Refused { reason })),
    ];
    let response = |outcome| {
        let outcome = Some(outcome);
        let result = Some(v1::ProposeResponse { outcome });
        v1::ProposeStreamResponse { id: 9, result }
    };
    check_all(
        "propose_stream_response",
        outcomes.map(|(name, outcome)| (name, response(outcome))),
    );
}

#[test]
fn outcomes_of_registrations_are_pinned() {
    use v1::register_response::Outcome;
    let outcomes = [
        (
            "registered",
            Outcome::Registered(v1::Registered { client: 77 }),
        ),
        ("not_leader", Outcome::NotLeader(not_leader())),
        ("overloaded", Outcome::Overloaded(overloaded())),
        ("unknown", Outcome::Unknown(unknown())),
        ("unavailable", Outcome::Unavailable(unavailable())),
        ("wrong_cluster", Outcome::WrongCluster(wrong_cluster())),
    ];
    let response = |outcome| v1::RegisterResponse {
        outcome: Some(outcome),
    };
    check_all(
        "register_response",
        outcomes.map(|(name, outcome)| (name, response(outcome))),
    );
}

#[test]
fn outcomes_of_reads_are_pinned() {
    use v1::read_response::Outcome;
    let answer = |age_ms| {
        Outcome::Answer(v1::Answer {
            answer: payload(),
            applied: 77,
            age_ms,
        })
    };
    let behind = v1::Behind {
        applied: 77,
        needed: 99,
    };
    let outcomes = [
        ("answer", answer(None)),
        // Of no age is not the same as of unknown age.
        ("answer_fresh", answer(Some(0))),
        ("not_leader", Outcome::NotLeader(not_leader())),
        ("overloaded", Outcome::Overloaded(overloaded())),
        ("unavailable", Outcome::Unavailable(unavailable())),
        ("wrong_cluster", Outcome::WrongCluster(wrong_cluster())),
        ("behind", Outcome::Behind(behind)),
    ];
    let response = |outcome| v1::ReadResponse {
        outcome: Some(outcome),
    };
    check_all(
        "read_response",
        outcomes.map(|(name, outcome)| (name, response(outcome))),
    );
}

#[test]
fn what_watchers_hear_is_pinned() {
    use v1::decision::What;
    use v1::watch_response::Event;
    let decision = |what| {
        Event::Decision(v1::Decision {
            slot: 77,
            what: Some(what),
        })
    };
    let command = What::Command(v1::DecidedCommand {
        client: 1,
        seq: 2,
        payload: payload(),
    });
    let registration = What::Registration(v1::DecidedRegistration {
        nonce: Bytes::from_static(&[8; 16]),
    });
    let events = [
        ("command", decision(command)),
        ("registration", decision(registration)),
        (
            "compacted",
            Event::Compacted(v1::Compacted { first_slot: 99 }),
        ),
        ("unavailable", Event::Unavailable(unavailable())),
        ("wrong_cluster", Event::WrongCluster(wrong_cluster())),
        ("overloaded", Event::Overloaded(overloaded())),
    ];
    let response = |event| v1::WatchResponse { event: Some(event) };
    check_all(
        "watch_response",
        events.map(|(name, event)| (name, response(event))),
    );
}

#[test]
fn outcomes_of_a_moved_leadership_are_pinned() {
    use v1::move_leader_response::Outcome;
    let request = v1::MoveLeaderRequest {
        to: "node-2".to_owned(),
    };
    check("move_leader_request", &request.encode_to_vec());
    let failed = |failure: v1::MoveFailure| {
        Outcome::Failed(v1::MoveFailed {
            failure: failure.into(),
            reason: "for people".to_owned(),
        })
    };
    let leader = v1::MemberStatus {
        node: 0x1111,
        name: "node-1".to_owned(),
        address: "host-1:7000".to_owned(),
    };
    let leader = Some(leader);
    let outcomes = [
        ("moved", Outcome::Moved(v1::Moved { leader })),
        ("not_leader", Outcome::NotLeader(not_leader())),
        ("bad_target", failed(v1::MoveFailure::BadTarget)),
        ("no_target", failed(v1::MoveFailure::NoTarget)),
        ("busy", failed(v1::MoveFailure::Busy)),
        ("timed_out", failed(v1::MoveFailure::TimedOut)),
        ("unavailable", Outcome::Unavailable(unavailable())),
        ("unknown", Outcome::Unknown(unknown())),
    ];
    let response = |outcome| v1::MoveLeaderResponse {
        outcome: Some(outcome),
    };
    check_all(
        "move_leader_response",
        outcomes.map(|(name, outcome)| (name, response(outcome))),
    );
}

#[test]
fn a_saved_snapshot_is_pinned() {
    use v1::save_snapshot_response::Event;
    let request = v1::SaveSnapshotRequest { stored: true };
    check("save_snapshot_request", &request.encode_to_vec());
    let events = [
        ("chunk", Event::Chunk(payload())),
        ("done", Event::Done(snapshot())),
        ("unavailable", Event::Unavailable(unavailable())),
        ("overloaded", Event::Overloaded(overloaded())),
    ];
    let response = |event| v1::SaveSnapshotResponse { event: Some(event) };
    check_all(
        "save_snapshot_response",
        events.map(|(name, event)| (name, response(event))),
    );
}

#[test]
fn an_explanation_is_pinned() {
    let fact = v1::Fact {
        name: "behind".to_owned(),
        value: "1000".to_owned(),
    };
    let finding = v1::Finding {
        topic: v1::Topic::Peer.into(),
        code: "peer-behind".to_owned(),
        about: "node-2".to_owned(),
        text: "node-2 is 1000 slots behind".to_owned(),
        facts: vec![fact],
    };
    let response = v1::ExplainResponse {
        findings: vec![finding],
    };
    check("explain_response", &response.encode_to_vec());
}

#[test]
fn a_status_is_pinned() {
    let ballot = |n| {
        let name = "node-1".to_owned();
        Some(v1::BallotStatus {
            epoch: 1,
            n,
            node: 0x1111,
            name,
        })
    };
    let (name, address) = ("node-1".to_owned(), "host-1:7000".to_owned());
    let leader = v1::MemberStatus {
        node: 0x1111,
        name: name.clone(),
        address: address.clone(),
    };
    let peer = v1::PeerStatus {
        node: 0x2222,
        name: "node-2".to_owned(),
        address: "host-2:7000".to_owned(),
        weight: 1,
        up: true,
        commit: 99,
        matched: Some(0),
        priority: 2,
    };
    let status = v1::StatusResponse {
        cluster: Bytes::from_static(&[7; 16]),
        node: 0x1111,
        name,
        address,
        disk: Bytes::from_static(&[8; 16]),
        epoch: 1,
        boot: 2,
        role: v1::Role::Leading.into(),
        ballot: ballot(3),
        promised: ballot(4),
        acc: ballot(5),
        leader: Some(leader),
        happy: true,
        damaged: true,
        applied: 98,
        commit: 99,
        last: 100,
        durable: 101,
        digest: Bytes::from_static(&[9; 16]),
        peers: vec![peer],
        started_unix_ms: 1_800_000_000_000,
        version: "0.1.0".to_owned(),
        weight: 1,
        problems: vec!["none".to_owned()],
        snapshot: Some(snapshot()),
        log_base: 50,
        log_bytes: 51,
        priority: 3,
        sessions: 4,
        age_ms: Some(5),
        lease: Some(v1::LeaseStatus {
            duration_us: 6,
            drift_ppm: 7,
        }),
    };
    check("status_response", &status.encode_to_vec());
}
