//! What a node of the rig does after an input: its outputs are carried out or put aside.
//! Knows nothing about the order in which things happen to nodes.

use chil_core::{Input, Message, Output, Persist};

use super::{Rig, is_heartbeat};

impl Rig {
    /// The first `records` of `persist` reach the disk.
    pub(super) fn write(&mut self, number: usize, persist: &Persist, records: usize) {
        let disk = &mut self.nodes[number - 1].disk;
        for record in &persist.records[..records] {
            let before = (disk.meta.promised, disk.acc, disk.commit, disk.meta.boot);
            disk.fold(record);
            let after = (disk.meta.promised, disk.acc, disk.commit, disk.meta.boot);
            let grew = before.0 <= after.0 && before.1 <= after.1 && before.2 <= after.2;
            assert!(
                grew && before.3 <= after.3,
                "n{number}: {before:?} {after:?}"
            );
            self.ghost.durable(number - 1, disk);
        }
    }

    pub(super) fn drain(&mut self, number: usize) {
        loop {
            let node = &mut self.nodes[number - 1];
            let Some(replica) = &mut node.replica else {
                return;
            };
            let output = replica.poll_output();
            let is_quiet = match &output {
                Output::Wait(until) => {
                    node.wake_at = *until;
                    break;
                }
                Output::Send(envelope) => is_heartbeat(&envelope.body),
                _ => false,
            };
            if !is_quiet {
                self.trace.push(format!("n{number} {output}"));
            }
            self.judge_answer(number, &output);
            let Some(output) = self.serve_snapshots(number, output) else {
                continue;
            };
            match output {
                Output::Send(envelope) => {
                    self.assert_durable(number, &envelope.body);
                    self.wire.push_back(*envelope);
                }
                Output::Persist(persist) => self.nodes[number - 1].pending.push_back(persist),
                Output::Decided { entries } => {
                    self.nodes[number - 1].decided.extend(entries.clone());
                    for entry in &entries {
                        self.nodes[number - 1].applier.apply(entry);
                    }
                    self.nodes[number - 1]
                        .outputs
                        .push(Output::Decided { entries });
                }
                other => self.nodes[number - 1].outputs.push(other),
            }
        }
        let now = self.local(number);
        let node = &mut self.nodes[number - 1];
        let Some(replica) = &mut node.replica else {
            return;
        };
        replica.check();
        self.ghost.judge(replica);
        let slot = node.applier.applied();
        if replica.status().applied < slot && !self.held.contains(&number) {
            replica.handle(now, Input::Applied { slot });
            self.saw(slot);
            return self.drain(number);
        }
        if let Some(answer) = node.answers.pop_front() {
            replica.handle(now, answer);
            self.drain(number);
        }
    }

    /// What a message claims would survive a crash at this very instant.
    fn assert_durable(&self, number: usize, message: &Message) {
        let node = &self.nodes[number - 1];
        let disk = &node.disk;
        let boot = node.replica.as_ref().map(|r| r.status().boot);
        assert_eq!(
            Some(disk.meta.boot),
            boot,
            "n{number} speaks before its boot"
        );
        let promised = disk.meta.promised;
        match message {
            Message::Prepare(m) => assert!(promised >= m.ballot, "n{number}: {message}"),
            Message::Accept(m) => assert!(promised >= m.ballot, "n{number}: {message}"),
            Message::Promise(m) => {
                assert!(promised >= m.ballot, "n{number}: {message}");
                assert!(
                    disk.acc >= m.acc && disk.last() >= m.last,
                    "n{number}: {message}"
                );
            }
            Message::Accepted(m) => {
                assert!(promised >= m.ballot, "n{number}: {message}");
                assert!(
                    disk.acc == m.ballot && disk.last() >= m.last,
                    "n{number}: {message}"
                );
            }
            Message::Nack(_)
            | Message::Learn(_)
            | Message::Fetch(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatReply(_)
            | Message::Offer(_)
            | Message::FetchChunk(_)
            | Message::Chunk(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexReply(_)
            | Message::TransferNow(_) => {}
        }
    }
}
