//! Findings as sentences and as figures.
//! Knows nothing about what members are called: the caller says it.

use std::fmt::Display;

use crate::types::NodeId;

use super::Finding;

/// What a member is called.
type Name<'a> = &'a dyn Fn(NodeId) -> String;

impl Finding {
    /// One sentence, with members called as `name` says.
    #[must_use]
    pub fn text(&self, name: Name<'_>) -> String {
        self.text_of_leadership(name)
            .or_else(|| self.text_of_node())
            .or_else(|| self.text_of_requests(name))
            .or_else(|| self.text_of_peer(name))
            .or_else(|| self.text_of_lag(name))
            .unwrap_or_default()
    }

    fn text_of_leadership(&self, name: Name<'_>) -> Option<String> {
        Some(match self {
            Self::NoQuorum {
                weight,
                total,
                silent,
                unable,
            } => {
                let silent = clause(silent, "does not answer", "do not answer", name);
                let unable = clause(unable, "cannot help", "cannot help", name);
                format!(
                    "nobody leads: those that answer and could help weigh {weight} of {total}, \
                     more than half is needed{silent}{unable}"
                )
            }
            Self::PeerContent { peer, leader } => format!(
                "this node hears no leader that works, but {} follows {}, so it does not try to \
                 lead",
                name(*peer),
                name(*leader)
            ),
            Self::WaitsForTurn { remaining } => {
                format!("nobody leads: this node tries to in {remaining}, if nobody does before")
            }
            Self::RoundUnderWay { remaining } => format!(
                "nobody leads as far as is known: the heartbeat round that will tell ends in \
                 {remaining}"
            ),
            Self::Campaigning {
                ballot,
                missing,
                own_promise,
                rounds_left,
            } => {
                let missing = clause(missing, "has not promised", "have not promised", name);
                let own = if *own_promise {
                    "; its own promise is not on disk"
                } else {
                    ""
                };
                format!(
                    "this node asks for promises in {ballot}{missing}{own}; it gives up after \
                     {} more",
                    count(*rounds_left, "round")
                )
            }
            Self::AdoptionLacks { ballot, commit } => format!(
                "enough have promised {ballot}, but the log to adopt begins behind slot {commit}: \
                 the decided part is fetched first"
            ),
            Self::HandingOver {
                to,
                slots,
                undecided,
                told,
            } => {
                let to = name(*to);
                let state = match (*told, *slots, *undecided) {
                    (true, ..) => ", which was told to take over".to_owned(),
                    (_, 0, 0) => " once what is decided is executed".to_owned(),
                    (_, 0, undecided) => {
                        format!(" once {} decided", are(undecided, "more slot"))
                    }
                    (_, slots, _) => format!(" once it has {} more", count(slots, "slot")),
                };
                format!("leadership is handed over to {to}{state}")
            }
            _ => return None,
        })
    }

    fn text_of_node(&self) -> Option<String> {
        Some(match self {
            Self::Damaged { promised } => format!(
                "this node lost something durable, found at {promised}: a later leader must \
                 replace its log before it votes or leads"
            ),
            Self::DiskSlow { waiting, stalled } => {
                let verdict = if *stalled {
                    "it does not lead"
                } else {
                    "what it confirms waits for that"
                };
                format!("this node's disk has not finished a write for {waiting}: {verdict}")
            }
            Self::Weightless => "this node has weight 0: it never leads".to_owned(),
            Self::Starting => {
                "this node's start is not on disk: it says nothing before that".to_owned()
            }
            Self::Executing { applied, commit } => format!(
                "the state machine has executed slot {applied} of {commit} that are decided"
            ),
            Self::FetchingSnapshot {
                slot,
                have,
                bytes,
                gets_on,
            } => {
                let state = if *gets_on {
                    ""
                } else {
                    ", and no part arrives"
                };
                format!(
                    "this node fetches the snapshot of slot {slot}: {have} of {bytes} bytes are \
                     here{state}"
                )
            }
            Self::NotSynced {
                ballot,
                commit,
                heard,
            } => format!(
                "this node waits for the sync of {ballot}: decided here is slot {commit}, \
                 elsewhere {heard}"
            ),
            _ => return None,
        })
    }

    fn text_of_requests(&self, name: Name<'_>) -> Option<String> {
        Some(match self {
            Self::Proposals {
                entries,
                bytes,
                waiting,
                missing,
                own_disk,
                weight,
                total,
                full,
            } => {
                let missing = clause(missing, "has not confirmed", "have not confirmed", name);
                let own = if *own_disk {
                    "; it is not on this node's own disk"
                } else {
                    ""
                };
                let full = if *full { "; more are refused" } else { "" };
                format!(
                    "{} with {bytes} bytes undecided for {waiting}: the first is confirmed by \
                     weight {weight} of {total}{missing}{own}{full}",
                    count(*entries, "proposal")
                )
            }
            Self::Deferring { remaining } => format!(
                "nothing is decided for another {remaining}: the leader before may still serve \
                 reads from its lease"
            ),
            Self::ReadsUnproven { reads, missing } => {
                let missing = if missing.is_empty() {
                    ": the probe is not sent yet".to_owned()
                } else {
                    clause(missing, "has not answered", "have not answered", name)
                };
                let reads = count(*reads, "read");
                format!("{reads} waiting for the proof that this node leads{missing}")
            }
            Self::ReadsBeforeAdoption {
                reads,
                commit,
                adopted_last,
            } => format!(
                "{} waiting until the slots ({commit}, {adopted_last}] of earlier leaders are \
                 decided",
                count(*reads, "read")
            ),
            Self::ReadsAsked {
                reads,
                leader,
                rounds,
            } => format!(
                "{} waiting for {} to say how far to execute, unanswered for {}",
                count(*reads, "read"),
                name(*leader),
                count(*rounds, "round")
            ),
            _ => return None,
        })
    }

    fn text_of_peer(&self, name: Name<'_>) -> Option<String> {
        Some(match self {
            Self::Silent { peer, silence } => match silence {
                Some(silence) => format!("{} has been silent for {silence}", name(*peer)),
                None => format!("{} has never answered", name(*peer)),
            },
            Self::Unable { peer } => format!(
                "{} says that it can neither lead nor help: it is damaged, or its disk hangs",
                name(*peer)
            ),
            Self::DataSilent { peer, rounds } => format!(
                "{} answers heartbeats, but has answered nothing on the lane that decides for {}: \
                 look at that connection, which is one of its own",
                name(*peer),
                count(*rounds, "round")
            ),
            Self::Unpromised {
                peer,
                ballot,
                retries,
            } => format!(
                "{} has not promised {ballot}, asked again {}",
                name(*peer),
                count(u64::from(*retries), "time")
            ),
            Self::Unsynced {
                peer,
                last,
                commit,
                unanswered,
            } => {
                let state = unanswered.map_or_else(
                    || "is sent what comes next".to_owned(),
                    |for_| format!("has not confirmed for {for_} what it was sent"),
                );
                format!(
                    "{} is not synced, with a log up to slot {last} and {commit} decided: it \
                     {state}",
                    name(*peer)
                )
            }
            _ => return None,
        })
    }

    fn text_of_lag(&self, name: Name<'_>) -> Option<String> {
        Some(match self {
            Self::SendingSnapshot {
                peer,
                slot,
                sent,
                bytes,
                idle,
            } => format!(
                "{} fetches the snapshot of slot {slot}: {sent} of {bytes} bytes are sent, the \
                 last part was asked for {idle} ago",
                name(*peer)
            ),
            Self::Lagging {
                peer,
                slots,
                in_flight,
                window_full,
                unanswered,
            } => {
                let full = if *window_full {
                    ", all that its window allows"
                } else {
                    ""
                };
                format!(
                    "{} lacks {}, {in_flight} bytes are on their way{full}; it has confirmed \
                     nothing for {unanswered}",
                    name(*peer),
                    count(*slots, "slot")
                )
            }
            _ => return None,
        })
    }

    /// The figures in the text, for programs; spans in milliseconds.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NoQuorum { weight, total, .. } => figures([("weight", weight), ("total", total)]),
            Self::WaitsForTurn { remaining }
            | Self::RoundUnderWay { remaining }
            | Self::Deferring { remaining } => figures([("remaining_ms", &remaining.millis())]),
            Self::Campaigning {
                ballot,
                rounds_left: left,
                ..
            } => figures([("ballot", ballot), ("rounds_left", left)]),
            Self::AdoptionLacks { ballot, commit } => {
                figures([("ballot", ballot), ("commit", commit)])
            }
            Self::HandingOver {
                slots, undecided, ..
            } => figures([("slots", slots), ("undecided", undecided)]),
            Self::Damaged { promised } => figures([("promised", promised)]),
            Self::DiskSlow { waiting, .. } => figures([("waiting_ms", &waiting.millis())]),
            Self::Executing { applied, commit } => {
                figures([("applied", applied), ("commit", commit)])
            }
            Self::FetchingSnapshot {
                slot, have, bytes, ..
            } => figures([("slot", slot), ("have", have), ("bytes", bytes)]),
            Self::NotSynced { commit, heard, .. } => {
                figures([("commit", commit), ("heard", heard)])
            }
            Self::Proposals {
                entries,
                bytes,
                waiting,
                weight,
                total,
                ..
            } => figures([
                ("entries", entries),
                ("bytes", bytes),
                ("waiting_ms", &waiting.millis()),
                ("weight", weight),
                ("total", total),
            ]),
            Self::ReadsUnproven { reads, .. } | Self::ReadsBeforeAdoption { reads, .. } => {
                figures([("reads", reads)])
            }
            Self::ReadsAsked { reads, rounds, .. } => {
                figures([("reads", reads), ("rounds", rounds)])
            }
            Self::Silent {
                silence: Some(silence),
                ..
            } => figures([("silence_ms", &silence.millis())]),
            Self::DataSilent { rounds, .. } => figures([("rounds", rounds)]),
            Self::Unpromised { retries, .. } => figures([("retries", retries)]),
            Self::Unsynced { last, commit, .. } => figures([("last", last), ("commit", commit)]),
            Self::SendingSnapshot {
                slot, sent, bytes, ..
            } => figures([("slot", slot), ("sent", sent), ("bytes", bytes)]),
            Self::Lagging {
                slots, in_flight, ..
            } => figures([("slots", slots), ("in_flight_bytes", in_flight)]),
            Self::PeerContent { .. }
            | Self::Weightless
            | Self::Starting
            | Self::Silent { silence: None, .. }
            | Self::Unable { .. } => Vec::new(),
        }
    }
}

fn figures<const N: usize>(
    pairs: [(&'static str, &dyn Display); N],
) -> Vec<(&'static str, String)> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (name, value.to_string()))
        .collect()
}

fn count(number: u64, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

fn are(number: u64, one: &str) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", count(number, one))
}

/// `; a, b and c do`, or nothing for nobody.
fn clause(nodes: &[NodeId], one: &str, many: &str, name: Name<'_>) -> String {
    let names: Vec<String> = nodes.iter().map(|&node| name(node)).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => format!("; {only} {one}"),
        [rest @ .., last] => format!("; {} and {last} {many}", rest.join(", ")),
    }
}
