//! What will happen, in the order of time; what is due at the same time, in the order in which it
//! was put in. Knows nothing about what it is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The heap moves its elements about at every push and pop: it holds only keys, and what they
/// stand for stays where it is.
pub(crate) struct Queue<T> {
    keys: BinaryHeap<Reverse<Key>>,
    /// What mostly comes in the order in which it is due; kept out of the heap, which is the
    /// quicker the smaller it is.
    lane: VecDeque<Key>,
    things: Vec<Option<T>>,
    /// Places in `things` that are free.
    free: Vec<usize>,
    sequence: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    sequence: u64,
    place: usize,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            keys: BinaryHeap::new(),
            lane: VecDeque::new(),
            things: Vec::new(),
            free: Vec::new(),
            sequence: 0,
        }
    }

    /// Puts in what will happen at `at`.
    pub(crate) fn push(&mut self, at: u64, thing: T) {
        let key = self.key(at, thing);
        self.keys.push(Reverse(key));
    }

    /// The same for something that is likely to be due after everything that was put in this way.
    pub(crate) fn push_behind(&mut self, at: u64, thing: T) {
        let key = self.key(at, thing);
        if self.lane.back().is_none_or(|last| *last < key) {
            self.lane.push_back(key);
        } else {
            self.keys.push(Reverse(key));
        }
    }

    fn key(&mut self, at: u64, thing: T) -> Key {
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            self.things.len() - 1
        });
        self.things[place] = Some(thing);
        self.sequence += 1;
        Key {
            at,
            sequence: self.sequence,
            place,
        }
    }

    /// Takes what happens next, and when.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let next = match (self.keys.peek(), self.lane.front()) {
            (Some(Reverse(key)), Some(first)) if key < first => self.keys.pop().map(|key| key.0),
            (_, Some(_)) => self.lane.pop_front(),
            (_, None) => self.keys.pop().map(|key| key.0),
        };
        let Key { at, place, .. } = next?;
        self.free.push(place);
        let thing = self.things[place].take();
        Some((
            at,
            thing.expect("a key stands for something until it is popped"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_equals_stay_in_order() {
        let mut queue = Queue::new();
        for (at, thing) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(at, thing);
        }
        assert_eq!(queue.pop(), Some((3, 'a')));
        queue.push(5, 'e');
        queue.push(4, 'x');
        let rest: Vec<(u64, char)> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, [(3, 'b'), (4, 'x'), (5, 'c'), (5, 'd'), (5, 'e')]);
        assert_eq!(queue.things.len(), 5, "one place was used again");
    }

    #[test]
    fn what_waits_in_the_lane_comes_when_it_is_due() {
        let (mut queue, mut same) = (Queue::new(), Queue::new());
        let due = [7, 3, 9, 7, 7, 2, 9, 11, 1, 9];
        for (at, thing) in due.into_iter().zip(0..) {
            if thing % 3 == 0 {
                queue.push(at, thing);
            } else {
                queue.push_behind(at, thing);
            }
            same.push(at, thing);
        }
        assert!(queue.lane.len() > 2 && queue.keys.len() > 2);
        for _ in due {
            assert_eq!(queue.pop(), same.pop());
        }
        assert_eq!(queue.pop(), None);
    }
}
