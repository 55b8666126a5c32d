//! What clients saw, key by key, and the judgement on it: is there an order that explains it?
//! Knows nothing about nodes and faults; the search is the simulator's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use chil_sim::Request;
use chil_sim::check::linearizable::{Judgement, Seen, judge};
use chil_sim::subject::Spec;

/// Steps of the search of one key. A key has a few hundred operations.
const STEPS_MAX: u64 = 1_000_000;

/// What was asked of a key. Every value is written by one operation only, so that a value says who
/// wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Get,
    Put(String),
    /// Writes the first value if the key has the second.
    Swap(String, String),
    Delete,
}

/// What was answered. Versions are as the machine gives them: one for each write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The value and its version.
    Got(Option<(String, u64)>),
    /// The version from now on, and the one before.
    Written(u64, Option<u64>),
    /// The condition did not hold.
    Refused,
}

/// Everything that was seen of all keys.
#[derive(Debug)]
pub(crate) struct History {
    began: Instant,
    keys: Mutex<BTreeMap<String, Vec<Seen>>>,
}

/// What the search found, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) keys: usize,
    pub(crate) operations: usize,
    /// Operations whose outcome nobody knows.
    pub(crate) open: usize,
    /// Keys on which nothing could be said.
    pub(crate) unknown: usize,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            keys: Mutex::default(),
        }
    }

    /// The time that all operations are told in.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    /// An operation that began at `began` is over now, or nobody will ever know what became of it.
    pub(crate) fn record(&self, key: &str, began: u64, asked: &Asked, answered: Option<&Answered>) {
        let words = Bytes::from(asked.words());
        let request = match asked {
            Asked::Get => Request::Query(words),
            Asked::Put(_) | Asked::Swap(..) | Asked::Delete => Request::Command(words),
        };
        let ended = answered.map(|answered| (self.now(), Bytes::from(answered.words())));
        let mut keys = self.keys.lock().unwrap();
        let seen = keys.entry(key.to_owned()).or_default();
        seen.push(Seen {
            number: seen.len(),
            request,
            began,
            ended,
        });
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().keys().cloned().collect()
    }

    /// Judges every key; the first that has no order is told with all that was seen of it.
    pub(crate) fn judge(&self) -> Result<Judged, String> {
        let keys = self.keys.lock().unwrap();
        let mut judged = Judged::default();
        for (key, seen) in &*keys {
            judged.keys += 1;
            judged.operations += seen.len();
            judged.open += seen.iter().filter(|seen| seen.ended.is_none()).count();
            match judge(&Register::default(), seen.clone(), STEPS_MAX) {
                Judgement::Linearizable => {}
                Judgement::Unknown => judged.unknown += 1,
                Judgement::Violated(why) => return Err(format!("{key}: {why}\n{}", table(seen))),
            }
        }
        Ok(judged)
    }
}

/// One line an operation, in the order in which they began.
fn table(seen: &[Seen]) -> String {
    let mut seen: Vec<&Seen> = seen.iter().collect();
    seen.sort_by_key(|seen| seen.began);
    let mut text = String::new();
    for seen in seen {
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let asked = String::from_utf8_lossy(seen.request.bytes());
        let (number, began) = (seen.number, ms(seen.began));
        write!(text, "  {number:4} {began:12.3} ms").unwrap();
        match &seen.ended {
            None => writeln!(text, "  to         ? ms  {asked}").unwrap(),
            Some((at, reply)) => {
                let reply = String::from_utf8_lossy(reply);
                writeln!(text, " to {:12.3} ms  {asked}: {reply}", ms(*at)).unwrap();
            }
        }
    }
    text
}

impl Asked {
    fn words(&self) -> String {
        match self {
            Self::Get => "get".to_owned(),
            Self::Put(value) => format!("put {value}"),
            Self::Swap(value, expected) => format!("swap {value} {expected}"),
            Self::Delete => "delete".to_owned(),
        }
    }

    fn read(words: &[u8]) -> Self {
        let words: Vec<&str> = std::str::from_utf8(words).unwrap().split(' ').collect();
        match words[..] {
            ["get"] => Self::Get,
            ["put", value] => Self::Put(value.to_owned()),
            ["swap", value, expected] => Self::Swap(value.to_owned(), expected.to_owned()),
            ["delete"] => Self::Delete,
            _ => panic!("{words:?} was never recorded"),
        }
    }
}

impl Answered {
    fn words(&self) -> String {
        match self {
            Self::Got(None) => "absent".to_owned(),
            Self::Got(Some((value, version))) => format!("{value} {version}"),
            Self::Written(version, None) => format!("written {version} over nothing"),
            Self::Written(version, Some(before)) => format!("written {version} over {before}"),
            Self::Refused => "refused".to_owned(),
        }
    }
}

/// What one key should do.
#[derive(Clone, Debug, Default, Hash)]
struct Register(Option<Held>);

#[derive(Clone, Debug, Hash)]
struct Held {
    value: String,
    /// Nothing if whoever wrote it never knew, and nobody has read it since.
    version: Option<u64>,
}

impl Register {
    /// Whether it may have this version; none if it has no value.
    fn may_be(&self, version: Option<u64>) -> bool {
        match (&self.0, version) {
            (None, None) => true,
            (Some(held), Some(version)) => held.version.is_none_or(|held| held == version),
            _ => false,
        }
    }

    /// Executes the request: its reply in words, where what is not known must be what `told` says.
    fn execute(&mut self, asked: Asked, told: Option<&str>) -> bool {
        let before = |told: &str| -> Option<(u64, Option<u64>)> {
            let (version, before) = told.strip_prefix("written ")?.split_once(" over ")?;
            Some((version.parse().ok()?, before.parse().ok()))
        };
        match asked {
            Asked::Get => match (told, &mut self.0) {
                (None, _) | (Some("absent"), None) => true,
                (Some(told), Some(held)) => {
                    let Some((value, version)) = told.split_once(' ') else {
                        return false;
                    };
                    let version = version.parse().ok();
                    let is_right =
                        held.value == value && (held.version.is_none() || held.version == version);
                    held.version = version;
                    is_right
                }
                (Some(_), None) => false,
            },
            Asked::Swap(_, expected)
                if self.0.as_ref().is_none_or(|held| held.value != expected) =>
            {
                told.is_none_or(|told| told == "refused")
            }
            Asked::Put(value) | Asked::Swap(value, _) => {
                let written = told.map(before);
                let is_right = match written {
                    None => true,
                    Some(None) => false,
                    Some(Some((_, before))) => self.may_be(before),
                };
                let version = written.flatten().map(|(version, _)| version);
                self.0 = Some(Held { value, version });
                is_right
            }
            Asked::Delete => {
                let is_right = match told.map(before) {
                    None => true,
                    Some(None) => false,
                    Some(Some((_, before))) => self.may_be(before),
                };
                self.0 = None;
                is_right
            }
        }
    }
}

impl Spec for Register {
    fn step(&mut self, request: &Request, reply: Option<&Bytes>) -> bool {
        let told = reply.map(|reply| std::str::from_utf8(reply).unwrap());
        self.execute(Asked::read(request.bytes()), told)
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn copy(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }
}

/// Operations one after the other, and what the search says of them.
fn told(operations: &[(Asked, Option<Answered>)]) -> Result<Judged, String> {
    let history = History::new();
    for (asked, answered) in operations {
        history.record("k", history.now(), asked, answered.as_ref());
    }
    history.judge()
}

#[test]
fn what_a_register_does_is_explained() {
    let (a, b, c) = ("a".to_owned(), "b".to_owned(), "c".to_owned());
    let operations = [
        (Asked::Get, Some(Answered::Got(None))),
        (Asked::Put(a.clone()), Some(Answered::Written(3, None))),
        (
            Asked::Swap(b.clone(), a.clone()),
            Some(Answered::Written(5, Some(3))),
        ),
        (Asked::Swap(c.clone(), a), Some(Answered::Refused)),
        // Nobody knows whether it happened; a read shows that it did.
        (Asked::Put(c.clone()), None),
        (Asked::Get, Some(Answered::Got(Some((b, 5))))),
        (Asked::Get, Some(Answered::Got(Some((c, 8))))),
        (Asked::Delete, Some(Answered::Written(9, Some(8)))),
        (Asked::Get, Some(Answered::Got(None))),
    ];
    let judged = told(&operations).unwrap();
    assert_eq!(
        (judged.keys, judged.operations, judged.open, judged.unknown),
        (1, 9, 1, 0)
    );
}

#[test]
fn what_no_register_does_is_found() {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let put = (Asked::Put(a.clone()), Some(Answered::Written(3, None)));
    let got = |value: &str, version| {
        (
            Asked::Get,
            Some(Answered::Got(Some((value.to_owned(), version)))),
        )
    };
    let over = |before| (Asked::Put(b.clone()), Some(Answered::Written(5, before)));
    for wrong in [
        vec![put.clone(), (Asked::Get, Some(Answered::Got(None)))],
        vec![put.clone(), got("b", 3)],
        // Executed once more: the value is the same, its version is not.
        vec![put.clone(), got("a", 3), got("a", 4)],
        vec![put.clone(), over(None)],
        vec![put.clone(), over(Some(4))],
        vec![put.clone(), over(Some(3)), got("a", 3)],
        vec![
            put.clone(),
            (Asked::Swap(b.clone(), a.clone()), Some(Answered::Refused)),
        ],
        vec![put, (Asked::Delete, Some(Answered::Written(4, None)))],
        vec![
            (Asked::Put(a), None),
            got("a", 3),
            (Asked::Get, Some(Answered::Got(None))),
        ],
    ] {
        assert!(told(&wrong).is_err(), "{wrong:?}");
    }
}
