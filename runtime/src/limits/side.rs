//! The addresses that connections come from, on one side: how many handshakes each has under way,
//! how fast they begin, how many connections are open. Knows nothing about who is behind them.

use std::net::IpAddr;

use chil_core::Time;

use super::bucket::{Bucket, Rate};
use super::gate::GateReason;
use super::table::{Place, Row, Table};

/// An address, or a network that one customer has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source(u128);

impl Source {
    pub(super) fn of(from: IpAddr) -> Self {
        match from.to_canonical() {
            IpAddr::V4(v4) => Self(u128::from(v4.to_bits())),
            // No address of version 4 is that high: the upper half of one is never zero here.
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64).max(1) << 64),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Address {
    open: usize,
    handshakes: usize,
    rate: Bucket,
}

impl Row for Address {
    fn is_idle(&self, now: Time) -> bool {
        self.open == 0 && self.rate.is_full(now)
    }
}

/// Those who come from addresses of peers, or all others.
#[derive(Debug)]
pub(super) struct Side {
    addresses: Table<Source, Address>,
    rate: Bucket,
    /// Under way.
    handshakes: usize,
}

impl Side {
    pub(super) fn new(addresses_tracked: usize) -> Self {
        Self {
            addresses: Table::new(addresses_tracked),
            rate: Bucket::default(),
            handshakes: 0,
        }
    }

    /// A handshake begins, if there is room: `places` are the handshakes of this side that may be
    /// under way, `per_address` the connections from one address.
    pub(super) fn arrive(
        &mut self,
        now: Time,
        source: Source,
        (places, per_address): (usize, usize),
        rate: Rate,
    ) -> Result<Place<Source>, GateReason> {
        let free = places.saturating_sub(self.handshakes);
        if free == 0 {
            return Err(GateReason::Handshakes);
        }
        let place = self.addresses.place(now, &source, || source);
        let address = self.addresses.row(&place);
        if address.open >= per_address || address.handshakes >= free {
            return Err(GateReason::Address);
        }
        let one = half(rate);
        let is_slow_enough =
            self.rate.conforms(rate, now, 1).is_ok() && address.rate.conforms(one, now, 1).is_ok();
        if !is_slow_enough {
            return Err(GateReason::HandshakeRate);
        }
        address.rate.spend(one, now, 1);
        address.open += 1;
        address.handshakes += 1;
        self.rate.spend(rate, now, 1);
        self.handshakes += 1;
        Ok(place)
    }

    /// How many are under way.
    pub(super) const fn handshakes(&self) -> usize {
        self.handshakes
    }

    pub(super) fn end_handshake(&mut self, place: &Place<Source>) {
        self.handshakes -= 1;
        self.addresses.row(place).handshakes -= 1;
    }

    pub(super) fn left(&mut self, place: &Place<Source>) {
        self.addresses.row(place).open -= 1;
    }

    pub(super) fn check(&self, per_address: usize, tracked: usize) {
        let rows = || self.addresses.rows();
        let under_way: usize = rows().map(|row| row.handshakes).sum();
        assert_eq!(under_way, self.handshakes, "handshakes");
        assert!(
            rows().all(|row| row.handshakes <= row.open),
            "handshakes of an address"
        );
        assert!(
            rows().all(|row| row.open <= per_address),
            "connections of an address"
        );
        assert!(self.addresses.len() <= tracked, "addresses");
    }
}

/// What one address gets: a flood from it leaves half of the rate to all others.
fn half(all: Rate) -> Rate {
    let per_second = match all.per_second {
        0 => 0,
        most => (most / 2).max(1),
    };
    Rate { per_second, ..all }
}
