//! Starts and ends processes of the `chil` binary, each on a port and a directory of its own.
//! Knows nothing about what the tests expect of them.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chil::client::{Client, ClientOptions, StatusResponse};
use chil_tests::certs::Certs;
pub(crate) use chil_tests::process::{chil, signal, wait};

/// How long anything may take before a test gives up on it. Generous: it only bounds failures.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a finished process left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the command to its end.
pub(crate) fn run(mut command: Command) -> Outcome {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = thread::spawn(move || text(&mut out));
    let stderr = thread::spawn(move || text(&mut err));
    let status = wait(&mut child, PATIENCE);
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let status = status.unwrap_or_else(|| panic!("{command:?} did not end:\n{stdout}\n{stderr}"));
    let code = status.code().expect("no signal ended it");
    Outcome {
        code,
        stdout,
        stderr,
    }
}

fn text(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An address on which nobody listens, and which no other test of this process gets. It lies below
/// the range of outgoing connections, which could take the port of a node that is down.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 70) as u16 * 100;
    loop {
        let port = 12_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 7_900;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// One node, running or not. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) dir: PathBuf,
    pub(crate) arguments: Vec<String>,
    child: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

impl Node {
    /// A node called `name` that keeps its data in `dir`, with more arguments for the command
    /// line. It is not started yet.
    pub(crate) fn new(name: &str, dir: &Path, arguments: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            address: free_address(),
            dir: dir.to_owned(),
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            child: None,
        }
    }

    /// A cluster of one, running.
    pub(crate) fn single(name: &str, dir: &Path) -> Self {
        let mut node = Self::new(name, dir, &["--single-node"]);
        node.start();
        node
    }

    /// The command that runs it.
    pub(crate) fn command(&self) -> Command {
        let mut command = chil(&["node", "--node-id", &self.name]);
        command
            .args(["--bind-address", &self.address, "--data-dir"])
            .arg(&self.dir)
            .args(&self.arguments);
        if self
            .arguments
            .iter()
            .any(|argument| argument == "--tls-cert")
        {
            command.env_remove("CONSENSUS_TLS_ENABLED");
        }
        command
    }

    /// The process that it is.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Starts the process without waiting for it.
    pub(crate) fn spawn(&mut self) -> mpsc::Receiver<String> {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        for pipe in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = sender.clone();
            // Both pipes are read to their end, or the node would block on a full one.
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        self.child = Some(child);
        lines
    }

    /// Waits for the line that says that the node listens.
    pub(crate) fn ready(&self, lines: &mpsc::Receiver<String>) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if line.starts_with("ready ") => return,
                Ok(line) => seen.push(line),
                Err(_) => panic!("{} did not become ready:\n{}", self.name, seen.join("\n")),
            }
        }
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&mut self) {
        let lines = self.spawn();
        self.ready(&lines);
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        signal(child.id(), "TERM");
        wait(&mut child, PATIENCE).unwrap_or_else(|| panic!("{} did not stop", self.name))
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// A command for a client of this node.
    pub(crate) fn client(&self, arguments: &[&str]) -> Outcome {
        let (command, rest) = arguments.split_first().expect("a command comes first");
        let mut command = chil(&[command, "--peers", &self.address]);
        command.args(rest);
        run(command)
    }

    /// Writes a value and insists that it was acknowledged.
    pub(crate) fn put(&self, key: &str, value: &str) {
        let outcome = self.client(&["propose", key, value]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }

    /// The value of `key` as `chil get -o json` prints it.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let outcome = self.client(&["get", key, "-o", "json"]);
        if outcome.code == 1 && outcome.stderr.contains("nothing is stored") {
            return None;
        }
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let found: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        Some(found["value"].as_str().expect("it is text").to_owned())
    }
}

/// Nodes that form one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// What each of them has written behind the line that says that it listens.
    pub(crate) lines: Vec<mpsc::Receiver<String>>,
    /// Removed with everything in it when the cluster goes, after its processes have ended.
    _root: tempfile::TempDir,
}

impl Cluster {
    /// Starts `size` nodes and waits until all of them listen.
    pub(crate) fn start(size: usize, arguments: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self::start_in(root, size, arguments, |_| Vec::new())
    }

    /// The same with TLS.
    pub(crate) fn start_secured(size: usize, arguments: &[&str]) -> (Self, Certs) {
        let root = tempfile::tempdir().unwrap();
        let names = (1..=size).map(|number| format!("node-{number}"));
        let certs = Certs::new(root.path(), names);
        let cluster = Self::start_in(root, size, arguments, |name| certs.arguments(name));
        (cluster, certs)
    }

    fn start_in(
        root: tempfile::TempDir,
        size: usize,
        arguments: &[&str],
        own: impl Fn(&str) -> Vec<String>,
    ) -> Self {
        let mut nodes: Vec<Node> = (1..=size)
            .map(|number| {
                let name = format!("node-{number}");
                Node::new(&name, &root.path().join(&name), arguments)
            })
            .collect();
        let peers: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}={}", node.name, node.address))
            .collect();
        for node in &mut nodes {
            node.arguments
                .extend(["--peers".to_owned(), peers.join(",")]);
            node.arguments.extend(own(&node.name));
        }
        let lines: Vec<_> = nodes.iter_mut().map(Node::spawn).collect();
        for (node, lines) in nodes.iter_mut().zip(&lines) {
            node.ready(lines);
        }
        Self {
            nodes,
            lines,
            _root: root,
        }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// A client that may send a command again whose outcome is unknown.
    pub(crate) fn client(&self) -> Client {
        Client::connect(
            self.addresses(),
            ClientOptions {
                timeout: PATIENCE,
                retry_unknown: true,
                ..ClientOptions::default()
            },
        )
    }

    /// Asks the nodes that run until `done` likes the answers.
    pub(crate) async fn wait_until(
        &self,
        client: &Client,
        what: &str,
        mut done: impl FnMut(&[StatusResponse]) -> bool,
    ) -> Vec<StatusResponse> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut answers = Vec::new();
            for node in self.nodes.iter().filter(|node| node.runs()) {
                if let Ok(status) = client.status_of(&node.address).await {
                    answers.push(status);
                }
            }
            if done(&answers) {
                return answers;
            }
            let seen: Vec<_> = answers
                .iter()
                .map(|s| {
                    (
                        &s.name,
                        s.role().as_str_name(),
                        s.applied,
                        s.commit,
                        &s.problems,
                    )
                })
                .collect();
            assert!(Instant::now() < deadline, "{what} took too long: {seen:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The place in `nodes` of the leader that all running nodes follow.
    pub(crate) async fn leader(&self, client: &Client) -> usize {
        let running = self.nodes.iter().filter(|node| node.runs()).count();
        let mut name = String::new();
        self.wait_until(client, "an election", |answers| {
            let Some(leader) = answers.first().and_then(|first| first.leader.as_ref()) else {
                return false;
            };
            name.clone_from(&leader.name);
            answers.len() == running
                && answers.iter().any(|answer| answer.name == leader.name)
                && answers.iter().all(|answer| {
                    answer
                        .leader
                        .as_ref()
                        .is_some_and(|l| l.name == leader.name)
                })
        })
        .await;
        let place = self.nodes.iter().position(|node| node.name == name);
        place.expect("the leader is one of the nodes")
    }
}
