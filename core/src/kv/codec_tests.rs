//! The encodings, byte by byte, and that nothing else decodes.

use proptest::prelude::*;

use super::*;

fn hex(bytes: &Bytes) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn check_pinned(cases: &[(Bytes, &str)]) {
    for (encoded, expected) in cases {
        assert_eq!(hex(encoded), expected.replace(' ', ""));
    }
}

#[test]
fn commands_are_pinned() {
    let put = KvCommand::put(text("ab"), text("c"));
    let delete_if = |cond| KvCommand::Delete {
        key: text("a"),
        cond,
    };
    let txn = KvCommand::Txn(Txn {
        checks: vec![Check {
            key: text("a"),
            cond: Cond::Exists,
        }],
        then: vec![
            Write::Put {
                key: text("b"),
                value: text("c"),
            },
            Write::Delete { key: text("d") },
        ],
        otherwise: Vec::new(),
    });
    check_pinned(&[
        (
            put.encode(),
            "0101 0000000000000002 6162 0000000000000001 63 00",
        ),
        (
            KvCommand::delete(text("a")).encode(),
            "0102 0000000000000001 61 00",
        ),
        (
            delete_if(Cond::Absent).encode(),
            "0102 0000000000000001 61 01",
        ),
        (
            delete_if(Cond::Exists).encode(),
            "0102 0000000000000001 61 02",
        ),
        (
            delete_if(Cond::VersionEq(5)).encode(),
            "0102 0000000000000001 61 03 0000000000000005",
        ),
        (
            delete_if(Cond::CreatedEq(5)).encode(),
            "0102 0000000000000001 61 04 0000000000000005",
        ),
        (
            delete_if(Cond::ValueEq(text("v"))).encode(),
            "0102 0000000000000001 61 05 0000000000000001 76",
        ),
        (
            txn.encode(),
            "0103 0000000000000001 0000000000000001 61 02 \
             0000000000000002 01 0000000000000001 62 0000000000000001 63 02 0000000000000001 64 \
             0000000000000000",
        ),
    ]);
}

#[test]
fn queries_are_pinned() {
    let get = KvQuery::Get { key: text("a") };
    let scan = |after: Option<&'static str>| KvQuery::Scan {
        prefix: text("a"),
        after: after.map(text),
        limit: 3,
    };
    check_pinned(&[
        (get.encode(), "0111 0000000000000001 61"),
        (KvQuery::Count.encode(), "0112"),
        (
            scan(None).encode(),
            "0113 0000000000000001 61 00 0000000000000003",
        ),
        (
            scan(Some("ab")).encode(),
            "0113 0000000000000001 61 01 0000000000000002 6162 0000000000000003",
        ),
    ]);
}

#[test]
fn replies_and_answers_are_pinned() {
    let stamp = Stamp {
        version: 3,
        created: 2,
    };
    let written = |applied, previous| KvReply::Written {
        applied,
        version: 258,
        previous,
    };
    let decided = KvReply::Decided {
        held: true,
        version: 258,
        previous: vec![None, Some(stamp)],
    };
    let found = Versioned {
        value: text("v"),
        version: 3,
        created: 2,
    };
    let page = KvAnswer::Page {
        items: vec![(text("k"), found.clone())],
        more: true,
    };
    check_pinned(&[
        (written(true, None).encode(), "0121 01 0000000000000102 00"),
        (
            written(false, Some(stamp)).encode(),
            "0121 00 0000000000000102 01 0000000000000003 0000000000000002",
        ),
        (
            decided.encode(),
            "0122 01 0000000000000102 0000000000000002 00 01 0000000000000003 0000000000000002",
        ),
        (KvReply::Malformed.encode(), "012f"),
        (KvAnswer::Value(None).encode(), "0131 00"),
        (
            KvAnswer::Value(Some(found)).encode(),
            "0131 01 0000000000000003 0000000000000002 0000000000000001 76",
        ),
        (KvAnswer::Count(7).encode(), "0132 0000000000000007"),
        (
            page.encode(),
            "0133 0000000000000001 0000000000000001 6b \
             0000000000000003 0000000000000002 0000000000000001 76 01",
        ),
        (KvAnswer::Malformed.encode(), "013f"),
    ]);
}

#[test]
fn a_transaction_is_bounded() {
    let txn = |count| {
        let delete = Write::Delete { key: text("a") };
        let then = vec![delete; count];
        KvCommand::Txn(Txn {
            then,
            ..Txn::default()
        })
    };
    let largest = txn(64);
    assert_eq!(KvCommand::decode(&largest.encode()), Ok(largest));
    let too_many = KvError::TooMany { found: 65, max: 64 };
    assert_eq!(KvCommand::decode(&txn(65).encode()), Err(too_many));
}

#[test]
fn each_error_says_what_is_wrong() {
    let decode = |bytes: &'static [u8]| KvCommand::decode(&Bytes::from_static(bytes));
    assert_eq!(decode(b""), Err(KvError::Truncated { needed: 1 }));
    assert_eq!(decode(b"\x02\x01"), Err(KvError::Format { found: 2 }));
    assert_eq!(decode(b"\x01\x12"), Err(KvError::Tag { found: 0x12 }));
    assert_eq!(
        decode(b"\x01\x02\0\0\0\0\0\0\0\x05abc"),
        Err(KvError::Truncated { needed: 2 })
    );
    assert_eq!(
        decode(b"\x01\x02\0\0\0\0\0\0\0\x01a\0c"),
        Err(KvError::Trailing { extra: 1 })
    );
    assert_eq!(
        decode(b"\x01\x02\0\0\0\0\0\0\0\x01a\x06"),
        Err(KvError::Tag { found: 6 })
    );
    assert_eq!(
        decode(b"\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff"),
        Err(KvError::Truncated { needed: u64::MAX })
    );
}

proptest! {
    #[test]
    fn whatever_decodes_has_exactly_these_bytes(
        tag in prop_oneof![Just(PUT), Just(DELETE), Just(TXN), Just(SCAN), Just(DECIDED), Just(PAGE), Just(GET), Just(COUNT), Just(WRITTEN),
            Just(COMMAND_MALFORMED), Just(VALUE), Just(COUNTED), Just(QUERY_MALFORMED), any::<u8>()],
        // Mostly zeros, so that length fields often fit.
        rest in proptest::collection::vec(prop_oneof![6 => Just(0_u8), 2 => 0_u8..3, 1 => any::<u8>()], 0..70),
    ) {
        let mut bytes = vec![1, tag];
        bytes.extend(rest);
        let bytes = Bytes::from(bytes);
        if let Ok(command) = KvCommand::decode(&bytes) {
            prop_assert_eq!(command.encode(), &bytes);
        }
        if let Ok(query) = KvQuery::decode(&bytes) {
            prop_assert_eq!(query.encode(), &bytes);
        }
        if let Ok(reply) = KvReply::decode(&bytes) {
            prop_assert_eq!(reply.encode(), &bytes);
        }
        if let Ok(answer) = KvAnswer::decode(&bytes) {
            prop_assert_eq!(answer.encode(), &bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        let _ = (KvCommand::decode(&bytes), KvQuery::decode(&bytes));
        let _ = (KvReply::decode(&bytes), KvAnswer::decode(&bytes));
    }

    #[test]
    fn every_put_survives_its_bytes(
        key in proptest::collection::vec(any::<u8>(), 0..300),
        value in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let put = KvCommand::put(Bytes::from(key), Bytes::from(value));
        prop_assert_eq!(KvCommand::decode(&put.encode()), Ok(put));
    }
}
