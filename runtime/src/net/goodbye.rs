//! What is said over HTTP/2 to somebody who gets no place: why, before the connection is closed.
//! Knows nothing about when that is.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Kinds of frames (RFC 9113, section 6), and the reason for whoever asks for too much (section 7).
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What somebody who was refused may still send, and for how long: a socket that is closed with
/// unread bytes takes back what it was to say.
const DRAIN_BYTES_MAX: usize = 64 << 10;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(100);

/// The settings that a server has to begin with, and that it will answer nothing, and why.
fn frames(why: &str) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    // The last stream that was handled: none.
    let mut body = vec![0; 4];
    body.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    body.extend_from_slice(why.as_bytes());
    let length = u32::try_from(body.len()).expect("reasons are short");
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&body);
    bytes
}

/// Says why, if the other side listens, and closes the connection.
pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, why: &str) {
    let saying = async {
        // Whatever fails here, the socket is closed next.
        if stream.write_all(&frames(why)).await.is_ok() {
            drain(stream).await;
        }
    };
    // Time over: enough was done for somebody who is refused.
    drop(tokio::time::timeout(DRAIN_TIME_MAX, saying).await);
}

/// Lets what was written get through before the socket closes.
pub(super) async fn drain<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let draining = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut left = DRAIN_BYTES_MAX;
        let mut buffer = [0; 4_096];
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    drop(tokio::time::timeout(DRAIN_TIME_MAX, draining).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_are_those_of_the_rfc() {
        let expected = b"\0\0\0\x04\0\0\0\0\0\0\0\x0c\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0bfull";
        assert_eq!(frames("full"), expected);
    }

    #[tokio::test]
    async fn somebody_who_sends_all_the_time_is_not_listened_to_for_long() {
        let (mut theirs, ours) = tokio::io::duplex(1 << 10);
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while theirs.write_all(&[0; 512]).await.is_ok() {
                sent += 512;
            }
            sent
        });
        say(ours, "full").await;
        let sent = sending.await.unwrap();
        assert!(
            (DRAIN_BYTES_MAX..DRAIN_BYTES_MAX * 2).contains(&sent),
            "{sent}"
        );
    }
}
