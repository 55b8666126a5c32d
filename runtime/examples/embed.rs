//! A service that embeds chil with a state machine of its own: fact checkers vote on claims, and
//! a claim is settled once two of them agree. Three nodes run in this one process, each with its
//! own directory; in production each would run in its own service. Ends by itself:
//! `cargo run -p chil --example embed`

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use chil::{Consistency, FrozenState, Node, ProposeError, Slot, StateMachine, canonical};

/// The replicated state: who voted what on which claim.
#[derive(Default)]
struct Verdicts {
    votes: BTreeMap<String, BTreeMap<String, bool>>,
}

impl Verdicts {
    /// Checkers who must agree before a claim is settled.
    const QUORUM: usize = 2;

    fn verdict(&self, claim: &str) -> &'static str {
        let votes = self.votes.get(claim);
        let count = |vote| votes.map_or(0, |v| v.values().filter(|v| **v == vote).count());
        match (count(true) >= Self::QUORUM, count(false) >= Self::QUORUM) {
            (true, false) => "verified",
            (false, true) => "refuted",
            _ => "open",
        }
    }
}

impl StateMachine for Verdicts {
    /// A command is `claim|checker|yes` or `claim|checker|no`; the reply is the verdict so far.
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(command);
        let [claim, checker, vote @ ("yes" | "no")] = text.split('|').collect::<Vec<_>>()[..]
        else {
            // Must not fail: every node has to do the same with it.
            return Bytes::from_static(b"not understood");
        };
        let votes = self.votes.entry(claim.to_owned()).or_default();
        // The first vote counts; a settled claim could never change its verdict otherwise, either.
        votes.entry(checker.to_owned()).or_insert(vote == "yes");
        Bytes::from_static(self.verdict(claim).as_bytes())
    }

    /// A query is the name of a claim; the answer is its verdict.
    fn query(&self, query: &Bytes) -> Bytes {
        let claim = String::from_utf8_lossy(query);
        Bytes::from_static(self.verdict(&claim).as_bytes())
    }

    /// FNV-1a over all votes in order: equal states give equal digests on every node.
    fn digest(&self) -> u128 {
        let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
        let mut add = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0]) {
                hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
            }
        };
        for (claim, votes) in &self.votes {
            add(claim.as_bytes());
            for (checker, vote) in votes {
                add(checker.as_bytes());
                add(&[u8::from(*vote)]);
            }
        }
        hash
    }

    /// Few votes: a copy is cheap enough. Called between two commands, so it must not take long.
    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Frozen(self.votes.clone()))
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.votes.clear();
        for _ in 0..canonical::read_u64(from)? {
            let claim = read_text(from)?;
            let votes = self.votes.entry(claim).or_default();
            for _ in 0..canonical::read_u64(from)? {
                votes.insert(read_text(from)?, canonical::read_u8(from)? == 1);
            }
        }
        canonical::read_end(from)
    }
}

/// What a snapshot holds: the same votes give the same bytes on every node.
struct Frozen(BTreeMap<String, BTreeMap<String, bool>>);

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        canonical::write_u64(out, self.0.len() as u64)?;
        for (claim, votes) in &self.0 {
            canonical::write_bytes(out, claim.as_bytes())?;
            canonical::write_u64(out, votes.len() as u64)?;
            for (checker, vote) in votes {
                canonical::write_bytes(out, checker.as_bytes())?;
                canonical::write_u8(out, u8::from(*vote))?;
            }
        }
        Ok(())
    }
}

fn read_text(from: &mut dyn Read) -> io::Result<String> {
    let bytes = canonical::read_bytes(from, 1 << 20)?;
    String::from_utf8(bytes.into()).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let addresses = free_addresses()?;
    let mut nodes = Vec::new();
    for (i, address) in addresses.iter().enumerate() {
        let node = Node::builder(format!("checker-{}", i + 1))
            .bind(address)
            .plaintext()
            .peers(addresses.iter().map(String::as_str)) // itself may be among them
            .data_dir(directory.path().join(format!("checker-{}", i + 1)))
            .state_machine(Verdicts::default())
            .start()
            .await?;
        nodes.push(node);
    }
    let leader = nodes[0].wait_for_leader().await.ok_or("the node ended")?;
    println!("{} leads", leader.name);

    for vote in [
        "the moon is made of cheese|ada|no",
        "water boils at 100 C at sea level|ada|yes",
        "the moon is made of cheese|grace|no",
        "water boils at 100 C at sea level|grace|yes",
        "P equals NP|ada|yes",
    ] {
        let (slot, verdict) = submit(&nodes, vote).await?;
        println!("slot {slot}: {vote:<45} -> {verdict}");
    }

    // A linearizable read on the leader sees every vote that was acknowledged.
    let leader = leading(&nodes).await?;
    let claim = "the moon is made of cheese";
    let answer = leader.query(claim, Consistency::Linearizable).await?;
    println!("'{claim}' is {}", String::from_utf8_lossy(&answer.answer));

    // The others hold the same state as soon as they have executed as much.
    for node in &nodes {
        let status = loop {
            let status = node.status().await.ok_or("the node ended")?;
            if status.applied >= answer.applied {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        println!(
            "{}: slot {}, digest {:032x}",
            status.name,
            status.applied,
            status.digest.unwrap_or_default()
        );
    }
    for node in &nodes {
        node.shutdown(Duration::from_secs(1)).await?;
    }
    Ok(())
}

/// Proposes on whichever node leads. What was surely not executed may be tried again.
async fn submit(nodes: &[Node<Verdicts>], vote: &'static str) -> Result<(Slot, String)> {
    loop {
        match leading(nodes).await?.submit(vote).await {
            Ok(done) => {
                return Ok((done.slot, String::from_utf8_lossy(&done.reply).into_owned()));
            }
            Err(ProposeError::NotLeader { .. } | ProposeError::Overloaded { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The node that leads. A service whose node does not would forward to the leader's address.
async fn leading(nodes: &[Node<Verdicts>]) -> Result<&Node<Verdicts>> {
    let leader = nodes[0].wait_for_leader().await.ok_or("the node ended")?;
    let leading = nodes.iter().find(|node| node.name() == leader.name);
    leading.ok_or_else(|| "a stranger leads".into())
}

fn free_addresses() -> Result<Vec<String>> {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(std::net::TcpListener::bind("127.0.0.1:0")?);
    }
    let addresses = listeners.iter().map(|l| Ok(l.local_addr()?.to_string()));
    addresses.collect()
}
