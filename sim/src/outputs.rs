//! What the world does with a replica's outputs: its disk, its messages, its clients' answers.
//! Knows nothing about when anything happens but what the network says.

use chil_core::output::StepDown;
use chil_core::{Ballot, Envelope, Input, Lane, Notice, Output, Slot};
use chil_proto::{Frame, encode};

use crate::check::steady_leader::Steady;
use crate::check::{Verdict, Violation, bounded_memory, ends, no_churn, on};
use crate::network::Arrivals;
use crate::snapshots::Job;
use crate::trace::{self, Mark};
use crate::world::{Event, Hop, World};

impl World {
    /// Does everything that a replica wants done.
    pub(crate) fn drain(&mut self, node: usize) -> Verdict {
        let mut leads = None;
        for outputs in 0.. {
            let found = no_churn::check_outputs(outputs);
            ends("no_churn", Some(node), found)?;
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
                    if let Output::Notice(notice) = &output {
                        leads = self.notices(node, notice)?.or(leads);
                    }
                    self.effect(node, output)?;
                }
            }
        }
        if let Some((ballot, adopted)) = leads {
            // The log that it begins with was handed to its disk in the same drain.
            self.stats.leaders += 1;
            let commit = self.nodes[node].replica.as_ref().map(|r| r.status().commit);
            let commit = commit.unwrap_or(adopted);
            self.judge.leads(node, ballot, adopted, commit)?;
        }
        self.look(node)?;
        self.note_stage(node);
        self.tell_state(node);
        self.begin_sync(node)
    }

    /// A replica notices something. Returns the ballot that it leads from now on, if it is that,
    /// and the end of the log that it adopted.
    fn notices(
        &mut self,
        node: usize,
        notice: &Notice,
    ) -> Result<Option<(Ballot, Slot)>, Violation> {
        if let Some(steady) = &mut self.steady
            && Steady::concerns(notice)
        {
            let found = steady.check(self.now, notice);
            on("steady_leader", node, found)?;
        }
        match notice {
            Notice::Campaigning { .. } => self.stats.ballots += 1,
            Notice::SteppedDown {
                ballot,
                reason: StepDown::HigherBallot,
            } => self.judge.gives_up(node, *ballot)?,
            Notice::Transferring { .. } => {
                self.handed_over_at = self.now;
                self.stats.handovers += 1;
            }
            Notice::Leading {
                ballot,
                adopted_last,
            } => return Ok(Some((*ballot, *adopted_last))),
            _ => {}
        }
        Ok(None)
    }

    /// Looks into a replica every so many events.
    fn look(&mut self, node: usize) -> Verdict {
        if self.stats.events.is_multiple_of(self.check_every)
            && let Some(replica) = &self.nodes[node].replica
        {
            replica.check();
            let status = replica.status();
            self.judge.shows(node, &status)?;
            if !self.judge.looks_away {
                let (holding, state) = (replica.holding(), &self.nodes[node]);
                let shares = &mut self.stats.memory;
                let found = bounded_memory::check(&holding, state.kept(), &state.limits, shares);
                on("bounded_memory", node, found)?;
            }
        }
        Ok(())
    }

    /// Does one thing that a replica wants done.
    fn effect(&mut self, node: usize, output: Output) -> Verdict {
        self.tell_output(node, &output);
        self.stats.coverage.wants(&output);
        match output {
            Output::Persist(persist) => {
                let lsn = persist.lsn.get();
                self.trace
                    .mix(Mark::Persist, self.now, node, [lsn, 0, 0, 0]);
                self.judge.written(node, &persist.records)?;
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
                self.judge.deposed(node);
                self.deposed(node, ballot);
                Ok(())
            }
            Output::Decided { entries } => self.decided(node, entries),
            Output::ReadReady {
                token,
                index,
                until,
            } => self.read_ready(node, token, index, until),
            Output::TransferEnded { token, outcome } => {
                let (word, number) = (token.get(), outcome.is_ok());
                self.trace.mix(
                    Mark::Transfer,
                    self.now,
                    node,
                    [word, u64::from(number), 1, 0],
                );
                self.stats.transfers[crate::stats::ended(&outcome)] += 1;
                Ok(())
            }
            Output::ReadChunk { .. }
            | Output::WriteChunk { .. }
            | Output::FinishSnapshot { .. }
            | Output::Install { .. } => self.snapshot_effect(node, output),
            Output::Notice(_) | Output::Wait(_) => Ok(()),
        }
    }

    /// Does what a replica wants done about snapshots.
    fn snapshot_effect(&mut self, node: usize, output: Output) -> Verdict {
        let job = match output {
            Output::ReadChunk {
                to,
                id,
                offset,
                len,
            } => Job::Read {
                to,
                id,
                offset,
                len,
            },
            Output::WriteChunk { id, offset, bytes } => Job::Write { id, offset, bytes },
            Output::FinishSnapshot { id } => Job::Finish(id),
            Output::Install { id } => {
                self.judge.replaces(node, &id)?;
                Job::Install(id)
            }
            Output::Persist(_)
            | Output::Send(_)
            | Output::Placed { .. }
            | Output::Refused { .. }
            | Output::Deposed { .. }
            | Output::Decided { .. }
            | Output::ReadReady { .. }
            | Output::TransferEnded { .. }
            | Output::Notice(_)
            | Output::Wait(_) => return Ok(()),
        };
        self.work(node, job);
        Ok(())
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
        let id = self.stats.messages;
        if let Some(envelope) = self.queue_up(node, to, id, envelope) {
            self.put_on_link(node, to, id, envelope);
        }
        Ok(())
    }

    /// Sends a message that waits for nothing any more.
    pub(crate) fn put_on_link(&mut self, node: usize, to: usize, id: u64, envelope: Box<Envelope>) {
        let lane = envelope.body.lane();
        let fate = self.network.send(self.now, node, to, lane);
        let [a, b] = trace::numbers(&envelope.body);
        let arrival = fate.first.unwrap_or(0);
        self.trace
            .mix(Mark::Sent, self.now, node, [to as u64, a, b, arrival]);
        self.tell_send(node, to, id, &envelope.body, fate);
        if fate.first.is_none() {
            self.stats.lost += 1;
            return;
        }
        self.deliver(node, to, id, Frame::Envelope(envelope), fate);
    }

    /// Lets a frame arrive as often as it does.
    pub(crate) fn deliver(
        &mut self,
        from: usize,
        to: usize,
        id: u64,
        frame: Frame,
        fate: Arrivals,
    ) {
        let Some(first) = fate.first else {
            return;
        };
        let lane = match &frame {
            Frame::Envelope(envelope) => envelope.body.lane(),
            Frame::Forming(_) => Lane::Heartbeat,
        };
        let hop = if self.plan.network.codec {
            Hop::Encoded(encode::frame(&frame))
        } else {
            Hop::Whole(frame)
        };
        let arrive = |hop| Event::Arrive {
            from,
            to,
            lane,
            id,
            hop,
        };
        if let Some(second) = fate.second {
            let hop = match &hop {
                Hop::Whole(frame) => Hop::Whole(frame.clone()),
                Hop::Encoded(bytes) => Hop::Encoded(bytes.clone()),
            };
            self.schedule(second, arrive(hop));
        }
        self.schedule(first, arrive(hop));
    }
}
