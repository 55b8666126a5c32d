//! What the machine does with each command and query, its digest, and its part of a snapshot.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn put(key: &'static str, value: &'static str) -> KvCommand {
    KvCommand::put(text(key), text(value))
}

fn put_if(key: &'static str, value: &'static str, cond: Cond) -> KvCommand {
    let (key, value) = (text(key), text(value));
    KvCommand::Put { key, value, cond }
}

fn delete(key: &'static str) -> KvCommand {
    KvCommand::delete(text(key))
}

fn stamp(version: u64, created: u64) -> Stamp {
    Stamp { version, created }
}

fn written(version: u64, previous: Option<Stamp>) -> KvReply {
    KvReply::Written {
        applied: true,
        version,
        previous,
    }
}

fn run(commands: &[(u64, KvCommand)]) -> KeyValue {
    let mut machine = KeyValue::default();
    for (slot, command) in commands {
        machine.execute(Slot::new(*slot), command);
    }
    machine
}

#[test]
fn a_version_is_the_slot_of_the_last_write() {
    let mut machine = KeyValue::default();
    let mut execute = |slot, command| machine.execute(Slot::new(slot), &command);
    assert_eq!(execute(3, put("a", "x")), written(3, None));
    assert_eq!(execute(5, put("a", "y")), written(5, Some(stamp(3, 3))));
    assert_eq!(execute(6, put("b", "y")), written(6, None));
    assert_eq!(execute(7, delete("a")), written(7, Some(stamp(5, 3))));
    assert_eq!(execute(8, delete("a")), written(8, None));
    assert_eq!(execute(9, put("b", "z")), written(9, Some(stamp(6, 6))));
    assert_eq!(machine.get(b"a"), None);
    let found = Versioned {
        value: text("z"),
        version: 9,
        created: 6,
    };
    assert_eq!(machine.get(b"b"), Some(found));
    assert_eq!(machine.answer(&KvQuery::Count), KvAnswer::Count(1));
}

#[test]
fn each_condition_holds_when_it_should() {
    let state = [(1, put("a", "x")), (2, put("a", "y")), (3, put("e", ""))];
    let value = |v| Cond::ValueEq(text(v));
    for (key, cond, holds) in [
        ("a", Cond::Any, true),
        ("b", Cond::Any, true),
        ("a", Cond::Absent, false),
        ("b", Cond::Absent, true),
        ("a", Cond::Exists, true),
        ("b", Cond::Exists, false),
        ("a", Cond::VersionEq(2), true),
        ("a", Cond::VersionEq(1), false),
        ("b", Cond::VersionEq(0), false),
        ("a", Cond::CreatedEq(1), true),
        ("a", Cond::CreatedEq(2), false),
        ("b", Cond::CreatedEq(0), false),
        ("a", value("y"), true),
        ("a", value("x"), false),
        ("e", value(""), true),
        ("b", value(""), false),
    ] {
        for delete in [false, true] {
            let (key, value, cond) = (text(key), text("new"), cond.clone());
            let command = match delete {
                false => KvCommand::Put { key, value, cond },
                true => KvCommand::Delete { key, cond },
            };
            let mut machine = run(&state);
            let before = machine.digest();
            let reply = machine.execute(Slot::new(9), &command);
            let KvReply::Written {
                applied, version, ..
            } = reply
            else {
                panic!("{command:?}: {reply:?}");
            };
            assert_eq!((applied, version), (holds, 9), "{command:?}");
            if !holds {
                assert_eq!(machine.digest(), before, "{command:?}");
            }
            assert_eq!(machine.digest(), machine.recount());
        }
    }
}

#[test]
fn a_refused_write_says_what_is_there() {
    let mut machine = run(&[(1, put("a", "x")), (2, put("a", "y"))]);
    let lock = put_if("a", "mine", Cond::Absent);
    let refused = KvReply::Written {
        applied: false,
        version: 3,
        previous: Some(stamp(2, 1)),
    };
    assert_eq!(machine.execute(Slot::new(3), &lock), refused);
}

#[test]
fn a_key_that_was_deleted_and_written_again_is_not_the_same() {
    let mut machine = run(&[(1, put("a", "x")), (2, delete("a")), (3, put("a", "x"))]);
    for cond in [Cond::VersionEq(1), Cond::CreatedEq(1)] {
        let reply = machine.execute(Slot::new(4), &put_if("a", "y", cond));
        assert!(matches!(reply, KvReply::Written { applied: false, .. }));
    }
    // Others may have written in between, as long as nobody deleted it.
    machine.execute(Slot::new(5), &put("a", "z"));
    let reply = machine.execute(Slot::new(6), &put_if("a", "y", Cond::CreatedEq(3)));
    assert_eq!(reply, written(6, Some(stamp(5, 3))));
}

#[test]
fn a_transaction_writes_one_of_its_branches() {
    let transfer = |from: &'static str| {
        let put = |key, value| Write::Put {
            key: text(key),
            value: text(value),
        };
        KvCommand::Txn(Txn {
            checks: vec![
                Check {
                    key: text("owner"),
                    cond: Cond::ValueEq(text(from)),
                },
                Check {
                    key: text("lock"),
                    cond: Cond::Absent,
                },
            ],
            then: vec![put("owner", "bob"), put("log", "moved")],
            otherwise: vec![put("log", "refused")],
        })
    };
    let mut machine = run(&[(1, put("owner", "ann"))]);
    let mut execute = |slot, from| machine.execute(Slot::new(slot), &transfer(from));
    let decided = |held, version, previous| KvReply::Decided {
        held,
        version,
        previous,
    };
    assert_eq!(execute(2, "eve"), decided(false, 2, vec![None]));
    let previous = vec![Some(stamp(1, 1)), Some(stamp(2, 2))];
    assert_eq!(execute(3, "ann"), decided(true, 3, previous));
    assert_eq!(
        execute(4, "ann"),
        decided(false, 4, vec![Some(stamp(3, 2))])
    );
    assert_eq!(machine.get(b"owner").unwrap().value, "bob");
    assert_eq!(machine.digest(), machine.recount());
}

#[test]
fn later_writes_of_a_transaction_see_earlier_ones() {
    let key = || text("a");
    let txn = KvCommand::Txn(Txn {
        then: vec![
            Write::Delete { key: key() },
            Write::Put {
                key: key(),
                value: text("y"),
            },
            Write::Put {
                key: key(),
                value: text("z"),
            },
        ],
        ..Txn::default()
    });
    let mut machine = run(&[(1, put("a", "x"))]);
    let KvReply::Decided { previous, .. } = machine.execute(Slot::new(2), &txn) else {
        panic!("a transaction is decided");
    };
    assert_eq!(previous, [Some(stamp(1, 1)), None, Some(stamp(2, 2))]);
}

fn scan(
    machine: &KeyValue,
    prefix: &'static str,
    after: Option<&'static str>,
    limit: u64,
) -> (Vec<String>, bool) {
    let query = KvQuery::Scan {
        prefix: text(prefix),
        after: after.map(text),
        limit,
    };
    match machine.answer(&query) {
        KvAnswer::Page { items, more } => {
            let name = |(key, _): &(Bytes, Versioned)| String::from_utf8_lossy(key).into_owned();
            (items.iter().map(name).collect(), more)
        }
        other => panic!("{query:?}: {other:?}"),
    }
}

#[test]
fn a_scan_goes_through_a_prefix_page_by_page() {
    let keys = ["a", "b", "b/1", "b/2", "b/3", "b0", "c"];
    let state: Vec<_> = (1..).zip(keys).map(|(i, key)| (i, put(key, "v"))).collect();
    let machine = run(&state);
    let scan = |prefix, after, limit| {
        let (keys, more) = scan(&machine, prefix, after, limit);
        (keys.join(" "), more)
    };
    assert_eq!(scan("b/", None, 0), ("b/1 b/2 b/3".into(), false));
    assert_eq!(scan("b/", None, 2), ("b/1 b/2".into(), true));
    assert_eq!(scan("b/", Some("b/2"), 2), ("b/3".into(), false));
    assert_eq!(scan("b/", None, 3), ("b/1 b/2 b/3".into(), false));
    assert_eq!(scan("b/", Some("a"), 0), ("b/1 b/2 b/3".into(), false));
    assert_eq!(scan("b/", Some("c"), 0), (String::new(), false));
    assert_eq!(scan("", None, 0), (keys.join(" "), false));
    assert_eq!(scan("d", None, 5), (String::new(), false));
}

#[test]
fn a_page_is_bounded_in_bytes() {
    let value = Bytes::from(vec![7; 300_000]);
    let mut machine = KeyValue::default();
    for i in 0..9_u8 {
        let key = Bytes::copy_from_slice(&[i]);
        machine.execute(Slot::new(1), &KvCommand::put(key, value.clone()));
    }
    let huge = Bytes::from(vec![8; 3 << 20]);
    machine.execute(Slot::new(2), &KvCommand::put(text("huge"), huge));
    let (first, more) = scan(&machine, "", None, 0);
    assert_eq!((first.len(), more), (4, true));
    // What is larger than a page comes alone: a scan always goes on.
    let (last, more) = scan(&machine, "h", None, 0);
    assert_eq!((last.len(), more), (1, false));
}

#[test]
fn bytes_that_are_no_command_change_nothing() {
    let mut machine = run(&[(1, put("a", "x"))]);
    let before = machine.digest();
    let reply = machine.apply(Slot::new(2), &Bytes::from_static(b"nonsense"));
    assert_eq!(KvReply::decode(&reply), Ok(KvReply::Malformed));
    assert_eq!(machine.digest(), before);
    let answer = machine.query(&Bytes::new());
    assert_eq!(KvAnswer::decode(&answer), Ok(KvAnswer::Malformed));
}

#[test]
fn the_digest_is_pinned() {
    let hex = |machine: KeyValue| format!("{:032x}", machine.digest());
    assert_eq!(hex(KeyValue::default()), "ca7ea4df32d3394991cbcc6b9dd441bc");
    assert_eq!(
        hex(run(&[(1, put("a", "x")), (2, put("b", ""))])),
        "0e23dafe380fe4ab1633268d5c8accd4"
    );
}

#[test]
fn the_digest_sees_every_part_of_the_state() {
    let states = [
        run(&[]),
        run(&[(1, put("a", "x"))]),
        run(&[(2, put("a", "x"))]),
        run(&[(1, put("a", "x")), (2, put("a", "x"))]),
        run(&[(1, put("a", "y"))]),
        run(&[(1, put("b", "x"))]),
        run(&[(1, put("ax", ""))]),
        run(&[(1, put("", "ax"))]),
        run(&[(1, put("a", "x")), (2, put("b", "x"))]),
    ];
    for (i, a) in states.iter().enumerate() {
        for b in states.iter().skip(i + 1) {
            assert_ne!(a.digest(), b.digest(), "{a:?} and {b:?}");
        }
    }
}

fn frozen(machine: &KeyValue) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.freeze().write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_frozen_bytes_are_pinned_and_nothing_else_is_restored() {
    let machine = run(&[(2, put("a", "x")), (3, put("b", "")), (4, put("a", "y"))]);
    let bytes = frozen(&machine);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let expected = "01 0000000000000002 \
        0000000000000001 61 0000000000000004 0000000000000002 0000000000000001 79 \
        0000000000000001 62 0000000000000003 0000000000000003 0000000000000000";
    assert_eq!(hex, expected.replace(' ', ""));
    let restore = |bytes: &[u8]| {
        let mut machine = run(&[(1, put("other", "state"))]);
        machine.restore(&mut &bytes[..]).map(|()| machine)
    };
    assert_eq!(restore(&bytes).unwrap().digest(), machine.digest());
    for cut in 0..bytes.len() {
        assert!(restore(&bytes[..cut]).is_err());
    }
    assert!(restore(&[&bytes[..], &[0]].concat()).is_err());
    let disordered = [&bytes[..9], &bytes[43..], &bytes[9..43]].concat();
    assert_eq!(disordered.len(), bytes.len());
    assert!(restore(&disordered).is_err());
}

fn conditions() -> impl Strategy<Value = Cond> {
    prop_oneof![
        4 => Just(Cond::Any),
        1 => Just(Cond::Absent),
        1 => Just(Cond::Exists),
        1 => (1_u64..40).prop_map(Cond::VersionEq),
        1 => (1_u64..40).prop_map(Cond::CreatedEq),
        1 => (0_u8..3).prop_map(|v| Cond::ValueEq(Bytes::copy_from_slice(&[v]))),
    ]
}

fn commands() -> impl Strategy<Value = Vec<KvCommand>> {
    let key = || proptest::collection::vec(0_u8..3, 0..2).prop_map(Bytes::from);
    let value = || (0_u8..3).prop_map(|v| Bytes::copy_from_slice(&[v]));
    let check = (key(), conditions()).prop_map(|(key, cond)| Check { key, cond });
    let write = || {
        prop_oneof![
            2 => (key(), value()).prop_map(|(key, value)| Write::Put { key, value }),
            1 => key().prop_map(|key| Write::Delete { key }),
        ]
    };
    let list = |of| proptest::collection::vec(of, 0..3);
    let txn = (
        proptest::collection::vec(check, 0..3),
        list(write().boxed()),
        list(write().boxed()),
    );
    let command = prop_oneof![
        3 => (key(), value(), conditions())
            .prop_map(|(key, value, cond)| KvCommand::Put { key, value, cond }),
        1 => (key(), conditions()).prop_map(|(key, cond)| KvCommand::Delete { key, cond }),
        2 => txn.prop_map(|(checks, then, otherwise)| {
            KvCommand::Txn(Txn { checks, then, otherwise })
        }),
    ];
    proptest::collection::vec(command, 0..40)
}

/// The machine as one would write it on a napkin: key to value, version, created.
type Model = BTreeMap<Bytes, (Bytes, u64, u64)>;

fn model_holds(model: &Model, key: &Bytes, cond: &Cond) -> bool {
    let there = model.get(key);
    match cond {
        Cond::Any => true,
        Cond::Absent => there.is_none(),
        Cond::Exists => there.is_some(),
        Cond::VersionEq(v) => there.is_some_and(|t| t.1 == *v),
        Cond::CreatedEq(v) => there.is_some_and(|t| t.2 == *v),
        Cond::ValueEq(v) => there.is_some_and(|t| t.0 == v),
    }
}

fn model_execute(model: &mut Model, slot: u64, command: &KvCommand) {
    let as_txn = |key: &Bytes, cond: &Cond, write| Txn {
        checks: vec![Check {
            key: key.clone(),
            cond: cond.clone(),
        }],
        then: vec![write],
        otherwise: Vec::new(),
    };
    let txn = match command.clone() {
        KvCommand::Put { key, value, cond } => {
            as_txn(&key.clone(), &cond, Write::Put { key, value })
        }
        KvCommand::Delete { key, cond } => as_txn(&key.clone(), &cond, Write::Delete { key }),
        KvCommand::Txn(txn) => txn,
    };
    let held = txn
        .checks
        .iter()
        .all(|c| model_holds(model, &c.key, &c.cond));
    for write in if held { txn.then } else { txn.otherwise } {
        match write {
            Write::Put { key, value } => {
                let created = model.get(&key).map_or(slot, |t| t.2);
                model.insert(key, (value, slot, created));
            }
            Write::Delete { key } => drop(model.remove(&key)),
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(commands in commands(), freeze_at in 0_usize..40) {
        let (mut machine, mut model) = (KeyValue::default(), Model::new());
        for (slot, command) in (1..).zip(&commands) {
            if slot as usize == freeze_at {
                let bytes = frozen(&machine);
                machine.restore(&mut bytes.as_slice()).unwrap();
            }
            machine.execute(Slot::new(slot), command);
            model_execute(&mut model, slot, command);
            prop_assert_eq!(machine.digest(), machine.recount());
            prop_assert_eq!(machine.len(), model.len() as u64);
        }
        for (key, (value, version, created)) in &model {
            let (value, version, created) = (value.clone(), *version, *created);
            prop_assert_eq!(machine.get(key), Some(Versioned { value, version, created }));
        }
        // Another history that leads to the same state.
        let mut direct = KeyValue::default();
        for (key, (value, version, created)) in model.iter().rev() {
            direct.add(key, value, Stamp { version: *version, created: *created });
        }
        prop_assert_eq!(machine.digest(), direct.digest());
        prop_assert_eq!(frozen(&machine), frozen(&direct));
    }

    #[test]
    fn apply_and_execute_are_the_same(commands in commands()) {
        let (mut through_bytes, mut direct) = (KeyValue::default(), KeyValue::default());
        for (slot, command) in (1..).zip(&commands) {
            let reply = through_bytes.apply(Slot::new(slot), &command.encode());
            let expected = direct.execute(Slot::new(slot), command);
            prop_assert_eq!(KvReply::decode(&reply), Ok(expected));
        }
        prop_assert_eq!(through_bytes.digest(), direct.digest());
    }

    #[test]
    fn any_bytes_can_be_applied_asked_and_restored(bytes in proptest::collection::vec(0_u8..4, 0..64)) {
        let mut machine = run(&[(1, put("a", "x"))]);
        let bytes = Bytes::from(bytes);
        machine.apply(Slot::new(2), &bytes);
        machine.query(&bytes);
        prop_assert_eq!(machine.digest(), machine.recount());
        if machine.restore(&mut &bytes[..]).is_ok() {
            prop_assert_eq!(frozen(&machine), bytes);
        }
    }
}
