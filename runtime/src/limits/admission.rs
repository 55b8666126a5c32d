//! Which request of a client is let in: by rate, by what is under way, and fairly.
//! Knows nothing about connections, nor about what requests say; time is an argument.
//!
//! Nothing waits here: who is not let in is told when to come again, and its request surely has no
//! effect. Fair means two things, and neither needs anything to be set for a client:
//!
//! - *Under way.* A client may have at most as much under way as is left for all (Choudhury, Hahne,
//!   "Dynamic queue length thresholds", 1998). One alone gets half; of `k` greedy ones each gets a
//!   part in `k + 1`, and whoever is new finds room.
//! - *Rate.* The first half of a burst is for whoever comes. Beyond it a client is let in as far as
//!   its share goes, which is the rate divided by the clients that ask. So what some do not use
//!   others get, and who stays below their share never notices how fast the others ask.

use std::sync::Arc;

use chil_core::{Span, Time};

use super::brake::Brake;
use super::bucket::{Bucket, Rate};
use super::table::{Place, Row, Table};

/// Places that only those get who look after the cluster: they get in when all else is full.
const OPERATORS_MAX: usize = 16;
/// What somebody is told to wait who is refused because much is under way: about what a request
/// takes on a busy node.
const CROWDED: Span = Span::from_millis(10);
/// Nobody is told to come again sooner: at a high rate all who wait would come each time that one
/// of them can be let in.
const RETRY_MIN: Span = Span::from_millis(5);
/// Clients count as asking for at least so long.
const ASKING_MIN: Span = Span::from_millis(100);

/// How much is let in. A rate of zero limits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Requests of all clients.
    pub requests: Rate,
    /// Their bytes.
    pub bytes: Rate,
    /// Requests of each client.
    pub client_requests: Rate,
    /// Their bytes.
    pub client_bytes: Rate,
    /// Requests under way.
    pub in_flight: u64,
    /// Their bytes. A larger request is let in when nothing else is under way.
    pub in_flight_bytes: u64,
    /// Clients that are told apart; those beyond share one account.
    pub clients_tracked: usize,
    /// How late the node may be while requests still are let in. Zero: however late; but a node
    /// takes its heartbeat interval for zero.
    pub late_max: Span,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            requests: Rate::NONE,
            bytes: Rate::NONE,
            client_requests: Rate::NONE,
            client_bytes: Rate::NONE,
            in_flight: 8_192,
            in_flight_bytes: 64 << 20,
            clients_tracked: 4_096,
            late_max: Span::ZERO,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker<'a> {
    /// A client of this name.
    Client(&'a str),
    /// Somebody who looks after the cluster.
    Operator,
}

/// Why a request is not let in. It surely has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BusyReason {
    /// The node itself comes too late to its own deadlines.
    Late,
    /// All clients together ask too fast.
    Rate,
    /// All clients together ask so fast that each is held to its share, and this one has had it.
    RateShare,
    /// This client asks too fast.
    ClientRate,
    /// Too much is under way.
    InFlight,
    /// This client has its share of what may be under way.
    InFlightShare,
}

impl BusyReason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Late,
        Self::Rate,
        Self::RateShare,
        Self::ClientRate,
        Self::InFlight,
        Self::InFlightShare,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Rate => "rate",
            Self::RateShare => "rate-share",
            Self::ClientRate => "client-rate",
            Self::InFlight => "in-flight",
            Self::InFlightShare => "in-flight-share",
        }
    }
}

/// A request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Why.
    pub why: BusyReason,
    /// When asking again makes sense.
    pub retry_after: Span,
}

/// A request that was let in: it counts until it is handed to [`Admission::done`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request counts until it is handed to Admission::done"]
pub struct Charge {
    /// Where it counts; `None` for operators.
    place: Option<Place<Arc<str>>>,
    bytes: u64,
}

/// What was let in and is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Requests of clients.
    pub requests: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests of operators.
    pub operators: usize,
}

/// What is remembered of a client.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    requests: Bucket,
    bytes: Bucket,
    /// Against its share of the rates of all.
    share: [Bucket; 2],
    in_flight: u64,
    in_flight_bytes: u64,
    /// The period in which it last asked, counted from one.
    asked_in: u64,
}

impl Row for Client {
    fn is_idle(&self, now: Time) -> bool {
        let of_rates = [self.requests, self.bytes].into_iter().chain(self.share);
        self.in_flight == 0 && of_rates.into_iter().all(|bucket| bucket.is_full(now))
    }
}

/// How many clients ask.
#[derive(Clone, Copy, Debug, Default)]
struct Asking {
    period: u64,
    in_this: u64,
    in_last: u64,
}

impl Asking {
    /// Notes that a client asks; `asked_in` is the period in which it did last.
    fn asks(&mut self, now: Time, lasts: Span, asked_in: &mut u64) {
        let period = now.nanos() / lasts.nanos().max(1) + 1;
        if period != self.period {
            let is_next = period == self.period + 1;
            self.in_last = if is_next { self.in_this } else { 0 };
            self.in_this = 0;
            self.period = period;
        }
        if *asked_in != period {
            *asked_in = period;
            self.in_this += 1;
        }
    }

    fn clients(self) -> u64 {
        self.in_this.max(self.in_last).max(1)
    }
}

/// The accounts of one node.
#[derive(Clone, Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    /// Requests and bytes of all.
    all: [Bucket; 2],
    clients: Table<Arc<str>, Client>,
    asking: Asking,
    under_way: UnderWay,
    brake: Brake,
}

impl Admission {
    /// Accounts without any client.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self {
            all: [Bucket::default(); 2],
            clients: Table::new(limits.clients_tracked),
            asking: Asking::default(),
            under_way: UnderWay::default(),
            brake: Brake::new(limits.late_max),
            limits,
        }
    }

    /// Lets a request of so many bytes in, or says why not.
    ///
    /// # Errors
    /// The reason, and when asking again makes sense. Nothing is counted then.
    pub fn ask(&mut self, now: Time, asker: Asker<'_>, bytes: u64) -> Result<Charge, Busy> {
        let Asker::Client(who) = asker else {
            return self.ask_as_operator(bytes);
        };
        // Without a byte, a request would go past what bytes are under way.
        let costs = [1, bytes.max(1)];
        let limits = self.limits;
        let rates = [limits.requests, limits.bytes];
        let place = self.clients.place(now, who, || Arc::from(who));
        let client = self.clients.row(&place);
        let lasts = limits
            .requests
            .burst
            .max(limits.bytes.burst)
            .max(ASKING_MIN);
        self.asking.asks(now, lasts, &mut client.asked_in);
        let shares = rates.map(|rate| share(rate, self.asking.clients()));

        let (of_share, of_all) = by_rates(now, rates, &self.all, shares, client, costs);
        let own = [
            client
                .requests
                .conforms(limits.client_requests, now, costs[0]),
            client.bytes.conforms(limits.client_bytes, now, costs[1]),
        ];
        let waits = [
            (BusyReason::Late, self.brake.left(now)),
            (BusyReason::RateShare, of_share),
            (BusyReason::Rate, of_all),
            (BusyReason::ClientRate, longest(own)),
        ];
        // The first reason counts, but who comes again must not fail for another one then.
        let longest = waits.iter().map(|(_, wait)| *wait).max();
        if let Some((why, _)) = waits.into_iter().find(|(_, wait)| *wait > Span::ZERO) {
            return refused(why, longest.unwrap_or_default());
        }
        by_what_is_under_way(&limits, self.under_way, client, costs[1])?;

        for (bucket, (rate, cost)) in self.all.iter_mut().zip(rates.into_iter().zip(costs)) {
            bucket.spend(rate, now, cost);
        }
        for (bucket, (rate, cost)) in client.share.iter_mut().zip(shares.into_iter().zip(costs)) {
            // What was to be had beyond its share is not held against a client for longer.
            bucket.owe_at_most(now, rate.burst);
            bucket.spend(rate, now, cost);
        }
        client.requests.spend(limits.client_requests, now, costs[0]);
        client.bytes.spend(limits.client_bytes, now, costs[1]);
        client.in_flight += 1;
        client.in_flight_bytes += costs[1];
        self.under_way.requests += 1;
        self.under_way.bytes += costs[1];
        Ok(Charge {
            place: Some(place),
            bytes: costs[1],
        })
    }

    fn ask_as_operator(&mut self, bytes: u64) -> Result<Charge, Busy> {
        if self.under_way.operators >= OPERATORS_MAX {
            return refused(BusyReason::InFlight, CROWDED);
        }
        self.under_way.operators += 1;
        Ok(Charge { place: None, bytes })
    }

    /// A request that was let in has its answer, or nobody waits for that any more.
    pub fn done(&mut self, charge: Charge) {
        let Some(place) = charge.place else {
            self.under_way.operators -= 1;
            return;
        };
        let client = self.clients.row(&place);
        client.in_flight -= 1;
        client.in_flight_bytes -= charge.bytes;
        self.under_way.requests -= 1;
        self.under_way.bytes -= charge.bytes;
    }

    /// The node met a deadline of its own so late.
    pub fn measured(&mut self, now: Time, late: Span) {
        self.brake.measured(now, late);
    }

    /// What was let in and is not done.
    #[must_use]
    pub const fn under_way(&self) -> UnderWay {
        self.under_way
    }

    /// Panics if the accounts do not add up.
    pub fn check(&self) {
        let (limits, under_way) = (&self.limits, self.under_way);
        let rows = || self.clients.rows();
        let requests: u64 = rows().map(|row| row.in_flight).sum();
        let bytes: u64 = rows().map(|row| row.in_flight_bytes).sum();
        assert_eq!(requests, under_way.requests, "requests under way");
        assert_eq!(bytes, under_way.bytes, "bytes under way");
        assert!(requests <= limits.in_flight, "too many requests under way");
        let is_one = requests <= 1;
        assert!(
            bytes <= limits.in_flight_bytes || is_one,
            "too many bytes under way"
        );
        assert!(under_way.operators <= OPERATORS_MAX, "too many operators");
        assert!(
            self.clients.len() <= limits.clients_tracked,
            "too many clients"
        );
    }
}

fn refused<T>(why: BusyReason, retry_after: Span) -> Result<T, Busy> {
    let retry_after = retry_after.max(RETRY_MIN);
    Err(Busy { why, retry_after })
}

fn longest(waits: [Result<(), Span>; 2]) -> Span {
    let waits = waits.into_iter().filter_map(Result::err);
    waits.max().unwrap_or_default()
}

/// The part of a rate that is each client's, if so many ask; and half of the burst, as the other
/// half is for whoever comes.
fn share(all: Rate, clients: u64) -> Rate {
    let least = all.per_second.min(1);
    Rate {
        per_second: (all.per_second / clients).max(least),
        burst: all.burst.divided(2),
    }
}

/// How long until a client may ask: for its share of the rates of all, where these are half used
/// up, and for these themselves.
fn by_rates(
    now: Time,
    rates: [Rate; 2],
    all: &[Bucket; 2],
    shares: [Rate; 2],
    client: &Client,
    costs: [u64; 2],
) -> (Span, Span) {
    let mut of_all = [Ok(()); 2];
    let mut of_share = [Ok(()); 2];
    for at in 0..2 {
        let (rate, cost) = (rates[at], costs[at]);
        of_all[at] = all[at].conforms(rate, now, cost);
        let for_anybody = Rate {
            burst: rate.burst.divided(2),
            ..rate
        };
        if let Err(plenty) = all[at].conforms(for_anybody, now, cost)
            && let Err(own) = client.share[at].conforms(shares[at], now, cost)
        {
            of_share[at] = Err(plenty.min(own));
        }
    }
    (longest(of_share), longest(of_all))
}

/// Whether there is room, and not too much of it taken by this client.
fn by_what_is_under_way(
    limits: &AdmissionLimits,
    under_way: UnderWay,
    client: &Client,
    bytes: u64,
) -> Result<(), Busy> {
    let free = limits.in_flight.saturating_sub(under_way.requests);
    let free_bytes = limits.in_flight_bytes.saturating_sub(under_way.bytes);
    // Alone, one gets in whatever its size: else it never would.
    if free == 0 || (bytes > free_bytes && under_way.requests > 0) {
        return refused(BusyReason::InFlight, CROWDED);
    }
    let is_within = client.in_flight < free && client.in_flight_bytes + bytes <= free_bytes;
    if client.in_flight > 0 && !is_within {
        return refused(BusyReason::InFlightShare, CROWDED);
    }
    Ok(())
}
