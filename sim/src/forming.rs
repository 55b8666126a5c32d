//! How nodes with empty directories form their cluster in the world, before a replica exists.
//! Knows nothing about replicas but that one starts when the cluster is formed.

use chil_core::forming::{
    Forming, FormingConfig, FormingInput, FormingMessage, FormingOutput, FormingPeer, answer_formed,
};
use chil_core::{Lane, Meta, Span};
use chil_proto::Frame;
use xxhash_rust::xxh3::xxh3_64;

use crate::check::looked::looks;
use crate::check::{Verdict, Violation};
use crate::node;
use crate::report::event::What;
use crate::store::StoreFailure;
use crate::telling::lane_name;
use crate::trace::Mark;
use crate::world::World;

impl World {
    /// A node that has no cluster yet begins to look for its peers.
    pub(crate) fn start_forming(&mut self, node: usize) -> Verdict {
        let weights = self.plan.cluster.weights.iter().enumerate();
        let peers = weights.clone().filter(|(peer, _)| *peer != node);
        let config = FormingConfig {
            name: node::name(node),
            disk: self.disks[node],
            advertise_addr: node::addr(node),
            weight: self.plan.cluster.weights[node],
            peers: peers
                .map(|(peer, weight)| FormingPeer {
                    addr: node::addr(peer),
                    // Some know their peers' names, some only where they can be reached.
                    name: (peer + node).is_multiple_of(2).then(|| node::name(peer)),
                    weight: *weight,
                })
                .collect(),
            single_node: self.plan.nodes() == 1,
            lease: node::lease(&self.plan),
            sessions: crate::snapshots::session_limits(&self.plan),
            interval: Span::from_micros(self.plan.cluster.heartbeat_us),
            seed: self.nodes[node].own_dice.word(),
        };
        let now = self.nodes[node].clock.read(self.now);
        self.tell(node, || What::Starts {
            text: "without a cluster".to_owned(),
        });
        looks("forming");
        let forming = Forming::new(config, now).map_err(|error| Violation {
            check: "forming",
            node: Some(node),
            what: format!("cannot begin to form a cluster: {error}"),
        })?;
        self.nodes[node].forming = Some(forming);
        self.tell_forming(node);
        self.drain_forming(node)
    }

    /// Hands an input to a node that is forming.
    pub(crate) fn give_forming(&mut self, node: usize, input: FormingInput) -> Verdict {
        let now = self.nodes[node].clock.read(self.now);
        if let Some(forming) = &mut self.nodes[node].forming {
            forming.handle(now, input);
        }
        self.drain_forming(node)
    }

    fn drain_forming(&mut self, node: usize) -> Verdict {
        while let Some(forming) = &mut self.nodes[node].forming {
            match forming.poll_output() {
                FormingOutput::Send { to_addr, message } => {
                    self.send_forming(node, &to_addr, message);
                }
                FormingOutput::Formed { meta } => return self.formed(node, &meta),
                FormingOutput::Refused { reason } => {
                    return Err(Violation {
                        check: "forming",
                        node: Some(node),
                        what: format!("refuses to form a sound cluster: {reason}"),
                    });
                }
                FormingOutput::Notice(notice) => {
                    let text = self.trace.named(notice);
                    self.tell(node, || What::Note { text });
                }
                FormingOutput::Wait(at) => {
                    self.arm(node, at);
                    self.note_stage(node);
                    break;
                }
            }
        }
        Ok(())
    }

    /// The cluster exists for this node: it makes that durable and starts its replica.
    fn formed(&mut self, node: usize, meta: &Meta) -> Verdict {
        let cluster = u64::try_from(meta.cluster.get() >> 64).unwrap_or(0);
        let numbers = [cluster, 0, 0, 0];
        self.trace.mix(Mark::Formed, self.now, node, numbers);
        self.tell(node, || What::Note {
            text: format!("has formed cluster {}", meta.cluster),
        });
        self.nodes[node].forming = None;
        match self.nodes[node].store.form(meta) {
            Ok(recovered) => self.start_replica(node, recovered, &[]),
            Err(StoreFailure::Wrong(what)) => Err(Violation {
                check: "forming",
                node: Some(node),
                what,
            }),
            Err(failure) => self.store_failed(node, failure),
        }
    }

    /// A message about forming arrives at a node that is forming, or has formed.
    pub(crate) fn arrive_forming(
        &mut self,
        from: usize,
        to: usize,
        message: FormingMessage,
    ) -> Verdict {
        let numbers = [from as u64, fingerprint(&message), 0, 0];
        self.trace.mix(Mark::Forming, self.now, to, numbers);
        if self.nodes[to].forming.is_some() {
            return self.give_forming(to, FormingInput::Received(message));
        }
        let addr = node::addr(to);
        let meta = self.nodes[to].store.meta();
        if let Some((to_addr, answer)) = meta.and_then(|m| answer_formed(m, &addr, &message)) {
            self.send_forming(to, &to_addr, answer);
        }
        Ok(())
    }

    fn send_forming(&mut self, from: usize, to_addr: &str, message: FormingMessage) {
        let Some(to) = (0..self.plan.nodes()).find(|peer| node::addr(*peer) == to_addr) else {
            return;
        };
        self.stats.messages += 1;
        let fate = self.network.send(self.now, from, to, Lane::Heartbeat);
        let id = self.stats.messages;
        if self.trace.is_told() {
            let text = self.trace.named(format!("{message:?}"));
            self.tell(from, || What::Send {
                id,
                to,
                lane: lane_name(Lane::Heartbeat),
                name: "Forming".to_owned(),
                text,
                ballot: None,
                slots: None,
                arrives: fate.times(),
            });
        }
        if fate.first.is_none() {
            self.stats.lost += 1;
        }
        self.deliver(from, to, id, Frame::Forming(message.into()), fate);
    }
}

fn fingerprint(message: &FormingMessage) -> u64 {
    xxh3_64(format!("{message:?}").as_bytes())
}
