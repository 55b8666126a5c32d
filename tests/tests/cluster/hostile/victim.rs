//! A cluster whose leader is attacked: what it has to go on doing meanwhile, and what that may
//! cost. Knows nothing about the attacks.

use std::fs;
use std::future::Future;
use std::time::{Duration, Instant};

use chil::Tls;
use chil::client::{Client, ClientOptions, ClientTls};
use chil_proto::v1;
use chil_tests::certs::Certs;
use chil_tests::tell;

use super::raw::Shown;
use crate::harness::{Cluster, PATIENCE};

/// Within what time a write has to be acknowledged, whatever else happens.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// By how much the resident memory of the process may grow, at its peak: what clients send and what
/// they do not take may be 64 MiB each.
const MEMORY_GROWTH_MAX: u64 = 128 << 20;
/// File handles that may be open for other reasons when all is over.
const HANDLES_SPARE: usize = 8;

/// Three nodes, and which of them is attacked.
pub(super) struct Victim {
    cluster: Cluster,
    certs: Certs,
    client: Client,
    place: usize,
}

impl Victim {
    pub(super) async fn start() -> Self {
        let (cluster, certs) = Cluster::start_secured(3, &["--log", "info"]);
        let [cert, key, ca] = certs.client();
        let options = ClientOptions {
            timeout: WRITE_MAX,
            tls: Some(ClientTls::load(Tls::files(cert, key, ca)).unwrap()),
            ..ClientOptions::default()
        };
        let client = Client::connect(cluster.addresses(), options);
        let place = cluster.leader(&client).await;
        client.put("key", "value").await.unwrap();
        Self {
            cluster,
            certs,
            client,
            place,
        }
    }

    /// Where it is attacked.
    pub(super) fn address(&self) -> &str {
        &self.cluster.nodes[self.place].address
    }

    /// What the node of this name calls itself to others.
    pub(super) fn name(&self) -> &str {
        &self.cluster.nodes[self.place].name
    }

    /// A node that is not attacked.
    pub(super) fn other(&self) -> &str {
        &self.cluster.nodes[(self.place + 1) % 3].name
    }

    /// What somebody shows that is a client.
    pub(super) fn as_client(&self) -> Shown {
        Shown::new(&self.certs.client())
    }

    /// What the other node shows.
    pub(super) fn as_other(&self) -> Shown {
        Shown::new(&self.certs.node(self.other()))
    }

    /// One who asks as anybody may.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn status(&self) -> v1::StatusResponse {
        let status = self.client.status_of(self.address()).await;
        status.unwrap()
    }

    /// During the attack everything is as usual, and after it nothing is left of it. Says what
    /// the attack comes to.
    pub(super) async fn withstands<T>(&self, what: &str, attack: impl Future<Output = T>) -> T {
        let (ballot, handles, memory) = (self.status().await.ballot, self.handles(), self.memory());
        self.forget_peak();
        let began = Instant::now();
        let (came_to, writes) = {
            let mut attack = std::pin::pin!(attack);
            let (mut writes, mut slowest) = (0, Duration::ZERO);
            let came_to = loop {
                let asked = Instant::now();
                tokio::select! {
                    biased;
                    came_to = &mut attack => break came_to,
                    written = self.client.put("key", format!("{writes}")) => {
                        written.unwrap_or_else(|error| panic!("during {what}: {error}"));
                    }
                }
                writes += 1;
                slowest = slowest.max(asked.elapsed());
                // What it costs is to be seen of the attack, not of these.
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            (came_to, (writes, slowest))
        };
        let written = self.client.put("key", "after").await;
        written.unwrap_or_else(|error| panic!("after {what}: {error}"));
        let grown = self.memory_peak().saturating_sub(memory);
        tell(format_args!(
            "{what}: {:?}, {} writes, the slowest {:?}; memory {} KiB more",
            began.elapsed(),
            writes.0,
            writes.1,
            grown >> 10
        ));
        assert_eq!(self.status().await.ballot, ballot, "{what}: led anew");
        assert!(grown < MEMORY_GROWTH_MAX, "{what}: {grown} bytes more");
        self.has_at_most(handles + HANDLES_SPARE, what).await;
        came_to
    }

    /// Waits until no more file handles are open.
    async fn has_at_most(&self, handles: usize, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.handles() > handles {
            let now = self.handles();
            assert!(Instant::now() < deadline, "{what}: {now} handles are open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for an audit line of each of these reasons. Lines that have come before count.
    pub(super) fn audits(&self, reasons: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        let mut missing: Vec<&str> = reasons.to_vec();
        let mut seen = Vec::new();
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.cluster.lines[self.place].recv_timeout(left);
            let Ok(line) = line else {
                panic!("no audit line says {missing:?}:\n{}", seen.join("\n"))
            };
            missing.retain(|reason| !line.contains(&format!("reason=\"{reason}\"")));
            seen.push(line);
        }
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.cluster.nodes[self.place].pid())
    }

    fn handles(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    fn memory(&self) -> u64 {
        self.memory_line("VmRSS:")
    }

    fn memory_peak(&self) -> u64 {
        self.memory_line("VmHWM:")
    }

    fn memory_line(&self, name: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() << 10
    }

    /// From now on, the peak is counted anew (proc(5), "clear_refs").
    fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").unwrap();
    }
}
