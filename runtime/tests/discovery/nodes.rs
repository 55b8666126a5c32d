//! Real nodes in a Kubernetes of the test: their pods come back under other addresses, and the
//! same cluster decides again.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use chil::config::Discovery;
use chil::{Consistency, KeyValue, Node, NodeStatus, Peer};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::api_server::ApiServer;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Three pods of a headless service, each with a node that keeps its volume.
struct Pods {
    api: ApiServer,
    volumes: TempDir,
    port: u16,
    /// Where each pod is.
    ips: [String; 3],
    nodes: [Option<Node<KeyValue>>; 3],
}

fn name(i: usize) -> String {
    format!("chil-{i}")
}

impl Pods {
    async fn start() -> Self {
        let free = TcpListener::bind("127.0.1.1:0").unwrap();
        let mut pods = Self {
            api: ApiServer::start(),
            volumes: tempfile::tempdir().unwrap(),
            port: free.local_addr().unwrap().port(),
            ips: [1, 2, 3].map(|last| format!("127.0.1.{last}")),
            nodes: [None, None, None],
        };
        drop(free);
        for i in 0..3 {
            pods.run(i).await;
        }
        pods.publish();
        pods
    }

    /// Starts the node of pod `i` where the pod is now.
    async fn run(&mut self, i: usize) {
        let peers = (0..3).filter(|j| *j != i);
        let peers = peers.map(|j| Peer::at(format!("{}:7000", name(j))).named(name(j)));
        let discovery = Discovery::Kubernetes {
            service: "chil".to_owned(),
            namespace: Some("default".to_owned()),
            port_name: None,
            api: Some(self.api.url.clone()),
            token_file: None,
            ca_file: None,
            timeout: Discovery::TIMEOUT,
        };
        let node = Node::builder(name(i))
            .bind(format!("{}:{}", self.ips[i], self.port))
            .advertise(format!("{}.chil.default.svc.cluster.local:7000", name(i)))
            .peers(peers)
            .discovery(discovery)
            .data_dir(self.volumes.path().join(name(i)))
            .plaintext()
            .insecure(true)
            .state_machine(KeyValue::default())
            .start()
            .await;
        self.nodes[i] = Some(node.unwrap());
    }

    /// Ends the node of pod `i` as a crash would, and waits until port and directory are free.
    async fn kill(&mut self, i: usize) {
        let node = self.nodes[i].take().expect("it runs");
        let _ = node.shutdown(Duration::ZERO).await;
    }

    /// Tells the API where the pods are.
    fn publish(&self) {
        let names: Vec<String> = (0..3).map(name).collect();
        let pods: Vec<(&str, &str)> = (0..3)
            .map(|i| (names[i].as_str(), self.ips[i].as_str()))
            .collect();
        self.api.put("chil-a", self.port, &pods);
    }

    fn node(&self, i: usize) -> &Node<KeyValue> {
        self.nodes[i].as_ref().expect("it runs")
    }

    async fn status(&self, i: usize) -> NodeStatus {
        self.node(i).status().await.unwrap()
    }

    /// Has `value` decided, wherever the leader is.
    async fn decide(&self, value: &'static str) {
        let deciding = async {
            loop {
                for node in self.nodes.iter().flatten() {
                    if node.propose("key", value).await.is_ok() {
                        return;
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let decided = timeout(PATIENCE, deciding).await;
        decided.expect("a majority finds each other and decides");
    }

    /// Waits until every node has executed what is decided.
    async fn all_have(&self, value: &'static str) {
        for i in 0..3 {
            let reading = async {
                loop {
                    let read = self.node(i).read("key", Consistency::Stale).await;
                    if matches!(read, Ok(Some(found)) if found.value == value) {
                        return;
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            };
            let read = timeout(PATIENCE, reading).await;
            assert!(read.is_ok(), "{} has not heard of {value}", name(i));
        }
    }
}

#[tokio::test]
async fn all_pods_come_back_elsewhere_and_are_the_same_cluster() {
    let mut pods = Pods::start().await;
    pods.decide("before").await;
    pods.all_have("before").await;
    let before = pods.status(0).await;
    for i in 0..3 {
        pods.kill(i).await;
    }
    pods.ips = [1, 2, 3].map(|last| format!("127.0.2.{last}"));
    let began = Instant::now();
    for i in 0..3 {
        pods.run(i).await;
    }
    // The API learns of it when they are running.
    pods.publish();
    pods.decide("after").await;
    println!("decides again after {:?}", began.elapsed());
    pods.all_have("after").await;
    let after = pods.status(0).await;
    let cluster = |status: &NodeStatus| status.replica.as_ref().map(|replica| replica.cluster);
    assert!(cluster(&after).is_some() && cluster(&after) == cluster(&before));
    assert_eq!(after.members, before.members);
}

#[tokio::test]
async fn an_address_that_another_node_has_now_is_told_by_its_name() {
    let mut pods = Pods::start().await;
    pods.decide("before").await;
    pods.all_have("before").await;
    for i in [1, 2] {
        pods.kill(i).await;
    }
    pods.ips.swap(1, 2);
    for i in [1, 2] {
        pods.run(i).await;
    }
    // Meanwhile the first one finds each of them where the other was.
    sleep(Duration::from_millis(300)).await;
    pods.publish();
    pods.decide("after").await;
    pods.all_have("after").await;
}

#[tokio::test]
async fn a_service_without_pods_changes_nothing_in_a_cluster_that_runs() {
    let pods = Pods::start().await;
    pods.decide("before").await;
    pods.all_have("before").await;
    let members = pods.status(0).await.members;
    let asked = pods.api.asked("");
    pods.api.put("chil-a", pods.port, &[]);
    pods.api.end_streams();
    sleep(Duration::from_millis(1_200)).await;
    assert!(pods.api.asked("") > asked, "they have heard of it");
    pods.decide("after").await;
    pods.all_have("after").await;
    assert_eq!(pods.status(0).await.members, members);
}
