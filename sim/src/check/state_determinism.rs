//! I18 Same slot, same state: state machines that executed the same slots have equal digests.
//! Knows nothing about what the state is.
//!
//! Schneider, "Implementing Fault-Tolerant Services Using the State Machine Approach" (1990):
//! replicas are deterministic.

use chil_core::Slot;

/// The digest after each slot, as the first node that executed it had it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digests(Vec<u128>);

impl Digests {
    /// A node has executed `slot`, and its state has this digest.
    pub(crate) fn check(&mut self, slot: Slot, digest: u128) -> Result<(), String> {
        let at = usize::try_from(slot.get()).unwrap_or(usize::MAX);
        match self.0.get(at.wrapping_sub(1)) {
            Some(first) if *first == digest => Ok(()),
            Some(first) => Err(format!(
                "its state after slot {slot} has the digest {digest:032x}, another node's had \
                 {first:032x}"
            )),
            None => {
                self.0.push(digest);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_digest_of_the_same_slot_is_found() {
        let mut digests = Digests::default();
        assert_eq!(digests.check(Slot::new(1), 7), Ok(()));
        assert_eq!(digests.check(Slot::new(2), 8), Ok(()));
        assert_eq!(digests.check(Slot::new(1), 7), Ok(()));
        assert!(digests.check(Slot::new(2), 7).is_err());
    }
}
