//! Whether a state machine is to blame itself: instances that execute the same commands must agree.
//! Knows nothing about clusters: it executes the commands of a run once more, in one go.

use bytes::Bytes;
use chil_core::{Slot, StateMachine};

use crate::subject::Subject;

/// Instances that the first one is compared with.
const TWINS: usize = 8;

/// Commands that were executed, by slot.
pub(super) type Executed = [(Slot, Bytes)];

/// What is wrong with the state machine itself, if these commands show it.
pub(super) fn suspect(subject: &Subject, executed: &Executed) -> Option<String> {
    let mut one = subject.machine();
    // The order of a small hash map is often the same twice.
    let mut others: Vec<_> = (0..TWINS).map(|_| subject.machine()).collect();
    for (count, (slot, command)) in executed.iter().enumerate() {
        let differ = |what: &str| {
            let shown = subject.describe(&crate::subject::Request::Command(command.clone()));
            Some(format!(
                "the state machine is not deterministic: two instances of it that have executed \
                 the same {} commands {what} after \"{shown}\". Look for clocks, random numbers \
                 and the order of hash maps in it",
                count + 1,
            ))
        };
        let (reply, digest) = (one.apply(*slot, command), one.digest());
        for other in &mut others {
            if other.apply(*slot, command) != reply {
                return differ("give different replies");
            }
            if other.digest() != digest {
                return differ("have different digests");
            }
        }
    }
    let (last, _) = executed.last()?;
    let first = frozen(&*one)?;
    if others
        .iter()
        .any(|other| frozen(&**other).as_ref() != Some(&first))
    {
        return Some(format!(
            "`freeze` is not canonical: two instances that have executed the same {} commands \
             write different bytes. Write in an order that does not depend on hashes",
            executed.len()
        ));
    }
    let mut restored = subject.machine();
    let mut from = &first[..];
    if let Err(error) = restored.restore(&mut from) {
        let what = "`restore` refuses what `freeze` wrote";
        return Some(format!("{what} behind slot {last}: {error}"));
    }
    if !from.is_empty() {
        let left = from.len();
        return Some(format!(
            "`restore` leaves {left} bytes unread that `freeze` wrote"
        ));
    }
    if restored.digest() != one.digest() {
        return Some(format!(
            "`freeze` and `restore` lose something: behind slot {last} the restored state has \
             another digest than the one that was frozen"
        ));
    }
    let again = frozen(&*restored)?;
    (again != first).then(|| {
        format!(
            "`freeze` and `restore` lose something: behind slot {last} the restored state is \
             frozen to other bytes ({} of them) than it was restored from ({})",
            again.len(),
            first.len()
        )
    })
}

fn frozen(machine: &dyn StateMachine) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    machine.freeze().write_to(&mut bytes).ok()?;
    Some(bytes)
}
