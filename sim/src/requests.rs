//! How clients and nodes meet: requests, answers, executed slots, reads.
//! Knows nothing about how a replica decides; it keeps the waiters that a driver keeps.

use bytes::Bytes;
use chil_core::{Ballot, Command, Entry, Input, NodeId, Refusal, Slot, Token};

use crate::check::{Verdict, Violation, answered, on};
use crate::trace::Mark;
use crate::workload::{State, node_of};
use crate::world::{Event, World};

/// A client that is sent on so often looks for the leader itself once.
const HOPS_PER_SEARCH: u64 = 4;

impl World {
    pub(crate) fn think(&mut self, client: usize) -> Verdict {
        if let Some(operation) = self.clients.begin(client, self.now) {
            self.try_operation(operation, 0);
            let timeout = self.now + self.clients.timeout();
            self.schedule(timeout, Event::Timeout { operation });
            self.think_later(client);
        }
        Ok(())
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

    /// An operation ends; its client may have waited for that.
    fn finish(&mut self, operation: usize, state: State) {
        self.clients.end(operation, state);
        let client = self.clients.operations[operation].client;
        if self.clients.wakes(client) {
            self.think_later(client);
        }
    }

    fn try_operation(&mut self, operation: usize, pause: u64) {
        let at = self.now + pause + self.clients.travel();
        self.schedule(at, Event::Request { operation });
    }

    /// How long a client waits before it asks another node.
    fn back_off(&self) -> u64 {
        self.plan.cluster.heartbeat_us * 1_000 / 4
    }

    fn try_elsewhere(&mut self, operation: usize, hint: Option<NodeId>) {
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
        if self.nodes[node].replica.is_none() {
            self.try_elsewhere(operation, None);
            return Ok(());
        }
        self.stats.events += 1;
        let token = Token::new(operation as u64);
        let (mark, input) = match &op.command {
            Some(payload) => {
                let command = Command::sessionless(payload.clone());
                (Mark::Propose, Input::Propose { token, command })
            }
            None => (
                Mark::Read,
                Input::Read {
                    token,
                    via: chil_core::ReadVia::Leader,
                },
            ),
        };
        self.trace
            .mix(mark, self.now, node, [operation as u64, 0, 0, 0]);
        self.tell(node, || {
            format!("client: {mark:?} of operation {operation}")
        });
        let floor = self.judge.reads.floor();
        let op = &mut self.clients.operations[operation];
        op.state = State::Given;
        op.floor = floor;
        self.give(node, input)
    }

    pub(crate) fn timeout(&mut self, operation: usize) -> Verdict {
        let op = &self.clients.operations[operation];
        if self.healing && op.began >= self.plan.heal_at_us * 1_000 {
            // Now that all is well, clients wait for their answers: they must get them.
            return Ok(());
        }
        match op.state {
            State::Trying => self.finish(operation, State::Dropped),
            State::Given if op.command.is_none() => self.finish(operation, State::Dropped),
            State::Given => self.unknown(operation),
            State::Done | State::Unknown | State::Dropped => {}
        }
        Ok(())
    }

    fn unknown(&mut self, operation: usize) {
        if self.clients.operations[operation].state == State::Given {
            self.stats.unknown += 1;
            self.finish(operation, State::Unknown);
        }
    }

    pub(crate) fn refused(&mut self, node: usize, token: Token, reason: Refusal) -> Verdict {
        let operation = index(token);
        self.trace
            .mix(Mark::Refused, self.now, node, [token.get(), 0, 0, 0]);
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
            waiters.insert(slot, (ballot, index(*token)));
            slot = slot.next();
        }
    }

    /// What was placed in this ballot and is not executed yet may still be, or not.
    pub(crate) fn deposed(&mut self, node: usize, ballot: Ballot) {
        let placed = std::mem::take(&mut self.nodes[node].placed);
        let (gone, kept): (Vec<_>, Vec<_>) =
            placed.into_iter().partition(|(_, (b, _))| *b == ballot);
        self.nodes[node].placed = kept.into_iter().collect();
        for (_, (_, operation)) in gone {
            self.unknown(operation);
        }
    }

    /// A node died: nobody will answer those who waited there.
    pub(crate) fn orphaned(&mut self, node: usize) {
        let placed = std::mem::take(&mut self.nodes[node].placed);
        for (_, (_, operation)) in placed {
            self.unknown(operation);
        }
        let reads = std::mem::take(&mut self.nodes[node].reads);
        for (_, operation) in reads {
            if self.clients.operations[operation].state == State::Given {
                self.try_elsewhere(operation, None);
            }
        }
    }

    /// Executes what a node hands out as decided, and answers who waited for it.
    pub(crate) fn decided(&mut self, node: usize, entries: &[Entry]) -> Verdict {
        for entry in entries {
            self.judge.decides(node, entry)?;
            let applied = self.nodes[node].applier.apply(entry);
            let digest = self.nodes[node].applier.digest();
            self.judge.executed(node, applied.slot, digest)?;
            let waiter = self.nodes[node].placed.remove(&applied.slot);
            if let Some((ballot, operation)) = waiter {
                self.executed(node, operation, ballot, entry)?;
            }
        }
        if let Some(last) = entries.last() {
            let numbers = [last.slot().get(), last.origin().n, 0, 0];
            self.trace.mix(Mark::Decided, self.now, node, numbers);
        }
        self.serve_reads(node)
    }

    fn executed(
        &mut self,
        node: usize,
        operation: usize,
        ballot: Ballot,
        entry: &Entry,
    ) -> Verdict {
        if self.clients.operations[operation].state != State::Given {
            return Ok(());
        }
        if entry.origin() != ballot {
            // Another value took the slot: this one never will, and may be proposed again.
            self.try_elsewhere(operation, None);
            return Ok(());
        }
        self.judge.acks(node, entry.slot(), ballot)?;
        self.stats.writes += 1;
        let numbers = [operation as u64, entry.slot().get(), 0, 0];
        self.trace.mix(Mark::Outcome, self.now, node, numbers);
        self.tell(node, || {
            format!(
                "client: operation {operation} done in slot {}",
                entry.slot()
            )
        });
        self.finish(operation, State::Done);
        Ok(())
    }

    pub(crate) fn read_ready(&mut self, node: usize, token: Token, at: Slot) -> Verdict {
        let numbers = [token.get(), at.get(), 0, 0];
        self.trace.mix(Mark::ReadReady, self.now, node, numbers);
        self.nodes[node].reads.push((at, index(token)));
        self.serve_reads(node)
    }

    fn serve_reads(&mut self, node: usize) -> Verdict {
        if self.nodes[node].reads.is_empty() {
            return Ok(());
        }
        let applied = self.nodes[node].applier.applied();
        let waiting = std::mem::take(&mut self.nodes[node].reads);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(at, _)| *at <= applied);
        self.nodes[node].reads = waiting;
        for (_, operation) in ready {
            let op = &self.clients.operations[operation];
            if op.state != State::Given {
                continue;
            }
            let (key, floor): (Bytes, Slot) = (op.key.clone(), op.floor);
            let found = self.nodes[node].applier.machine().get(&key);
            let value = found.as_ref().map(|found| &found.value);
            let verdict = self.judge.reads.check(floor, applied, &key, value);
            verdict.map_err(|what| Violation {
                check: "read_is_fresh",
                node: Some(node),
                what,
            })?;
            self.stats.reads += 1;
            let numbers = [operation as u64, applied.get(), 1, 0];
            self.trace.mix(Mark::Outcome, self.now, node, numbers);
            self.tell(node, || {
                format!(
                    "client: operation {operation} reads {} at slot {applied}",
                    String::from_utf8_lossy(&key)
                )
            });
            self.finish(operation, State::Done);
        }
        Ok(())
    }
}

fn index(token: Token) -> usize {
    usize::try_from(token.get()).expect("tokens are indices of operations")
}
