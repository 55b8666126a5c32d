//! What is written is what is read, by hand and by generated code alike.

use bytes::Bytes;
use chil_core::Message;
use chil_proto::{Frame, decode, encode, v1};
use proptest::prelude::*;
use prost::Message as _;

use crate::strategies;

proptest! {
    #[test]
    fn decoding_undoes_encoding(frame in strategies::frame()) {
        let bytes = encode::frame(&frame);
        prop_assert_eq!(decode::frame(bytes), Ok(frame));
    }

    #[test]
    fn generated_code_reads_and_writes_the_same_bytes(frame in strategies::frame()) {
        // Independent of the encoder: prost, from the .proto files, in canonical order.
        let bytes = encode::frame(&frame);
        let generated = v1::Frame::decode(bytes.clone()).expect("the declared format");
        prop_assert_eq!(generated.encode_to_vec(), bytes.to_vec());
    }

    #[test]
    fn fields_of_a_later_version_are_skipped(frame in strategies::frame(), content in any::<u64>()) {
        let mut later = encode::frame(&frame).to_vec();
        prost::encoding::uint64::encode(1000, &content, &mut later);
        prop_assert_eq!(decode::frame(Bytes::from(later)), Ok(frame));
    }

    #[test]
    fn payloads_are_slices_of_the_frame(frame in strategies::frame()) {
        let bytes = encode::frame(&frame);
        let held = bytes.as_ptr_range();
        let Ok(Frame::Envelope(envelope)) = decode::frame(bytes) else { return Ok(()) };
        let entries = match envelope.body {
            Message::Accept(m) => m.entries,
            Message::Promise(m) => m.suffix,
            Message::Learn(m) => m.entries,
            _ => Vec::new(),
        };
        for entry in entries {
            let chil_core::EntryKind::Command(command) = entry.kind() else { continue };
            if !command.payload.is_empty() {
                prop_assert!(held.contains(&command.payload.as_ptr()), "a payload was copied");
            }
        }
    }
}
