//! The nodes of one cluster, each a process in a namespace of its own: started, paused, killed,
//! asked. Knows nothing about why.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chil::Tls;
use chil::client::{Client, ClientOptions, ClientTls, StatusResponse};
use chil_tests::certs::Certs;
use chil_tests::process::{binary, forget_settings, signal};
use tokio::runtime::Handle;

use crate::lab::{self, Lab};
use crate::tell;

/// How long anything may take before a test gives up on it. Generous: it only bounds failures.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client that nodes believe.
fn believed(certs: &Certs, options: ClientOptions) -> ClientOptions {
    let [cert, key, ca] = certs.client();
    let tls = ClientTls::load(Tls::files(cert, key, ca)).unwrap();
    ClientOptions {
        tls: Some(tls),
        ..options
    }
}

#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) lab: Lab,
    children: Vec<Option<Child>>,
    /// Which of them are stopped.
    paused: Vec<bool>,
    runtime: Handle,
    root: tempfile::TempDir,
    certs: Certs,
    /// Asks nodes how they are.
    judge: Client,
}

impl Nodes {
    /// A cluster of so many nodes that has a leader.
    pub(crate) fn start(size: usize, runtime: &Handle) -> Self {
        let lab = Lab::new(size);
        let addresses: Vec<String> = (1..=size).map(|node| address(&lab, node)).collect();
        let _inside = runtime.enter();
        let root = tempfile::tempdir().unwrap();
        let certs = Certs::new(root.path(), (1..=size).map(|node| format!("node-{node}")));
        let options = believed(&certs, ClientOptions::default());
        let mut nodes = Self {
            lab,
            children: (0..size).map(|_| None).collect(),
            paused: vec![false; size],
            runtime: runtime.clone(),
            root,
            certs,
            judge: Client::connect(addresses, options),
        };
        // Whoever builds meanwhile must not change what nodes are started from.
        std::fs::copy(binary(), nodes.program()).unwrap();
        nodes.run_all();
        nodes.leader();
        nodes
    }

    pub(crate) const fn size(&self) -> usize {
        self.children.len()
    }

    /// A client of its own, on the machine that all wires lead to.
    pub(crate) fn client(&self, options: ClientOptions) -> Client {
        let _inside = self.runtime.enter();
        let addresses = (1..=self.size()).map(|node| address(&self.lab, node));
        Client::connect(addresses, believed(&self.certs, options))
    }

    /// Where logs and what belongs to them lie.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.file("chil")
    }

    /// Keeps the files beyond the end of the test.
    pub(crate) fn keep_files(&mut self) -> PathBuf {
        self.root.disable_cleanup(true);
        self.root.path().to_owned()
    }

    fn log(&self, node: usize) -> File {
        let path = self.file(&format!("node-{node}.log"));
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
    }

    /// Starts a node that does not run.
    fn run(&mut self, node: usize) {
        let name = |node| format!("node-{node}");
        let peers: Vec<String> = (1..=self.size())
            .map(|peer| format!("{}={}", name(peer), address(&self.lab, peer)))
            .collect();
        let mut command = lab::inside(node, &self.program());
        forget_settings(&mut command);
        command
            // Ends with this process, however that ends.
            .args(["node", "--exit-with-stdin", "--log", "info"])
            .args(["--node-id", &name(node)])
            .args(["--bind-address", &address(&self.lab, node)])
            .args(["--peers", &peers.join(",")])
            .arg("--data-dir")
            .arg(self.file(&name(node)))
            .args(self.certs.arguments(&name(node)))
            .env("CONSENSUS_READ_LEASE", "400ms")
            // Small enough that nodes which were away come back by a snapshot, too.
            .env("CONSENSUS_SNAPSHOT_SLOTS", "4096")
            .env("CONSENSUS_LOG_TAIL_BYTES", "64KiB")
            .env("CONSENSUS_LOG_KEEP_BYTES_MAX", "256KiB")
            .stdin(Stdio::piped())
            .stdout(self.log(node))
            .stderr(self.log(node));
        self.children[node - 1] = Some(command.spawn().unwrap());
    }

    /// Starts every node that does not run.
    pub(crate) fn run_all(&mut self) {
        for node in 1..=self.size() {
            if self.children[node - 1].is_none() {
                self.run(node);
            }
        }
    }

    /// Kills a node without warning.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.children[node - 1].take() {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            // Not by itself before, that is.
            assert!(status.code().is_none(), "node-{node} had ended: {status}");
            self.paused[node - 1] = false;
        }
    }

    /// Stops a node in the middle of whatever it does.
    pub(crate) fn pause(&mut self, node: usize) {
        if let Some(child) = &self.children[node - 1] {
            signal(child.id(), "STOP");
            self.paused[node - 1] = true;
        }
    }

    /// Lets all go on that were paused.
    pub(crate) fn resume_all(&mut self) {
        for (child, paused) in self.children.iter().zip(&mut self.paused) {
            if let (Some(child), true) = (child, std::mem::take(paused)) {
                signal(child.id(), "CONT");
            }
        }
    }

    /// What each node that answers says of itself.
    pub(crate) fn statuses(&self) -> Vec<StatusResponse> {
        let asked = (1..=self.size()).filter_map(|node| {
            let address = address(&self.lab, node);
            self.runtime.block_on(self.judge.status_of(&address)).ok()
        });
        asked.collect()
    }

    /// The node that more than half of all follow.
    pub(crate) fn leader(&self) -> usize {
        let mut found = 0;
        self.wait_until("an election", |answers| {
            let leads = |node: usize| {
                let name = format!("node-{node}");
                let follow = answers.iter().filter_map(|answer| answer.leader.as_ref());
                2 * follow.filter(|leader| leader.name == name).count() > self.size()
            };
            found = (1..=self.size()).find(|node| leads(*node)).unwrap_or(0);
            found != 0
        });
        found
    }

    /// Asks the nodes until `done` likes the answers.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        mut done: impl FnMut(&[StatusResponse]) -> bool,
    ) -> Vec<StatusResponse> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answers = self.statuses();
            if done(&answers) {
                return answers;
            }
            assert!(
                Instant::now() < deadline,
                "{what} took too long:\n{}",
                self.explain()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the nodes say of themselves, for whoever reads why a test failed.
    pub(crate) fn explain(&self) -> String {
        let mut text = String::new();
        for node in 1..=self.size() {
            let address = address(&self.lab, node);
            let status = self.runtime.block_on(self.judge.status_of(&address));
            let line = match status {
                Err(error) => error.to_string(),
                Ok(s) => {
                    let leader = s.leader.as_ref().map_or("nobody", |leader| &leader.name);
                    let (role, problems) = (s.role().as_str_name(), s.problems.join("; "));
                    format!(
                        "{role}, follows {leader}, applied {} of {}, boot {} {problems}",
                        s.applied, s.commit, s.boot
                    )
                }
            };
            text.push_str(&format!("  node-{node}: {line}\n"));
        }
        text
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // A process that is stopped dies of this as well.
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let files = self.keep_files();
            tell(format_args!(
                "logs and data of the nodes: {}",
                files.display()
            ));
        }
    }
}

/// Every node has an address of its own, so all can have the same port.
fn address(lab: &Lab, node: usize) -> String {
    format!("{}:7000", lab.address(node))
}
