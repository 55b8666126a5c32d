//! The watch on a service's EndpointSlices, against an API over real HTTP.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chil::discovery::Resolve;
use chil::discovery::kubernetes::{KubernetesOptions, KubernetesResolver};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::api_server::{ApiServer, Fault};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const NODES: [&str; 3] = ["chil-0.chil:7000", "chil-1.chil:7000", "chil-2.chil:7000"];

/// An API with three pods, and somebody who watches them.
struct Cluster {
    api: ApiServer,
    account: TempDir,
}

impl Cluster {
    fn new() -> Self {
        let api = ApiServer::start();
        let pods = [
            ("chil-0", "10.0.0.1"),
            ("chil-1", "10.0.0.2"),
            ("chil-2", "10.0.0.3"),
        ];
        api.put("a", 7_000, &pods);
        let account = tempfile::tempdir().unwrap();
        fs::write(account.path().join("namespace"), "default\n").unwrap();
        fs::write(account.path().join("token"), "secret-1\n").unwrap();
        Self { api, account }
    }

    fn options(&self) -> KubernetesOptions {
        let mut options = KubernetesOptions::in_cluster("chil");
        options.api.clone_from(&self.api.url);
        options.token_file = self.account.path().join("token");
        options
    }

    fn resolver(&self) -> KubernetesResolver {
        KubernetesResolver::new(self.options())
    }

    /// One that has listed and watches.
    async fn watching(&self) -> KubernetesResolver {
        let resolver = self.resolver();
        found(&resolver, NODES[0], "10.0.0.1:7000").await;
        until("it watches", || self.api.asked("watch=true") > 0).await;
        resolver
    }
}

/// Waits until `address` leads to `expected`.
async fn found(resolver: &KubernetesResolver, address: &str, expected: &str) {
    let expected: SocketAddr = expected.parse().unwrap();
    let finding = async {
        while resolver.resolve(address).await != Ok(vec![expected]) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let found = timeout(PATIENCE, finding).await;
    assert!(
        found.is_ok(),
        "{address}: {:?}",
        resolver.resolve(address).await
    );
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < PATIENCE, "{what}: not in time");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn pods_are_found_by_the_first_label_at_the_port_of_the_slice() {
    let cluster = Cluster::new();
    cluster.api.put("b", 7_009, &[("chil-9", "fd00::9")]);
    cluster.api.state().page = 1;
    let resolver = cluster.resolver();
    for (address, at) in [
        ("chil-0:1", "10.0.0.1:7000"),
        ("CHIL-1.chil.default.svc:1", "10.0.0.2:7000"),
        ("chil-9.chil:7000", "[fd00::9]:7009"),
        ("10.9.9.9:7000", "10.9.9.9:7000"),
    ] {
        let expected: SocketAddr = at.parse().unwrap();
        assert_eq!(resolver.resolve(address).await, Ok(vec![expected]));
        assert!(resolver.leads_to(expected.ip()));
    }
    assert_eq!(
        cluster.api.asked("continue=2%2F1"),
        1,
        "the list has two pages"
    );
    let error = resolver.resolve("web-0:1").await.unwrap_err().to_string();
    assert!(
        error.contains("no pod of the service 'chil' is called 'web-0'"),
        "{error}"
    );
    assert!(error.contains("publishNotReadyAddresses"), "{error}");
}

#[tokio::test]
async fn a_pod_that_comes_back_elsewhere_moves_its_connections_and_no_others() {
    let cluster = Cluster::new();
    let resolver = cluster.watching().await;
    resolver.resolve(NODES[1]).await.unwrap();
    let (old, other) = (
        "10.0.0.1:7000".parse().unwrap(),
        "10.0.0.2:7000".parse().unwrap(),
    );
    let moved = resolver.moved(NODES[0], Some(old));
    let stays = resolver.moved(NODES[1], Some(other));
    // The address of the one is now the other's.
    let pods = [
        ("chil-0", "10.0.1.1"),
        ("chil-1", "10.0.0.2"),
        ("chil-2", "10.0.0.1"),
    ];
    cluster.api.put("a", 7_000, &pods);
    timeout(PATIENCE, moved).await.expect("it has moved");
    assert!(timeout(Duration::from_millis(50), stays).await.is_err());
    found(&resolver, NODES[0], "10.0.1.1:7000").await;
    found(&resolver, NODES[2], "10.0.0.1:7000").await;
}

#[tokio::test]
async fn a_pod_that_is_gone_stays_known_where_it_was() {
    let cluster = Cluster::new();
    let resolver = cluster.watching().await;
    let moved = resolver.moved(NODES[0], Some("10.0.0.1:7000".parse().unwrap()));
    cluster.api.delete("a");
    cluster.api.put("b", 7_000, &[("chil-1", "10.0.0.2")]);
    found(&resolver, NODES[1], "10.0.0.2:7000").await;
    found(&resolver, NODES[0], "10.0.0.1:7000").await;
    assert!(timeout(Duration::from_millis(50), moved).await.is_err());
}

#[tokio::test]
async fn it_goes_on_where_a_stream_ended_and_lists_again_only_when_that_is_forgotten() {
    let cluster = Cluster::new();
    let resolver = cluster.watching().await;
    cluster.api.put("a", 7_000, &[("chil-0", "10.0.0.11")]);
    found(&resolver, NODES[0], "10.0.0.11:7000").await;
    cluster.api.bookmark();
    sleep(Duration::from_millis(1_100)).await;
    cluster.api.end_streams();
    until("it goes on from the bookmark", || {
        cluster.api.asked("resourceVersion=3") == 1
    })
    .await;
    cluster.api.put("a", 7_000, &[("chil-0", "10.0.0.12")]);
    found(&resolver, NODES[0], "10.0.0.12:7000").await;
    assert_eq!(cluster.api.asked("limit="), 1);
    // By an event, since the stream stands ...
    cluster.api.compact();
    until("it lists again", || cluster.api.asked("limit=") == 2).await;
    cluster.api.put("a", 7_000, &[("chil-0", "10.0.0.13")]);
    found(&resolver, NODES[0], "10.0.0.13:7000").await;
    // ... and by a status.
    let gone = Fault::Status(410, "", "too old resource version");
    cluster.api.state().faults.push_back(gone);
    cluster.api.cut_streams();
    until("it lists again", || cluster.api.asked("limit=") == 3).await;
    cluster.api.put("a", 7_000, &[("chil-0", "10.0.0.14")]);
    found(&resolver, NODES[0], "10.0.0.14:7000").await;
}

#[tokio::test]
async fn a_list_whose_pages_are_forgotten_begins_anew() {
    let cluster = Cluster::new();
    cluster.api.put("b", 7_000, &[("chil-9", "10.0.0.9")]);
    cluster.api.state().page = 1;
    let watching = cluster.resolver();
    until("a page", || cluster.api.asked("limit=") >= 1).await;
    cluster.api.compact();
    found(&watching, "chil-9:1", "10.0.0.9:7000").await;
    found(&watching, NODES[0], "10.0.0.1:7000").await;
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let cluster = Cluster::new();
    let busy = Fault::Status(429, "retry-after: 2\r\n", "too many requests");
    cluster.api.state().faults.push_back(busy);
    let began = Instant::now();
    let resolver = cluster.resolver();
    let error = resolver.resolve(NODES[0]).await.unwrap_err().to_string();
    assert!(
        error.contains("it answers 429: too many requests"),
        "{error}"
    );
    found(&resolver, NODES[0], "10.0.0.1:7000").await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(cluster.api.asked("limit="), 2);
}

#[tokio::test]
async fn failures_of_any_kind_keep_what_is_known_and_are_survived() {
    let cluster = Cluster::new();
    let resolver = cluster.watching().await;
    for (i, fault) in [
        Fault::Status(500, "", "etcd is down"),
        Fault::HalfALine,
        Fault::Says("this is no event\n"),
        Fault::Says("{\"type\":\"ERROR\",\"object\":{\"code\":504,\"message\":\"timeout\"}}\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = cluster.api.state().asked.len();
        cluster.api.state().faults.push_back(fault);
        cluster.api.cut_streams();
        until("it tries again", || {
            cluster.api.state().asked.len() >= asked + 2
        })
        .await;
        assert!(resolver.resolve(NODES[0]).await.is_ok());
        let ip = format!("10.1.0.{i}");
        cluster.api.put("a", 7_000, &[("chil-0", &ip)]);
        found(&resolver, NODES[0], &format!("{ip}:7000")).await;
    }
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let cluster = Cluster::new();
    let mut options = cluster.options();
    options.silence = Duration::from_millis(300);
    let resolver = KubernetesResolver::new(options);
    found(&resolver, NODES[0], "10.0.0.1:7000").await;
    until("it watches anew", || cluster.api.asked("watch=true") >= 2).await;
    assert_eq!(cluster.api.asked("limit="), 1, "nothing is lost");
}

#[tokio::test]
async fn a_token_is_replaced_while_the_watch_goes_on() {
    let cluster = Cluster::new();
    cluster.api.state().token = Some("secret-1".to_owned());
    let resolver = cluster.watching().await;
    let token = cluster.account.path().join("token");
    fs::write(&token, "secret-2").unwrap();
    cluster.api.state().token = Some("secret-2".to_owned());
    cluster.api.cut_streams();
    cluster.api.put("a", 7_000, &[("chil-0", "10.0.0.21")]);
    found(&resolver, NODES[0], "10.0.0.21:7000").await;
    // One that comes late: refused, then read again at once.
    cluster.api.state().token = Some("secret-3".to_owned());
    let asked = cluster.api.state().asked.len();
    sleep(Duration::from_millis(1_100)).await;
    cluster.api.cut_streams();
    until("refused", || cluster.api.state().asked.len() > asked).await;
    fs::write(&token, "secret-3").unwrap();
    assert!(resolver.resolve(NODES[0]).await.is_ok());
}

#[tokio::test]
async fn what_a_person_has_to_do_is_said() {
    let cluster = Cluster::new();
    let forbidden = "endpointslices.discovery.k8s.io is forbidden";
    cluster
        .api
        .state()
        .faults
        .push_back(Fault::Status(403, "", forbidden));
    let error = cluster
        .resolver()
        .resolve(NODES[0])
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "resources: [endpointslices], verbs: [list, watch]",
        forbidden,
    ] {
        assert!(error.contains(part), "{error}");
    }
    fs::remove_file(cluster.account.path().join("namespace")).unwrap();
    let error = cluster
        .resolver()
        .resolve(NODES[0])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("set discovery.kubernetes.namespace"),
        "{error}"
    );
    let mut options = cluster.options();
    options.namespace = Some("default".to_owned());
    cluster.api.delete("a");
    let error = KubernetesResolver::new(options.clone())
        .resolve(NODES[0])
        .await
        .unwrap_err();
    let nobody = "the service 'chil' has no pods at all in the namespace default";
    assert!(error.to_string().contains(nobody), "{error}");
    options.api = "http://127.0.0.1:1".to_owned();
    let error = KubernetesResolver::new(options)
        .resolve(NODES[0])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn it_ends_with_the_last_who_wants_to_know() {
    let cluster = Cluster::new();
    let resolver = cluster.watching().await;
    drop(resolver.clone());
    cluster.api.put("a", 7_000, &[("chil-0", "10.0.0.31")]);
    found(&resolver, NODES[0], "10.0.0.31:7000").await;
    drop(resolver);
    let asked = cluster.api.state().asked.len();
    cluster.api.cut_streams();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(cluster.api.state().asked.len(), asked);
}

#[tokio::test]
async fn a_server_that_takes_the_request_and_says_nothing_is_waited_for_in_bounded_time() {
    let cluster = Cluster::new();
    let silence = Fault::Silence(Duration::from_millis(700));
    cluster.api.state().faults.push_back(silence);
    let resolver = cluster.resolver();
    let first = timeout(Duration::from_millis(300), resolver.resolve(NODES[0])).await;
    assert!(first.is_err(), "nothing is known yet");
    found(&resolver, NODES[0], "10.0.0.1:7000").await;
}
