//! Whether a directory that belongs to a cluster belongs to the one that the settings mean.
//! Knows nothing about the protocol, which drops what comes from another cluster without a word.

use chil_core::forming::{FormingMessage, Hello, HelloReply, HelloState};
use chil_core::{ClusterId, DiskId, Lease, Meta, SessionLimits, Span, Time};

use crate::builder::setting;
use crate::clock::random_u64;
use crate::config::Peer;
use crate::error::StartError;

/// How often a listed peer that has not answered yet is asked again.
const INTERVAL: Span = Span::from_millis(1_000);

/// Refuses a directory whose cluster is, by its members' names alone, not the one that was meant:
/// nobody of the list is in it, or it has more members than a cluster of one.
pub(crate) fn check_members(
    dir: &str,
    meta: &Meta,
    listed: &[Peer],
    single_node: bool,
) -> Result<(), StartError> {
    let members = || meta.membership.members.values();
    let names: Vec<&str> = members().map(|member| member.name.as_str()).collect();
    let stranger = |name: &String| !names.contains(&name.as_str());
    let named: Option<Vec<&String>> = listed.iter().map(|peer| peer.name.as_ref()).collect();
    let meant = match named {
        _ if single_node && names.len() > 1 => "a cluster of this node alone".to_owned(),
        Some(named) if !named.is_empty() && named.iter().all(|name| stranger(name)) => {
            let named: Vec<String> = named.iter().map(|name| format!("'{name}'")).collect();
            format!("a cluster with {}", named.join(", "))
        }
        Some(_) | None => return Ok(()),
    };
    Err(StartError::OtherCluster {
        dir: dir.to_owned(),
        members: names.join(", "),
        meant,
    })
}

/// Refuses settings that want other terms than the cluster was formed with. The members agreed on
/// them: a new leader waits for the lease that it knows of, and what is kept for sessions decides
/// who is evicted from the state that all of them share.
pub(crate) fn check_terms(
    meta: &Meta,
    lease: Option<Lease>,
    sessions: SessionLimits,
) -> Result<(), StartError> {
    let agreed = &meta.membership;
    if agreed.lease != lease {
        let text = |lease: Option<Lease>| {
            lease.map_or_else(|| "no lease".to_owned(), |l| format!("a lease of {l}"))
        };
        return Err(other_terms("lease", text(agreed.lease), text(lease)));
    }
    if agreed.sessions != sessions {
        let text = |limits: SessionLimits| format!("at most {limits}");
        let (agreed, wanted) = (text(agreed.sessions), text(sessions));
        return Err(other_terms("sessions", agreed, wanted));
    }
    Ok(())
}

fn other_terms(name: &'static str, agreed: String, wanted: String) -> StartError {
    let problem = format!(
        "the cluster was formed with {agreed}, but the settings want {wanted}: set what it was \
         formed with"
    );
    setting(name, problem)
}

/// Asks every listed peer once which cluster it belongs to.
///
/// One that belongs to another cluster may be a wrong address in the list; when more than half of
/// the list does, it is this node that has the wrong directory.
#[derive(Debug)]
pub(crate) struct Introduction {
    name: String,
    disk: DiskId,
    address: String,
    cluster: ClusterId,
    peers: Vec<Asked>,
    round: u64,
    due: Time,
}

#[derive(Debug)]
struct Asked {
    address: String,
    /// Only whoever got the question knows it.
    nonce: u64,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    name: String,
    cluster: ClusterId,
}

impl Introduction {
    /// An introduction of the node with this metadata, which is called `name` and reached at
    /// `address`, to the listed peers.
    pub(crate) fn new(name: &str, address: &str, meta: &Meta, listed: &[Peer]) -> Self {
        let asked = |peer: &Peer| Asked {
            address: peer.address.clone(),
            nonce: random_u64(),
            answer: None,
        };
        Self {
            name: name.to_owned(),
            disk: meta.disk,
            address: address.to_owned(),
            cluster: meta.cluster,
            peers: listed.iter().map(asked).collect(),
            round: 0,
            due: Time::ZERO,
        }
    }

    /// The questions that are due, with the addresses that they go to.
    pub(crate) fn questions(&mut self, now: Time) -> Vec<(String, FormingMessage)> {
        if now < self.due {
            return Vec::new();
        }
        self.due = now + INTERVAL;
        self.round += 1;
        let silent = self.peers.iter().filter(|peer| peer.answer.is_none());
        silent
            .map(|peer| {
                let hello = Hello {
                    name: self.name.clone(),
                    disk: self.disk,
                    addr: self.address.clone(),
                    nonce: peer.nonce,
                    round: self.round,
                };
                (peer.address.clone(), FormingMessage::Hello(hello))
            })
            .collect()
    }

    /// Takes an answer in. One that nobody asked for, or that a forming node gave, says nothing.
    /// Returns the address at which a member of this node's cluster has been found.
    ///
    /// # Errors
    /// In words, why this node must not go on.
    pub(crate) fn answered(&mut self, reply: &HelloReply) -> Result<Option<String>, String> {
        let HelloState::Formed { cluster, .. } = &reply.state else {
            return Ok(None);
        };
        let (mine, cluster) = (self.cluster, *cluster);
        let asked = self.peers.iter_mut().find(|peer| peer.nonce == reply.nonce);
        let Some(asked) = asked.filter(|peer| peer.answer.is_none()) else {
            return Ok(None);
        };
        asked.answer = Some(Answer {
            name: reply.name.clone(),
            cluster,
        });
        if cluster == mine {
            return Ok(Some(asked.address.clone()));
        }
        let text = format!(
            "'{}' at {} belongs to cluster {cluster}",
            reply.name, asked.address
        );
        tracing::error!(node = self.name, "{text}, but this node to {mine}");
        let strangers: Vec<&str> = self
            .peers
            .iter()
            .filter_map(|peer| peer.answer.as_ref())
            .filter(|answer| answer.cluster != mine)
            .map(|answer| answer.name.as_str())
            .collect();
        if strangers.len() * 2 <= self.peers.len() {
            return Ok(None);
        }
        Err(format!(
            "the data directory belongs to cluster {mine}, but the listed peers ({}) belong to \
             another: {text}. Either the directory or the list is another cluster's; nothing was \
             changed",
            strangers.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use chil_core::{Epoch, Member, Membership, NodeId};

    use super::*;

    fn meta(names: &[&str]) -> Meta {
        let member = |(i, name): (usize, &&str)| Member {
            name: (*name).to_owned(),
            disk: DiskId::new(i as u128 + 1),
            addr: format!("h:{i}"),
            weight: 1,
        };
        let members = names.iter().enumerate().map(member);
        let membership = Membership::new(Epoch::FIRST, members).unwrap();
        let node = NodeId::from_name(names[0]).unwrap();
        Meta::format(membership.cluster_id(), node, DiskId::new(1), membership)
    }

    fn listed(names: &[&str]) -> Vec<Peer> {
        names
            .iter()
            .map(|name| Peer::at(format!("{name}:1")).named(*name))
            .collect()
    }

    fn reply(question: &FormingMessage, theirs: &Meta) -> HelloReply {
        let FormingMessage::Hello(hello) = question else {
            panic!("{question} is no question");
        };
        HelloReply {
            name: "b".to_owned(),
            disk: DiskId::new(9),
            addr: "b:1".to_owned(),
            nonce: hello.nonce,
            round: hello.round,
            state: HelloState::Formed {
                cluster: theirs.cluster,
                membership: theirs.membership.clone(),
            },
        }
    }

    #[test]
    fn a_directory_is_refused_when_nobody_of_the_list_is_in_its_cluster() {
        let refused = |members: &[&str], list: &[&str], single| {
            check_members("/d", &meta(members), &listed(list), single).is_err()
        };
        assert!(refused(&["a"], &["b", "c"], false));
        assert!(refused(&["a", "x", "y"], &["b", "c"], false));
        assert!(refused(&["a", "b", "c"], &[], true));
        assert!(!refused(&["a", "b", "c"], &["b", "c"], false));
        assert!(!refused(&["a", "b", "c"], &["b", "z"], false));
        assert!(!refused(&["a"], &[], true));
        let unnamed = [Peer::at("h:1"), Peer::at("h:2").named("z")];
        assert!(check_members("/d", &meta(&["a"]), &unnamed, false).is_ok());
    }

    #[test]
    fn a_lease_that_the_cluster_did_not_agree_on_is_refused() {
        let lease = Some(Lease {
            duration_us: 500_000,
            drift_ppm: 1_000,
        });
        let mut meta = meta(&["a", "b"]);
        let check = |meta: &Meta, lease| check_terms(meta, lease, SessionLimits::default());
        assert!(check(&meta, None).is_ok());
        assert!(check(&meta, lease).is_err());
        meta.membership.lease = lease;
        assert!(check(&meta, lease).is_ok());
        let refused = check(&meta, None).unwrap_err().to_string();
        assert!(
            refused.contains("formed with a lease of 500000 us"),
            "{refused}"
        );
    }

    #[test]
    fn limits_of_sessions_that_the_cluster_did_not_agree_on_are_refused() {
        let mut meta = meta(&["a", "b"]);
        let fewer = SessionLimits {
            sessions_max: 7,
            ..SessionLimits::default()
        };
        let shorter = SessionLimits {
            reply_bytes_max: 7,
            ..SessionLimits::default()
        };
        for other in [fewer, shorter] {
            assert!(check_terms(&meta, None, other).is_err());
        }
        meta.membership.sessions = fewer;
        assert!(check_terms(&meta, None, fewer).is_ok());
        let refused = check_terms(&meta, None, SessionLimits::default());
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("formed with at most 7 sessions"),
            "{refused}"
        );
    }

    #[test]
    fn peers_of_the_same_cluster_are_asked_until_they_answer() {
        let ours = meta(&["a", "b", "c"]);
        let mut introduction = Introduction::new("a", "a:1", &ours, &listed(&["b", "c"]));
        let questions = introduction.questions(Time::ZERO);
        assert_eq!(questions.len(), 2);
        assert!(introduction.questions(Time::ZERO).is_empty(), "not due yet");
        assert_eq!(
            introduction.answered(&reply(&questions[0].1, &ours)),
            Ok(Some("b:1".to_owned()))
        );
        let again = introduction.questions(Time::ZERO + INTERVAL);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].0, "c:1");
    }

    #[test]
    fn one_wrong_address_is_survived_but_a_foreign_majority_is_not() {
        let (ours, theirs) = (meta(&["a", "b", "c"]), meta(&["a", "b"]));
        let mut introduction = Introduction::new("a", "a:1", &ours, &listed(&["b", "c"]));
        let questions = introduction.questions(Time::ZERO);
        let first = reply(&questions[0].1, &theirs);
        assert_eq!(introduction.answered(&first), Ok(None));
        assert_eq!(
            introduction.answered(&first),
            Ok(None),
            "one peer counts once"
        );
        let second = introduction.answered(&reply(&questions[1].1, &theirs));
        assert!(second.unwrap_err().contains(&ours.cluster.to_string()));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_says_nothing() {
        let (ours, theirs) = (meta(&["a", "b"]), meta(&["x", "b"]));
        let mut introduction = Introduction::new("a", "a:1", &ours, &listed(&["b"]));
        let questions = introduction.questions(Time::ZERO);
        let mut stray = reply(&questions[0].1, &theirs);
        stray.nonce ^= 1;
        assert_eq!(introduction.answered(&stray), Ok(None));
        let mut forming = reply(&questions[0].1, &theirs);
        forming.state = HelloState::Forming {
            list: Vec::new(),
            lease: None,
            sessions: SessionLimits::default(),
        };
        assert_eq!(introduction.answered(&forming), Ok(None));
    }
}
