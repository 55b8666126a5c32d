//! What the world does with a replica's outputs: its disk, its messages, its clients' answers.
//! Knows nothing about when anything happens but what the network says.

use chil_core::{Envelope, Input, Lane, Notice, Output};
use chil_proto::{Frame, encode};

use crate::check::{Verdict, Violation};
use crate::trace::{self, Mark};
use crate::world::{Event, Hop, World};

impl World {
    /// Does everything that a replica wants done.
    pub(crate) fn drain(&mut self, node: usize) -> Verdict {
        let mut leads = None;
        loop {
            let Some(replica) = &mut self.nodes[node].replica else {
                return Ok(());
            };
            match replica.poll_output() {
                Output::Wait(at) => {
                    let applied = self.nodes[node].applier.applied();
                    if applied == self.nodes[node].told_applied {
                        self.arm(node, at);
                        break;
                    }
                    self.nodes[node].told_applied = applied;
                    let now = self.nodes[node].clock.read(self.now);
                    let input = Input::Applied { slot: applied };
                    if let Some(replica) = &mut self.nodes[node].replica {
                        replica.handle(now, input);
                    }
                }
                output => {
                    if let Output::Notice(Notice::Campaigning { .. }) = &output {
                        self.stats.ballots += 1;
                    }
                    if let Output::Notice(Notice::Leading {
                        ballot,
                        adopted_last,
                    }) = &output
                    {
                        leads = Some((*ballot, *adopted_last));
                    }
                    self.effect(node, output)?;
                }
            }
        }
        if let Some((ballot, adopted)) = leads {
            // The log that it begins with was handed to its disk in the same drain.
            self.stats.leaders += 1;
            self.judge.leads(node, ballot, adopted)?;
        }
        self.look(node)?;
        self.begin_sync(node)
    }

    /// Looks into a replica every so many events.
    fn look(&mut self, node: usize) -> Verdict {
        if self.stats.events.is_multiple_of(self.check_every)
            && let Some(replica) = &self.nodes[node].replica
        {
            replica.check();
            let status = replica.status();
            self.judge.shows(node, &status)?;
        }
        Ok(())
    }

    /// Does one thing that a replica wants done.
    fn effect(&mut self, node: usize, output: Output) -> Verdict {
        if self.trace.is_told() && !matches!(output, Output::Send(_)) {
            self.tell(node, || format!("   -> {output}"));
        }
        match output {
            Output::Persist(persist) => {
                let lsn = persist.lsn.get();
                self.trace
                    .mix(Mark::Persist, self.now, node, [lsn, 0, 0, 0]);
                for record in &persist.records {
                    self.judge.written(node, record)?;
                }
                self.nodes[node].store.submit(persist);
                Ok(())
            }
            Output::Send(envelope) => self.send(node, envelope),
            Output::Placed {
                ballot,
                first,
                tokens,
            } => {
                self.placed(node, ballot, first, &tokens);
                Ok(())
            }
            Output::Refused { token, reason } => self.refused(node, token, reason),
            Output::Deposed { ballot } => {
                self.trace
                    .mix(Mark::Deposed, self.now, node, [ballot.n, 0, 0, 0]);
                self.deposed(node, ballot);
                Ok(())
            }
            Output::Decided { entries } => self.decided(node, &entries),
            Output::ReadReady { token, index, .. } => self.read_ready(node, token, index),
            Output::TransferEnded { .. }
            | Output::ReadChunk { .. }
            | Output::WriteChunk { .. }
            | Output::FinishSnapshot { .. }
            | Output::Install { .. }
            | Output::Notice(_)
            | Output::Wait(_) => Ok(()),
        }
    }

    fn send(&mut self, node: usize, envelope: Box<Envelope>) -> Verdict {
        self.judge.sends(node, &envelope)?;
        let Some(to) = self.ids.iter().position(|id| *id == envelope.to) else {
            return Err(Violation {
                check: "bounds",
                node: Some(node),
                what: format!(
                    "sends {} to {}, who is no member",
                    envelope.body, envelope.to
                ),
            });
        };
        self.stats.messages += 1;
        let lane = envelope.body.lane();
        let fate = self.network.send(self.now, node, to, lane);
        let [a, b] = trace::numbers(&envelope.body);
        let arrival = fate.first.unwrap_or(0);
        self.trace
            .mix(Mark::Sent, self.now, node, [to as u64, a, b, arrival]);
        if self.trace.is_told() {
            let lost = if fate.first.is_none() { "  (lost)" } else { "" };
            let receiver = self.nodes[to].name.clone();
            self.tell(node, || {
                format!("   -> send {receiver}  {}{lost}", envelope.body)
            });
        }
        let Some(first) = fate.first else {
            self.stats.lost += 1;
            return Ok(());
        };
        let frame = Frame::Envelope(envelope);
        self.deliver(node, to, frame, first, fate.second);
        Ok(())
    }

    /// Lets a frame arrive, once or twice.
    pub(crate) fn deliver(
        &mut self,
        from: usize,
        to: usize,
        frame: Frame,
        first: u64,
        second: Option<u64>,
    ) {
        let lane = match &frame {
            Frame::Envelope(envelope) => envelope.body.lane(),
            Frame::Forming(_) => Lane::Heartbeat,
        };
        let hop = if self.plan.network.codec {
            Hop::Encoded(encode::frame(&frame))
        } else {
            Hop::Whole(Box::new(frame))
        };
        if let Some(second) = second {
            let hop = match &hop {
                Hop::Whole(frame) => Hop::Whole(frame.clone()),
                Hop::Encoded(bytes) => Hop::Encoded(bytes.clone()),
            };
            self.schedule(
                second,
                Event::Arrive {
                    from,
                    to,
                    lane,
                    hop,
                },
            );
        }
        self.schedule(
            first,
            Event::Arrive {
                from,
                to,
                lane,
                hop,
            },
        );
    }
}
