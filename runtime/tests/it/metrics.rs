//! The page with a node's metrics, as somebody finds it who asks by HTTP.
//! Knows nothing about what the numbers mean.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use chil::{KeyValue, Node, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn ask(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_node_shows_what_it_counts_until_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let describe = |metrics: &str| {
        let node = Node::builder("solo").bind("127.0.0.1:0").plaintext();
        let node = node.single_node(true).data_dir(dir.path().join("solo"));
        let node = node.metrics_address(metrics);
        node.state_machine(KeyValue::default())
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = describe(&address).start().await.unwrap_err();
    assert!(matches!(error, StartError::Metrics { .. }), "{error}");
    assert!(error.to_string().contains("metrics.address"), "{error}");

    let node = describe("127.0.0.1:0").start().await.unwrap();
    let address = node.metrics_addr().expect("it was to have a page");
    node.wait_for_leader().await.unwrap();
    let page = ask(address).await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let counted = "chil_loop_lag_seconds_count{node=\"solo\"} ";
    assert!(page.contains(counted), "{page}");
    let of_handle = node.metrics();
    assert_eq!(
        page.lines()
            .filter(|line| line.starts_with("# TYPE"))
            .count(),
        of_handle
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .count(),
        "{page}"
    );

    node.shutdown(Duration::from_secs(5)).await.unwrap();
    TcpListener::bind(address).expect("its port is free");
}
