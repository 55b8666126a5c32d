//! The power fails, or the process is killed, at any operation of the disk; again and again.

use chil::storage::{Snapshots, StorageError, Store};
use chil_core::{Applier, Record, Recovered, Slot, SnapshotId};
use proptest::prelude::*;

use crate::fault_disk::FaultDisk;
use crate::machine::{Machine, Remote, catch_up, execute, freeze};
use crate::model::{Model, formed, fresh};

#[derive(Clone, Debug)]
enum Action {
    Append(Vec<usize>),
    /// Cuts this share of what may be cut, then appends.
    Cut(u8, Vec<usize>),
    /// Decides this share of what is not decided, in a record without entries.
    Commit(u8),
    Meta,
    /// Takes a snapshot of this share of what is decided.
    Snapshot(u8),
    /// Gets one that reaches so far behind what is decided, of this log or of another.
    Install(u8, bool),
    /// Gets so much of one, and no more for now.
    Fetch(u8),
    /// Trims this share of what the snapshot allows.
    Trim(u8),
    /// Several records in one persist.
    Mixed(Vec<usize>),
    Sync,
    Watermark,
    Prepare,
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![8 => 0..300_usize, 1 => 300..3_000_usize, 1 => 9_000..20_000_usize];
    prop::collection::vec(size, 1..6)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => sizes().prop_map(Action::Append),
        2 => (any::<u8>(), sizes()).prop_map(|(share, sizes)| Action::Cut(share, sizes)),
        2 => any::<u8>().prop_map(Action::Commit),
        1 => Just(Action::Meta),
        2 => any::<u8>().prop_map(Action::Snapshot),
        1 => (1..6_u8, any::<bool>()).prop_map(|(ahead, same)| Action::Install(ahead, same)),
        1 => any::<u8>().prop_map(Action::Fetch),
        2 => any::<u8>().prop_map(Action::Trim),
        1 => sizes().prop_map(Action::Mixed),
        5 => Just(Action::Sync),
        1 => Just(Action::Watermark),
        1 => Just(Action::Prepare),
    ]
}

#[derive(Clone, Debug)]
struct Life {
    actions: Vec<Action>,
    /// Operations of the disk until the power fails, counted from before the start.
    crash_after: u64,
    /// Whether only the process is killed.
    kill: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let crash_after = prop_oneof![0..40_u64, 20..400_u64];
    (
        prop::collection::vec(action(), 0..40),
        crash_after,
        any::<bool>(),
    )
        .prop_map(|(actions, crash_after, kill)| Life {
            actions,
            crash_after,
            kill,
        })
}

fn share(of: u64, share: u8) -> u64 {
    of * u64::from(share) / 255
}

/// A node in one of its lives.
struct Node {
    store: Store<FaultDisk>,
    snapshots: Snapshots<FaultDisk>,
    applier: Applier<Machine>,
}

impl Node {
    /// Opens the directory and restores the state. What of a transfer is left, is sound.
    fn start(disk: &FaultDisk, model: &mut Model) -> Result<(Self, Recovered), StorageError> {
        let (store, recovered) = formed(disk.clone())?;
        model.recovered(recovered.clone());
        Self::open(store, &recovered).map(|node| (node, recovered))
    }

    fn open(store: Store<FaultDisk>, recovered: &Recovered) -> Result<Self, StorageError> {
        let mut snapshots = store.snapshots(recovered)?;
        let mut applier = Applier::new(Machine::default());
        if let Some(snap) = recovered.meta.snap {
            snapshots.restore(&snap.id, &mut applier)?;
        }
        Ok(Self {
            store,
            snapshots,
            applier,
        })
    }

    /// Takes a snapshot of this share of what is decided.
    fn snapshot(&mut self, model: &Model, part: u8) -> Result<Option<SnapshotId>, StorageError> {
        let applied = self.applier.applied().get();
        let slot = applied + share(model.state.commit.get() - applied, part);
        if slot <= model.snap().get() {
            return Ok(None);
        }
        catch_up(&mut self.applier, model, Slot::new(slot));
        self.snapshots.take(&freeze(&self.applier, model)).map(Some)
    }

    /// What another node has executed that is so far ahead.
    fn ahead(&self, model: &Model, count: u8, same: bool) -> Applier<Machine> {
        let mut applier = self.applier.clone();
        let to = Slot::new(model.state.commit.get() + u64::from(count));
        if same && to <= model.state.last() {
            catch_up(&mut applier, model, to);
        } else {
            catch_up(&mut applier, model, model.state.commit);
            execute(&mut applier, &model.forged(count));
        }
        applier
    }

    fn fetch(&mut self, model: &Model, ahead: u8, same: bool) -> Result<SnapshotId, StorageError> {
        let applier = self.ahead(model, ahead, same);
        let remote = Remote::of(&applier, model);
        remote.send(&mut self.snapshots, remote.bytes.len())?;
        assert!(self.snapshots.finish(&remote.id)?, "{:?}", remote.id);
        self.applier = applier;
        Ok(remote.id)
    }
}

/// Does one action. What was submitted is in the model before the disk is touched.
fn act(node: &mut Node, model: &mut Model, action: &Action) -> Result<(), StorageError> {
    let (commit, last) = (model.state.commit.get(), model.state.last().get());
    let mut named = None;
    let records: Vec<Record> = match action {
        Action::Append(sizes) => vec![model.append(sizes)],
        Action::Cut(part, sizes) => {
            let keep = commit + share(last - commit, *part);
            vec![model.change(keep, sizes, commit)]
        }
        Action::Commit(part) => {
            vec![model.change(last, &[], commit + share(last - commit, *part))]
        }
        Action::Meta => vec![model.meta()],
        Action::Snapshot(part) => {
            named = node.snapshot(model, *part)?;
            named.map(|id| model.names(id)).into_iter().collect()
        }
        Action::Install(ahead, same) => {
            named = Some(node.fetch(model, *ahead, *same)?);
            named.map(|id| model.names(id)).into_iter().collect()
        }
        Action::Fetch(part) => {
            let remote = Remote::of(&node.ahead(model, 3, false), model);
            let len = remote.bytes.len() * usize::from(*part) / 256;
            return remote.send(&mut node.snapshots, len);
        }
        Action::Trim(part) => {
            let base = model.state.base.get();
            let to = base + share(model.snap().get() - base, *part);
            model.trim(Slot::new(to))
        }
        Action::Mixed(sizes) => {
            let first = model.append(sizes);
            vec![first, model.meta()]
        }
        Action::Sync => {
            node.store.sync()?;
            model.all_synced();
            return Ok(());
        }
        Action::Watermark => {
            node.store.watermark()?;
            model.all_synced();
            return Ok(());
        }
        Action::Prepare => return node.store.prepare_if_due(),
    };
    if records.is_empty() {
        return Ok(());
    }
    let ends_in_meta = matches!(records.last(), Some(Record::Meta(_)));
    let persist = model.persist(records);
    node.store.write(&persist)?;
    if ends_in_meta {
        model.all_synced();
    }
    named.map_or(Ok(()), |id| node.snapshots.forget(&id))
}

trait PrepareIfDue {
    fn prepare_if_due(&mut self) -> Result<(), StorageError>;
}

impl PrepareIfDue for Store<FaultDisk> {
    fn prepare_if_due(&mut self) -> Result<(), StorageError> {
        if self.preparation_due() {
            self.prepare()?;
        }
        Ok(())
    }
}

fn live(disk: &FaultDisk, model: &mut Model, life: &Life) -> Result<(), StorageError> {
    disk.crash_after(life.crash_after);
    let (mut node, _) = Node::start(disk, model)?;
    live_on(&mut node, model, &life.actions)
}

fn live_on(node: &mut Node, model: &mut Model, actions: &[Action]) -> Result<(), StorageError> {
    actions
        .iter()
        .try_for_each(|action| act(node, model, action))
}

fn run(seed: u64, lives: &[Life]) {
    let disk = FaultDisk::new(seed);
    let (store, mut model) = fresh(disk.clone());
    drop(store);
    for life in lives {
        let ended = live(&disk, &mut model, life);
        if let Err(error) = ended {
            assert!(disk.crashed(), "refused without a reason: {error}");
        }
        if life.kill {
            disk.process_restart();
        } else {
            disk.power_cycle();
        }
    }
    ends_well(&disk, &mut model);
}

/// What is left is the fold of a prefix, with a state and a transfer that can go on.
fn ends_well(disk: &FaultDisk, model: &mut Model) {
    let (mut node, recovered) = Node::start(disk, model).unwrap();
    if let Some(partial) = recovered.partial {
        let remote = Remote::of(&node.ahead(model, 3, false), model);
        // Else it is of another time, when more or less was decided.
        if remote.id == partial.id {
            remote
                .send(&mut node.snapshots, remote.bytes.len())
                .unwrap();
            assert!(node.snapshots.finish(&partial.id).unwrap());
        }
    }
    drop(node);
    // What was read once is durable: the power may fail right away.
    disk.power_cycle();
    let (_, again) = formed(disk.clone()).unwrap();
    assert_eq!((recovered.meta, recovered.log), (again.meta, again.log));
}

/// One of everything, over segments.
fn sampler() -> Vec<Action> {
    vec![
        Action::Append(vec![100, 700]),
        Action::Sync,
        Action::Append(vec![2_000]),
        Action::Commit(100),
        Action::Meta,
        Action::Append(vec![1_500, 2_500, 10]),
        Action::Prepare,
        Action::Sync,
        Action::Cut(200, vec![3_000]),
        Action::Watermark,
        Action::Mixed(vec![9_000]),
        Action::Append(vec![1]),
        Action::Sync,
    ]
}

/// Snapshots, taken and installed, and what they allow to trim.
fn trimmer() -> Vec<Action> {
    vec![
        Action::Append(vec![2_500, 2_500, 2_500]),
        Action::Commit(255),
        Action::Snapshot(255),
        Action::Trim(255),
        Action::Prepare,
        Action::Append(vec![5_000, 4_000]),
        Action::Sync,
        // A segment that nothing needs any more, and one that the last transaction begins in.
        Action::Fetch(250),
        Action::Install(2, true),
        Action::Trim(255),
        Action::Append(vec![10, 20, 30]),
        Action::Sync,
        Action::Prepare,
        Action::Prepare,
        Action::Install(3, false),
        Action::Append(vec![3_000]),
        Action::Trim(255),
        Action::Sync,
        Action::Prepare,
    ]
}

#[test]
fn every_operation_may_be_the_last_also_of_the_recovery() {
    any_may_be_the_last(&sampler());
}

#[test]
fn every_operation_of_a_trim_may_be_the_last_also_of_the_recovery() {
    any_may_be_the_last(&trimmer());
}

fn any_may_be_the_last(actions: &[Action]) {
    let whole = FaultDisk::new(0);
    let start = |disk: &FaultDisk| {
        let (store, model) = fresh(disk.clone());
        (Node::open(store, &model.state).unwrap(), model)
    };
    let (mut node, mut model) = start(&whole);
    let formed_after = whole.ops();
    live_on(&mut node, &mut model, actions).unwrap();
    let operations = whole.ops() - formed_after;
    assert!(operations > 50, "{operations}");
    for crash_at in 0..operations {
        for seed in 0..2 {
            let disk = FaultDisk::new(crash_at * 100 + seed);
            let (mut node, mut model) = start(&disk);
            disk.crash_after(crash_at);
            assert!(live_on(&mut node, &mut model, actions).is_err());
            let again = if seed % 2 == 0 {
                FaultDisk::power_cycle
            } else {
                FaultDisk::process_restart
            };
            again(&disk);
            ends_well(&disk.fork(), &mut model.clone());
            for recovery_crash_at in 0.. {
                let (disk, mut model) = (disk.fork(), model.clone());
                disk.crash_after(recovery_crash_at);
                let finished = formed(disk.clone()).map(|(_, state)| model.recovered(state));
                disk.power_cycle();
                let (_, state) = formed(disk).unwrap();
                model.recovered(state);
                if finished.is_ok() {
                    break;
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn recovery_is_the_fold_of_a_prefix_with_all_that_was_synced(
        seed in any::<u64>(),
        lives in prop::collection::vec(life(), 1..6),
    ) {
        run(seed, &lives);
    }
}
