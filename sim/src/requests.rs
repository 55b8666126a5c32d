//! How clients and nodes meet: requests, refusals, and who waits for what.
//! Knows nothing about how a replica decides; it keeps the waiters that a driver keeps.

use bytes::Bytes;
use chil_core::{Ballot, Command, Input, NodeId, ReadVia, Refusal, Slot, Token};

use crate::check::{Verdict, answered, on};
use crate::node::Waiting;
use crate::sessions::Waiter;
use crate::trace::Mark;
use crate::workload::{How, State, What, node_of};
use crate::world::{Event, World};

/// A client that is sent on so often looks for the leader itself once.
const HOPS_PER_SEARCH: u64 = 4;

impl World {
    /// Clients begin to ask: what the script says, or what they think of.
    pub(crate) fn begin_clients(&mut self) {
        if let Some(script) = &self.plan.script {
            let times: Vec<u64> = script.requests.iter().map(|r| r.at_ns).collect();
            for (index, at) in times.into_iter().enumerate() {
                self.schedule(at, Event::Scripted { index });
            }
            return;
        }
        for client in 0..self.clients.count() {
            let at = self.clients.think();
            self.schedule(at, Event::Think { client });
        }
    }

    /// A client asks for what the script says.
    pub(crate) fn scripted(&mut self, index: usize) -> Verdict {
        let Some(script) = &self.plan.script else {
            return Ok(());
        };
        let begun = self
            .clients
            .begin_scripted(&script.requests[index], self.now);
        begun.map_or(Ok(()), |operation| self.begin_operation(operation))
    }

    pub(crate) fn think(&mut self, client: usize) -> Verdict {
        if let Some(operation) = self.clients.begin(client, self.now) {
            self.begin_operation(operation)?;
            self.think_later(client);
        }
        Ok(())
    }

    fn begin_operation(&mut self, operation: usize) -> Verdict {
        if self.has_session(operation) {
            return self.submit(operation);
        }
        self.try_operation(operation, 0);
        let timeout = self.now + self.clients.timeout();
        self.schedule_behind(timeout, Event::Timeout { operation });
        Ok(())
    }

    /// Whether an operation goes through its client's session.
    pub(crate) fn has_session(&self, operation: usize) -> bool {
        let op = &self.clients.operations[operation];
        op.client < self.callers.len() && !op.is_read()
    }

    fn think_later(&mut self, client: usize) {
        let next = self.now + self.clients.think();
        self.schedule(next, Event::Think { client });
    }

    /// Clients that were idle go on if they have something to do.
    pub(crate) fn wake_clients(&mut self) {
        for client in 0..self.clients.count() {
            if self.clients.wakes(client) {
                self.think_later(client);
            }
        }
    }

    /// A client learns what came of an operation, or that nobody knows.
    pub(crate) fn ends(
        &mut self,
        operation: usize,
        state: State,
        slot: Option<Slot>,
        reply: Option<&Bytes>,
    ) {
        self.tell_end(operation, state, slot, reply);
        self.leaves(operation as u64);
        self.clients.operations[operation].answer = reply.map(|reply| (self.now, reply.clone()));
    }

    /// An operation ends; its client may have waited for that.
    pub(crate) fn finish(&mut self, operation: usize, state: State) {
        self.clients.end(operation, state);
        let client = self.clients.operations[operation].client;
        if self.clients.wakes(client) {
            self.think_later(client);
        }
    }

    fn try_operation(&mut self, operation: usize, pause: u64) {
        self.leaves(operation as u64);
        let client = self.clients.operations[operation].client;
        let at = self.now + pause + self.clients.travel(client);
        self.schedule(at, Event::Request { operation });
    }

    /// How long a client waits before it asks another node.
    fn back_off(&self) -> u64 {
        self.plan.cluster.heartbeat_us * 1_000 / 4
    }

    pub(crate) fn try_elsewhere(&mut self, operation: usize, hint: Option<NodeId>) {
        // Hints may be stale and point in a circle: now and then a client looks for itself.
        let follows =
            self.clients.operations[operation].hops % HOPS_PER_SEARCH != HOPS_PER_SEARCH - 1;
        let hint = node_of(&self.ids, hint).filter(|_| follows);
        self.clients.redirect(operation, hint);
        let pause = if hint.is_some() { 0 } else { self.back_off() };
        self.try_operation(operation, pause);
    }

    pub(crate) fn request(&mut self, operation: usize) -> Verdict {
        let op = &self.clients.operations[operation];
        if op.state != State::Trying {
            return Ok(());
        }
        let node = op.node;
        if self.nodes[node].replica.is_none() || self.is_left(node) {
            self.try_elsewhere(operation, None);
            return Ok(());
        }
        self.stats.events += 1;
        let token = Token::new(operation as u64);
        let (what, payload) = (op.what, op.payload());
        let mark = match what {
            What::Write => Mark::Propose,
            What::Read(_) => Mark::Read,
        };
        self.trace
            .mix(mark, self.now, node, [operation as u64, 0, 0, 0]);
        self.tell_asked(operation);
        let (client, bytes) = (self.clients.operations[operation].client, payload.len());
        if let Some(wait) = self.knocks(node, client, token.get(), bytes)? {
            self.clients.redirect(operation, Some(node));
            self.try_operation(operation, wait.nanos().max(self.back_off()));
            return Ok(());
        }
        let floor = self.judge.reads.floor();
        let op = &mut self.clients.operations[operation];
        op.state = State::Given;
        let via = match what {
            What::Write => {
                self.judge.wants(operation as u64, &payload);
                let command = Command::sessionless(payload);
                return self.give(node, Input::Propose { token, command });
            }
            What::Read(How::Stale { min_slot }) => {
                op.floor = min_slot;
                if self.nodes[node].applier.applied() < min_slot {
                    // It does not know what this client has seen: somebody else may.
                    self.try_elsewhere(operation, None);
                    return Ok(());
                }
                return self.wait_for(node, min_slot, None, operation);
            }
            What::Read(How::Leader) => ReadVia::Leader,
            What::Read(How::Lease) => ReadVia::Lease,
            What::Read(How::Follower) => ReadVia::Follower,
        };
        op.floor = floor;
        self.give(node, Input::Read { token, via })
    }

    pub(crate) fn timeout(&mut self, operation: usize) -> Verdict {
        let op = &self.clients.operations[operation];
        if self.healing && op.began >= self.plan.heal_at_us * 1_000 {
            // Now that all is well, clients wait for their answers: they must get them.
            return Ok(());
        }
        match op.state {
            State::Trying => return self.give_up(operation),
            State::Given if op.is_read() => {
                self.ends(operation, State::Dropped, None, None);
                self.finish(operation, State::Dropped);
            }
            State::Given => self.unknown(operation),
            State::Done | State::Unknown | State::Dropped => {}
        }
        Ok(())
    }

    /// A client stops trying something that no node has taken.
    pub(crate) fn give_up(&mut self, operation: usize) -> Verdict {
        let op = &self.clients.operations[operation];
        if !op.is_read() {
            let (node, payload) = (op.node, op.payload());
            self.judge.denies(node, operation as u64, &payload)?;
        }
        self.ends(operation, State::Dropped, None, None);
        self.finish(operation, State::Dropped);
        Ok(())
    }

    /// Nobody knows what comes of what was placed.
    pub(crate) fn outcome_unknown(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Operation(operation) => self.unknown(operation),
            Waiter::Attempt(number) => self.attempt_unknown(number),
        }
    }

    pub(crate) fn unknown(&mut self, operation: usize) {
        if self.clients.operations[operation].state == State::Given {
            self.stats.unknown += 1;
            self.ends(operation, State::Unknown, None, None);
            self.finish(operation, State::Unknown);
        }
    }

    pub(crate) fn refused(&mut self, node: usize, token: Token, reason: Refusal) -> Verdict {
        self.trace
            .mix(Mark::Refused, self.now, node, [token.get(), 0, 0, 0]);
        let operation = match Waiter::of(token) {
            Waiter::Operation(operation) => operation,
            Waiter::Attempt(number) => {
                self.attempt_refused(number, reason);
                return Ok(());
            }
        };
        if self.clients.operations[operation].state != State::Given {
            return Ok(());
        }
        on("answered", node, answered::check_refusal(reason))?;
        let pause = self.back_off();
        match reason {
            Refusal::NotLeader { hint } => self.try_elsewhere(operation, hint),
            Refusal::Overloaded => {
                self.clients.redirect(operation, Some(node));
                self.try_operation(operation, pause);
            }
            // The check above ends the run at these.
            Refusal::TooLarge { .. } => {}
        }
        Ok(())
    }

    pub(crate) fn placed(&mut self, node: usize, ballot: Ballot, first: Slot, tokens: &[Token]) {
        let mut slot = first;
        for token in tokens {
            let numbers = [token.get(), slot.get(), ballot.n, 0];
            self.trace.mix(Mark::Placed, self.now, node, numbers);
            let waiters = &mut self.nodes[node].placed;
            waiters.insert(slot, (ballot, Waiter::of(*token)));
            slot = slot.next();
        }
    }

    /// What was placed in this ballot and is not executed yet may still be, or not.
    pub(crate) fn deposed(&mut self, node: usize, ballot: Ballot) {
        let placed = std::mem::take(&mut self.nodes[node].placed);
        let (gone, kept): (Vec<_>, Vec<_>) =
            placed.into_iter().partition(|(_, (b, _))| *b == ballot);
        self.nodes[node].placed = kept.into_iter().collect();
        for (_, (_, waiter)) in gone {
            self.outcome_unknown(waiter);
        }
    }

    /// A node died: nobody will answer those who waited there.
    pub(crate) fn orphaned(&mut self, node: usize) {
        let placed = std::mem::take(&mut self.nodes[node].placed);
        for (_, (_, waiter)) in placed {
            self.outcome_unknown(waiter);
        }
        let reads = std::mem::take(&mut self.nodes[node].reads);
        for Waiting { operation, .. } in reads {
            if self.clients.operations[operation].state == State::Given {
                self.try_elsewhere(operation, None);
            }
        }
    }
}
