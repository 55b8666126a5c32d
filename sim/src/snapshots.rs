//! A node's snapshot files in the world, and the work on them: taking, reading, receiving, restoring.
//! Knows nothing about when a replica wants any of it.

use std::collections::VecDeque;

use bytes::Bytes;
use chil_core::{
    Applier, FrozenSnapshot, Input, NodeId, Record, Recovered, SessionLimits, SnapshotId,
    SnapshotPolicy, StateMachine,
};

use crate::check::{Verdict, Violation};
use crate::plan::Plan;
use crate::report::event::What;
use crate::store::StoreFailure;
use crate::subject::Subject;
use crate::trace::Mark;
use crate::world::{Event, World};

/// Work on snapshot files: one piece after the other, as the thread of a driver does it.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write the frozen state under its own name.
    Take(FrozenSnapshot),
    /// Read a part for a peer.
    Read {
        to: NodeId,
        id: SnapshotId,
        offset: u64,
        len: u64,
    },
    /// Write a part that a peer has sent.
    Write {
        id: SnapshotId,
        offset: u64,
        bytes: Bytes,
    },
    /// All parts are written.
    Finish(SnapshotId),
    /// Make its content the state.
    Install(SnapshotId),
    /// Remove what is older than this one and not among the newest.
    Forget(SnapshotId),
}

/// What a node has to do about snapshots.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    jobs: VecDeque<Job>,
    busy: bool,
    /// The snapshot that is about to become the state; nothing is executed until it has.
    pub(crate) installing: Option<SnapshotId>,
    /// The snapshot that the durable metadata names.
    named: Option<SnapshotId>,
}

/// A state machine that has executed nothing, with the limits of the plan.
pub(crate) fn blank(plan: &Plan, subject: &Subject) -> Applier<Box<dyn StateMachine>> {
    let policy = SnapshotPolicy {
        slots: plan.snapshots.slots,
        bytes: plan.snapshots.bytes,
    };
    Applier::with_limits(subject.machine(), policy, session_limits(plan))
}

/// What the plan says about sessions.
pub(crate) fn session_limits(plan: &Plan) -> SessionLimits {
    SessionLimits {
        sessions_max: plan.cluster.sessions_max,
        ..SessionLimits::default()
    }
}

impl World {
    /// Hands out work on snapshot files.
    pub(crate) fn work(&mut self, node: usize, job: Job) {
        if let Job::Install(id) = &job {
            let state = &mut self.nodes[node];
            state.desk.installing = Some(*id);
            state.to_apply.retain(|entry| entry.slot() > id.slot);
        }
        self.nodes[node].desk.jobs.push_back(job);
        self.begin_work(node);
    }

    fn begin_work(&mut self, node: usize) {
        let desk = &mut self.nodes[node].desk;
        let Some(job) = desk.jobs.front().filter(|_| !desk.busy) else {
            return;
        };
        let plan = &self.plan.snapshots;
        let most = match job {
            Job::Take(_) | Job::Finish(_) | Job::Install(_) => plan.whole_max_us,
            Job::Read { .. } | Job::Write { .. } | Job::Forget(_) => plan.part_max_us,
        };
        desk.busy = true;
        let at = self.now + self.nodes[node].work_dice.range(1_000, most * 1_000);
        let life = self.nodes[node].life;
        self.schedule(at, Event::Worked { node, life });
    }

    /// The work under way is done.
    pub(crate) fn worked(&mut self, node: usize, life: u64) -> Verdict {
        if self.nodes[node].life != life {
            return Ok(());
        }
        self.stats.events += 1;
        self.nodes[node].desk.busy = false;
        let Some(job) = self.nodes[node].desk.jobs.pop_front() else {
            return Ok(());
        };
        self.trace
            .mix(Mark::Snapshot, self.now, node, numbers(&job));
        let answer = match self.perform(node, job)? {
            Ok(answer) => answer,
            Err(failure) => return self.store_failed(node, failure),
        };
        self.begin_work(node);
        match answer {
            Some(input) => self.give(node, input),
            None => self.drain(node),
        }
    }

    /// Does one piece of work and says what the replica has to know of it.
    fn perform(
        &mut self,
        node: usize,
        job: Job,
    ) -> Result<Result<Option<Input>, StoreFailure>, Violation> {
        let store = &mut self.nodes[node].store;
        let answer = match job {
            Job::Take(frozen) => match store.take(&frozen) {
                Ok(id) => {
                    self.stats.snapshots_taken += 1;
                    self.tell(node, || What::Note {
                        text: format!("has taken {id}"),
                    });
                    self.judge.keeps(node, id)?;
                    Some(Input::SnapshotTaken { id })
                }
                Err(failure) => return Ok(Err(failure)),
            },
            Job::Read {
                to,
                id,
                offset,
                len,
            } => match store.read_part(&id, offset, len) {
                Ok(bytes) => Some(Input::ChunkRead {
                    to,
                    id,
                    offset,
                    bytes,
                }),
                Err(failure) => return Ok(Err(failure)),
            },
            Job::Write { id, offset, bytes } => match store.write_part(&id, offset, &bytes) {
                Ok(have) => Some(Input::ChunkWritten { id, have }),
                Err(failure) => return Ok(Err(failure)),
            },
            Job::Finish(id) => match store.finish_parts(&id) {
                Ok(sound) => {
                    self.received(node, id, sound)?;
                    Some(Input::SnapshotReceived { id, sound })
                }
                Err(failure) => return Ok(Err(failure)),
            },
            Job::Install(id) => {
                self.install(node, &id)?;
                None
            }
            Job::Forget(keep) => match store.forget(&keep) {
                Ok(kept) => {
                    self.judge.holds(node, kept);
                    None
                }
                Err(failure) => return Ok(Err(failure)),
            },
        };
        Ok(Ok(answer))
    }

    fn received(&mut self, node: usize, id: SnapshotId, sound: bool) -> Verdict {
        if sound {
            self.tell(node, || What::Note {
                text: format!("has received {id}"),
            });
            self.stats.snapshots_received += 1;
            return self.judge.keeps(node, id);
        }
        let named = self.nodes[node].desk.named;
        if named.is_some_and(|named| id.slot <= named.slot) {
            // Its own was there first, so what had come of this one was forgotten.
            return Ok(());
        }
        // Links are checked and disks do not rot here: what came in parts is what was sent.
        Err(Violation {
            check: "snapshot_is_chosen",
            node: Some(node),
            what: format!("has received {id} in parts that do not make it up"),
        })
    }

    /// A snapshot becomes the state of a running node.
    fn install(&mut self, node: usize, id: &SnapshotId) -> Verdict {
        if self.nodes[node].desk.installing == Some(*id) {
            self.nodes[node].desk.installing = None;
        }
        self.stats.snapshots_installed += 1;
        let life = self.nodes[node].life;
        self.restore(node, id)?;
        if self.nodes[node].life != life {
            return Ok(());
        }
        // Whoever waited for one of its slots will not hear what came of it.
        let later = self.nodes[node].placed.split_off(&id.slot.next());
        let gone = std::mem::replace(&mut self.nodes[node].placed, later);
        for (_, (_, waiter)) in gone {
            self.outcome_unknown(waiter);
        }
        self.execute(node)
    }

    /// Makes a snapshot that is on its disk the state of a node.
    fn restore(&mut self, node: usize, id: &SnapshotId) -> Verdict {
        let mut applier = blank(&self.plan, &self.subject);
        match self.nodes[node].store.restore(id, &mut applier) {
            Ok(()) => {}
            Err(StoreFailure::Power) => return self.store_failed(node, StoreFailure::Power),
            Err(StoreFailure::Wrong(what)) => {
                return Err(Violation {
                    check: "recovery_is_a_prefix",
                    node: Some(node),
                    what: format!("cannot restore {id}: {what}"),
                });
            }
        }
        self.tell(node, || What::Note {
            text: format!("restores {id}"),
        });
        let digest = applier.digest();
        self.judge.installs(node, id, digest)?;
        self.nodes[node].applier = applier;
        Ok(())
    }

    /// A node dies; work on its snapshots may be under way.
    pub(crate) fn interrupt_work(&mut self, node: usize) {
        let desk = &mut self.nodes[node].desk;
        if let Some(job) = desk.jobs.pop_front().filter(|_| desk.busy) {
            let state = &mut self.nodes[node];
            state.store.interrupt(&job, &mut state.disk_dice);
        }
    }

    /// A node that starts has the state of the snapshot that its metadata names.
    pub(crate) fn recall(&mut self, node: usize, recovered: &Recovered) -> Verdict {
        if let Some(snap) = &recovered.meta.snap {
            self.restore(node, &snap.id)?;
            self.nodes[node].told_applied = snap.id.slot;
        }
        self.stats.transfers_resumed += u64::from(recovered.partial.is_some());
        Ok(())
    }

    /// A record became durable: if it names a snapshot, older ones may go.
    pub(crate) fn tidy(&mut self, node: usize, record: &Record) {
        if let Record::Meta(meta) = record
            && let Some(snap) = meta.snap
            && self.nodes[node].desk.named != Some(snap.id)
        {
            self.nodes[node].desk.named = Some(snap.id);
            self.work(node, Job::Forget(snap.id));
        }
    }

    /// The state machine is at a slot at which all nodes take snapshots: this one does, too,
    /// unless it is still busy with an earlier one.
    pub(crate) fn freeze(&mut self, node: usize) {
        let jobs = &self.nodes[node].desk.jobs;
        if jobs.iter().any(|job| matches!(job, Job::Take(_))) {
            return;
        }
        let Some(replica) = &self.nodes[node].replica else {
            return;
        };
        let frozen = self.nodes[node].applier.freeze(replica.membership());
        self.work(node, Job::Take(frozen));
    }
}

/// What tells one piece of work from another.
fn numbers(job: &Job) -> [u64; 4] {
    let of = |id: &SnapshotId| {
        let digest = u64::try_from(id.digest >> 64).unwrap_or(0);
        [id.slot.get(), digest]
    };
    let (kind, [slot, digest], offset) = match job {
        Job::Take(frozen) => (1, [frozen.header().slot.get(), 0], 0),
        Job::Read { id, offset, .. } => (2, of(id), *offset),
        Job::Write { id, offset, .. } => (3, of(id), *offset),
        Job::Finish(id) => (4, of(id), 0),
        Job::Install(id) => (5, of(id), 0),
        Job::Forget(id) => (6, of(id), 0),
    };
    [kind, slot, digest, offset]
}
