//! Certificates and authorities that change while nodes run.
//! Knows nothing about how files get there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chil::client::{Client, ClientOptions};
use chil::{Node, Reloaded};
use tokio::io::AsyncReadExt;

use super::pki::{Authority, Wish, tls_in};
use super::stranger::call;
use super::{address, alone, counted, counts, started};

/// Makes what stands in a directory bad.
type Spoil<'a> = &'a dyn Fn(&Path);

/// The value of a gauge.
fn gauge<S>(node: &Node<S>, name: &str) -> i64 {
    let text = node.metrics();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("chil_{name}{{")));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.expect("it is there").parse().unwrap()
}

#[tokio::test]
async fn what_is_good_is_taken_and_what_is_bad_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    let (ca, other) = (Authority::new("ours"), Authority::new("other"));
    let node = alone(dir.path(), &ca).await;
    assert_eq!(node.reload().await.unwrap(), Reloaded::Unchanged);
    let left = gauge(&node, "tls_certificate_expiry_seconds");
    assert!((86_000..=86_400).contains(&left), "{left}");

    let good = fs::read(tls.join("tls.crt")).unwrap();
    let others_key = dir.path().join("other");
    ca.node("alone").write(&others_key, &[&ca]);
    let bad: [(&str, Spoil<'_>); 8] = [
        ("does not belong to the certificate", &|tls| {
            fs::copy(others_key.join("tls.key"), tls.join("tls.key")).unwrap();
        }),
        ("this is the node 'alone'", &|tls| {
            ca.node("somebody").write(tls, &[&ca])
        }),
        ("no authority in this side's ca_file", &|tls| {
            ca.node("alone").write(tls, &[&other])
        }),
        ("has expired", &|tls| {
            let expired = Wish::of(&["chil://local/node/alone"]).within(-500, -100);
            ca.issue(&expired).write(tls, &[&ca]);
        }),
        ("no certificate in PEM", &|tls| {
            fs::write(tls.join("tls.crt"), "").unwrap()
        }),
        ("no whole PEM", &|tls| {
            fs::write(tls.join("tls.crt"), &good[..good.len() / 2]).unwrap();
        }),
        ("cannot be read", &|tls| {
            fs::remove_file(tls.join("tls.crt")).unwrap()
        }),
        ("cannot be read", &|tls| {
            fs::remove_file(tls.join("tls.crt")).unwrap();
            fs::create_dir(tls.join("tls.crt")).unwrap();
        }),
    ];
    for (nth, (text, spoil)) in bad.iter().enumerate() {
        if tls.join("tls.crt").is_dir() {
            fs::remove_dir(tls.join("tls.crt")).unwrap();
        }
        ca.node("alone").write(&tls, &[&ca]);
        node.reload().await.unwrap();
        spoil(&tls);
        let error = node.reload().await.unwrap_err().to_string();
        assert!(error.contains(text), "{nth}: {error}");
        assert_eq!(gauge(&node, "tls_reload_bad"), 1);
        assert!(call(address(&node), Some(&ca.client("read"))).await.is_ok());
    }
    fs::remove_dir(tls.join("tls.crt")).unwrap();
    // Now by itself, as somebody copies a new one there, file by file and byte by byte.
    let wish = Wish::of(&["chil://local/node/alone"]).within(-300, 5_000);
    let fresh = dir.path().join("fresh");
    ca.issue(&wish).write(&fresh, &[&ca]);
    for name in ["tls.key", "tls.crt"] {
        let text = fs::read(fresh.join(name)).unwrap();
        for end in (0..=text.len()).step_by(64).chain([text.len()]) {
            fs::write(tls.join(name), &text[..end]).unwrap();
        }
    }
    let waiting = async {
        while !(4_900..=5_000).contains(&gauge(&node, "tls_certificate_expiry_seconds")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::cluster::PATIENCE, waiting)
        .await
        .unwrap();
    assert_eq!(gauge(&node, "tls_reload_bad"), 0);
}

/// As Kubernetes changes a secret: a link to a directory is replaced.
#[tokio::test]
async fn a_link_to_another_directory_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ours");
    for (version, lasts) in [("v1", 1_000), ("v2", 2_000)] {
        let wish = Wish::of(&["chil://local/node/alone"]).within(-300, lasts);
        ca.issue(&wish).write(&dir.path().join(version), &[&ca]);
    }
    let data = dir.path().join("data-link");
    std::os::unix::fs::symlink("v1", &data).unwrap();
    let node = started(Node::builder("alone").tls(tls_in(&data)), dir.path()).await;
    std::os::unix::fs::symlink("v2", dir.path().join("new")).unwrap();
    fs::rename(dir.path().join("new"), &data).unwrap();
    assert_eq!(node.reload().await.unwrap(), Reloaded::Changed);
    assert!(gauge(&node, "tls_certificate_expiry_seconds") > 1_900);
}

#[tokio::test]
async fn who_is_not_believed_any_more_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let tls = dir.path().join("tls");
    let node_tls = old.node("alone").tls(&tls, &[&old, &new]);
    let node = started(Node::builder("alone").tls(node_tls), dir.path()).await;
    let (leaving, staying) = (old.client("read"), new.client("read"));
    let soon = Wish::of(&["chil://local/read/soon"]).within(-300, 3);
    let mut leaving = call(address(&node), Some(&leaving)).await.unwrap();
    let mut expiring = call(address(&node), Some(&new.issue(&soon))).await.unwrap();
    let options = ClientOptions {
        tls: Some(staying.client_tls(&dir.path().join("staying"), &[&old, &new])),
        ..ClientOptions::default()
    };
    let client = Client::connect([address(&node).to_string()], options);
    client.get("key").await.unwrap();

    new.node("alone").write(&tls, &[&new]);
    node.reload().await.unwrap();
    counts(&node, "connections_cut", "unknown-authority", 1).await;
    let mut said = Vec::new();
    drop(leaving.read_to_end(&mut said).await);
    counts(&node, "connections_cut", "expired", 1).await;
    drop(expiring.read_to_end(&mut said).await);
    client.get("key").await.unwrap();
    assert_eq!(counted(&node, "connections_cut", "unknown-authority"), 1);
}
