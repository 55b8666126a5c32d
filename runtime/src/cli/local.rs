//! A cluster of real processes on this machine: starts, kills and restarts nodes of this program.
//! Knows nothing about what is done with the cluster.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chil::Tls;
use chil::client::{Client, ClientOptions, ClientTls};
use chil::identity::{Identity, Kind, Role};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::cert::authority::{Authority, CA_CERT, Issued};
use super::status::{NodeView, ask};

/// Nodes of one cluster, each a child process with its own directory and log file.
///
/// The children end with this process, even when it is killed: each holds the reading end of a
/// pipe and stops when the pipe closes.
pub(super) struct LocalCluster {
    dir: Directory,
    nodes: Vec<LocalNode>,
    /// `None` where the cluster does without TLS.
    tls: Option<ClientTls>,
    authority: Option<Authority>,
}

/// One node.
#[derive(Debug)]
pub(super) struct LocalNode {
    pub(super) name: String,
    pub(super) address: String,
    dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// Its certificate, and the authority's.
    certs: Option<(Issued, PathBuf)>,
    /// Variables that it is started with.
    settings: Settings,
}

/// Variables, and what they say.
pub(super) type Settings = Vec<(&'static str, String)>;

/// Where the cluster keeps its files.
#[derive(Debug)]
enum Directory {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

impl LocalCluster {
    /// Starts `size` nodes that keep their files in `dir`, or in a temporary directory that is
    /// removed at the end unless `keep` is set. With `tls`, each gets a certificate of an
    /// authority that is made for them. Returns when all of them listen.
    pub(super) async fn start(
        size: usize,
        dir: Option<&Path>,
        keep: bool,
        tls: bool,
    ) -> anyhow::Result<Self> {
        Self::start_with(size, dir, keep, tls, &Settings::new()).await
    }

    /// The same, of nodes with these settings.
    pub(super) async fn start_with(
        size: usize,
        dir: Option<&Path>,
        keep: bool,
        tls: bool,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let dir = directory(dir, keep)?;
        let certs = dir.path().join("certs");
        let authority = tls
            .then(|| Authority::create(&certs, "this cluster", CERT_DAYS))
            .transpose()?;
        let addresses = free_addresses(size)?;
        let mut nodes = Vec::new();
        for (number, address) in (1..=size).zip(addresses) {
            let name = format!("node-{number}");
            let issued = authority.as_ref().map(|authority| {
                let identity = Identity::new(Identity::DOMAIN_DEFAULT, Kind::Node, &name)?;
                authority.issue(&certs, &identity, CERT_DAYS)
            });
            nodes.push(LocalNode {
                dir: dir.path().join(&name),
                log: dir.path().join(format!("{name}.log")),
                child: None,
                certs: issued
                    .transpose()?
                    .map(|issued| (issued, certs.join(CA_CERT))),
                settings: settings.clone(),
                name,
                address,
            });
        }
        let mut cluster = Self {
            dir,
            nodes,
            tls: None,
            authority,
        };
        if tls {
            cluster.tls = Some(cluster.client_tls("load")?);
        }
        let peers = cluster.peer_list();
        for node in &mut cluster.nodes {
            node.spawn(&peers, size)?;
        }
        // Only now: a node may need the others to become ready.
        for node in &mut cluster.nodes {
            node.ready().await?;
        }
        Ok(cluster)
    }

    /// Where the files lie.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A client of all of them that may read and write.
    pub(super) fn client(&self, options: ClientOptions) -> Client {
        let tls = self.tls.clone();
        Client::connect(self.addresses(), ClientOptions { tls, ..options })
    }

    /// What a client of this name shows, which may read and write.
    pub(super) fn client_tls(&self, name: &str) -> anyhow::Result<ClientTls> {
        let authority = self.authority.as_ref().context("the cluster has TLS")?;
        let certs = self.dir.path().join("certs");
        let kind = Kind::Client(Role::Write);
        let identity = Identity::new(Identity::DOMAIN_DEFAULT, kind, name)?;
        let issued = authority.issue(&certs, &identity, CERT_DAYS)?;
        let tls = Tls::files(issued.cert, issued.key, certs.join(CA_CERT));
        Ok(ClientTls::load(tls)?)
    }

    /// All nodes.
    pub(super) fn nodes(&self) -> &[LocalNode] {
        &self.nodes
    }

    /// The addresses of all nodes.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// Kills the node as `kill -9` does: it cannot write, answer or say goodbye.
    pub(super) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let node = self.node(name)?;
        let mut child = node.child.take().context("the node runs")?;
        child.start_kill()?;
        child.wait().await?;
        Ok(())
    }

    /// Starts a killed node again, on its directory and its address.
    pub(super) async fn restart(&mut self, name: &str) -> anyhow::Result<()> {
        let (peers, size) = (self.peer_list(), self.nodes.len());
        let node = self.node(name)?;
        ensure!(node.child.is_none(), "{name} runs already");
        node.spawn(&peers, size)?;
        node.ready().await
    }

    /// Asks all nodes that run until `done` likes the answers; gives up after `limit`.
    pub(super) async fn wait_until(
        &self,
        client: &Client,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&[NodeView]) -> bool,
    ) -> anyhow::Result<Vec<NodeView>> {
        let deadline = Instant::now() + limit;
        let mut last = String::from("no node answered");
        while Instant::now() < deadline {
            let mut views = Vec::new();
            for node in self.nodes.iter().filter(|node| node.child.is_some()) {
                match ask(client, &node.address).await {
                    Ok(view) => views.push(view),
                    Err(error) => last = format!("{}: {error}", node.name),
                }
            }
            if done(&views) {
                return Ok(views);
            }
            if !views.is_empty() {
                let shown: Vec<String> = views
                    .iter()
                    .map(|view| format!("{} {} at slot {}", view.name, view.role, view.applied))
                    .collect();
                last = shown.join(", ");
            }
            sleep(POLL).await;
        }
        bail!("{what} took longer than {} s: {last}", limit.as_secs())
    }

    /// What the files say about a failure. They are kept then, so that it can be looked into.
    pub(super) fn explain(mut self, error: anyhow::Error) -> anyhow::Error {
        let mut text = format!("{error:#}");
        for node in &mut self.nodes {
            let ended = node.child.as_mut().and_then(|child| child.try_wait().ok()?);
            if let Some(status) = ended {
                text.push_str(&format!("\n{} ended by itself ({status}):\n", node.name));
                text.push_str(&tail(&node.log));
            }
        }
        let path = match self.dir {
            Directory::Kept(path) => path,
            Directory::Temporary(dir) => dir.keep(),
        };
        anyhow::anyhow!("{text}\nthe nodes' files are kept in {}", path.display())
    }

    fn node(&mut self, name: &str) -> anyhow::Result<&mut LocalNode> {
        self.nodes
            .iter_mut()
            .find(|node| node.name == name)
            .with_context(|| format!("no node is called {name}"))
    }

    fn peer_list(&self) -> String {
        let peers: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("{}={}", node.name, node.address))
            .collect();
        peers.join(",")
    }
}

impl LocalNode {
    fn spawn(&mut self, peers: &str, size: usize) -> anyhow::Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| self.log.display().to_string())?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["node", "--exit-with-stdin", "--node-id", &self.name])
            .args(["--bind-address", &self.address])
            .arg("--data-dir")
            .arg(&self.dir);
        match &self.certs {
            Some((issued, ca)) => {
                command.arg("--tls-cert").arg(&issued.cert);
                command.arg("--tls-key").arg(&issued.key);
                command.arg("--tls-ca").arg(ca);
            }
            None => {
                command.arg("--no-tls");
            }
        }
        if size == 1 {
            command.arg("--single-node");
        } else {
            command.args(["--peers", peers]);
        }
        // What configures somebody's real node must not configure these.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CONSENSUS_") {
                command.env_remove(name);
            }
        }
        let settings = self.settings.iter();
        command.envs(settings.map(|(name, value)| (*name, value)));
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a node process")?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits for the line that says that the node listens.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let child = self.child.as_mut().context("the node runs")?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        match timeout(READY_MAX, lines.next_line()).await {
            Ok(Ok(Some(line))) if line.starts_with("ready ") => {
                // It prints nothing else, so that the pipe may close behind this line.
                Ok(())
            }
            Ok(_) => bail!("{} did not start:\n{}", self.name, tail(&self.log)),
            Err(_) => bail!(
                "{} was not ready after {} s:\n{}",
                self.name,
                READY_MAX.as_secs(),
                tail(&self.log)
            ),
        }
    }
}

/// The directory to use, and who removes it.
fn directory(dir: Option<&Path>, keep: bool) -> anyhow::Result<Directory> {
    let Some(dir) = dir else {
        let temporary = tempfile::Builder::new().prefix("chil-").tempdir()?;
        return Ok(if keep {
            Directory::Kept(temporary.keep())
        } else {
            Directory::Temporary(temporary)
        });
    };
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let mut entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    ensure!(
        entries.next().is_none(),
        "{} is not empty: name a new directory, so that nothing of yours is touched",
        dir.display()
    );
    Ok(Directory::Kept(dir.to_owned()))
}

/// Loopback addresses on which nobody listens. They lie below the range from which systems take
/// the ports of outgoing connections, so a node that is down does not lose its port to one.
fn free_addresses(count: usize) -> anyhow::Result<Vec<String>> {
    let first = PORTS.start + (std::process::id() % 97) as u16 * 100;
    let mut held: Vec<(TcpListener, String)> = Vec::with_capacity(count);
    for port in (first..PORTS.end).chain(PORTS.start..first) {
        if held.len() == count {
            break;
        }
        let address = format!("127.0.0.1:{port}");
        if let Ok(listener) = TcpListener::bind(&address) {
            held.push((listener, address));
        }
    }
    ensure!(held.len() == count, "not enough free ports on 127.0.0.1");
    Ok(held.into_iter().map(|(_, address)| address).collect())
}

/// The end of a log file.
fn tail(path: &Path) -> String {
    let text = File::open(path).and_then(std::io::read_to_string);
    let text = text.unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

const PORTS: std::ops::Range<u16> = 20_000..32_000;
const READY_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
const TAIL_LINES: usize = 10;
/// Such clusters live for minutes.
const CERT_DAYS: u32 = 60;
