//! A network of its own for each node: namespaces on a bridge, and wires that can be cut or slowed
//! down in one direction. Knows nothing about what runs in it.
//!
//! Each namespace sorts what it sends by its destination (htb, u32): a class each, whose leaf says
//! what becomes of it. Everything carries the process id in its name: it is removed at the end, and
//! what a run left that could not end properly is removed at the beginning of the next one.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Where the test itself is on each lab's network: its own clients, and nobody else.
pub(crate) const HOST: usize = 254;

/// What becomes of the packets from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wire {
    Whole,
    /// Nothing arrives, and nobody is told.
    Cut,
    /// Everything is late and some of it is lost; the more, the higher: 1 to 3.
    Slow(u8),
}

/// How this machine slows a wire down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slowness {
    Netem,
    /// A queue that drains slowly and overflows: what there is where the kernel has no netem.
    Tbf,
}

#[derive(Debug)]
pub(crate) struct Lab {
    size: usize,
    /// Which of the networks 198.18.0.0/16, which are for tests, it is.
    subnet: u8,
    slowness: Slowness,
    /// Directions that are not whole.
    bent: BTreeSet<(usize, usize)>,
}

/// Why namespaces cannot be had here, or nothing.
pub(crate) fn missing() -> Option<String> {
    let root = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_root = root
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"));
    if !is_root {
        return Some("only root may make network namespaces".to_owned());
    }
    probe().err()
}

/// Tries everything that a lab needs, in a namespace that goes again.
fn probe() -> Result<Slowness, String> {
    sweep();
    let space = namespace(0);
    let result = (|| {
        ip(&["netns", "add", &space])?;
        let link = [
            "link", "add", "try0", "type", "veth", "peer", "name", "try1",
        ];
        ip(&[&["-n", &space], &link[..]].concat())?;
        ip(&["-n", &space, "link", "add", "try2", "type", "bridge"])?;
        let tc = |words: &str| tc(&space, words);
        tc("qdisc add dev try0 root handle 1: htb default 1")?;
        tc("class add dev try0 parent 1: classid 1:1 htb rate 10gbit quantum 60000")?;
        tc(
            "filter add dev try0 parent 1: protocol ip prio 1 u32 match ip dst 198.18.0.1/32 flowid 1:1",
        )?;
        tc("qdisc replace dev try0 parent 1:1 handle 11: blackhole")?;
        if tc("qdisc replace dev try0 parent 1:1 handle 12: netem delay 1ms").is_ok() {
            return Ok(Slowness::Netem);
        }
        tc("qdisc replace dev try0 parent 1:1 handle 13: tbf rate 1mbit burst 4kb latency 100ms")?;
        Ok(Slowness::Tbf)
    })();
    remove(&space);
    result
}

impl Lab {
    /// A network with places for nodes from 1 to `size`, all wires whole.
    pub(crate) fn new(size: usize) -> Self {
        let slowness = probe().expect("whoever asks for a lab has seen that nothing is missing");
        let taken = ip(&["-4", "-o", "addr"]).unwrap();
        let subnet = (0..=u8::MAX)
            .find(|subnet| !taken.contains(&format!(" 198.18.{subnet}.")))
            .expect("nobody has so many labs");
        let lab = Self {
            size,
            subnet,
            slowness,
            bent: BTreeSet::new(),
        };
        lab.build().unwrap();
        lab
    }

    fn build(&self) -> Result<(), String> {
        let bridge = bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        let own = format!("{}/24", self.address(HOST));
        ip(&["addr", "add", &own, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for node in 1..=self.size {
            let (space, outside) = (namespace(node), format!("chv{}-{node}", std::process::id()));
            ip(&["netns", "add", &space])?;
            let ends = ["type", "veth", "peer", "name", "eth0", "netns", &space];
            ip(&[&["link", "add", &outside], &ends[..]].concat())?;
            ip(&["link", "set", &outside, "master", &bridge, "up"])?;
            let own = format!("{}/24", self.address(node));
            ip(&["-n", &space, "addr", "add", &own, "dev", "eth0"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
            self.sort(node)?;
        }
        Ok(())
    }

    /// Gives each destination of a node a class. What is not for any of them, such as ARP, takes
    /// the default one, or nobody would find anybody.
    fn sort(&self, node: usize) -> Result<(), String> {
        let tc = |words: &str| tc(&namespace(node), words);
        let class = |number: usize| {
            tc(&format!(
                "class add dev eth0 parent 1: classid 1:{number:x} htb rate 10gbit quantum 60000"
            ))
        };
        tc("qdisc add dev eth0 root handle 1: htb default 1")?;
        class(1)?;
        for to in self.places().filter(|to| *to != node) {
            let (number, address) = (class_of(to), self.address(to));
            class(number)?;
            tc(&format!(
                "filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst {address}/32 \
                 flowid 1:{number:x}"
            ))?;
            self.leaf(node, to, Wire::Whole)?;
        }
        Ok(())
    }

    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        (1..=self.size).chain([HOST])
    }

    /// A leaf of another kind takes the place of the one that is there only under another handle.
    fn leaf(&self, from: usize, to: usize, wire: Wire) -> Result<(), String> {
        let (kind, what) = match (wire, self.slowness) {
            (Wire::Whole, _) => (1, "pfifo limit 1000".to_owned()),
            (Wire::Cut, _) => (2, "blackhole".to_owned()),
            (Wire::Slow(level), Slowness::Netem) => {
                let (delay, loss) = [(20, 1), (60, 3), (150, 8)][place(level)];
                let vary = delay / 2;
                (3, format!("netem delay {delay}ms {vary}ms loss {loss}%"))
            }
            (Wire::Slow(level), Slowness::Tbf) => {
                let (rate, latency) = [(2_000, 60), (600, 150), (200, 400)][place(level)];
                let shape = format!("tbf rate {rate}kbit burst 4kb latency {latency}ms");
                (4, shape)
            }
        };
        let number = class_of(to);
        let handle = number << 4 | kind;
        let words = format!("qdisc replace dev eth0 parent 1:{number:x} handle {handle:x}: {what}");
        tc(&namespace(from), &words)?;
        Ok(())
    }

    /// Where a node is, or [`HOST`].
    pub(crate) fn address(&self, place: usize) -> String {
        format!("198.18.{}.{place}", self.subnet)
    }

    /// What becomes from now on of what `from` sends to `to`, which may be [`HOST`].
    pub(crate) fn set(&mut self, from: usize, to: usize, wire: Wire) {
        self.leaf(from, to, wire).unwrap();
        if wire == Wire::Whole {
            self.bent.remove(&(from, to));
        } else {
            self.bent.insert((from, to));
        }
    }

    /// Makes all wires whole.
    pub(crate) fn heal(&mut self) {
        for (from, to) in self.bent.clone() {
            self.set(from, to, Wire::Whole);
        }
    }

    /// How wires are slowed down, for people.
    pub(crate) const fn slowness(&self) -> &'static str {
        match self.slowness {
            Slowness::Netem => "netem",
            Slowness::Tbf => "tbf, as this kernel has no netem",
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in 1..=self.size {
            remove(&namespace(node));
        }
        // The wires went with the namespaces that their other ends were in.
        let _ = ip(&["link", "del", &bridge()]);
    }
}

const fn place(level: u8) -> usize {
    let level = if level > 3 { 3 } else { level };
    level.saturating_sub(1) as usize
}

const fn class_of(place: usize) -> usize {
    0x10 + place
}

fn namespace(node: usize) -> String {
    format!("chil-{}-{node}", std::process::id())
}

fn bridge() -> String {
    format!("chb{}", std::process::id())
}

/// A command that runs `program` where the node is: the process is then the program itself, since
/// `ip` makes room for it.
pub(crate) fn inside(node: usize, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &namespace(node)])
        .arg(program);
    command
}

/// Ends what runs in a namespace, and removes it.
fn remove(space: &str) {
    let pids = ip(&["netns", "pids", space]).unwrap_or_default();
    for pid in pids.split_whitespace() {
        let _ = Command::new("kill").args(["-s", "KILL", pid]).output();
    }
    let _ = ip(&["netns", "del", space]);
}

/// Removes what runs left that are dead.
fn sweep() {
    let is_dead = |pid: &str| {
        let is_number = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
        is_number && !Path::new("/proc").join(pid).exists()
    };
    let spaces = ip(&["netns", "list"]).unwrap_or_default();
    for space in spaces.lines().filter_map(|line| line.split(' ').next()) {
        let pid = space
            .strip_prefix("chil-")
            .and_then(|rest| rest.split('-').next());
        if pid.is_some_and(is_dead) {
            remove(space);
        }
    }
    let links = ip(&["-o", "link", "show", "type", "bridge"]).unwrap_or_default();
    for link in links.lines().filter_map(|line| line.split(": ").nth(1)) {
        if link.strip_prefix("chb").is_some_and(is_dead) {
            let _ = ip(&["link", "del", link]);
        }
    }
}

fn ip(words: &[&str]) -> Result<String, String> {
    run("ip", words)
}

fn tc(space: &str, words: &str) -> Result<String, String> {
    let words: Vec<&str> = ["-n", space].into_iter().chain(words.split(' ')).collect();
    run("tc", &words)
}

/// What the program prints, or why it failed.
fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let line = || format!("`{program} {}`", words.join(" "));
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{}: {error}", line()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", line(), error.trim()))
}
