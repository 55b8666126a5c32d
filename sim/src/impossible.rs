//! Which states and events of the protocol no run can reach, each with its reason, and which of
//! the others were missed. Knows nothing about why those were.

use crate::coverage::Coverage;

/// What cannot happen, by the names of [`Coverage::cells`], and why. What stands here and is
/// reached all the same is a mistake: in the protocol, in the simulator, or in its reason.
const TABLE: [(&str, &[&str]); 11] = [
    (
        "it answers, follows or asks somebody who took part in the cluster, and a node that forms \
         never has",
        &[
            "Promise while forming",
            "Accept while forming",
            "Accepted while forming",
            "Nack while forming",
            "Learn while forming",
            "Fetch while forming",
            "HeartbeatReply while forming",
            "Offer while forming",
            "FetchChunk while forming",
            "Chunk while forming",
            "ReadIndex while forming",
            "ReadIndexReply while forming",
            "TransferNow while forming",
        ],
    ),
    (
        "whoever starts follows, until it has waited for a leader",
        &[
            "from down to preparing",
            "from down to leading",
            "from forming to preparing",
            "from forming to leading",
        ],
    ),
    (
        "a ballot is led when a quorum has promised it, the node itself with its disk, and until \
         then the node prepares",
        &["from following to leading"],
    ),
    (
        "that a node has formed is durable before it takes part",
        &[
            "from following to forming",
            "from preparing to forming",
            "from leading to forming",
        ],
    ),
    (
        "an Accept names the life that promised, be it in memory only (by a Learn, before \
         NeedSync): the next life drops it, and is sent none before it has promised, since the \
         leader forgets where the earlier one stood",
        &["notice Refused: NeedPrepare"],
    ),
    (
        "no fault makes a disk forget what it said was durable",
        &["notice SteppedDown: LyingDisk"],
    ),
    (
        "no fault damages a disk at rest",
        &["notice Refused: Damaged"],
    ),
    (
        "there is one cluster, whose nodes all know each other and keep their disks",
        &[
            "notice Ignored: WrongCluster",
            "notice Ignored: UnknownSender",
            "notice Ignored: WrongDisk",
        ],
    ),
    ("members do not change", &["notice Ignored: WrongEpoch"]),
    (
        "links lose messages, but damage none, and nobody lies",
        &["notice Ignored: BadBallot", "notice Ignored: Malformed"],
    ),
    (
        "what clients ask for fits into every limit, and a run in which it is refused for its \
         size has failed",
        &["output Refused: TooLarge"],
    ),
];

/// Why what has this name cannot be reached; `None` if it can.
pub(crate) fn reason(cell: &str) -> Option<&'static str> {
    let found = TABLE.iter().find(|(_, cells)| cells.contains(&cell));
    found.map(|(reason, _)| *reason)
}

/// All reasons, each with what it is about.
pub(crate) const fn reasons() -> &'static [(&'static str, &'static [&'static str])] {
    &TABLE
}

/// The name of a message's arrival at a node that is something.
pub(crate) fn arrival(message: &str, stage: &str) -> String {
    format!("{message} while {stage}")
}

/// The name of a node's change from one thing to another.
pub(crate) fn change(from: &str, to: &str) -> String {
    format!("from {from} to {to}")
}

impl Coverage {
    /// Everything that has a counter, by name, with the count.
    #[must_use]
    pub fn cells(&self) -> Vec<(String, u64)> {
        let mut cells = Vec::new();
        for (message, counts) in Self::MESSAGES.iter().zip(&self.received) {
            let stages = Self::STAGES.iter().zip(counts.0);
            cells.extend(stages.map(|(stage, count)| (arrival(message, stage), count)));
        }
        for (from, counts) in Self::STAGES.iter().zip(&self.became) {
            let others = Self::STAGES.iter().zip(counts.0);
            let others = others.filter(|(to, _)| *to != from);
            cells.extend(others.map(|(to, count)| (change(from, to), count)));
        }
        let mut list = |kind: &str, names: &[&str], counts: &[u64]| {
            let named = names.iter().zip(counts);
            cells.extend(named.map(|(name, count)| (format!("{kind} {name}"), *count)));
        };
        list("output", &Self::OUTPUTS, &self.outputs.0);
        list("notice", &Self::NOTICES, &self.notices.0);
        list("check", &Self::CHECKS, &self.checks.0);
        cells
    }

    /// What could have been reached and was not.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let cells = self.cells().into_iter();
        let missed = cells.filter(|(cell, count)| *count == 0 && reason(cell).is_none());
        missed.map(|(cell, _)| cell).collect()
    }

    /// What was reached although it cannot be, each with a sentence.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let contradicted = self.contradicted().into_iter();
        contradicted.map(|(_, sentence)| sentence).collect()
    }

    /// The same, each by its name and with a sentence.
    pub(crate) fn contradicted(&self) -> Vec<(String, String)> {
        let cells = self.cells().into_iter().filter(|(_, count)| *count > 0);
        let contradicted = cells.filter_map(|(cell, count)| {
            let reason = reason(&cell)?;
            let sentence = format!("{cell}, {count} times, although {reason}");
            Some((cell, sentence))
        });
        contradicted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_a_counter_and_has_one_reason() {
        let cells = Coverage::default().cells();
        let named = TABLE.iter().flat_map(|(_, cells)| cells.iter());
        let mut names: Vec<&str> = named.copied().collect();
        for name in &names {
            assert!(cells.iter().any(|(cell, _)| cell == name), "{name}");
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "something stands in it twice");
        assert_eq!(Coverage::default().missed().len(), cells.len() - all);
    }

    #[test]
    fn what_is_missed_and_what_cannot_be_are_told_apart() {
        let mut coverage = Coverage::default();
        let all = coverage.missed().len();
        coverage.received[2].0[4] = 1;
        coverage.became[0].0[0] = 1;
        coverage.notices.0[0] = 1;
        let missed = coverage.missed();
        assert_eq!(missed.len(), all - 2, "nothing becomes what it is");
        assert!(!missed.contains(&"Accept while leading".to_owned()));
        assert!(missed.contains(&"Accept while preparing".to_owned()));
        assert!(missed.contains(&"from leading to down".to_owned()));
        assert!(missed.contains(&"check bounds".to_owned()));
        assert!(!missed.contains(&"Accept while forming".to_owned()));
        assert_eq!(coverage.contradictions(), [""; 0]);
        coverage.received[2].0[1] = 3;
        let contradictions = coverage.contradictions();
        assert_eq!(contradictions.len(), 1, "{contradictions:?}");
        assert!(contradictions[0].starts_with("Accept while forming, 3 times, although it "));
    }
}
