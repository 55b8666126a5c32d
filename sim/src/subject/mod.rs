//! What a run is about: a state machine, how requests for it are drawn, and what they should yield.
//! Knows nothing about consensus; the built-in key-value machine is one subject among others.

mod kv;
mod kv_oracle;
mod kv_words;
mod plain;
mod spec;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use chil_core::{Config, NodeId, Slot, StateMachine};

use crate::check::Violation;
use crate::check::linearizable::Seen;
pub use crate::dice::Draw;
use crate::plan::Plan;
use crate::swarm::healing::Sizes;
use crate::swarm::{admission, healing};
use crate::sweep::caught;
use plain::{Fallback, Sequential};
#[cfg(test)]
pub(crate) use spec::Register;
pub use spec::Spec;

/// What a client asks of the state machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// To be decided and executed: [`StateMachine::apply`].
    Command(Bytes),
    /// To be answered from the state: [`StateMachine::query`].
    Query(Bytes),
}

impl Request {
    /// What the state machine gets to see.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Command(bytes) | Self::Query(bytes) => bytes,
        }
    }
}

/// How the clients of one run think of requests.
pub trait Workload {
    /// The next request of a client.
    fn request(&mut self, draw: &mut Draw<'_>) -> Request;

    /// A query was answered; the next requests may depend on it.
    fn learns(&mut self, query: &Bytes, answer: &Bytes) {
        let _ = (query, answer);
    }
}

impl<F: FnMut(&mut Draw<'_>) -> Request> Workload for F {
    fn request(&mut self, draw: &mut Draw<'_>) -> Request {
        self(draw)
    }
}

/// The state machine once more, as simple as possible: what replies to commands and answers to
/// queries ought to be when they are executed one after the other.
///
/// Its state is compared by what it hashes to.
pub trait Model: Clone + Hash + Send + Sync + 'static {
    /// The right reply to a command.
    fn apply(&mut self, command: &Bytes) -> Bytes;

    /// The right answer to a query.
    fn query(&self, query: &Bytes) -> Bytes;
}

/// What the chosen commands mean: the judge's view of the state machine.
pub(crate) trait Oracle {
    /// Executes a command, in the order of slots, and returns the right reply.
    fn apply(&mut self, slot: Slot, command: &Bytes) -> Bytes;

    /// The right answer to a query in the state behind a slot, if that can be said at once; else
    /// it is asked for at the end, by [`Oracle::answer`] of a fresh one, in the order of slots.
    fn answer_behind(&self, slot: Slot, query: &Bytes) -> Option<Bytes>;

    /// The right answer to a query now.
    fn answer(&self, query: &Bytes) -> Bytes;
}

/// Requests are at most so large if nobody says otherwise.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// What an entry costs beyond its payload.
const ENTRY_BYTES: u64 = 128;
/// Requests of the largest size that a leader may have under way.
const IN_FLIGHT: u64 = 4;
/// Parts of a snapshot of unknown size.
const CHUNK_BYTES: u64 = 16 << 10;

/// Histories that are longer are not searched for an order.
pub(crate) const HISTORY_MAX: usize = 300;
/// Of the built-in machine, whose every answer is judged by the log as well, so many runs have
/// their histories searched: one in this.
const SAMPLE: u64 = 4;

type MakeSpec = Arc<dyn Fn() -> Box<dyn Spec> + Send + Sync>;

/// How the order of what clients saw is searched for.
#[derive(Clone)]
enum Order {
    /// It cannot be: there is no model whose states could be compared.
    Unknown,
    /// Key by key.
    Keys,
    /// By a model.
    Model(MakeSpec),
}

type Make<T> = Arc<dyn Fn() -> Box<T> + Send + Sync>;
type Simpler = Arc<dyn Fn(&Request) -> Vec<Request> + Send + Sync>;
type DescribeReply = Arc<dyn Fn(&Request, &Bytes) -> String + Send + Sync>;
type MakeWorkload = Arc<dyn Fn(&Plan) -> Box<dyn Workload> + Send + Sync>;

/// A state machine and all that runs need to know of it.
#[derive(Clone)]
pub struct Subject {
    machine: Make<dyn StateMachine>,
    workload: MakeWorkload,
    oracle: Make<dyn Oracle>,
    describe: Arc<dyn Fn(&Request) -> String + Send + Sync>,
    describe_reply: DescribeReply,
    simpler: Simpler,
    /// Nothing if requests keep to what the plan says.
    request_bytes_max: Option<u64>,
    order: Order,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

impl Subject {
    /// The built-in key-value machine.
    #[must_use]
    pub fn key_value() -> Self {
        Self {
            machine: Arc::new(|| Box::new(chil_core::kv::KeyValue::default())),
            workload: Arc::new(|plan| Box::new(kv::KvWorkload::new(plan))),
            oracle: Arc::new(|| Box::new(kv_oracle::KvOracle::default())),
            describe: Arc::new(kv_words::describe),
            describe_reply: Arc::new(kv_words::describe_reply),
            simpler: Arc::new(kv::simpler),
            request_bytes_max: None,
            order: Order::Keys,
        }
    }

    /// Any state machine. Without a model, what it should do is what another instance of it does
    /// that never crashes and never restores a snapshot.
    #[must_use]
    pub fn new<S: StateMachine>(machine: impl Fn() -> S + Send + Sync + 'static) -> Self {
        let machine: Make<dyn StateMachine> = Arc::new(move || Box::new(machine()));
        let judged = Arc::clone(&machine);
        Self {
            machine,
            workload: Arc::new(|_| {
                Box::new(|draw: &mut Draw<'_>| {
                    Request::Command(draw.word().to_le_bytes().to_vec().into())
                })
            }),
            oracle: Arc::new(move || Box::new(Fallback(judged()))),
            describe: Arc::new(describe_bytes),
            describe_reply: Arc::new(|_, reply| shown(reply)),
            simpler: Arc::new(|_| Vec::new()),
            request_bytes_max: Some(REQUEST_BYTES_MAX),
            order: Order::Unknown,
        }
    }

    /// The same, with requests drawn by this instead of at random.
    #[must_use]
    pub fn with_workload<W: Workload + 'static>(
        mut self,
        workload: impl Fn() -> W + Send + Sync + 'static,
    ) -> Self {
        self.workload = Arc::new(move |_| Box::new(workload()));
        self
    }

    /// The same, with requests of up to so many bytes.
    #[must_use]
    pub const fn with_request_bytes_max(mut self, bytes: u64) -> Self {
        self.request_bytes_max = Some(bytes);
        self
    }

    /// Whether there are plans that can be made fit for it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let most = Self::request_bytes_ceiling();
        match self.request_bytes_max {
            Some(bytes) if bytes > most => Err(format!(
                "Chaos::request_bytes_max({bytes}) is more than a node can be told to take: {most}"
            )),
            _ => Ok(()),
        }
    }

    /// How large a request of a run of this plan may be, in bytes.
    pub(crate) fn request_limit(&self, plan: &Plan) -> u64 {
        let own = self.request_bytes_max.unwrap_or(u64::MAX);
        own.min(plan.cluster.value_bytes_max)
    }

    /// The largest request that any node can be told to take, in bytes: two of them make a message.
    pub(crate) fn request_bytes_ceiling() -> u64 {
        message_bytes_max() / 2 - ENTRY_BYTES
    }

    /// Makes a plan that was drawn fit for this subject: its requests must be let through, and what
    /// a node has missed must arrive in the time that runs have for it, be it as log or as a
    /// snapshot, of which nothing is known: all requests may be in it. A plan with a script stays
    /// as it was written down.
    pub fn fit(&self, plan: &mut Plan) {
        let Some(bytes) = self.request_bytes_max.filter(|_| plan.script.is_none()) else {
            return;
        };
        let bytes = bytes.min(Self::request_bytes_ceiling());
        let (cluster, cost) = (&mut plan.cluster, bytes + ENTRY_BYTES);
        let at_least = |limit: &mut u64, least: u64| *limit = least.max(*limit);
        // As many as runs need to come to their end, if they fit into a message.
        let in_flight = (cost * IN_FLIGHT).min(message_bytes_max() - cost);
        at_least(&mut cluster.value_bytes_max, bytes);
        at_least(&mut cluster.in_flight_bytes_max, in_flight);
        at_least(
            &mut cluster.peer_window_bytes_max,
            cost.max(cluster.batch_bytes_max),
        );
        at_least(&mut plan.snapshots.chunk_bytes_max, CHUNK_BYTES);
        for own in &mut cluster.mixed {
            at_least(&mut own.in_flight_bytes_max, in_flight);
            at_least(
                &mut own.peer_window_bytes_max,
                cost.max(own.batch_bytes_max),
            );
            at_least(&mut own.chunk_bytes_max, CHUNK_BYTES);
        }
        admission::enough(plan);
        let sizes = Sizes {
            request: cost,
            snapshot: plan.workload.operations_max.saturating_mul(cost),
        };
        healing::enough_for(plan, sizes);
    }

    /// The same, judged by a model.
    #[must_use]
    pub fn with_model(mut self, model: impl Model) -> Self {
        let judged = model.clone();
        self.oracle = Arc::new(move || Box::new(Sequential(judged.clone())));
        self.order = Order::Model(Arc::new(move || Box::new(Sequential(model.clone()))));
        self
    }

    /// The histories of a run that are to have an order each, with what they are judged by.
    pub(crate) fn histories(
        &self,
        plan: &Plan,
        seen: Vec<Seen>,
    ) -> Vec<(Box<dyn Spec>, Vec<Seen>)> {
        match &self.order {
            Order::Unknown => Vec::new(),
            Order::Model(spec) => vec![(spec(), seen)],
            Order::Keys if !plan.seed.is_multiple_of(SAMPLE) => Vec::new(),
            Order::Keys => spec::by_key(seen),
        }
    }

    /// The same, with requests and replies shown to people as these say.
    #[must_use]
    pub fn with_descriptions(
        mut self,
        request: impl Fn(&Request) -> String + Send + Sync + 'static,
        reply: impl Fn(&Request, &Bytes) -> String + Send + Sync + 'static,
    ) -> Self {
        self.describe = Arc::new(request);
        self.describe_reply = Arc::new(reply);
        self
    }

    /// The same, with requests that are simpler than a given one, the simplest first: shrinking
    /// tries whether these do as well.
    #[must_use]
    pub fn with_simpler(
        mut self,
        simpler: impl Fn(&Request) -> Vec<Request> + Send + Sync + 'static,
    ) -> Self {
        self.simpler = Arc::new(simpler);
        self
    }

    /// How many of the requests that a plan has written down mean nothing to the built-in machine,
    /// and how many there are.
    pub(crate) fn strange_to_key_value(plan: &Plan) -> (usize, usize) {
        let requests = plan.script.iter().flat_map(|script| &script.requests);
        let requests = requests.map(|it| it.request(Slot::ZERO).0);
        let all = requests.clone().count();
        (requests.filter(|it| !kv::is_understood(it)).count(), all)
    }

    /// Requests that are simpler than this one, the simplest first.
    pub(crate) fn simpler(&self, request: &Request) -> Vec<Request> {
        (self.simpler)(request)
    }

    /// A machine that has executed nothing.
    pub(crate) fn machine(&self) -> Box<dyn StateMachine> {
        (self.machine)()
    }

    /// What the clients of a run of this plan think of.
    pub(crate) fn workload(&self, plan: &Plan) -> Box<dyn Workload> {
        (self.workload)(plan)
    }

    /// A judge that has seen no command.
    pub(crate) fn oracle(&self) -> Box<dyn Oracle> {
        (self.oracle)()
    }

    /// A request, for people.
    #[must_use]
    pub fn describe(&self, request: &Request) -> String {
        described(request.bytes(), || (self.describe)(request))
    }

    /// The reply to a request, for people.
    #[must_use]
    pub fn describe_reply(&self, request: &Request, reply: &Bytes) -> String {
        described(reply, || (self.describe_reply)(request, reply))
    }
}

fn message_bytes_max() -> u64 {
    Config::new(NodeId::new(1), 0, 0).message_bytes_max
}

fn describe_bytes(request: &Request) -> String {
    let name = match request {
        Request::Command(_) => "command",
        Request::Query(_) => "query",
    };
    format!("{name} {}", shown(request.bytes()))
}

/// What somebody says of these bytes. Whoever says it may panic, which is not to be taken for a panic
/// of what is under test: then the bytes are shown, and that.
fn described(bytes: &Bytes, words: impl FnOnce() -> String) -> String {
    let panics = |panic: Violation| {
        let shown = shown(bytes);
        format!("{shown} (what describes it panics: {})", panic.what)
    };
    caught(words).unwrap_or_else(panics)
}

/// Bytes as text if they are some, else in hexadecimal digits.
fn shown(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("{bytes:x}"),
    }
}
