//! The automaton: single answers, and any order of them against an API server of the test.
//! Knows nothing about HTTP.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use chil_core::{Span, Time};
use proptest::prelude::*;

use super::slice::{Endpoint, Slice};
use super::watch::{Answer, Ask, Watch};

fn slice(name: &str, version: u64, ends: &[u8]) -> Slice {
    let endpoint = |last: &u8| Endpoint {
        name: format!("chil-{}", last % 4),
        terminating: false,
        ip: IpAddr::from(Ipv4Addr::new(10, 0, 0, *last)),
        port: None,
    };
    Slice {
        name: name.to_owned(),
        version: version.to_string(),
        endpoints: ends.iter().map(endpoint).collect(),
    }
}

fn page(slices: Vec<Slice>, version: u64, more: Option<&str>) -> Answer {
    Answer::Page {
        slices,
        version: version.to_string(),
        more: more.map(str::to_owned),
    }
}

fn refused(status: u16) -> Answer {
    Answer::Refused {
        status,
        retry_after: None,
        text: String::new(),
    }
}

fn list() -> Ask {
    Ask::List { from: None }
}

fn watch_from(version: u64) -> Ask {
    Ask::Watch {
        version: version.to_string(),
    }
}

fn at(seconds: u64) -> Time {
    Time::from_nanos(seconds * 1_000_000_000)
}

fn watching() -> Watch {
    let mut watch = Watch::new(7);
    assert!(watch.handle(at(0), page(vec![slice("a", 3, &[1])], 5, None)));
    watch.handle(at(0), Answer::Opened);
    watch
}

fn names(watch: &Watch) -> Vec<String> {
    let endpoints = watch.endpoints().into_values().flatten();
    endpoints.map(|e| format!("{} {}", e.name, e.ip)).collect()
}

#[test]
fn it_lists_page_by_page_and_watches_from_there() {
    let mut watch = Watch::new(7);
    assert_eq!(watch.next(), (Time::ZERO, list()));
    assert!(!watch.handle(at(0), page(vec![slice("a", 3, &[1])], 5, Some("next"))));
    assert!(
        !watch.is_listed() && names(&watch).is_empty(),
        "half a list"
    );
    let from = Some("next".to_owned());
    assert_eq!(watch.next().1, Ask::List { from });
    assert!(watch.handle(at(0), page(vec![slice("b", 4, &[2])], 5, None)));
    assert_eq!(names(&watch), ["chil-1 10.0.0.1", "chil-2 10.0.0.2"]);
    assert_eq!(watch.next(), (Time::ZERO, watch_from(5)));
}

#[test]
fn events_and_bookmarks_move_the_version_on() {
    let mut watch = watching();
    assert!(watch.handle(at(1), Answer::Changed(slice("b", 6, &[2]))));
    assert_eq!(watch.next().1, watch_from(6));
    let same = Answer::Changed(slice("b", 7, &[2]));
    assert!(!watch.handle(at(1), same), "only its version is new");
    assert!(!watch.handle(at(1), Answer::Bookmark("40".to_owned())));
    assert_eq!(watch.next().1, watch_from(40));
    assert!(watch.handle(at(1), Answer::Deleted(slice("a", 41, &[]))));
    assert!(!watch.handle(at(9), Answer::Ended));
    assert_eq!(watch.next(), (Time::ZERO, watch_from(41)), "at once");
    assert_eq!(names(&watch), ["chil-2 10.0.0.2"]);
}

#[test]
fn what_is_too_old_is_listed_again_and_stays_known_meanwhile() {
    let mut watch = watching();
    watch.handle(at(1), refused(410));
    assert_eq!(
        watch.next(),
        (Time::ZERO, list()),
        "at once, the first time"
    );
    assert_eq!(names(&watch), ["chil-1 10.0.0.1"]);
    watch.handle(at(1), page(vec![slice("a", 9, &[1])], 9, Some("next")));
    watch.handle(at(1), refused(410));
    assert_eq!(
        watch.next().1,
        list(),
        "the pages are of a list that is gone"
    );
    assert!(!watch.handle(at(1), page(vec![slice("z", 9, &[1])], 9, None)));
    assert!(watch.handle(at(1), Answer::Deleted(slice("z", 10, &[]))));
    assert!(names(&watch).is_empty());
}

#[test]
fn a_server_that_always_says_too_old_is_not_asked_all_the_time() {
    let mut watch = watching();
    let mut now = at(1);
    let mut asked = 0;
    while now < at(61) {
        asked += 1;
        watch.handle(now, refused(410));
        now = now.max(watch.next().0);
    }
    assert!(asked < 12, "{asked} in a minute");
}

#[test]
fn lists_that_are_too_old_at_once_are_not_asked_for_all_the_time() {
    // Each list succeeds, and what it names is too old when the stream is asked for, or says so
    // itself as its first event.
    for opens in [false, true] {
        let mut watch = Watch::new(7);
        let (mut now, mut asked) = (at(1), 0);
        while now < at(61) {
            asked += 1;
            watch.handle(now, page(vec![slice("a", 3, &[1])], 5, None));
            if opens {
                watch.handle(now, Answer::Opened);
                watch.handle(now, Answer::Bookmark("6".to_owned()));
            }
            watch.handle(now, refused(410));
            now = now.max(watch.next().0);
        }
        assert!((3..12).contains(&asked), "{asked} in a minute");
        // A stream that lasts makes good for all of it.
        watch.handle(now, page(vec![slice("a", 3, &[1])], 5, None));
        watch.handle(now, Answer::Opened);
        let later = now + Span::from_millis(5_000);
        watch.handle(later, refused(410));
        assert!(watch.next().0 <= later, "at once, the first time");
    }
}

#[test]
fn failures_pause_longer_and_longer_with_jitter_and_success_forgets_them() {
    let pauses = |seed| {
        let mut watch = Watch::new(seed);
        let mut now = at(1);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            watch.handle(now, refused(503));
            pauses.push(watch.next().0.since(now));
            now = watch.next().0;
        }
        watch.handle(now, page(Vec::new(), 1, None));
        watch.handle(now, Answer::Broken("reset".to_owned()));
        (pauses, watch.next().0.since(now))
    };
    let (first, after_success) = pauses(1);
    for (i, pause) in first.iter().enumerate() {
        let most = Span::from_millis(1_000 << i).min(Span::from_millis(30_000));
        assert!(*pause <= most && *pause >= most.divided(2), "{i}: {pause}");
    }
    assert!(after_success <= Span::from_millis(1_000));
    assert_ne!(first, pauses(2).0, "nodes must not ask in step");
}

#[test]
fn the_server_may_ask_for_a_pause_within_reason() {
    let pause = |seconds: u64| {
        let mut watch = watching();
        watch.handle(
            at(1),
            Answer::Refused {
                status: 429,
                retry_after: Some(Span::from_millis(seconds * 1_000)),
                text: String::new(),
            },
        );
        assert_eq!(watch.next().1, watch_from(5), "nothing was lost");
        watch.next().0.since(at(1)).millis()
    };
    assert_eq!(pause(17), 17_000);
    assert!((500..=1_000).contains(&pause(0)));
    assert_eq!(pause(1 << 40), 120_000);
}

#[test]
fn an_expired_token_is_read_again_at_once_but_not_for_ever() {
    let mut watch = watching();
    watch.handle(at(1), refused(401));
    assert_eq!(watch.next(), (Time::ZERO, watch_from(5)));
    watch.handle(at(1), refused(401));
    assert!(watch.next().0 >= at(1) + Span::from_millis(10_000));
}

#[test]
fn what_only_a_person_can_change_is_asked_rarely() {
    for status in [400, 403, 404] {
        let mut watch = Watch::new(1);
        watch.handle(at(1), refused(status));
        let pause = watch.next().0.since(at(1)).millis();
        assert!((15_000..=30_000).contains(&pause), "{status}: {pause}");
        assert_eq!(watch.next().1, list());
    }
}

#[test]
fn a_stream_that_ends_at_once_is_a_failure() {
    let mut watch = watching();
    watch.handle(at(0), Answer::Ended);
    assert!(watch.next().0 > at(0));
    assert_eq!(watch.next().1, watch_from(5));
}

#[test]
fn what_breaks_again_and_again_is_listed_anew() {
    let mut watch = watching();
    let mut now = at(0);
    for _ in 0..3 {
        watch.handle(now, Answer::Opened);
        watch.handle(
            now,
            Answer::Broken("an event that nobody can read".to_owned()),
        );
        assert_eq!(watch.next().1, watch_from(5));
        now = watch.next().0;
    }
    watch.handle(now, Answer::Broken("the same".to_owned()));
    assert_eq!(watch.next().1, list());
    assert_eq!(names(&watch), ["chil-1 10.0.0.1"]);
}

#[test]
fn those_that_end_come_last_and_two_slices_may_name_the_same_pod() {
    let mut watch = watching();
    let mut both = slice("b", 6, &[1, 5]);
    both.endpoints[0].terminating = true;
    watch.handle(at(1), Answer::Changed(both));
    watch.handle(at(1), Answer::Deleted(slice("a", 7, &[])));
    watch.handle(at(1), Answer::Changed(slice("c", 8, &[5])));
    assert_eq!(names(&watch), ["chil-1 10.0.0.5", "chil-1 10.0.0.1"]);
}

#[test]
fn more_slices_than_any_service_has_are_not_kept() {
    let mut watch = watching();
    for i in 0..2 * Watch::SLICES_MAX as u64 {
        watch.handle(at(1), Answer::Changed(slice(&format!("s{i}"), i, &[1])));
    }
    assert!(watch.handle(at(1), Answer::Changed(slice("a", 1, &[9]))));
    let many = (0..1_000).map(|i| slice(&format!("s{i}"), i, &[(i % 256) as u8]));
    watch.handle(at(2), refused(410));
    watch.handle(at(2), page(many.collect(), 1, None));
    assert!(names(&watch).len() <= Watch::SLICES_MAX);
}

/// An API server: its slices now, everything that happened, and from where on it remembers.
#[derive(Default)]
struct Server {
    now: BTreeMap<String, Slice>,
    version: u64,
    happened: Vec<(u64, bool, Slice)>,
    remembers_from: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    /// A page of a list, or the next event of the stream.
    Serve,
    Bookmark,
    End,
    Break,
    Refuse(u16),
    /// Forgets everything that happened.
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![401, 403, 408, 410, 429, 500, 503]);
    prop_oneof![
        4 => (0..4u8, prop::collection::vec(0..9u8, 0..4)).prop_map(|(n, e)| Step::Put(n, e)),
        2 => (0..4u8).prop_map(Step::Delete),
        9 => Just(Step::Serve),
        1 => Just(Step::Bookmark),
        1 => Just(Step::End),
        1 => Just(Step::Break),
        1 => status.prop_map(Step::Refuse),
        1 => Just(Step::Compact),
    ]
}

impl Server {
    fn change(&mut self, gone: bool, mut slice: Slice) {
        self.version += 1;
        slice.version = self.version.to_string();
        if gone {
            self.now.remove(&slice.name);
        } else {
            self.now.insert(slice.name.clone(), slice.clone());
        }
        self.happened.push((self.version, gone, slice));
    }

    /// What it answers. A list has two slices a page, all of the state in which it was begun.
    fn answer(&self, ask: &Ask, begun: &mut (u64, Vec<Slice>)) -> Answer {
        match ask {
            Ask::List { from } => {
                let from = from.as_ref().map_or(0, |from| from.parse().unwrap());
                if from == 0 {
                    *begun = (self.version, self.now.values().cloned().collect());
                } else if begun.0 < self.remembers_from {
                    return refused(410);
                }
                let slices: Vec<Slice> = begun.1.iter().skip(from).take(2).cloned().collect();
                let more = (from + 2 < begun.1.len()).then(|| (from + 2).to_string());
                page(slices, begun.0, more.as_deref())
            }
            Ask::Watch { version } => {
                let version: u64 = version.parse().unwrap();
                if version < self.remembers_from {
                    return refused(410);
                }
                let next = self.happened.iter().find(|(at, ..)| *at > version);
                match next {
                    Some((_, true, slice)) => Answer::Deleted(slice.clone()),
                    Some((_, false, slice)) => Answer::Changed(slice.clone()),
                    None => Answer::Bookmark(self.version.to_string()),
                }
            }
        }
    }
}

proptest! {
    /// Whatever happens in whatever order: in the end it knows what a list would say.
    #[test]
    fn any_order_of_events_ends_with_what_a_fresh_list_says(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut server = Server::default();
        let mut watch = Watch::new(seed);
        let mut begun = (0, Vec::new());
        let mut now = Time::ZERO;
        let mut listed = false;
        let quiet = std::iter::repeat_n(Step::Serve, 160);
        for step in steps.into_iter().chain(quiet) {
            now = now.max(watch.next().0) + Span::from_millis(1);
            let before = watch.endpoints();
            let answer = match step {
                Step::Put(n, ends) => {
                    server.change(false, slice(&format!("s{n}"), 0, &ends));
                    continue;
                }
                Step::Delete(n) => {
                    if let Some(slice) = server.now.get(&format!("s{n}")).cloned() {
                        server.change(true, slice);
                    }
                    continue;
                }
                Step::Compact => {
                    server.remembers_from = server.version;
                    continue;
                }
                Step::Serve => server.answer(&watch.next().1, &mut begun),
                // A server sends one only when nothing before it is still to be sent.
                Step::Bookmark => match server.answer(&watch.next().1, &mut begun) {
                    bookmark @ Answer::Bookmark(_) => bookmark,
                    _ => continue,
                },
                Step::End => Answer::Ended,
                Step::Break => Answer::Broken("reset".to_owned()),
                Step::Refuse(status) => refused(status),
            };
            let news = watch.handle(now, answer);
            prop_assert!(news || watch.endpoints() == before);
            prop_assert!(!listed || watch.is_listed());
            listed = watch.is_listed();
        }
        let mut fresh = Watch::new(0);
        fresh.handle(now, page(server.now.values().cloned().collect(), server.version, None));
        prop_assert_eq!(watch.endpoints(), fresh.endpoints());
    }
}
