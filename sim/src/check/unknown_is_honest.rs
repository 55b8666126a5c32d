//! Unknown is honest: what a client was told to be surely not executed never is.
//! Knows nothing about why it was told so; "unknown" claims nothing.
//!
//! PROTOCOL.md, "Clients": refused, committed and unknown are kept apart.

use bytes::Bytes;
use chil_core::Slot;

use super::wishes::{Wish, Wishes};

/// A client is told that its operation, which wanted this command, has had and will have no
/// effect.
pub(crate) fn deny(wishes: &mut Wishes, operation: u64, payload: &Bytes) -> Result<(), String> {
    let wish = wishes.deny(operation, payload);
    if wish.effects.len() <= wish.allowed() {
        return Ok(());
    }
    let slots = &wish.effects;
    Err(format!(
        "tells a client that its command was not executed, but it was, in {slots:?}"
    ))
}

/// A command has taken effect in a slot of the chosen sequence.
pub(crate) fn executes(slot: Slot, wish: &Wish) -> Result<(), String> {
    if wish.effects.len() > wish.allowed() && wish.effects.len() <= wish.wanted() {
        return Err(format!(
            "slot {slot} executes a command whose client was told that it never will be"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_command_that_takes_effect_is_found_in_both_orders() {
        let (first, second) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
        let mut wishes = Wishes::default();
        wishes.want(1, &first);
        wishes.want(2, &second);
        assert_eq!(deny(&mut wishes, 1, &first), Ok(()));
        assert!(executes(Slot::new(1), wishes.executes(Slot::new(1), &first)).is_err());
        assert_eq!(
            executes(Slot::new(2), wishes.executes(Slot::new(2), &second)),
            Ok(())
        );
        assert!(deny(&mut wishes, 2, &second).is_err());
    }

    #[test]
    fn of_two_equal_commands_one_may_be_denied() {
        let same = Bytes::from_static(b"same");
        let mut wishes = Wishes::default();
        wishes.want(1, &same);
        wishes.want(2, &same);
        assert_eq!(deny(&mut wishes, 1, &same), Ok(()));
        let slot = Slot::new(1);
        assert_eq!(executes(slot, wishes.executes(slot, &same)), Ok(()));
        let slot = Slot::new(2);
        assert!(executes(slot, wishes.executes(slot, &same)).is_err());
    }
}
