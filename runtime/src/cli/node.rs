//! `chil node`: runs one node until it is told to stop or fails.
//! Knows nothing about how a node works: settings in, log lines and an exit code out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use chil::TlsError::{Other, Refused};
use chil::config::{Field, Origin, Settings, fields};
use chil::{KeyValue, StartError};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::failure::{Exit, Failure};
use super::handles;
use super::output::line;

/// Run one node until SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", every_setting()))]
pub(crate) struct Arguments {
    /// YAML file with the settings; the variable CONSENSUS_CONFIG names it, too.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of this node, unique in its cluster.
    #[arg(long, value_name = "NAME")]
    node_id: Option<String>,
    /// Where to listen.
    #[arg(short, long, value_name = "ADDR")]
    bind_address: Option<String>,
    /// Where the others reach this node, if that is not where it listens.
    #[arg(long, value_name = "ADDR")]
    advertise_address: Option<String>,
    /// The other nodes: host:port or name=host:port, separated by commas.
    #[arg(short, long, value_name = "ADDR,..")]
    peers: Option<String>,
    /// How much this node's vote counts.
    #[arg(long, value_name = "N")]
    weight: Option<String>,
    /// Directory of the log; it belongs to this node alone.
    #[arg(short, long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Length of a heartbeat round, for example 100ms.
    #[arg(long, value_name = "SPAN")]
    heartbeat_interval: Option<String>,
    /// This node is a cluster of its own.
    #[arg(long)]
    single_node: bool,
    /// This node's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The key of the certificate.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The authorities whose certificates are believed.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// Do without TLS: only on loopback, unless --insecure allows more.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key", "tls_ca"])]
    no_tls: bool,
    /// Allow --no-tls beyond loopback.
    #[arg(long)]
    insecure: bool,
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as
    /// info,chil=debug. The variable CHIL_LOG says it, too.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Stop when standard input is closed: the node then ends with the process that started it.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
}

const EXAMPLES: &str = "\
Settings come from the file, then from the variables CONSENSUS_*, then from flags; what comes later
wins. When the node listens, it prints one line: 'ready NAME ADDRESS'.

Examples:
  chil node --config node.yaml
  chil node --node-id node-1 --data-dir ./data --peers 10.0.0.2:7000,10.0.0.3:7000 \\
    --tls-cert certs/node-1.crt --tls-key certs/node-1.key --tls-ca certs/ca.crt
  CONSENSUS_NODE_ID=node-1 CONSENSUS_DATA_DIR=/var/lib/chil \\
    CONSENSUS_PEERS=127.0.0.1:7002,127.0.0.1:7003 \\
    chil node --bind-address 127.0.0.1:7001 --no-tls
  chil node --node-id solo --data-dir ./data --single-node --no-tls

Certificates: `chil cert --help`. SIGHUP has the node look at its certificate files at once.";

/// What the file and the environment may say.
fn every_setting() -> String {
    let mut text = "Settings, with the variables that set them, too:\n".to_owned();
    for known in fields() {
        text.push_str(&format!(
            "  {} ({})\n      {}\n",
            known.key, known.env, known.help
        ));
    }
    text
}

impl Arguments {
    /// The settings of all layers, and where the certificate is set.
    fn settings(&self) -> Result<(Settings, Option<Origin>), Failure> {
        let mut layers = super::config::layers(self.config.clone())?;
        for (field, flag, value) in [
            (Field::NodeId, "--node-id", &self.node_id),
            (Field::BindAddress, "--bind-address", &self.bind_address),
            (
                Field::AdvertiseAddress,
                "--advertise-address",
                &self.advertise_address,
            ),
            (Field::Peers, "--peers", &self.peers),
            (Field::Weight, "--weight", &self.weight),
            (Field::DataDir, "--data-dir", &self.data_dir),
            (Field::TlsCert, "--tls-cert", &self.tls_cert),
            (Field::TlsKey, "--tls-key", &self.tls_key),
            (Field::TlsCa, "--tls-ca", &self.tls_ca),
            (
                Field::HeartbeatInterval,
                "--heartbeat-interval",
                &self.heartbeat_interval,
            ),
        ] {
            if let Some(value) = value {
                layers = layers.flag(field, flag, value.as_str());
            }
        }
        if self.single_node {
            layers = layers.flag(Field::SingleNode, "--single-node", true);
        }
        if self.no_tls {
            layers = layers.flag(Field::TlsEnabled, "--no-tls", false);
        }
        if self.insecure {
            layers = layers.flag(Field::Insecure, "--insecure", true);
        }
        let certificate = layers.get(Field::TlsCert).map(|(_, origin)| origin.clone());
        Ok((layers.finish()?, certificate))
    }

    fn filter(&self) -> Result<EnvFilter, Failure> {
        let from_env = std::env::var("CHIL_LOG").ok();
        let (text, origin) = match (&self.log, from_env) {
            (Some(text), _) => (text.clone(), "--log"),
            (None, Some(text)) => (text, "CHIL_LOG"),
            (None, None) => ("info".to_owned(), "default"),
        };
        EnvFilter::try_new(&text)
            .map_err(|error| Failure::usage(format!("{origin}: '{text}' is no filter: {error}")))
    }
}

/// Why it did not start; what is wrong with a certificate may be that another one was meant.
fn failed(error: StartError, certificate: Option<Origin>) -> Failure {
    let of_it = matches!(error, StartError::Tls(Other { .. } | Refused { .. }));
    let failure = Failure::from(error);
    match certificate.filter(|_| of_it) {
        Some(origin) => failure.during(format_args!("{} {origin}", Field::TlsCert.key())),
        None => failure,
    }
}

/// Runs `chil node`.
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let filter = arguments.filter()?;
    let (settings, certificate) = arguments.settings()?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // Before the node starts, so that a signal that comes early is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut stdin_closed = pin!(stdin_closed(arguments.exit_with_stdin));

    handles::make_room(&settings.limits.connections)?;
    // A start reads the log, and the snapshot that it begins behind: that may take its time.
    let ready = settings.builder().state_machine(KeyValue::default());
    let node = tokio::select! {
        biased;
        _ = terminate.recv() => return Ok(Exit::Ok),
        _ = interrupt.recv() => return Ok(Exit::Ok),
        () = &mut stdin_closed => return Ok(Exit::Ok),
        started = ready.start() => started.map_err(|error| failed(error, certificate))?,
    };
    line(&format!("ready {} {}", settings.node_id, node.local_addr()))?;

    let why = loop {
        tokio::select! {
            biased;
            ended = node.join() => {
                ended.map_err(anyhow::Error::new)?;
                return Ok(Exit::Ok);
            }
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            () = &mut stdin_closed => break "standard input was closed",
            // What comes of it is logged and counted by the node itself; files on a disk that hangs
            // do not keep this process from being told to end.
            _ = hangup.recv() => drop(tokio::spawn({
                let node = node.clone();
                async move { node.reload().await }
            })),
        }
    };
    tracing::info!(why, "shutting down");
    node.shutdown(SHUTDOWN_MAX)
        .await
        .map_err(anyhow::Error::new)?;
    Ok(Exit::Ok)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let exit = match &error {
            StartError::Setting { .. } | StartError::Tls(_) => Exit::Usage,
            StartError::Bind { .. }
            | StartError::Metrics { .. }
            | StartError::Storage(_)
            | StartError::Recover(_)
            | StartError::Restore { .. }
            | StartError::OtherCluster { .. }
            | StartError::Runtime => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

/// Resolves when standard input ends; never unless `watched`.
async fn stdin_closed(watched: bool) {
    if !watched {
        return std::future::pending().await;
    }
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    // Whatever is written there means nothing; an error ends it as well.
    while matches!(stdin.read(&mut buffer).await, Ok(read) if read > 0) {}
}

/// How long the node may take to end once it was told to.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
