//! A node with TLS ends in bounded time, whoever is connected and however far.
//! Knows nothing about what is in flight.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pki::Authority;
use super::{address, alone};
use crate::cluster::PATIENCE;

#[tokio::test]
async fn nobody_in_the_middle_of_something_delays_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    let node = alone(dir.path(), &ca).await;
    let mut silent = TcpStream::connect(address(&node)).await.unwrap();
    let mut half = TcpStream::connect(address(&node)).await.unwrap();
    // The beginning of a handshake (RFC 8446, section 5.1): a record of 512 bytes follows.
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let tls = ca
        .client("write")
        .client_tls(&dir.path().join("client"), &[&ca]);
    let options = chil::client::ClientOptions {
        tls: Some(tls),
        ..chil::client::ClientOptions::default()
    };
    let client = chil::client::Client::connect([address(&node).to_string()], options);
    client.put("key", "value").await.unwrap();
    let begin = Instant::now();
    node.shutdown(Duration::from_secs(1)).await.unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        closed.expect("it is closed").ok();
    }
    drop(client);
}
