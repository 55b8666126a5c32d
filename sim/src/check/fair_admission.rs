//! Fair admission: what nodes let in of what clients ask stays within the limits, and nobody is
//! turned away while there is room, or for having had a share that others have had.
//! Knows nothing about how a node decides: it keeps accounts of its own, and its rates are buckets
//! that are filled drop by drop.
//!
//! Turner, "New directions in communications" (1986), leaky bucket as a meter. Choudhury, Hahne,
//! "Dynamic queue length thresholds for shared-memory packet switches" (1998).

use chil::limits::{Busy, BusyReason};
use chil_core::{Span, Time};

use crate::plan::AdmissionPlan;

/// By how much the accounts may differ because a node rounds each grant to a nanosecond.
const ROUNDING: Span = Span::from_micros(10);
/// Parts of one request or byte.
const PARTS: i128 = 1_000_000_000;

/// What may be had at a rate: so much a second, and what was saved up.
#[derive(Clone, Copy, Debug)]
struct Filled {
    per_second: i128,
    most: i128,
    level: i128,
    at: Time,
}

impl Filled {
    fn new(per_second: u64, burst_us: u64) -> Self {
        let per_second = i128::from(per_second);
        let most = per_second * i128::from(burst_us) * 1_000;
        Self {
            per_second,
            most,
            level: most,
            at: Time::ZERO,
        }
    }

    /// How much is missing for something; less than zero if something is left.
    fn missing(&mut self, now: Time, cost: u64) -> i128 {
        let new = self.per_second * i128::from(now.since(self.at).nanos());
        self.level = (self.level + new).min(self.most);
        self.at = self.at.max(now);
        // What is more than a bucket holds is granted by a full one, and owed.
        (i128::from(cost) * PARTS).min(self.most) - self.level
    }

    /// Whether something is granted that must not be.
    fn is_short(&mut self, now: Time, cost: u64) -> bool {
        self.per_second > 0 && self.missing(now, cost) > 0
    }

    /// Whether something must not be refused.
    fn is_plenty(&mut self, now: Time, cost: u64) -> bool {
        let rounding = self.per_second * i128::from(ROUNDING.nanos());
        self.per_second == 0 || self.missing(now, cost) < -rounding
    }

    fn takes(&mut self, now: Time, cost: u64) {
        if self.per_second > 0 {
            self.missing(now, cost);
            self.level -= i128::from(cost) * PARTS;
        }
    }
}

/// One client, as this node sees it.
#[derive(Clone, Debug)]
struct Client {
    own: [Filled; 2],
    share: [Filled; 2],
    requests: u64,
    bytes: u64,
}

/// The accounts of one node's life.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    limits: AdmissionPlan,
    all: [Filled; 2],
    clients: Vec<Client>,
    requests: u64,
    bytes: u64,
    late_until: Time,
}

impl Accounts {
    /// Nobody has asked this life of a node for anything.
    pub(crate) fn new(limits: AdmissionPlan, clients: usize) -> Self {
        let burst = limits.burst_us;
        let rates = [limits.requests_per_second, limits.bytes_per_second];
        let own = [
            limits.client_requests_per_second,
            limits.client_bytes_per_second,
        ];
        // If all asked at the same time; and one half of a burst is nobody's share.
        let share = |rate: u64| (rate / clients.max(1) as u64).max(rate.min(1));
        let client = Client {
            own: own.map(|rate| Filled::new(rate, burst)),
            share: rates.map(|rate| Filled::new(share(rate), burst / 2)),
            requests: 0,
            bytes: 0,
        };
        Self {
            all: rates.map(|rate| Filled::new(rate, burst)),
            clients: vec![client; clients],
            requests: 0,
            bytes: 0,
            late_until: Time::ZERO,
            limits,
        }
    }

    /// A node woke so late.
    pub(crate) fn woke(&mut self, now: Time, late: Span) {
        if late > Span::from_micros(self.limits.late_max_us) {
            self.late_until = self.late_until.max(now + late);
        }
    }

    /// A node was asked for something of so many bytes, and let it in or not.
    pub(crate) fn asked(
        &mut self,
        now: Time,
        client: usize,
        bytes: u64,
        refused: Option<Busy>,
    ) -> Result<(), String> {
        let costs = [1, bytes.max(1)];
        let found = match refused {
            None => self.let_in(now, client, costs),
            Some(busy) => self.turned_away(now, client, costs, busy),
        };
        found.map_err(|what| {
            let Client {
                requests, bytes, ..
            } = &self.clients[client];
            format!(
                "{what}: client {client} asks for {} bytes, and has {requests} requests of {bytes} \
                 bytes under way, all have {} of {}",
                costs[1], self.requests, self.bytes
            )
        })
    }

    /// What was let in of a client is done.
    pub(crate) fn done(&mut self, client: usize, bytes: u64) {
        let of = &mut self.clients[client];
        of.requests -= 1;
        of.bytes -= bytes.max(1);
        self.requests -= 1;
        self.bytes -= bytes.max(1);
    }

    fn has_room(&self, bytes: u64) -> bool {
        let fits = self.bytes + bytes <= self.limits.in_flight_bytes;
        self.requests < self.limits.in_flight && (fits || self.requests == 0)
    }

    /// Whether a client has no more than is left for all.
    fn has_share(&self, client: usize, bytes: u64) -> bool {
        let (of, limits) = (&self.clients[client], &self.limits);
        let few = self.requests + of.requests < limits.in_flight;
        let small = self.bytes + of.bytes + bytes <= limits.in_flight_bytes;
        of.requests == 0 || (few && small)
    }

    fn tells_apart(&self) -> bool {
        self.limits.clients_tracked >= self.clients.len()
    }

    fn let_in(&mut self, now: Time, client: usize, costs: [u64; 2]) -> Result<(), String> {
        let is_short = |filled: &mut [Filled; 2]| {
            let mut each = filled.iter_mut().zip(costs);
            each.any(|(filled, cost)| filled.is_short(now, cost))
        };
        if is_short(&mut self.all) {
            return Err("lets in more than the rate of all clients".to_owned());
        }
        // Whoever shares a row and then gets one of its own begins anew there: where nodes do not
        // tell all apart, a client may have a second burst.
        let tells_apart = self.tells_apart();
        if is_short(&mut self.clients[client].own) && tells_apart {
            return Err("lets in more than the rate of a client".to_owned());
        }
        if !self.has_room(costs[1]) {
            return Err("lets in more than may be under way".to_owned());
        }
        if self.tells_apart() && !self.has_share(client, costs[1]) {
            return Err("lets in more of one client than is left for all".to_owned());
        }
        let of = &mut self.clients[client];
        for filled in [&mut self.all, &mut of.own, &mut of.share] {
            let each = filled.iter_mut().zip(costs);
            each.for_each(|(filled, cost)| filled.takes(now, cost));
        }
        of.requests += 1;
        of.bytes += costs[1];
        self.requests += 1;
        self.bytes += costs[1];
        Ok(())
    }

    fn turned_away(
        &mut self,
        now: Time,
        client: usize,
        costs: [u64; 2],
        busy: Busy,
    ) -> Result<(), String> {
        let is_plenty = |filled: &mut [Filled; 2]| {
            let mut each = filled.iter_mut().zip(costs);
            each.all(|(filled, cost)| filled.is_plenty(now, cost))
        };
        if busy.retry_after < Span::from_millis(1) {
            return Err("says to come again at once".to_owned());
        }
        let tells_apart = self.tells_apart();
        let of = &mut self.clients[client];
        let wrong = match busy.why {
            BusyReason::Late => now >= self.late_until,
            BusyReason::Rate => is_plenty(&mut self.all),
            BusyReason::RateShare => tells_apart && is_plenty(&mut of.share),
            BusyReason::ClientRate => tells_apart && is_plenty(&mut of.own),
            BusyReason::InFlight => self.has_room(costs[1]),
            BusyReason::InFlightShare => tells_apart && self.has_share(client, costs[1]),
        };
        if wrong {
            return Err(format!("turns somebody away for '{}'", busy.why.code()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: AdmissionPlan = AdmissionPlan {
        requests_per_second: 100,
        bytes_per_second: 0,
        client_requests_per_second: 50,
        client_bytes_per_second: 0,
        burst_us: 100_000,
        in_flight: 8,
        in_flight_bytes: 1_000,
        clients_tracked: 2,
        late_max_us: 10,
    };

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn more_than_the_rates_and_more_than_may_be_under_way_are_found() {
        let mut accounts = Accounts::new(PLAN, 2);
        let mut asks = |client, bytes| accounts.asked(at(0), client, bytes, None);
        for _ in 0..4 {
            assert_eq!(asks(0, 1), Ok(()));
        }
        let found = asks(0, 1).unwrap_err();
        assert!(found.contains("of one client than is left"), "{found}");
        let found = asks(1, 997).unwrap_err();
        assert!(found.contains("more than may be under way: "), "{found}");
        assert_eq!(asks(1, 996), Ok(()));

        let plan = AdmissionPlan {
            in_flight: 100,
            clients_tracked: 20,
            ..PLAN
        };
        let mut accounts = Accounts::new(plan, 20);
        let mut asks = |client| accounts.asked(at(0), client, 1, None);
        for _ in 0..5 {
            assert_eq!(asks(0), Ok(()));
        }
        let found = asks(0).unwrap_err();
        assert!(found.contains("the rate of a client"), "{found}");
        for client in 1..6 {
            assert_eq!(asks(client), Ok(()));
        }
        let found = asks(6).unwrap_err();
        assert!(found.contains("the rate of all"), "{found}");
    }

    #[test]
    fn the_rate_of_one_is_held_where_clients_are_told_apart() {
        for (clients_tracked, is_found) in [(2, true), (1, false)] {
            let plan = AdmissionPlan {
                in_flight: 100,
                requests_per_second: 1_000,
                clients_tracked,
                ..PLAN
            };
            let mut accounts = Accounts::new(plan, 2);
            let asked: Vec<_> = (0..6).map(|_| accounts.asked(at(0), 0, 1, None)).collect();
            assert_eq!(asked.iter().any(Result::is_err), is_found, "{asked:?}");
        }
    }

    #[test]
    fn who_is_turned_away_without_need_is_found() {
        let plan = AdmissionPlan {
            in_flight: 4,
            ..PLAN
        };
        let mut accounts = Accounts::new(plan, 2);
        let mut refused = |ms, client, why| {
            let retry_after = Span::from_millis(1);
            accounts.asked(at(ms), client, 1, Some(Busy { why, retry_after }))
        };
        for why in BusyReason::ALL {
            let found = refused(0, 0, why).unwrap_err();
            assert!(found.contains(why.code()), "{found}");
        }
        accounts.woke(at(0), Span::from_millis(5));
        accounts.asked(at(0), 0, 1, None).unwrap();
        accounts.asked(at(0), 0, 1, None).unwrap();
        let mut refused = |ms, client, why| {
            let retry_after = Span::from_millis(1);
            accounts.asked(at(ms), client, 1, Some(Busy { why, retry_after }))
        };
        assert_eq!(refused(4, 0, BusyReason::Late), Ok(()));
        assert!(refused(5, 0, BusyReason::Late).is_err());
        assert_eq!(refused(5, 0, BusyReason::InFlightShare), Ok(()));
        assert!(refused(5, 1, BusyReason::InFlightShare).is_err());
        assert!(refused(5, 0, BusyReason::InFlight).is_err());
        assert_eq!(refused(5, 0, BusyReason::RateShare), Ok(()));
        assert!(refused(5, 1, BusyReason::RateShare).is_err());
        let retry_after = Span::ZERO;
        let why = BusyReason::InFlightShare;
        let at_once = accounts.asked(at(5), 0, 1, Some(Busy { why, retry_after }));
        assert!(at_once.is_err());
    }
}
