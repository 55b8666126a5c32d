//! Linearizability by search: what clients saw must have an order that keeps to real time and to
//! what the state machine should do. Knows nothing about slots, nodes or logs.
//!
//! Wing, Gong, "Testing and verifying concurrent objects" (1993), with the memory of Lowe, "Testing
//! for linearizability" (2017). An outcome that stayed unknown may have taken effect at any time
//! after it was asked for, or never. It finds what the judges that follow the log cannot: mistakes
//! in what they believe the log to mean.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::subject::{Request, Spec};

/// One operation as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number, for people.
    pub number: usize,
    /// What was asked for.
    pub request: Request,
    /// When the client began to ask, on any clock that never goes back and that all share.
    pub began: u64,
    /// When it had the answer, and which; nothing if it never knew.
    pub ended: Option<(u64, Bytes)>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// There is an order that explains what clients saw.
    Linearizable,
    /// There is none; this says in words how far one gets.
    Violated(String),
    /// The search was given up after so many steps as it was allowed: nothing is said.
    Unknown,
}

/// How many steps of a search are worth it in a run: beyond that nothing is said.
const STEPS_MAX: u64 = 20_000;

/// Judges one history of a run, in any order. `Ok(false)` if it was too much to search.
pub(crate) fn check(spec: &dyn Spec, history: Vec<Seen>) -> Result<bool, String> {
    match judge(spec, history, STEPS_MAX) {
        Judgement::Linearizable => Ok(true),
        Judgement::Unknown => Ok(false),
        Judgement::Violated(why) => Err(why),
    }
}

/// Whether the operations of `history`, given in any order, can be put in one that keeps to real
/// time and that `spec`, in whose state it begins, explains: what ended before something else
/// began stands before it. Each step of the search executes one operation; it takes as many steps
/// as there are operations where they hardly overlap, and more than anybody can wait for where
/// many of them overlap and stayed unknown, so it gives up after `steps_max`.
///
/// Nothing of a simulation is needed: whatever records its clients can ask.
#[must_use]
pub fn judge(spec: &dyn Spec, mut history: Vec<Seen>, steps_max: u64) -> Judgement {
    history.sort_by_key(|seen| (seen.began, seen.number));
    let mut search = Search {
        taken: vec![false; history.len()],
        known: BTreeSet::new(),
        steps_max,
        steps: 0,
        furthest: 0,
        stuck: None,
        history: &history,
    };
    match search.go(spec) {
        Some(true) => Judgement::Linearizable,
        None => Judgement::Unknown,
        Some(false) => {
            let stuck = search.stuck.map(|at| &history[at]);
            let (count, all) = (search.furthest, history.len());
            Judgement::Violated(stuck.map_or_else(
                || "what clients saw has no order".to_owned(),
                |seen| {
                    format!(
                        "what clients saw has no order that explains it: {count} of {all} \
                         operations can be put in one, but operation {}, {:?}, cannot have been \
                         answered with {:?} then",
                        seen.number,
                        seen.request,
                        seen.ended.as_ref().map(|(_, reply)| reply)
                    )
                },
            ))
        }
    }
}

struct Search<'a> {
    history: &'a [Seen],
    taken: Vec<bool>,
    /// Sets of operations, with the state that they led to, from which nothing leads on.
    known: BTreeSet<(Vec<u64>, u64)>,
    steps_max: u64,
    steps: u64,
    furthest: usize,
    /// The operation that had to be next when the search got furthest.
    stuck: Option<usize>,
}

/// A place in the search: what may come next there, and what is left of that to try.
struct Level {
    state: Box<dyn Spec>,
    candidates: Vec<usize>,
    /// The operation that led here.
    by: Option<usize>,
}

impl Search<'_> {
    /// Whether there is an order; nothing if the search was given up. An explicit stack: histories
    /// are longer than a thread's.
    fn go(&mut self, spec: &dyn Spec) -> Option<bool> {
        let mut levels = vec![Level {
            state: spec.copy(),
            candidates: self.candidates(),
            by: None,
        }];
        while let Some(level) = levels.last_mut() {
            if self.is_explained() {
                return Some(true);
            }
            let Some(next) = level.candidates.pop() else {
                let by = level.by;
                levels.pop();
                if let Some(by) = by {
                    self.taken[by] = false;
                }
                continue;
            };
            self.steps += 1;
            if self.steps > self.steps_max {
                return None;
            }
            let seen = &self.history[next];
            let mut state = level.state.copy();
            let reply = seen.ended.as_ref().map(|(_, reply)| reply);
            if !state.step(&seen.request, reply) {
                self.note_stuck(next);
                continue;
            }
            self.taken[next] = true;
            if !self.known.insert((self.set(), state.fingerprint())) {
                self.taken[next] = false;
                continue;
            }
            levels.push(Level {
                state,
                candidates: self.candidates(),
                by: Some(next),
            });
        }
        Some(false)
    }

    /// What may come next: everything that began before the first answer among what is left came.
    /// The one that began first is last, since candidates are tried from the end.
    fn candidates(&self) -> Vec<usize> {
        let left = || (0..self.history.len()).filter(|at| !self.taken[*at]);
        let answers = left().filter_map(|at| self.history[at].ended.as_ref().map(|(at, _)| *at));
        let first = answers.min().unwrap_or(u64::MAX);
        let mut candidates: Vec<usize> = left()
            .filter(|at| self.history[*at].began <= first)
            .collect();
        // What was answered first is tried first; what was never answered, last.
        candidates.sort_by_key(|at| {
            let ended = self.history[*at]
                .ended
                .as_ref()
                .map_or(u64::MAX, |(at, _)| *at);
            (std::cmp::Reverse(ended), std::cmp::Reverse(*at))
        });
        candidates
    }

    /// Whether everything that was answered is in the order.
    fn is_explained(&self) -> bool {
        let mut all = self.history.iter().zip(&self.taken);
        all.all(|(seen, taken)| *taken || seen.ended.is_none())
    }

    fn note_stuck(&mut self, at: usize) {
        let count = self.taken.iter().filter(|taken| **taken).count();
        if count >= self.furthest {
            self.furthest = count;
            self.stuck = Some(at);
        }
    }

    fn set(&self) -> Vec<u64> {
        let word = |part: &[bool]| {
            let bits = part.iter().enumerate();
            bits.fold(0, |word, (bit, taken)| word | u64::from(*taken) << bit)
        };
        self.taken.chunks(64).map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Register;

    fn seen(number: usize, request: &str, began: u64, ended: Option<(u64, &str)>) -> Seen {
        let bytes = |text: &str| Bytes::from(text.to_owned());
        Seen {
            number,
            request: match request.strip_prefix("put ") {
                Some(value) => Request::Command(bytes(value)),
                None => Request::Query(Bytes::new()),
            },
            began,
            ended: ended.map(|(at, reply)| (at, bytes(reply))),
        }
    }

    fn judge(history: &[Seen]) -> Result<bool, String> {
        check(&Register::default(), history.to_vec())
    }

    #[test]
    fn a_read_sees_what_was_written_before_it_or_meanwhile() {
        let mut history = vec![
            seen(0, "put a", 0, Some((10, ""))),
            seen(1, "put b", 20, Some((40, ""))),
            seen(2, "get", 25, Some((35, "a"))),
            seen(3, "get", 26, Some((36, "b"))),
            seen(4, "get", 50, Some((60, "b"))),
        ];
        assert_eq!(judge(&history), Ok(true));
        history[4].ended = Some((60, Bytes::from_static(b"a")));
        let error = judge(&history).unwrap_err();
        assert!(error.contains("operation 4"), "{error}");
        // The order of the two reads is given by real time.
        history.pop();
        history[2].began = 37;
        history[2].ended = Some((39, Bytes::from_static(b"a")));
        assert!(judge(&history).is_err());
    }

    #[test]
    fn what_is_unknown_may_have_happened_late_or_never() {
        let write = seen(0, "put a", 0, None);
        let read = |began, reply| seen(1, "get", began, Some((began + 1, reply)));
        assert_eq!(judge(&[write.clone(), read(5, "a")]), Ok(true));
        assert_eq!(judge(&[write.clone(), read(5, "")]), Ok(true));
        let late = [
            write.clone(),
            read(5, ""),
            seen(2, "get", 9, Some((10, "a"))),
        ];
        assert_eq!(judge(&late), Ok(true));
        let back = [write, read(5, "a"), seen(2, "get", 9, Some((10, "")))];
        assert!(judge(&back).is_err());
    }

    #[test]
    fn a_search_that_is_given_up_says_nothing() {
        let history = vec![
            seen(0, "put a", 0, Some((10, ""))),
            seen(1, "get", 20, Some((30, "b"))),
        ];
        let register = Register::default();
        let judged = super::judge(&register, history.clone(), 1);
        assert_eq!(judged, Judgement::Unknown);
        let judged = super::judge(&register, history, 2);
        assert!(matches!(judged, Judgement::Violated(_)), "{judged:?}");
    }

    #[test]
    fn long_histories_are_judged() {
        let history: Vec<Seen> = (0..3_000)
            .map(|at| {
                let began = at as u64 * 10;
                let value = format!("put v{at}");
                seen(at, &value, began, Some((began + 25, "")))
            })
            .collect();
        assert_eq!(judge(&history), Ok(true));
    }
}
