//! Reads in the world: from the word that one may be served to the answer, of all kinds.
//! Knows nothing about how a replica proves that nothing newer was acknowledged.

use bytes::Bytes;
use chil_core::{Ballot, Input, Output, ReadVia, Slot, Time, Token};

use crate::check::{Verdict, Violation};
use crate::node::Waiting;
use crate::sessions::Waiter;
use crate::trace::Mark;
use crate::workload::{How, State, What};
use crate::world::{Event, World};

/// A read that was made from a lease, before its node looks at the clock again.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    operation: usize,
    applied: Slot,
    answer: Bytes,
    until: Time,
    ballot: Option<Ballot>,
}

impl World {
    /// Nobody else decides or answers while a lease serves, whether or not a client asks in that
    /// very instant: so each leader that was overtaken is asked, or rather a copy of it.
    pub(crate) fn audit_leases(&mut self) -> Verdict {
        if self.plan.cluster.lease.is_some() && self.judge.another_acts() {
            for node in 0..self.nodes.len() {
                self.audit_lease(node)?;
            }
        }
        Ok(())
    }

    /// Asks a leader that was overtaken, if this is one, whether it would answer a read now.
    pub(crate) fn audit_lease(&self, node: usize) -> Verdict {
        let Some(ballot) = self.judge.overtaken(node) else {
            return Ok(());
        };
        let (state, token) = (&self.nodes[node], Token::new(u64::MAX));
        let Some(mut replica) = state.replica.clone() else {
            return Ok(());
        };
        let (now, via) = (state.clock.read(self.now), ReadVia::Lease);
        replica.handle(now, Input::Read { token, via });
        loop {
            match replica.poll_output() {
                Output::ReadReady {
                    token: served,
                    until: Some(until),
                    ..
                } if served == token && now < until => {
                    return self.judge.serves_from_lease(node, Some(ballot));
                }
                Output::Wait(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// A replica says what a read has to see.
    pub(crate) fn read_ready(
        &mut self,
        node: usize,
        token: Token,
        index: Slot,
        until: Option<Time>,
    ) -> Verdict {
        let numbers = [token.get(), index.get(), u64::from(until.is_some()), 0];
        self.trace.mix(Mark::ReadReady, self.now, node, numbers);
        if until.is_some() && self.plan.cluster.lease.is_none() {
            return Err(Violation {
                check: "lease_is_exclusive",
                node: Some(node),
                what: "serves a read from a lease, but the cluster has none".to_owned(),
            });
        }
        let lease = until.map(|until| (until, self.judge.leads_in(node)));
        match Waiter::of(token) {
            Waiter::Operation(operation) => self.wait_for(node, index, lease, operation),
            Waiter::Attempt(_) => Ok(()),
        }
    }

    /// A read waits until the state machine has executed `index`.
    pub(crate) fn wait_for(
        &mut self,
        node: usize,
        index: Slot,
        lease: Option<(Time, Option<Ballot>)>,
        operation: usize,
    ) -> Verdict {
        self.nodes[node].reads.push(Waiting {
            index,
            lease,
            operation,
        });
        self.serve_reads(node)
    }

    /// Serves the reads that have waited long enough.
    pub(crate) fn serve_reads(&mut self, node: usize) -> Verdict {
        if self.nodes[node].reads.is_empty() {
            return Ok(());
        }
        let applied = self.nodes[node].applier.applied();
        let waiting = std::mem::take(&mut self.nodes[node].reads);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|read| read.index <= applied);
        self.nodes[node].reads = waiting;
        for read in ready {
            let op = &self.clients.operations[read.operation];
            if op.state != State::Given {
                continue;
            }
            let answer = self.nodes[node].applier.machine().query(op.request.bytes());
            let made = Made {
                operation: read.operation,
                applied,
                answer,
                until: read.lease.map_or(Time::MAX, |(until, _)| until),
                ballot: read.lease.and_then(|(_, ballot)| ballot),
            };
            if read.lease.is_none() {
                self.answered(node, &made)?;
                continue;
            }
            // The state is read first and the clock after it: anything may happen in between.
            let client = self.clients.operations[read.operation].client;
            let at = self.now + self.clients.travel(client);
            let life = self.nodes[node].life;
            let read = self.made.len();
            self.made.push(made);
            self.schedule(at, Event::Answer { node, life, read });
        }
        Ok(())
    }

    /// A node looks at its clock: may the read that it has made from its lease be answered?
    pub(crate) fn answer(&mut self, node: usize, life: u64, read: usize) -> Verdict {
        let made = self.made[read].clone();
        let state = self.clients.operations[made.operation].state;
        if self.nodes[node].life != life || state != State::Given {
            return Ok(());
        }
        self.stats.events += 1;
        if self.nodes[node].clock.read(self.now) < made.until {
            self.judge.serves_from_lease(node, made.ballot)?;
            self.stats.lease_reads += 1;
            return self.answered(node, &made);
        }
        // Too late: it must not be answered, and is asked for again.
        self.stats.leases_ended += 1;
        let token = Token::new(made.operation as u64);
        let via = ReadVia::Leader;
        self.give(node, Input::Read { token, via })
    }

    /// A stale answer says how old the state is: by true time it must not be older.
    fn dated(&self, node: usize, applied: Slot) -> Verdict {
        let state = &self.nodes[node];
        let fresh_at = state
            .replica
            .as_ref()
            .and_then(|replica| replica.fresh_at());
        let Some(fresh_at) = fresh_at else {
            return Ok(());
        };
        let age = state.clock.read(self.now).since(fresh_at).nanos();
        let drifts = self
            .plan
            .clocks
            .iter()
            .map(|clock| clock.drift_ppm.unsigned_abs());
        let drift = u64::from(drifts.max().unwrap_or_default());
        self.judge.dates_state(node, applied, age, drift)
    }

    /// A client gets what it asked for.
    fn answered(&mut self, node: usize, made: &Made) -> Verdict {
        let operation = made.operation;
        let op = &self.clients.operations[operation];
        let (query, floor, applied) = (op.payload(), op.floor, made.applied);
        let (client, what) = (op.client, op.what);
        self.judge
            .answers_read(node, floor, applied, &query, &made.answer)?;
        self.clients.learns(&query, &made.answer);
        match what {
            What::Read(How::Leader) => self.judge.serves_as_leader(node),
            What::Read(How::Follower) => self.stats.follower_reads += 1,
            What::Read(How::Stale { .. }) => {
                self.stats.stale_reads += 1;
                self.dated(node, applied)?;
            }
            What::Read(How::Lease) | What::Write => {}
        }
        self.clients.sees(client, applied);
        self.stats.reads += 1;
        let numbers = [operation as u64, applied.get(), 1, 0];
        self.trace.mix(Mark::Outcome, self.now, node, numbers);
        self.ends(operation, State::Done, Some(applied), Some(&made.answer));
        self.finish(operation, State::Done);
        Ok(())
    }
}
