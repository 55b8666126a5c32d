//! Small recordings made by hand, for the tests of what shows them.
//! Knows nothing about real runs.

use super::event::{Event, Recording, State, Step, What};
use crate::swarm;

/// Builds a recording event by event.
struct Tape {
    events: Vec<Event>,
    n: u64,
    at: u64,
    messages: u64,
}

impl Tape {
    const fn new() -> Self {
        Self {
            events: Vec::new(),
            n: 0,
            at: 0,
            messages: 0,
        }
    }

    /// The next event of the simulation, so many microseconds later.
    const fn after(&mut self, micros: u64) -> &mut Self {
        self.n += 1;
        self.at += micros * 1_000;
        self
    }

    fn push(&mut self, node: Option<usize>, what: What) -> &mut Self {
        self.events.push(Event {
            n: self.n,
            at: self.at,
            node,
            what,
        });
        self
    }

    fn on(&mut self, node: usize, what: What) -> &mut Self {
        self.push(Some(node), what)
    }

    /// A message that takes a hundred microseconds, as often as it arrives; returns its number.
    fn send(&mut self, from: usize, to: usize, text: &str, times: u64) -> u64 {
        self.messages += 1;
        let name = text.split(' ').next().unwrap_or_default();
        let is_heartbeat = name.starts_with("Heartbeat");
        let ballot = text.split(' ').nth(1).filter(|word| word.starts_with('e'));
        let slots = text.contains("[1]").then_some((1, 1));
        let what = What::Send {
            id: self.messages,
            to,
            lane: if is_heartbeat { "heartbeat" } else { "quorum" }.to_owned(),
            name: name.to_owned(),
            text: text.to_owned(),
            ballot: ballot.map(str::to_owned),
            slots,
            arrives: (1..=times).map(|copy| self.at + 100_000 * copy).collect(),
        };
        self.on(from, what);
        self.messages
    }

    fn receive(&mut self, id: u64, from: usize, to: usize) -> &mut Self {
        self.on(to, What::Receive { id, from })
    }

    fn persist(&mut self, node: usize, lsn: &str, text: &str) -> &mut Self {
        let (lsn, text) = (lsn.to_owned(), text.to_owned());
        self.on(node, What::Persist { lsn, text })
    }

    fn durable(&mut self, node: usize, lsn: &str) -> &mut Self {
        let lsn = lsn.to_owned();
        self.on(node, What::Durable { lsn })
    }

    fn client(&mut self, node: usize, step: Step, slot: Option<u64>) -> &mut Self {
        let what = What::Client {
            client: 1,
            operation: 1,
            step,
            text: "put k1 = \"a\"".to_owned(),
            slot,
        };
        self.on(node, what)
    }

    fn recording(self, violation: Option<&str>) -> Recording {
        let mut plan = swarm::plan(1);
        plan.seed = 1;
        Recording {
            version: Recording::VERSION,
            plan,
            nodes: ["n0", "n1", "n2"].map(str::to_owned).to_vec(),
            events: self.events,
            violation: violation.map(str::to_owned),
            explained: vec!["n2: nobody leads".to_owned()],
            hash: "00c0ffee00c0ffee".to_owned(),
        }
    }
}

fn state(role: &str, promised: &str, acc: &str, leader: Option<usize>, last: u64) -> What {
    What::State(State {
        role: role.to_owned(),
        promised: promised.to_owned(),
        acc: acc.to_owned(),
        leader,
        last,
        durable: last,
        commit: last,
        applied: last,
    })
}

/// A leader is elected, decides one slot while a link is cut, and dies; its successor overwrites
/// the slot. It has at least one event of each kind.
pub(crate) fn small() -> Recording {
    let mut tape = Tape::new();
    for node in 0..3 {
        let text = format!("from boot {node}");
        tape.after(0).on(node, What::Starts { text });
        tape.on(node, state("following", "e1.0", "e1.0", None, 0));
    }
    elect(&mut tape);
    decide(&mut tape);
    overwrite(&mut tape);
    tape.recording(Some("agreement: slot 1 has two values"))
}

/// n0 asks for votes: that of n1 arrives, and the heartbeat of n2 as well.
fn elect(tape: &mut Tape) {
    tape.after(1_000).on(0, What::Wake);
    tape.on(0, state("campaigning", "e1.1.n0", "e1.0", None, 0));
    tape.persist(0, "1:1", "[meta promised=e1.1.n0]");
    tape.after(500).durable(0, "1:1");
    let to_n1 = tape.send(0, 1, "Prepare e1.1.n0 acc=e1.0 last=0 commit=0", 1);
    tape.send(0, 2, "Prepare e1.1.n0 acc=e1.0 last=0 commit=0", 0);
    tape.after(100).receive(to_n1, 0, 1);
    tape.on(1, state("following", "e1.1.n0", "e1.0", None, 0));
    let promise = tape.send(1, 0, "Promise e1.1.n0 acc=e1.0 last=0", 2);
    tape.after(50).on(2, What::Wake);
    let heartbeat = tape.send(2, 0, "Heartbeat round=2", 1);
    tape.after(50).receive(promise, 1, 0);
    tape.on(0, state("leading", "e1.1.n0", "e1.1.n0", Some(0), 0));
    tape.after(50).receive(heartbeat, 2, 0);
    // The copy of the promise changes nothing.
    tape.after(50).receive(promise, 1, 0);
}

/// n0 decides slot 1 with n1; what it tells n2 meets a cut link.
fn decide(tape: &mut Tape) {
    let cut = What::Fault {
        index: 0,
        name: "cut".to_owned(),
        text: "cut n0 -> n2".to_owned(),
        nodes: Vec::new(),
        links: vec![(0, 2)],
        until: 8_000_000,
    };
    tape.after(1_000).push(None, cut);
    tape.after(200).client(0, Step::Asked, None);
    let accept = tape.send(0, 1, "Accept e1.1.n0 [1]", 1);
    tape.send(0, 2, "Accept e1.1.n0 [1]", 0);
    tape.after(100).receive(accept, 0, 1);
    let accepted = tape.send(1, 0, "Accepted e1.1.n0 last=1 [1]", 1);
    tape.after(100).receive(accepted, 1, 0);
    tape.on(0, What::Decided { first: 1, last: 1 });
    tape.on(0, state("leading", "e1.1.n0", "e1.1.n0", Some(0), 1));
    tape.client(0, Step::Done, Some(1));
}

/// n0 dies with a message on the way to it, and n2 decides something else for slot 1.
fn overwrite(tape: &mut Tape) {
    let text = "takes the disk of n1 for slow".to_owned();
    tape.after(100).on(1, What::Note { text });
    let late = tape.send(1, 0, "Accepted e1.1.n0 last=1 [1]", 1);
    tape.after(0).on(2, What::Wake);
    let crash = What::Fault {
        index: 1,
        name: "crash (power)".to_owned(),
        text: "crash n0, power fails".to_owned(),
        nodes: vec![0],
        links: Vec::new(),
        until: 60_000_000,
    };
    // A round time, which a test of the timeline can spell.
    tape.at = 9_000_000;
    tape.after(0).push(None, crash);
    let mode = "power".to_owned();
    tape.on(0, What::Dies { mode });
    tape.on(0, state("down", "e1.1.n0", "e1.1.n0", None, 1));
    tape.after(100).on(0, What::Miss { id: late, from: 1 });
    tape.after(20_000_000).push(None, What::Healing);
    tape.after(1_000)
        .on(2, state("leading", "e1.2.n2", "e1.2.n2", Some(2), 1));
    tape.on(2, What::Decided { first: 1, last: 1 });
    let violation = What::Violation {
        check: "agreement".to_owned(),
        text: "slot 1 has two values".to_owned(),
    };
    tape.on(2, violation);
}

/// Batches that overtake each other's syncs: another one is handed over before the first is
/// durable, two become durable at once, and a crash loses what is under way.
pub(crate) fn in_flight() -> Recording {
    let mut tape = Tape::new();
    tape.after(10).persist(0, "1:1", "[a]");
    tape.after(10).persist(0, "1:2", "[b]");
    tape.after(10).durable(0, "1:1");
    tape.after(10).persist(0, "1:3", "[c]");
    tape.after(10).persist(0, "1:4", "[d]");
    tape.after(10).durable(0, "1:3");
    let mode = "power".to_owned();
    tape.after(10).on(0, What::Dies { mode });
    tape.after(10).persist(0, "2:1", "[e]");
    tape.after(10).durable(0, "2:1");
    tape.recording(None)
}

/// Two messages and an answer, for clocks that a person can check.
pub(crate) fn ping_pong() -> Recording {
    let mut tape = Tape::new();
    tape.after(1);
    let first = tape.send(0, 1, "Ping", 1);
    tape.after(1);
    let second = tape.send(0, 2, "Ping", 1);
    let text = "waits".to_owned();
    tape.after(1).on(2, What::Note { text });
    tape.after(1).receive(first, 0, 1);
    tape.after(1);
    let answer = tape.send(1, 0, "Pong", 1);
    tape.after(1).receive(second, 0, 2);
    tape.after(1).receive(answer, 1, 0);
    tape.recording(None)
}

/// Names and requests that would be markup, ends of lines or ends of scripts somewhere.
pub(crate) fn hostile() -> Recording {
    let mut recording = small();
    let hostile = "</script><script>document.title='owned'</script><img src=x \
                   onerror=\"document.title='owned'\"><!-- \u{2028}\u{2029} \n ${1} `&lt;`";
    recording.nodes[1] = hostile.to_owned();
    recording.violation = Some(hostile.to_owned());
    recording.explained.push(hostile.to_owned());
    recording.hash = hostile.to_owned();
    for event in &mut recording.events {
        match &mut event.what {
            What::Send { text, name, .. } | What::Fault { text, name, .. } => {
                hostile.clone_into(text);
                hostile.clone_into(name);
            }
            What::Client { text, .. }
            | What::Persist { text, .. }
            | What::Starts { text }
            | What::Note { text }
            | What::Violation { text, .. } => hostile.clone_into(text),
            What::State(state) => hostile.clone_into(&mut state.promised),
            _ => {}
        }
    }
    recording
}

/// So many things that clients do, one a microsecond, up to a time.
pub(crate) fn client_noise(count: u64, until: u64) -> Vec<Event> {
    let event = |i: u64| Event {
        n: 1_000 + i,
        at: until,
        node: Some(1),
        what: What::Client {
            client: 2,
            operation: 100 + i,
            step: Step::Asked,
            text: "get k2".to_owned(),
            slot: None,
        },
    };
    (0..count).map(event).collect()
}
