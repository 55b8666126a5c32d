//! Every authority and every certificate is replaced while clients go on.
//! Knows nothing about TLS: requests count, and that each took effect once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chil::Tls;
use chil::client::{Client, ClientOptions, ClientTls};
use chil_tests::certs::Certs;

use crate::exactly_once::{Shared, check, claim, increment};
use crate::harness::{Cluster, PATIENCE, signal};

const ROTATIONS: usize = 2;
const WRITERS: usize = 12;
const INCREMENTERS: usize = 4;
/// Acknowledgements between two steps.
const ACKS_BETWEEN: u64 = 100;

fn client(cluster: &Cluster, certs: &Certs) -> Client {
    let [cert, key, ca] = certs.client();
    let tls = Tls::files(cert, key, ca).reload_interval(Duration::from_millis(50));
    let options = ClientOptions {
        timeout: PATIENCE,
        tls: Some(ClientTls::load(tls).unwrap()),
        ..ClientOptions::default()
    };
    Client::connect(cluster.addresses(), options)
}

/// All nodes look at their files, and clients go on meanwhile.
async fn looked(cluster: &Cluster, shared: &Shared) {
    for node in &cluster.nodes {
        signal(node.pid(), "HUP");
    }
    // What is replaced is renewed connection by connection.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    shared.wait_for(ACKS_BETWEEN).await;
}

#[tokio::test]
async fn all_authorities_and_certificates_are_replaced_and_no_request_is_lost() {
    let (cluster, mut certs) = Cluster::start_secured(3, &["--log", "info,chil::audit=warn"]);
    let judge = client(&cluster, &certs);
    cluster.leader(&judge).await;
    let shared = Arc::new(Shared::default());
    let new = || (client(&cluster, &certs), Arc::clone(&shared));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (client, shared) = new();
        writers.push(tokio::spawn(claim(client, writer, shared)));
    }
    let mut incrementers = Vec::new();
    for _ in 0..INCREMENTERS {
        let (client, shared) = new();
        incrementers.push(tokio::spawn(increment(client, shared)));
    }
    shared.wait_for(ACKS_BETWEEN).await;
    for _ in 0..ROTATIONS {
        let old = certs.next_authority() - 1;
        certs.trust(&[old, old + 1]);
        looked(&cluster, &shared).await;
        certs.issue();
        looked(&cluster, &shared).await;
        certs.trust(&[old + 1]);
        looked(&cluster, &shared).await;
    }
    shared.stop.store(true, Ordering::Relaxed);
    let mut claims = Vec::new();
    for writer in writers {
        claims.push(writer.await.unwrap().expect("every claim is acknowledged"));
    }
    let mut increments = 0;
    for incrementer in incrementers {
        let done = incrementer.await.unwrap();
        increments += done.expect("every increment is acknowledged");
    }
    check(&judge, &claims, increments).await;
    println!(
        "{} claims and {increments} increments over {ROTATIONS} rotations",
        claims.iter().sum::<u64>()
    );
}
