//! Tests of admission: its bounds, its fairness, and that what it tells clients is true.
//! Knows nothing about connections.

use std::collections::BTreeMap;

use chil_core::{Span, Time};
use proptest::prelude::*;

use super::admission::{Admission, AdmissionLimits, Asker, Busy, BusyReason, Charge, UnderWay};
use super::bucket::Rate;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// No rates, and much room.
const WIDE: AdmissionLimits = AdmissionLimits {
    requests: Rate::NONE,
    bytes: Rate::NONE,
    client_requests: Rate::NONE,
    client_bytes: Rate::NONE,
    in_flight: 1_000,
    in_flight_bytes: 1_000_000,
    clients_tracked: 8,
    late_max: Span::ZERO,
};

const fn rate(per_second: u64) -> Rate {
    Rate {
        per_second,
        burst: Span::from_millis(1_000),
    }
}

fn ask(admission: &mut Admission, now: Time, who: &str) -> Result<Charge, Busy> {
    let asked = admission.ask(now, Asker::Client(who), 10);
    admission.check();
    asked
}

/// Asks for as much as is to be had.
fn fill(admission: &mut Admission, who: &str) -> (Vec<Charge>, BusyReason) {
    let mut held = Vec::new();
    loop {
        match ask(admission, Time::ZERO, who) {
            Ok(charge) => held.push(charge),
            Err(busy) => return (held, busy.why),
        }
    }
}

#[test]
fn one_alone_gets_half_and_whoever_is_new_finds_room() {
    let limits = AdmissionLimits {
        in_flight: 64,
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let got: Vec<_> = NAMES.map(|who| fill(&mut admission, who)).into();
    let counts: Vec<_> = got.iter().map(|(held, _)| held.len()).collect();
    assert_eq!(counts, [32, 16, 8, 4]);
    assert!(got.iter().all(|(_, why)| *why == BusyReason::InFlightShare));
    for (held, _) in got {
        held.into_iter().for_each(|charge| admission.done(charge));
    }
    admission.check();
    assert_eq!(admission.under_way(), UnderWay::default());
}

#[test]
fn of_greedy_clients_each_ends_with_its_part() {
    let limits = AdmissionLimits {
        in_flight: 90,
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let mut held = NAMES.map(|_| Vec::new());
    for round in 0..2_000 {
        let at = round % NAMES.len();
        held[at].extend(ask(&mut admission, Time::ZERO, NAMES[at]));
        // The oldest is answered now and then, whoever asked for it.
        let longest = held.iter_mut().max_by_key(|held| held.len());
        if let Some(longest) = longest.filter(|held| round % 3 == 0 && held.len() > 10) {
            admission.done(longest.remove(0));
        }
    }
    for held in &held {
        assert!((14..=20).contains(&held.len()), "{}", held.len());
    }
}

#[test]
fn bytes_are_shared_as_requests_are_and_a_huge_one_gets_in_alone() {
    let limits = AdmissionLimits {
        in_flight_bytes: 100,
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let mut held = Vec::new();
    let mut ask = |admission: &mut Admission, who, bytes| {
        let asked = admission.ask(Time::ZERO, Asker::Client(who), bytes);
        admission.check();
        asked
            .map(|charge| held.push(charge))
            .map_err(|busy| busy.why)
    };
    assert_eq!(ask(&mut admission, "a", 40), Ok(()));
    assert_eq!(ask(&mut admission, "a", 21), Err(BusyReason::InFlightShare));
    assert_eq!(ask(&mut admission, "b", 61), Err(BusyReason::InFlight));
    assert_eq!(ask(&mut admission, "b", 60), Ok(()));
    assert_eq!(ask(&mut admission, "c", 0), Err(BusyReason::InFlight));
    held.into_iter().for_each(|charge| admission.done(charge));
    let huge = admission
        .ask(Time::ZERO, Asker::Client("a"), 5_000)
        .unwrap();
    admission.check();
    let second = admission.ask(Time::ZERO, Asker::Client("b"), 0);
    assert_eq!(second.unwrap_err().why, BusyReason::InFlight);
    admission.done(huge);
}

#[test]
fn a_client_that_stays_below_its_share_never_notices_a_greedy_one() {
    let limits = AdmissionLimits {
        requests: rate(100),
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let (mut greedy, mut refused) = (0, 0);
    for ms in 0..20_000 {
        let now = Time::from_nanos(ms * 1_000_000);
        for _ in 0..5 {
            if let Ok(charge) = ask(&mut admission, now, "greedy") {
                admission.done(charge);
                greedy += u64::from(ms >= 10_000);
            }
        }
        // One comes for 40 a second when the other has long taken all.
        if ms >= 5_000 && ms % 25 == 0 {
            match ask(&mut admission, now, "modest") {
                Ok(charge) => admission.done(charge),
                Err(_) => refused += 1,
            }
        }
    }
    assert_eq!(refused, 0);
    // And what is left of the rate is not wasted.
    assert!((590..=610).contains(&greedy), "{greedy}");
}

#[test]
fn greedy_clients_have_equal_shares_of_the_rate_however_fast_they_ask() {
    let limits = AdmissionLimits {
        bytes: rate(10_000),
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let mut got = BTreeMap::new();
    for ms in 0..20_000 {
        let now = Time::from_nanos(ms * 1_000_000);
        for (who, times) in [("a", 9), ("b", 2), ("c", 1)] {
            for _ in 0..times {
                if let Ok(charge) = ask(&mut admission, now, who) {
                    admission.done(charge);
                    *got.entry(who).or_insert(0) += u64::from(ms >= 5_000);
                }
            }
        }
    }
    assert!(got.values().all(|n| (4_750..=5_250).contains(n)), "{got:?}");
}

#[test]
fn clients_are_held_to_their_own_rate_whatever_the_others_do() {
    let limits = AdmissionLimits {
        client_requests: rate(10),
        client_bytes: rate(1_000),
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let (held, why) = fill(&mut admission, "a");
    assert_eq!((held.len(), why), (10, BusyReason::ClientRate));
    let bytes = admission.ask(Time::ZERO, Asker::Client("b"), 900);
    assert!(bytes.is_ok());
    let busy = admission
        .ask(Time::ZERO, Asker::Client("b"), 200)
        .unwrap_err();
    assert_eq!(busy.retry_after, Span::from_millis(100));
}

#[test]
fn operators_get_in_when_all_else_is_full_and_late() {
    let limits = AdmissionLimits {
        in_flight: 1,
        late_max: Span::from_millis(5),
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let _held = fill(&mut admission, "a");
    admission.measured(Time::ZERO, Span::from_millis(50));
    let busy = ask(&mut admission, Time::from_nanos(1), "b").unwrap_err();
    assert_eq!(busy.why, BusyReason::Late);
    let mut held = Vec::new();
    while let Ok(charge) = admission.ask(Time::ZERO, Asker::Operator, 1 << 40) {
        held.push(charge);
        admission.check();
    }
    assert_eq!(held.len(), 16);
    held.into_iter().for_each(|charge| admission.done(charge));
    assert_eq!(admission.under_way().operators, 0);
    let after = Time::from_nanos(50_000_000) + busy.retry_after;
    assert_eq!(
        ask(&mut admission, after, "b").unwrap_err().why,
        BusyReason::InFlight
    );
}

#[test]
fn more_clients_than_are_told_apart_share_an_account() {
    let limits = AdmissionLimits {
        client_requests: rate(1),
        clients_tracked: 2,
        ..WIDE
    };
    let mut admission = Admission::new(limits);
    let held: Vec<_> = ["a", "b", "c"]
        .map(|who| ask(&mut admission, Time::ZERO, who))
        .into();
    assert!(held.iter().all(Result::is_ok));
    let busy = ask(&mut admission, Time::ZERO, "d").unwrap_err();
    assert_eq!(busy.why, BusyReason::ClientRate);
    held.into_iter()
        .flatten()
        .for_each(|charge| admission.done(charge));
    // Once the others are idle, there is room.
    let later = Time::from_nanos(1_500_000_000);
    for who in ["d", "e"] {
        assert!(ask(&mut admission, later, who).is_ok());
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(usize, u64),
    Done(usize),
    Pass(u64),
    Late(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..NAMES.len(), 0_u64..400).prop_map(|(who, bytes)| Step::Ask(who, bytes)),
        5 => any::<usize>().prop_map(Step::Done),
        3 => (0_u64..40_000_000).prop_map(Step::Pass),
        1 => (0_u64..30_000_000).prop_map(Step::Late),
    ]
}

fn limits() -> impl Strategy<Value = AdmissionLimits> {
    let rates = prop::array::uniform4((0_u64..2_000, 1_u64..500));
    (rates, 1_u64..20, 1_u64..2_000, 0_usize..4).prop_map(|(rates, in_flight, bytes, tracked)| {
        let [requests, bytes_rate, client_requests, client_bytes] =
            rates.map(|(per_second, burst)| Rate {
                per_second,
                burst: Span::from_millis(burst),
            });
        AdmissionLimits {
            requests,
            bytes: bytes_rate,
            client_requests,
            client_bytes,
            in_flight,
            in_flight_bytes: bytes,
            clients_tracked: tracked,
            late_max: Span::from_millis(10),
        }
    })
}

proptest! {
    /// Whatever is asked, nothing that is under way is ever lost or above its limits; and who
    /// comes again when told to, with nobody else there, is let in.
    #[test]
    fn nothing_is_lost_and_what_clients_are_told_is_true(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut admission = Admission::new(limits);
        let mut now = Time::from_nanos(1);
        let mut held: Vec<Charge> = Vec::new();
        for step in steps {
            match step {
                Step::Ask(who, bytes) => {
                    let asker = Asker::Client(NAMES[who]);
                    match admission.ask(now, asker, bytes) {
                        Ok(charge) => held.push(charge),
                        Err(busy) => {
                            prop_assert!(busy.retry_after > Span::ZERO);
                            let mut alone = admission.clone();
                            let again = alone.ask(now + busy.retry_after, asker, bytes);
                            // Nobody knows when what is under way is done.
                            prop_assert!(again.map_or_else(|b| is_in_flight(b.why), |_| true));
                        }
                    }
                }
                Step::Done(at) if !held.is_empty() => {
                    admission.done(held.swap_remove(at % held.len()));
                }
                Step::Done(_) => {}
                Step::Pass(nanos) => now += Span::from_nanos(nanos),
                Step::Late(nanos) => admission.measured(now, Span::from_nanos(nanos)),
            }
            admission.check();
            prop_assert_eq!(admission.under_way().requests, held.len() as u64);
        }
        held.into_iter().for_each(|charge| admission.done(charge));
        admission.check();
        prop_assert_eq!(admission.under_way(), UnderWay::default());
    }
}

fn is_in_flight(why: BusyReason) -> bool {
    matches!(why, BusyReason::InFlight | BusyReason::InFlightShare)
}
