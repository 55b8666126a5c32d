//! The directory: single stories, and any order of events against a model of few words.
//! Knows nothing about real addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use chil_core::{Span, Time};
use proptest::prelude::*;

use super::{Directory, ResolveError, Tried};

fn at(last: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 7000))
}

fn time(seconds: u64) -> Time {
    Time::from_nanos(seconds * 1_000_000_000)
}

fn failed() -> ResolveError {
    ResolveError::Failed {
        host: "a".to_owned(),
        reason: "SERVFAIL".to_owned(),
    }
}

fn knowing(patience: u32, found: &[u8]) -> Directory {
    let mut directory = Directory::new(patience);
    directory.ask("a:1");
    learn(&mut directory, found);
    directory
}

fn learn(directory: &mut Directory, found: &[u8]) -> bool {
    let found = found.iter().map(|last| at(*last)).collect();
    let changed = directory.learned(time(1), "a:1", Ok(found));
    directory.check();
    changed
}

#[test]
fn what_worked_last_is_tried_first_and_what_failed_last() {
    let mut directory = knowing(2, &[1, 2, 3]);
    assert_eq!(directory.candidates("a:1"), [at(1), at(2), at(3)]);
    directory.tried("a:1", at(1), Tried::Failed);
    directory.tried("a:1", at(2), Tried::Connected);
    assert_eq!(directory.candidates("a:1"), [at(2), at(3), at(1)]);
    directory.tried("a:1", at(3), Tried::Failed);
    directory.tried("a:1", at(2), Tried::Failed);
    let longest_ago_first = [at(1), at(3), at(2)];
    assert_eq!(directory.candidates("a:1"), longest_ago_first);
    assert!(directory.is_lost("a:1"));
    learn(&mut directory, &[3, 2, 1]);
    assert_eq!(directory.candidates("a:1"), longest_ago_first);
}

#[test]
fn a_failed_or_empty_answer_changes_nothing_but_the_reason() {
    let mut directory = knowing(1, &[1]);
    let version = directory.version("a:1");
    assert!(!directory.learned(time(9), "a:1", Err(failed())));
    assert!(!directory.learned(time(9), "a:1", Ok(Vec::new())));
    assert_eq!(directory.candidates("a:1"), [at(1)]);
    assert_eq!(directory.version("a:1"), version);
    assert_eq!(directory.error("a:1"), Some(failed()));
    assert_eq!(directory.age(time(9)), Some(Span::from_millis(8_000)));
    assert_eq!(directory.since_attempt(time(9), "a:1"), Some(Span::ZERO));
    learn(&mut directory, &[1]);
    assert_eq!(directory.error("a:1"), None);
}

#[test]
fn an_address_is_left_once_it_was_missing_twice_running() {
    let mut directory = knowing(2, &[1]);
    directory.tried("a:1", at(1), Tried::Connected);
    assert!(learn(&mut directory, &[2]), "news: there is another one");
    assert!(!directory.left("a:1", at(1)), "missing once");
    assert_eq!(directory.candidates("a:1"), [at(1), at(2)]);
    assert!(!learn(&mut directory, &[2, 1]), "it is there again");
    learn(&mut directory, &[2]);
    assert!(!directory.left("a:1", at(1)), "missing once again");
    assert!(learn(&mut directory, &[2]));
    assert!(directory.left("a:1", at(1)));
    assert_eq!(directory.candidates("a:1"), [at(2)]);
}

#[test]
fn a_source_that_is_always_complete_is_believed_at_once() {
    let mut directory = knowing(1, &[1, 2]);
    assert!(learn(&mut directory, &[2]));
    assert!(directory.left("a:1", at(1)) && !directory.left("a:1", at(2)));
}

#[test]
fn literals_do_not_grow_old() {
    let mut directory = Directory::new(1);
    directory.ask("10.0.0.1:7000");
    directory.learned(time(1), "10.0.0.1:7000", Ok(vec![at(1)]));
    assert_eq!(directory.age(time(9)), None);
    directory.ask("a:1");
    directory.learned(time(2), "a:1", Ok(vec![at(1)]));
    assert_eq!(directory.age(time(9)), Some(Span::from_millis(7_000)));
}

#[test]
fn what_is_unknown_has_not_been_left() {
    let mut directory = Directory::new(1);
    assert!(!directory.left("a:1", at(1)));
    directory.ask("a:1");
    assert!(!directory.left("a:1", at(1)), "no answer yet");
    assert!(!directory.learned(time(1), "b:1", Ok(vec![at(1)])));
    assert_eq!(directory.spots(), 0, "nobody asked for b");
}

#[test]
fn addresses_of_peers_are_recognised_in_either_form() {
    let directory = knowing(1, &[1]);
    assert!(directory.leads_to("10.0.0.1".parse().unwrap()));
    assert!(directory.leads_to("::ffff:10.0.0.1".parse().unwrap()));
    assert!(!directory.leads_to("10.0.0.2".parse().unwrap()));
}

#[test]
fn what_nobody_asks_for_is_forgotten_first() {
    let mut directory = Directory::new(1);
    let name = |i: usize| format!("n{i}:1");
    for i in 0..Directory::PLACES_MAX {
        assert_eq!(directory.ask(&name(i)), None);
    }
    directory.ask(&name(0));
    assert_eq!(directory.ask("one-more:1"), Some(name(1)));
    directory.check();
    assert!(directory.addresses().any(|address| address == name(0)));
}

#[test]
fn an_answer_without_end_is_cut() {
    let many: Vec<u8> = (0..100).collect();
    let directory = knowing(1, &many);
    assert_eq!(directory.spots(), Directory::SPOTS_MAX);
}

#[derive(Clone, Debug)]
enum Event {
    Answer(u8, Vec<u8>),
    Error(u8),
    Tried(u8, u8, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let answer = prop::collection::vec(0..6u8, 0..5);
    prop_oneof![
        4 => (0..3u8, answer).prop_map(|(place, found)| Event::Answer(place, found)),
        1 => (0..3u8).prop_map(Event::Error),
        3 => (0..3u8, 0..6u8, any::<bool>()).prop_map(|(p, a, ok)| Event::Tried(p, a, ok)),
    ]
}

proptest! {
    #[test]
    fn candidates_are_what_the_last_answers_held(
        patience in 1..4u32,
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut directory = Directory::new(patience);
        let name = |place: u8| format!("n{place}:1");
        (0..3).for_each(|place| { directory.ask(&name(place)); });
        let mut answers: BTreeMap<u8, Vec<BTreeSet<SocketAddr>>> = BTreeMap::new();
        for (i, event) in events.iter().enumerate() {
            let now = time(i as u64);
            match event {
                Event::Answer(place, found) => {
                    let before = set(&directory, &name(*place));
                    let version = directory.version(&name(*place));
                    let found: Vec<SocketAddr> = found.iter().map(|last| at(*last)).collect();
                    if !found.is_empty() {
                        answers.entry(*place).or_default().push(found.iter().copied().collect());
                    }
                    let news = directory.learned(now, &name(*place), Ok(found));
                    prop_assert_eq!(news, set(&directory, &name(*place)) != before);
                    prop_assert_eq!(news, directory.version(&name(*place)) != version);
                }
                Event::Error(place) => {
                    prop_assert!(!directory.learned(now, &name(*place), Err(failed())));
                }
                Event::Tried(place, last, ok) => {
                    let outcome = if *ok { Tried::Connected } else { Tried::Failed };
                    let known = set(&directory, &name(*place)).contains(&at(*last));
                    directory.tried(&name(*place), at(*last), outcome);
                    if known && *ok {
                        prop_assert_eq!(directory.candidates(&name(*place))[0], at(*last));
                    }
                }
            }
            directory.check();
            for place in 0..3 {
                let all = answers.get(&place).map_or(&[][..], Vec::as_slice);
                let last = &all[all.len().saturating_sub(patience as usize)..];
                let expected: BTreeSet<SocketAddr> = last.iter().flatten().copied().collect();
                prop_assert_eq!(&set(&directory, &name(place)), &expected);
                for last in 0..6 {
                    let left = !expected.is_empty() && !expected.contains(&at(last));
                    prop_assert_eq!(directory.left(&name(place), at(last)), left);
                }
            }
        }
    }
}

fn set(directory: &Directory, address: &str) -> BTreeSet<SocketAddr> {
    directory.candidates(address).into_iter().collect()
}
