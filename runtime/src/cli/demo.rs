//! `chil demo`: real nodes decide real claims while their leader is killed, and nothing is lost.
//! Knows nothing about how: it does only what any user of the binary and the client could do.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use chil::client::{Client, ClientOptions};
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use serde::Serialize;
use tokio::time::sleep;

use super::claims::{self, Claim};
use super::failure::{Exit, Failure};
use super::local::LocalCluster;
use super::output::{Format, Latencies, Speed, line, list, span};
use super::propose::progress;
use super::status::{NodeView, ask};

/// Start a cluster here, kill its leader, and prove that nothing was lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts real node processes with real logs on loopback ports, proposes every claim, kills the leader
half-way without warning, restarts it, and checks that all nodes hold the same state and every
acknowledged claim. Ends with code 0 only if all of that held.

Examples:
  chil demo
  chil demo --nodes 5
  chil demo --claims my.jsonl --dir ./demo --keep")]
pub(crate) struct Arguments {
    /// How many nodes: 3 survive the loss of one, 5 of two.
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(3..=9))]
    nodes: u8,
    /// Propose these instead of the bundled ones: one JSON object a line, the key in 'claim_id'.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Keep the nodes' files in this new or empty directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave the files where they are at the end, to look at them.
    #[arg(long)]
    keep: bool,
}

/// What happened, and what was proved.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    speed: Speed,
    killed_leader: String,
    new_leader: String,
    without_leader_ms: f64,
    catch_up_ms: f64,
    claims_verified: usize,
    nodes: Vec<NodeReport>,
    directory: Option<PathBuf>,
}

/// The state of one node at the end.
#[derive(Debug, Serialize)]
struct NodeReport {
    name: String,
    address: String,
    role: &'static str,
    applied: u64,
    state_hash: String,
}

/// Runs `chil demo`.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<Exit, Failure> {
    let claims = claims::load(arguments.claims.as_deref(), "claim_id")
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    tokio::select! {
        biased;
        // Dropping the demo kills its nodes and removes its directory.
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(anyhow::anyhow!("interrupted").into())
        }
        result = demo(&arguments, claims, format) => {
            let report = result?;
            format.print(&report, shown)?;
            Ok(Exit::Ok)
        }
    }
}

async fn demo(arguments: &Arguments, claims: Vec<Claim>, format: Format) -> anyhow::Result<Report> {
    let say = Narrator { format };
    let size = usize::from(arguments.nodes);
    let keep = arguments.keep || arguments.dir.is_some();
    let mut cluster = LocalCluster::start(size, arguments.dir.as_deref(), keep, true).await?;
    match story(&mut cluster, &claims, keep, &say).await {
        Ok(report) => Ok(report),
        Err(error) => Err(cluster.explain(error)),
    }
}

/// What the demo shows, from the first election to the comparison of all states.
async fn story(
    cluster: &mut LocalCluster,
    claims: &[Claim],
    keep: bool,
    say: &Narrator,
) -> anyhow::Result<Report> {
    let size = cluster.nodes().len();
    let client = cluster.client(ClientOptions {
        timeout: PATIENCE,
        // Proposing the same claim twice does no harm: the demo may insist.
        retry_unknown: true,
        ..ClientOptions::default()
    });
    say.line(format!(
        "{size} nodes, files in {}",
        cluster.path().display()
    ))?;
    for node in cluster.nodes() {
        say.line(format!("  {} listens on {}", node.name, node.address))?;
    }
    let views = cluster
        .wait_until(&client, "the first election", PATIENCE, |views| {
            views.len() == size && leader(views).is_some()
        })
        .await?;
    let first = leader(&views).context("somebody leads")?;
    say.line(format!(
        "{} leads; proposing {} claims",
        first.name,
        claims.len()
    ))?;

    let proposed = propose_and_kill(cluster, &client, claims, say).await?;

    let began = Instant::now();
    cluster.restart(&proposed.killed).await?;
    say.line(format!("{} is back", proposed.killed))?;
    let views = cluster
        .wait_until(&client, "catching up", PATIENCE, |views| {
            same_state(views, size)
        })
        .await?;
    let catch_up = began.elapsed();
    say.line(format!(
        "{} has caught up after {}",
        proposed.killed,
        span(catch_up)
    ))?;
    let verified = verify(&client, claims, &proposed.acknowledged).await?;
    // Once more behind the reads: a state that is equal by chance of timing would not stay so.
    let again = cluster
        .wait_until(&client, "comparing", PATIENCE, |views| {
            same_state(views, size)
        })
        .await?;
    ensure!(
        again[0].state_hash == views[0].state_hash,
        "the state changed although nobody proposed anything"
    );
    say.line(format!("{verified} acknowledged claims are all there\n"))?;
    Ok(Report {
        speed: proposed.speed,
        killed_leader: proposed.killed,
        new_leader: proposed.successor,
        without_leader_ms: proposed.without_leader.as_secs_f64() * 1e3,
        catch_up_ms: catch_up.as_secs_f64() * 1e3,
        claims_verified: verified,
        nodes: again.into_iter().map(NodeReport::from).collect(),
        directory: keep.then(|| cluster.path().to_owned()),
    })
}

/// The first act: every claim is proposed, and half-way the leader dies.
struct Proposed {
    speed: Speed,
    acknowledged: HashSet<Bytes>,
    killed: String,
    successor: String,
    without_leader: Duration,
}

async fn propose_and_kill(
    cluster: &mut LocalCluster,
    client: &Client,
    claims: &[Claim],
    say: &Narrator,
) -> anyhow::Result<Proposed> {
    let bar = progress(claims.len(), "proposing");
    let began = Instant::now();
    let mut latencies = Latencies::new();
    let mut acknowledged = HashSet::with_capacity(claims.len());
    let mut killed = None;
    let mut takeover = None;
    let mut queue = claims.iter();
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < IN_FLIGHT {
            let Some(claim) = queue.next() else { break };
            under_way.push(propose(client, claim));
        }
        let Some(result) = under_way.next().await else {
            break;
        };
        let (key, latency) = result?;
        latencies.record(latency);
        acknowledged.insert(key);
        bar.inc(1);
        if killed.is_none() && acknowledged.len() * 2 >= claims.len() {
            let (victim, watch) = kill_leader(cluster, client).await?;
            takeover = Some(tokio::spawn(watch));
            killed = Some((victim, acknowledged.len()));
        }
    }
    let speed = Speed::new(&latencies, began.elapsed());
    bar.finish_and_clear();
    let (killed, killed_after) =
        killed.context("half of the claims were acknowledged on the way")?;
    let watch = takeover.context("the takeover is watched from the kill on")?;
    let (successor, without_leader) = watch.await??;
    say.line(format!(
        "killed {killed}, the leader, after {killed_after} claims; {successor} took over after {}",
        span(without_leader)
    ))?;
    Ok(Proposed {
        speed,
        acknowledged,
        killed,
        successor,
        without_leader,
    })
}

async fn propose(client: &Client, claim: &Claim) -> Result<(Bytes, Duration), anyhow::Error> {
    let began = Instant::now();
    client
        .put(claim.key.clone(), claim.value.clone())
        .await
        .with_context(|| format!("the claim of line {}", claim.line))?;
    Ok((claim.key.clone(), began.elapsed()))
}

/// Kills the leader and returns its name, and a future that waits for its successor.
async fn kill_leader(
    cluster: &mut LocalCluster,
    client: &Client,
) -> anyhow::Result<(
    String,
    impl Future<Output = anyhow::Result<(String, Duration)>> + use<>,
)> {
    let views = cluster
        .wait_until(client, "finding the leader", PATIENCE, |views| {
            leader(views).is_some()
        })
        .await?;
    let victim = leader(&views).context("somebody leads")?.name.clone();
    cluster.kill(&victim).await?;
    let killed_at = Instant::now();
    let survivors: Vec<String> = cluster
        .nodes()
        .iter()
        .filter(|node| node.name != victim)
        .map(|node| node.address.clone())
        .collect();
    let client = client.clone();
    let watch = async move {
        while killed_at.elapsed() < PATIENCE {
            for address in &survivors {
                if let Ok(view) = ask(&client, address).await
                    && view.leads()
                {
                    return Ok((view.name, killed_at.elapsed()));
                }
            }
            sleep(POLL).await;
        }
        bail!("nobody took over within {} s", PATIENCE.as_secs())
    };
    Ok((victim, watch))
}

/// Reads every acknowledged claim through the leader and compares it byte by byte.
async fn verify(
    client: &Client,
    claims: &[Claim],
    acknowledged: &HashSet<Bytes>,
) -> anyhow::Result<usize> {
    let bar = progress(acknowledged.len(), "verifying");
    let expected = claims
        .iter()
        .filter(|claim| acknowledged.contains(&claim.key));
    let mut checked = stream::iter(expected)
        .map(|claim| async move { (claim, client.get(claim.key.clone()).await) })
        .buffer_unordered(IN_FLIGHT);
    let mut verified = 0;
    while let Some((claim, found)) = checked.next().await {
        let key = String::from_utf8_lossy(&claim.key);
        let found = found.with_context(|| format!("reading {key}"))?;
        let found = found.with_context(|| format!("{key} was acknowledged, but is lost"))?;
        ensure!(
            found.value == claim.value,
            "{key} does not hold what was acknowledged"
        );
        verified += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(verified)
}

/// The node that leads and that all others follow.
fn leader(views: &[NodeView]) -> Option<&NodeView> {
    let leader = views.iter().find(|view| view.leads())?;
    let followed = views
        .iter()
        .all(|view| view.leader.as_ref() == Some(&leader.name));
    followed.then_some(leader)
}

/// Whether all `size` nodes have executed the same slots and hold the same state.
fn same_state(views: &[NodeView], size: usize) -> bool {
    let Some(first) = views.first() else {
        return false;
    };
    views.len() == size
        && views.iter().all(|view| {
            view.applied == view.commit
                && view.applied == first.applied
                && view.commit == first.commit
                && view.state_hash == first.state_hash
        })
}

impl From<NodeView> for NodeReport {
    fn from(view: NodeView) -> Self {
        Self {
            name: view.name,
            address: view.address,
            role: view.role,
            applied: view.applied,
            state_hash: view.state_hash,
        }
    }
}

fn shown(report: &Report) -> String {
    let mut rows = report.speed.rows();
    rows.push((
        "time without a leader".into(),
        format!("{:.0} ms", report.without_leader_ms),
    ));
    rows.extend(report.nodes.iter().map(|node| {
        let state = format!("{} at slot {}", node.state_hash, node.applied);
        (format!("state hash of {}", node.name), state)
    }));
    if let Some(directory) = &report.directory {
        rows.push(("files".into(), directory.display().to_string()));
    }
    list(&rows)
}

/// Tells the story: beside a table on standard output, beside JSON on standard error.
struct Narrator {
    format: Format,
}

impl Narrator {
    fn line(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        match self.format {
            Format::Table => line(text.as_ref()),
            Format::Json => Ok(writeln!(std::io::stderr(), "{}", text.as_ref().trim_end())?),
        }
    }
}

/// Proposals and reads under way at a time.
const IN_FLIGHT: usize = 16;
/// How long the cluster may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, role: &'static str, leader: Option<&str>, applied: u64) -> NodeView {
        NodeView {
            name: name.to_owned(),
            role,
            leader: leader.map(str::to_owned),
            applied,
            commit: applied,
            state_hash: format!("{applied:x}"),
            ..NodeView::default()
        }
    }

    #[test]
    fn a_leader_leads_once_all_follow_it() {
        let leading = view("a", "leader", Some("a"), 1);
        let follower = view("b", "follower", Some("a"), 1);
        let lost = view("c", "follower", None, 1);
        let views = [leading.clone(), follower.clone()];
        assert_eq!(leader(&views).map(|view| view.name.as_str()), Some("a"));
        assert_eq!(leader(&[leading, lost]), None);
        assert_eq!(leader(&[follower]), None);
    }

    #[test]
    fn states_are_the_same_only_if_everything_is() {
        let a = view("a", "leader", Some("a"), 7);
        let behind = view("b", "follower", Some("a"), 6);
        let other = NodeView {
            state_hash: "0".to_owned(),
            ..view("b", "follower", Some("a"), 7)
        };
        let unapplied = NodeView {
            commit: 8,
            ..a.clone()
        };
        assert!(same_state(&[a.clone(), a.clone()], 2));
        assert!(!same_state(&[a.clone(), a.clone()], 3));
        assert!(!same_state(&[a.clone(), behind], 2));
        assert!(!same_state(&[a.clone(), other], 2));
        assert!(!same_state(&[a, unapplied], 2));
        assert!(!same_state(&[], 0));
    }
}
