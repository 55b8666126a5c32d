//! Whether a state machine is to blame itself: instances that execute the same commands must agree.
//! Knows nothing about clusters: it executes the commands of a run once more, in one go.

use std::time::Duration;

use bytes::Bytes;
use chil_core::{Slot, StateMachine};

use crate::subject::Subject;

/// Instances that the first one is compared with, at least.
const TWINS: usize = 8;
/// Of a few commands there may be more: an order of two entries is the same in most instances.
const TWINS_MAX: usize = 256;
/// Commands that all of them execute together, where there are more than at least.
const EXECUTED_TOGETHER: usize = 4_096;

/// Commands that were executed, by slot.
pub(super) type Executed = [(Slot, Bytes)];

/// What is wrong with the state machine itself, if these commands show it.
pub(super) fn suspect(subject: &Subject, executed: &Executed) -> Option<String> {
    let mut one = subject.machine();
    // The order of a small hash map is often the same twice.
    let twins = EXECUTED_TOGETHER / executed.len().max(1);
    let twins = twins.clamp(TWINS, TWINS_MAX);
    let mut others: Vec<_> = (0..twins).map(|_| subject.machine()).collect();
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

/// What is wrong with the state machine if it does not do the same a second later: what looks at a
/// clock that shows whole seconds does mostly the same when it executes a few commands again.
pub(super) fn suspect_clock(subject: &Subject, executed: &Executed) -> Option<String> {
    let execute = || {
        let mut machine = subject.machine();
        let replies = executed.iter();
        let replies = replies.map(|(slot, command)| machine.apply(*slot, command));
        let replies: Vec<Bytes> = replies.collect();
        (replies, machine.digest())
    };
    let first = execute();
    // Later than the next full second, whatever the machine's clock is.
    std::thread::sleep(Duration::from_millis(1_100));
    (execute() != first).then(|| {
        format!(
            "the state machine is not deterministic: an instance of it that executes the same {} \
             commands a second later gives other replies, or has another digest. Look for clocks in \
             it",
            executed.len()
        )
    })
}

fn frozen(machine: &dyn StateMachine) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    machine.freeze().write_to(&mut bytes).ok()?;
    Some(bytes)
}
