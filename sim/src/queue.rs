//! What will happen, in the order of time; what is due at the same time, in the order in which it
//! was put in. Knows nothing about what it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The heap moves its elements about at every push and pop: it holds only keys, and what they
/// stand for stays where it is.
pub(crate) struct Queue<T> {
    keys: BinaryHeap<Reverse<Key>>,
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
            things: Vec::new(),
            free: Vec::new(),
            sequence: 0,
        }
    }

    /// Puts in what will happen at `at`.
    pub(crate) fn push(&mut self, at: u64, thing: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            self.things.len() - 1
        });
        self.things[place] = Some(thing);
        self.sequence += 1;
        self.keys.push(Reverse(Key {
            at,
            sequence: self.sequence,
            place,
        }));
    }

    /// Takes what happens next, and when.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse(Key { at, place, .. }) = self.keys.pop()?;
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
}
