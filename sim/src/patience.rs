//! Things that are done on threads of their own, and waited for only so long.
//! Knows nothing about what is done.
//!
//! Nobody can end a thread from outside: one whose work never ends is left behind.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often whoever waits is asked whether to go on.
const TICK: Duration = Duration::from_secs(1);

/// Does these things side by side, and returns what comes of each: nothing of those that had not
/// ended when the time was over. `goes_on` is asked now and then; nothing more is waited for when
/// it says no.
pub(crate) fn within<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
    patience: Duration,
    works: Vec<W>,
    mut goes_on: impl FnMut() -> bool,
) -> Vec<Option<T>> {
    let until = Instant::now() + patience;
    let mut results: Vec<Option<T>> = works.iter().map(|_| None).collect();
    let (sender, ended) = channel();
    for (index, work) in works.into_iter().enumerate() {
        let sender = sender.clone();
        thread::spawn(move || {
            // Maybe nobody waits any more.
            let _ = sender.send((index, work()));
        });
    }
    drop(sender);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match ended.recv_timeout(left.min(TICK)) {
            Ok((index, result)) => results[index] = Some(result),
            // All have ended.
            Err(RecvTimeoutError::Disconnected) => return results,
            Err(RecvTimeoutError::Timeout) if left <= TICK || !goes_on() => return results,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The same for a single thing.
pub(crate) fn one_within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let mut results = within(patience, vec![work], || true);
    results.pop().flatten()
}

/// Does something, and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing but waiting, without end or for a moment.
    fn work(ends: bool) -> impl FnOnce() -> u8 + Send + 'static {
        move || {
            if !ends {
                loop {
                    thread::park();
                }
            }
            7
        }
    }

    #[test]
    fn what_never_ends_is_left_behind_and_takes_nothing_from_the_rest() {
        let works = vec![work(true), work(false), work(true)];
        let results = within(Duration::from_secs(2), works, || true);
        assert_eq!(results, [Some(7), None, Some(7)]);
        assert_eq!(one_within(Duration::from_secs(60), work(true)), Some(7));
        assert_eq!(one_within(Duration::from_millis(20), work(false)), None);
    }

    #[test]
    fn whoever_waits_may_stop() {
        let began = Instant::now();
        let mut asked = 0;
        let results = within(Duration::from_secs(600), vec![work(false)], || {
            asked += 1;
            asked < 2
        });
        assert_eq!((results, asked), (vec![None], 2));
        assert!(began.elapsed() < Duration::from_secs(300));
    }
}
