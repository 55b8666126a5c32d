//! The forming node itself: asks, answers, confirms, and says when the cluster exists.
//! Knows nothing about what keeps lists from agreeing: that is the roster's.

use std::collections::{BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::config::{FormingConfig, FormingConfigError};
use super::message::{Confirm, Confirmed, FormingMessage, Hello, HelloReply, HelloState};
use super::obstacle::Obstacle;
use super::roster::{Heard, Own, Peer, Roster, member_with_disk};
use super::{FormingInput, FormingNotice, FormingOutput};
use crate::membership::Membership;
use crate::record::Meta;
use crate::time::{Span, Time};
use crate::types::{ClusterId, NodeId};

/// What all listed peers agree on, and who has confirmed it.
#[derive(Clone, Debug)]
struct Candidate {
    cluster: ClusterId,
    membership: Membership,
    nonce: u64,
    confirmed: BTreeSet<NodeId>,
}

/// A node without a cluster. Driven like a replica: inputs in, outputs drained to `Wait`.
#[derive(Clone, Debug)]
pub struct Forming {
    id: NodeId,
    roster: Roster,
    rng: ChaCha8Rng,
    interval: Span,
    /// Number of the last round of questions.
    round: u64,
    next_round: Time,
    candidate: Option<Candidate>,
    /// What was in the way when people were last told.
    announced: Vec<Obstacle>,
    outputs: VecDeque<FormingOutput>,
    /// Formed or refused: nothing is asked or answered any more.
    finished: bool,
}

impl Forming {
    /// A node that begins to ask its peers. Poll it at once: a cluster of one is formed already.
    ///
    /// # Errors
    /// What is wrong with the configuration. Nothing was sent.
    pub fn new(config: FormingConfig, now: Time) -> Result<Self, FormingConfigError> {
        let own_entry = config.check()?;
        let id = NodeId::from_name(&config.name)
            .ok_or_else(|| FormingConfigError::BadName(config.name.clone()))?;
        // The disk keeps nodes apart whose drivers gave them the same seed.
        let disk = config.disk.get();
        let seed = config.seed ^ (disk as u64) ^ ((disk >> 64) as u64);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut weight = config.weight;
        let mut peers = Vec::new();
        for (i, peer) in config.peers.into_iter().enumerate() {
            if own_entry == Some(i) {
                weight = peer.weight;
            } else {
                peers.push(Peer::new(peer, rng.next_u64()));
            }
        }
        let own = Own {
            name: config.name,
            disk: config.disk,
            addr: config.advertise_addr,
            weight,
            lease: config.lease,
            sessions: config.sessions,
        };
        let mut forming = Self {
            id,
            roster: Roster { own, peers },
            rng,
            interval: config.interval,
            round: 0,
            next_round: now,
            candidate: None,
            announced: Vec::new(),
            outputs: VecDeque::new(),
            finished: false,
        };
        forming.reconsider();
        forming.handle(now, FormingInput::Wake);
        Ok(forming)
    }

    /// Processes one event.
    pub fn handle(&mut self, now: Time, input: FormingInput) {
        if self.finished {
            return;
        }
        match input {
            FormingInput::Received(FormingMessage::Hello(hello)) => self.on_hello(&hello),
            FormingInput::Received(FormingMessage::HelloReply(reply)) => self.on_hello_reply(reply),
            FormingInput::Received(FormingMessage::Confirm(confirm)) => self.on_confirm(&confirm),
            FormingInput::Received(FormingMessage::Confirmed(answer)) => self.on_confirmed(&answer),
            FormingInput::Wake => {}
        }
        if self.next_round <= now && !self.finished {
            self.begin_round(now);
        }
    }

    /// The next effect; the last of a drain is always [`FormingOutput::Wait`].
    pub fn poll_output(&mut self) -> FormingOutput {
        let until = if self.finished {
            Time::MAX
        } else {
            self.next_round
        };
        self.outputs
            .pop_front()
            .unwrap_or(FormingOutput::Wait(until))
    }

    /// What still stands in the way; empty when nothing does.
    #[must_use]
    pub fn explain(&self) -> Vec<Obstacle> {
        if self.finished {
            return Vec::new();
        }
        let mut obstacles = match (&self.candidate, self.roster.agreement()) {
            (None, Err(obstacles)) => obstacles,
            (None, Ok(_)) => Vec::new(),
            (Some(candidate), _) => self.unconfirmed(candidate),
        };
        for (cluster, (membership, by)) in self.roster.formed() {
            obstacles.push(Obstacle::TooFewFormed {
                cluster,
                by: by.iter().map(|id| membership.name_of(*id)).collect(),
                weight: weight_of(membership, &by),
                total: membership.weight_total(),
            });
        }
        obstacles
    }

    fn unconfirmed(&self, candidate: &Candidate) -> Vec<Obstacle> {
        let members = candidate.membership.members.iter();
        members
            .filter(|(id, _)| **id != self.id && !candidate.confirmed.contains(*id))
            .map(|(_, member)| Obstacle::Unconfirmed {
                peer: member.name.clone(),
            })
            .collect()
    }

    fn begin_round(&mut self, now: Time) {
        self.round += 1;
        // A little jitter, so that nodes started together do not ask in step for ever.
        let jitter = self.rng.next_u64() % (self.interval.nanos() / 4).max(1);
        self.next_round = now + self.interval + Span::from_nanos(jitter);
        // People are told of what has outlived a round, not of what every start looks like.
        let obstacles = self.explain();
        if self.round > 1 {
            for obstacle in obstacles.iter().filter(|o| !self.announced.contains(o)) {
                self.outputs
                    .push_back(FormingOutput::Notice(FormingNotice::Obstacle(
                        obstacle.clone(),
                    )));
            }
            self.announced = obstacles;
        }
        for peer in &self.roster.peers {
            let hello = Hello {
                name: self.roster.own.name.clone(),
                disk: self.roster.own.disk,
                addr: self.roster.own.addr.clone(),
                nonce: peer.nonce,
                round: self.round,
            };
            self.outputs.push_back(FormingOutput::Send {
                to_addr: peer.addr.clone(),
                message: FormingMessage::Hello(hello),
            });
        }
        self.ask_for_confirmation();
    }

    fn ask_for_confirmation(&mut self) {
        let Some(candidate) = &self.candidate else {
            return;
        };
        for (id, member) in &candidate.membership.members {
            if candidate.confirmed.contains(id) {
                continue;
            }
            let Some(peer) = self.roster.peer_named(&member.name) else {
                continue;
            };
            let confirm = Confirm {
                name: self.roster.own.name.clone(),
                disk: self.roster.own.disk,
                addr: self.roster.own.addr.clone(),
                candidate: candidate.cluster,
                nonce: candidate.nonce,
            };
            self.outputs.push_back(FormingOutput::Send {
                to_addr: peer.addr.clone(),
                message: FormingMessage::Confirm(confirm),
            });
        }
    }

    fn on_hello(&mut self, hello: &Hello) {
        let own = &self.roster.own;
        if hello.name == own.name && hello.disk == own.disk {
            // Its own question came back: an address of the list leads here. With another nonce
            // it is an earlier life's question, or a copied directory's; neither gets an answer.
            self.hear(hello.nonce, hello.round, Heard::Myself);
            return;
        }
        let reply = HelloReply {
            name: own.name.clone(),
            disk: own.disk,
            addr: own.addr.clone(),
            nonce: hello.nonce,
            round: hello.round,
            state: HelloState::Forming {
                list: self.roster.list(),
                lease: own.lease,
                sessions: own.sessions,
            },
        };
        self.outputs.push_back(FormingOutput::Send {
            to_addr: hello.addr.clone(),
            message: FormingMessage::HelloReply(reply),
        });
    }

    fn on_hello_reply(&mut self, reply: HelloReply) {
        self.hear(reply.nonce, reply.round, Heard::Node(reply));
    }

    /// Notes who answers at the address that was asked with this nonce, unless a later question
    /// was answered already or the answer is to no question of this process.
    fn hear(&mut self, nonce: u64, round: u64, heard: Heard) {
        let asked = self.round;
        let Some(peer) = self
            .roster
            .peers
            .iter_mut()
            .find(|peer| peer.nonce == nonce)
        else {
            return;
        };
        if round <= peer.round || asked < round {
            return;
        }
        if let Heard::Node(reply) = &heard
            && let HelloState::Formed {
                cluster,
                membership,
            } = &reply.state
            && let Err(reason) = self.roster.own.may_join(reply, *cluster, membership)
        {
            self.finished = true;
            self.outputs.push_back(FormingOutput::Refused { reason });
            return;
        }
        peer.round = round;
        peer.heard = heard;
        self.reconsider();
    }

    fn on_confirm(&mut self, confirm: &Confirm) {
        let Some(candidate) = &self.candidate else {
            return;
        };
        if candidate.cluster != confirm.candidate {
            return;
        }
        let confirmed = Confirmed {
            name: self.roster.own.name.clone(),
            disk: self.roster.own.disk,
            candidate: confirm.candidate,
            nonce: confirm.nonce,
        };
        self.outputs.push_back(FormingOutput::Send {
            to_addr: confirm.addr.clone(),
            message: FormingMessage::Confirmed(confirmed),
        });
    }

    fn on_confirmed(&mut self, answer: &Confirmed) {
        let Some(candidate) = &mut self.candidate else {
            return;
        };
        if answer.candidate != candidate.cluster || answer.nonce != candidate.nonce {
            return;
        }
        let member = member_with_disk(&candidate.membership, &answer.name, answer.disk);
        if let Some(id) = member
            && id != self.id
        {
            candidate.confirmed.insert(id);
            self.conclude();
        }
    }

    /// Draws the conclusions from who was heard: a new candidate, none any more, or the same.
    fn reconsider(&mut self) {
        let agreement = self.roster.agreement().ok();
        let cluster = agreement.as_ref().map(Membership::cluster_id);
        let before = self.candidate.as_ref().map(|candidate| candidate.cluster);
        if cluster != before {
            if let Some(cluster) = before {
                let lost = FormingNotice::CandidateLost { cluster };
                self.outputs.push_back(FormingOutput::Notice(lost));
            }
            // Whatever was confirmed is forgotten with its nonce: the argument above needs it.
            self.candidate = None;
            if let (Some(membership), Some(cluster)) = (agreement, cluster) {
                let members = membership
                    .members
                    .values()
                    .map(|m| m.name.clone())
                    .collect();
                let found = FormingNotice::Candidate { cluster, members };
                self.outputs.push_back(FormingOutput::Notice(found));
                self.candidate = Some(Candidate {
                    cluster,
                    membership,
                    nonce: self.rng.next_u64(),
                    confirmed: BTreeSet::from([self.id]),
                });
                self.ask_for_confirmation();
            }
        }
        self.conclude();
    }

    /// Forms the cluster if everything that it takes is there.
    fn conclude(&mut self) {
        let formed = self.roster.formed();
        if let Some(candidate) = &mut self.candidate {
            if let Some((_, by)) = formed.get(&candidate.cluster) {
                candidate.confirmed.extend(by);
            }
            if candidate.confirmed.len() == candidate.membership.members.len() {
                let membership = candidate.membership.clone();
                self.become_formed(membership);
                return;
            }
        }
        let joined = formed.into_values().find_map(|(membership, mut by)| {
            by.remove(&self.id);
            let enough = weight_of(membership, &by) * 2 > membership.weight_total();
            enough.then(|| membership.clone())
        });
        if let Some(membership) = joined {
            self.become_formed(membership);
        }
    }

    fn become_formed(&mut self, membership: Membership) {
        let own = &self.roster.own;
        assert!(
            !self.finished && member_with_disk(&membership, &own.name, own.disk) == Some(self.id),
            "'{}' with disk {} forms a cluster that it does not belong to",
            own.name,
            own.disk
        );
        self.finished = true;
        let meta = Meta::format(membership.cluster_id(), self.id, own.disk, membership);
        self.outputs.push_back(FormingOutput::Formed {
            meta: Box::new(meta),
        });
    }
}

fn weight_of(membership: &Membership, nodes: &BTreeSet<NodeId>) -> u64 {
    let members = nodes.iter().filter_map(|id| membership.members.get(id));
    members.map(|member| u64::from(member.weight)).sum()
}
