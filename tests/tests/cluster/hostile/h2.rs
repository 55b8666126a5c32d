//! Frames of HTTP/2 (RFC 9113) and headers (HPACK, RFC 7541), byte by byte: also such as no
//! library would make. Knows nothing about who is sent them.

/// What a client's connection begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const NO_FLAGS: u8 = 0;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// The setting that says how much may be sent on a stream before more is allowed.
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame with its nine bytes of header.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![len[1], len[2], len[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let one = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let payload: Vec<u8> = values.iter().flat_map(one).collect();
    frame(SETTINGS, NO_FLAGS, 0, &payload)
}

/// The headers of a call of gRPC.
pub(super) fn call(path: &str) -> Vec<u8> {
    // :method POST and :scheme http stand in HPACK's own table.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "chil"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.extend(header(name, value));
    }
    block
}

/// A header that nobody shall remember.
pub(super) fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(len(text.len()));
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// A length, as HPACK writes it: seven bits, and more where these are all set.
fn len(len: usize) -> Vec<u8> {
    const ALL: usize = 127;
    if len < ALL {
        return vec![len as u8];
    }
    let (mut bytes, mut rest) = (vec![ALL as u8], len - ALL);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// A message of gRPC that says that it is so long, whatever there is of it.
pub(super) fn message(len: u32, there: &[u8]) -> Vec<u8> {
    [&[0][..], &len.to_be_bytes(), there].concat()
}

/// Headers and a message, on a stream of its own.
pub(super) fn request(stream: u32, path: &str, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    let headers = frame(HEADERS, END_HEADERS, stream, &call(path));
    let data = frame(DATA, END_STREAM, stream, &message(len, body));
    [headers, data].concat()
}
