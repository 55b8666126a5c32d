//! I11 A sync is atomic: a log is durable in a ballot only when it holds everything that the
//! ballot's leader adopted. Knows nothing about how a sync travels.
//!
//! PROTOCOL.md, "Five things to know": a chunked first sync loses decided slots
//! (apache/zookeeper#2028).

use chil_core::{Ballot, Slot};

use super::ghost::{Cells, Ghost};

/// `log`, up to `last`, becomes durable as the log of `ballot`, which is new to the node.
pub(crate) fn check(ghost: &Ghost, ballot: Ballot, log: &Cells) -> Result<(), String> {
    let led = ghost.ballots.get(&ballot);
    let Some((led, (_, adopted))) = led.and_then(|b| b.adopted.map(|a| (b, a))) else {
        return Err(format!("accepts a log in {ballot}, which nobody leads"));
    };
    if adopted == Slot::ZERO || log.agrees(&led.log, adopted) {
        return Ok(());
    }
    Err(format!(
        "takes {ballot} for the ballot of its log, which ends at {} or differs, but the leader \
         adopted everything up to {adopted}",
        log.last()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ballot, ghost};
    use super::*;

    #[test]
    fn half_a_sync_is_found() {
        let (one, two) = (ballot(1, 0), ballot(2, 0));
        let mut history = ghost(&[(two, &[one, one, one]), (one, &[one, one])]);
        let short = history.nodes[1].durable.clone();
        assert!(check(&history, two, &short).is_err(), "nobody leads it");
        history.ballot(two).adopted = Some((0, Slot::new(3)));
        assert!(check(&history, two, &short).is_err());
        history.ballot(two).adopted = Some((0, Slot::new(2)));
        assert_eq!(check(&history, two, &short), Ok(()));
    }
}
