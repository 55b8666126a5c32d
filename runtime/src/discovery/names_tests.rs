//! Discovery by names with look-ups that answer as the test says, and a clock that jumps.
//! Knows nothing about the system's resolver.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chil_core::{Span, Time};
use tokio::time::{Instant, sleep, timeout};

use super::{Lookup, Names, Pace, Resolve, ResolveError, Tried};
use crate::metrics::Metrics;
use crate::ports::Clock;

#[derive(Clone, Copy, Debug)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }

    async fn sleep_until(&self, at: Time) {
        tokio::time::sleep_until(self.0 + Duration::from_nanos(at.nanos())).await;
    }
}

/// Answers with what it was told last; remembers when it was asked.
#[derive(Clone, Debug, Default)]
struct Fake(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    answer: Option<Vec<SocketAddr>>,
    takes: Duration,
    asked: Vec<Instant>,
}

impl Fake {
    fn answers(&self, last: &[u8]) {
        self.0.lock().unwrap().answer = Some(last.iter().map(|last| at(*last)).collect());
    }

    fn fails(&self) {
        self.0.lock().unwrap().answer = None;
    }

    fn takes(&self, span: Duration) {
        self.0.lock().unwrap().takes = span;
    }

    fn asked(&self) -> Vec<Instant> {
        self.0.lock().unwrap().asked.clone()
    }
}

impl Lookup for Fake {
    async fn lookup(&self, host: &str, _port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let (answer, takes) = {
            let mut told = self.0.lock().unwrap();
            told.asked.push(Instant::now());
            (told.answer.clone(), told.takes)
        };
        sleep(takes).await;
        answer.ok_or_else(|| ResolveError::Failed {
            host: host.to_owned(),
            reason: "SERVFAIL".to_owned(),
        })
    }
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 7000))
}

fn names(fake: &Fake, refresh: Option<u64>) -> Names<Fake, PausedClock> {
    let pace = Pace {
        refresh: refresh.map(|seconds| Span::from_millis(seconds * 1_000)),
        patience: 2,
        again: Span::from_millis(1_000),
        seed: 7,
    };
    Names::new(fake.clone(), PausedClock(Instant::now()), pace)
}

const NAME: &str = "node-2.example:7000";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn literals_are_themselves_and_nobody_is_asked() {
    let fake = Fake::default();
    let names = names(&fake, Some(10));
    for literal in ["10.0.0.1:7000", "[::1]:7000"] {
        let found = names.resolve(literal).await.unwrap();
        assert_eq!(found, [literal.parse::<SocketAddr>().unwrap()]);
        let moved = names.moved(literal, Some(found[0]));
        assert!(timeout(100 * SECOND, moved).await.is_err());
    }
    assert!(names.leads_to(at(1).ip()));
    assert!(fake.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn names_are_refreshed_with_jitter_for_as_long_as_somebody_has_the_resolver() {
    let fake = Fake::default();
    fake.answers(&[1]);
    let names = names(&fake, Some(10));
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(1)]));
    sleep(200 * SECOND).await;
    let asked = fake.asked();
    let pauses: Vec<Duration> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    assert!((16..=25).contains(&pauses.len()), "{pauses:?}");
    let (shortest, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
    assert!(
        *shortest >= 8 * SECOND && *longest <= 12 * SECOND,
        "{pauses:?}"
    );
    assert!(*longest - *shortest > SECOND, "no jitter: {pauses:?}");
    drop(names);
    sleep(100 * SECOND).await;
    assert_eq!(fake.asked().len(), asked.len(), "nobody wants to know");
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_what_was_known() {
    let fake = Fake::default();
    fake.answers(&[1]);
    let names = names(&fake, Some(10));
    names.resolve(NAME).await.unwrap();
    fake.fails();
    let moved = names.moved(NAME, Some(at(1)));
    assert!(timeout(100 * SECOND, moved).await.is_err());
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(1)]));
    fake.answers(&[]);
    let moved = names.moved(NAME, Some(at(1)));
    assert!(timeout(100 * SECOND, moved).await.is_err());
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(1)]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_moved_by_the_second_answer_that_leaves_its_address_out() {
    let fake = Fake::default();
    fake.answers(&[1]);
    let names = names(&fake, Some(10));
    names.resolve(NAME).await.unwrap();
    names.tried(NAME, at(1), Tried::Connected);
    let began = Instant::now();
    fake.answers(&[2]);
    timeout(13 * SECOND, names.moved(NAME, None)).await.unwrap();
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(1), at(2)]));
    timeout(13 * SECOND, names.moved(NAME, Some(at(1))))
        .await
        .unwrap();
    assert!(began.elapsed() >= 16 * SECOND, "{:?}", began.elapsed());
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(2)]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_fails_is_looked_up_at_once_but_not_all_the_time() {
    let fake = Fake::default();
    fake.answers(&[1]);
    let names = names(&fake, Some(1_000));
    names.resolve(NAME).await.unwrap();
    fake.answers(&[2]);
    for _ in 0..100 {
        names.tried(NAME, at(1), Tried::Failed);
        assert!(!names.resolve(NAME).await.unwrap().is_empty());
        sleep(SECOND / 100).await;
    }
    assert_eq!(fake.asked().len(), 1, "the answer is younger than a second");
    names.tried(NAME, at(1), Tried::Failed);
    let moved = names.moved(NAME, None);
    let (_, moved) = tokio::join!(names.resolve(NAME), timeout(SECOND, moved));
    moved.expect("news wakes whoever waits");
    assert_eq!(fake.asked().len(), 2);
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(2), at(1)]));
}

#[tokio::test(start_paused = true)]
async fn without_refreshing_a_name_is_looked_up_by_whoever_connects() {
    let fake = Fake::default();
    fake.answers(&[1]);
    let names = names(&fake, None);
    names.resolve(NAME).await.unwrap();
    sleep(1_000 * SECOND).await;
    assert_eq!(fake.asked().len(), 1);
    names.resolve(NAME).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_waited_for() {
    let fake = Fake::default();
    fake.answers(&[1]);
    let names = names(&fake, None);
    names.resolve(NAME).await.unwrap();
    fake.takes(3_600 * SECOND);
    sleep(10 * SECOND).await;
    names.tried(NAME, at(1), Tried::Failed);
    let began = Instant::now();
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(1)]));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_share_one_look_up_and_giving_up_does_not_end_it() {
    let fake = Fake::default();
    fake.answers(&[1]);
    fake.takes(3 * SECOND);
    let names = names(&fake, None);
    for _ in 0..2 {
        assert!(timeout(SECOND, names.resolve(NAME)).await.is_err());
    }
    let began = Instant::now();
    let (one, two) = tokio::join!(names.resolve(NAME), names.resolve(NAME));
    assert_eq!((one, two), (Ok(vec![at(1)]), Ok(vec![at(1)])));
    assert_eq!(began.elapsed(), SECOND);
    sleep(10 * SECOND).await;
    assert!(fake.asked().len() <= 2, "{:?}", fake.asked());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_nowhere_says_why_and_is_asked_again() {
    let fake = Fake::default();
    fake.fails();
    let names = names(&fake, None);
    let error = names.resolve(NAME).await.unwrap_err().to_string();
    assert_eq!(error, "'node-2.example' cannot be looked up: SERVFAIL");
    fake.answers(&[]);
    sleep(2 * SECOND).await;
    let error = names.resolve(NAME).await.unwrap_err().to_string();
    assert!(error.contains("add A or AAAA records"), "{error}");
    fake.answers(&[3]);
    assert!(names.resolve(NAME).await.is_err(), "asked a moment ago");
    sleep(2 * SECOND).await;
    assert_eq!(names.resolve(NAME).await, Ok(vec![at(3)]));
    let no_port = names.resolve("node-2").await.unwrap_err().to_string();
    assert!(no_port.contains("write host:port"), "{no_port}");
}

#[tokio::test(start_paused = true)]
async fn what_is_found_out_is_counted() {
    let fake = Fake::default();
    fake.answers(&[1, 2]);
    let names = names(&fake, Some(10));
    let metrics = Metrics::new("node-1");
    names.count(&metrics.discovery);
    assert!(!metrics.text().contains("discovery_age_seconds{"));
    names.resolve(NAME).await.unwrap();
    fake.fails();
    sleep(13 * SECOND).await;
    let text = metrics.text();
    let value = |name: &str, label: &str| {
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        let value = lines.next().and_then(|line| line.rsplit(' ').next());
        value
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(
        value("chil_discovery_refreshes_total{", "outcome=\"ok\""),
        1.0
    );
    assert_eq!(
        value("chil_discovery_refreshes_total{", "outcome=\"failed\""),
        1.0
    );
    assert_eq!(value("chil_discovery_addresses{", "node-1"), 2.0);
    assert_eq!(value("chil_discovery_age_seconds{", "node-1"), 13.0);
    drop(names);
    sleep(SECOND).await;
    assert!(
        metrics
            .text()
            .contains("chil_discovery_addresses{node=\"node-1\"} 0")
    );
}
