//! Delta debugging on a list: which of its items can be left out (Zeller and Hildebrandt 2002).
//! Knows nothing about what the items are; whether a part still fails, somebody else tells.
//!
//! Only complements are tried, in chunks that are halved, from the end to the beginning: testing
//! the chunks alone as well gains nothing (Hodován and Kiss, "Practical improvements to the
//! minimizing delta debugging algorithm", 2016), and what is later matters less for what is before.

/// Leaves out as many items as possible, so that no single one can be left out any more.
///
/// `probe` gets candidates, each a part of the items, and returns which is the first of them that
/// still fails, if any; a `width` of them at once, so that it can try them side by side. The result
/// does not depend on `width`. It returns `Err` to stop; then what was left out so far counts.
pub(super) fn ddmin<T: Clone, E>(
    items: &[T],
    width: usize,
    mut probe: impl FnMut(Vec<Vec<T>>) -> Result<Option<usize>, E>,
) -> (Vec<T>, Result<(), E>) {
    let mut kept = items.to_vec();
    if kept.is_empty() {
        return (kept, Ok(()));
    }
    let mut chunk = kept.len();
    loop {
        let before = kept.len();
        if let Err(stopped) = sweep(&mut kept, chunk, width.max(1), &mut probe) {
            return (kept, Err(stopped));
        }
        if kept.is_empty() {
            return (kept, Ok(()));
        }
        if chunk == 1 && kept.len() == before {
            return (kept, Ok(()));
        }
        // Single items are tried until nothing changes; larger chunks once each.
        chunk = chunk.min(kept.len()).div_ceil(2);
    }
}

/// Tries to leave out each chunk of this length once, the last one first.
fn sweep<T: Clone, E>(
    kept: &mut Vec<T>,
    chunk: usize,
    width: usize,
    probe: &mut impl FnMut(Vec<Vec<T>>) -> Result<Option<usize>, E>,
) -> Result<(), E> {
    // Everything before this is to be tried yet.
    let mut end = kept.len();
    while end > 0 {
        let mut ends = Vec::new();
        let mut candidates = Vec::new();
        let mut next = end;
        while next > 0 && candidates.len() < width {
            let begin = next.saturating_sub(chunk);
            let (head, tail) = (kept.iter().take(begin), kept.iter().skip(next));
            candidates.push(head.chain(tail).cloned().collect());
            ends.push(begin);
            next = begin;
        }
        let parts: Vec<Vec<T>> = candidates;
        match probe(parts.clone())? {
            Some(found) => {
                // Those before it were tried in vain; all that is before it is as it was.
                if let (Some(part), Some(begin)) = (parts.into_iter().nth(found), ends.get(found)) {
                    *kept = part;
                    end = *begin;
                }
            }
            None => end = next,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// What is left of `0..count` when a part fails that holds all of `culprits`, and how many
    /// candidates that took.
    fn left(count: u32, culprits: &[u32], width: usize) -> (Vec<u32>, usize) {
        let items: Vec<u32> = (0..count).collect();
        let mut tried = 0;
        let (kept, ended) = ddmin(&items, width, |candidates| {
            tried += candidates.len();
            let fails = |part: &Vec<u32>| culprits.iter().all(|culprit| part.contains(culprit));
            Ok::<_, Infallible>(candidates.iter().position(fails))
        });
        assert_eq!(ended, Ok(()));
        (kept, tried)
    }

    #[test]
    fn exactly_what_is_needed_is_left() {
        assert!(left(0, &[], 1).0.is_empty());
        assert!(left(1, &[], 1).0.is_empty());
        assert_eq!(left(1, &[0], 1).0, [0]);
        assert_eq!(left(1_000, &[], 1), (vec![], 1));
        for culprits in [&[0][..], &[999], &[3, 500], &[1, 2, 3, 997], &[0, 499, 500]] {
            for width in [1, 2, 7] {
                assert_eq!(left(1_000, culprits, width).0, culprits, "width {width}");
            }
        }
    }

    #[test]
    fn a_few_of_many_are_found_with_few_tries() {
        let (_, tried) = left(10_000, &[4_711], 1);
        assert!(tried < 40, "{tried} tries for one of 10,000");
        let (_, tried) = left(10_000, &[17, 4_711, 9_000], 1);
        assert!(tried < 120, "{tried} tries for three of 10,000");
    }

    #[test]
    fn no_single_item_can_be_left_out_of_what_is_left() {
        // Fails when the number of items is odd, and at least 5: nothing monotone.
        let fails = |part: &[u32]| part.len() >= 5 && part.len() % 2 == 1;
        for width in [1, 3] {
            let items: Vec<u32> = (0..99).collect();
            let (kept, _) = ddmin(&items, width, |candidates| {
                Ok::<_, Infallible>(candidates.iter().position(|part| fails(part)))
            });
            assert!(fails(&kept) && kept.len() < 99, "{}", kept.len());
            for at in 0..kept.len() {
                let mut less = kept.clone();
                less.remove(at);
                assert!(!fails(&less));
            }
        }
    }

    #[test]
    fn whoever_stops_it_keeps_what_was_reached() {
        let items: Vec<u32> = (0..100).collect();
        let mut tries = 0;
        let (kept, ended) = ddmin(&items, 1, |candidates| {
            tries += 1;
            let fails = candidates.iter().position(|part| part.contains(&1));
            if tries > 3 { Err("enough") } else { Ok(fails) }
        });
        assert_eq!(ended, Err("enough"));
        assert!(kept.contains(&1) && kept.len() < 100);
    }
}
