//! A simulated disk: what is not synced is lost, kept or torn at a crash, and so are names.
//! Knows nothing about what is stored; `chil::storage` runs on it as it does on real files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use chil::storage::{Disk, DiskFile, SharedDisk};

use crate::dice::Dice;
use crate::plan::CrashMode;

/// What is written in one piece or not at all.
const SECTOR: usize = 512;

/// One directory of one simulated machine. Clones are handles to the same directory.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Rc<RefCell<Inner>>);

/// An open file of a [`SimDisk`].
#[derive(Clone, Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: u64,
    life: u64,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<u64, FileState>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    next_id: u64,
    /// Counts the machine's lives: a handle of an earlier one is dead.
    life: u64,
    /// Operations that still succeed before the power fails.
    budget: Option<u64>,
    /// Cause of the failure once the budget is used up.
    failed: bool,
    operations: u64,
}

#[derive(Debug, Default)]
struct FileState {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Create { name: String, id: u64 },
    Rename { from: String, to: String },
    Remove { name: String },
}

impl SimDisk {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the power fail in the middle of the operation after `operations` more: it does its
    /// work in part, returns an error, and so does everything after it.
    pub fn fail_after(&self, operations: u64) {
        self.0.borrow_mut().budget = Some(operations);
    }

    /// Takes back what [`SimDisk::fail_after`] asked for, unless it has happened.
    pub fn disarm(&self) {
        self.0.borrow_mut().budget = None;
    }

    /// Whether the power failed as [`SimDisk::fail_after`] asked for.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.borrow().failed
    }

    /// Operations done so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// Ends the life of whoever uses the disk. Open files become useless; unsynced changes stay
    /// pending after a kill, and are decided by the dice after a power failure.
    pub fn crash(&self, mode: CrashMode, dice: &mut Dice) {
        let mut inner = self.0.borrow_mut();
        inner.life += 1;
        inner.budget = None;
        let mode = if inner.failed { CrashMode::Power } else { mode };
        inner.failed = false;
        if mode == CrashMode::Kill {
            return;
        }
        inner.lose_names(dice);
        for file in inner.files.values_mut() {
            file.lose(dice);
        }
        let named: Vec<u64> = inner.names.values().copied().collect();
        inner.files.retain(|id, _| named.contains(id));
    }

    /// Runs one operation against the budget. Returns whether it is the one that fails.
    fn step(&self, life: Option<u64>) -> io::Result<bool> {
        let mut inner = self.0.borrow_mut();
        if life.is_some_and(|life| life != inner.life) {
            return Err(io::Error::other("the file was opened before a crash"));
        }
        if inner.failed {
            return Err(io::Error::other("the power has failed"));
        }
        inner.operations += 1;
        match inner.budget {
            Some(0) => {
                inner.failed = true;
                Ok(true)
            }
            Some(left) => {
                inner.budget = Some(left - 1);
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Like [`SimDisk::step`] for operations that do nothing when they fail.
    fn step_whole(&self, life: Option<u64>) -> io::Result<()> {
        if self.step(life)? {
            return Err(io::Error::other("the power failed during this operation"));
        }
        Ok(())
    }
}

impl Inner {
    /// After a power failure: the changes of names that were not synced, in order, up to some
    /// point (a journal), or any of them (none).
    fn lose_names(&mut self, dice: &mut Dice) {
        let changes = std::mem::take(&mut self.name_changes);
        let journaled = dice.coin();
        let kept = dice.index(changes.len() + 1);
        let mut names = std::mem::take(&mut self.durable_names);
        for (at, change) in changes.into_iter().enumerate() {
            let keep = if journaled { at < kept } else { dice.coin() };
            if keep {
                change.apply(&mut names);
            }
        }
        self.durable_names.clone_from(&names);
        self.names = names;
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create { name, id } => {
                names.insert(name, id);
            }
            Self::Rename { from, to } => {
                if let Some(id) = names.remove(&from) {
                    names.insert(to, id);
                }
            }
            Self::Remove { name } => {
                names.remove(&name);
            }
        }
    }
}

impl FileState {
    fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        if let Some(place) = content.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
    }

    fn change(&mut self, change: Change) {
        match &change {
            Change::Write { offset, bytes } => Self::write(&mut self.current, *offset, bytes),
            Change::SetLen(len) => self.current.resize(*len, 0),
        }
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => {
                    Self::write(&mut self.durable, offset, &bytes);
                }
                Change::SetLen(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// After a power failure: each unsynced change is there, or not, or there sector by sector.
    fn lose(&mut self, dice: &mut Dice) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        let fate = dice.below(4);
        for change in pending {
            let (keep, tear) = match fate {
                0 => (false, false),
                1 => (true, false),
                2 => (dice.coin(), false),
                _ => (dice.coin(), true),
            };
            match change {
                Change::SetLen(len) if keep => self.durable.resize(len, 0),
                Change::Write { offset, bytes } if tear => {
                    Self::tear(&mut self.durable, offset, &bytes, dice);
                }
                Change::Write { offset, bytes } if keep => {
                    Self::write(&mut self.durable, offset, &bytes);
                }
                Change::SetLen(_) | Change::Write { .. } => {}
            }
        }
        self.current.clone_from(&self.durable);
    }

    /// Writes some of the sectors that `bytes` touch.
    fn tear(content: &mut Vec<u8>, offset: usize, bytes: &[u8], dice: &mut Dice) {
        let mut at = 0;
        while at < bytes.len() {
            let in_sector = SECTOR - (offset + at) % SECTOR;
            let end = (at + in_sector).min(bytes.len());
            if dice.coin()
                && let Some(piece) = bytes.get(at..end)
            {
                Self::write(content, offset + at, piece);
            }
            at = end;
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&mut self, name: &str, create: bool) -> io::Result<SimFile> {
        self.step_whole(None)?;
        let mut inner = self.0.borrow_mut();
        let life = inner.life;
        let id = if let Some(id) = inner.names.get(name).copied() {
            id
        } else if create {
            inner.next_id += 1;
            let id = inner.next_id;
            let name = name.to_owned();
            inner.files.insert(id, FileState::default());
            inner.names.insert(name.clone(), id);
            inner.name_changes.push(NameChange::Create { name, id });
            id
        } else {
            return Err(io::Error::new(io::ErrorKind::NotFound, name.to_owned()));
        };
        drop(inner);
        Ok(SimFile {
            disk: self.clone(),
            id,
            life,
        })
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        self.step_whole(None)?;
        Ok(self.0.borrow().names.keys().cloned().collect())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let dies = self.step(None)?;
        let mut inner = self.0.borrow_mut();
        if !inner.names.contains_key(from) {
            return Err(io::Error::new(io::ErrorKind::NotFound, from.to_owned()));
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        let change = NameChange::Rename { from, to };
        change.clone().apply(&mut inner.names);
        inner.name_changes.push(change);
        finish(dies)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let dies = self.step(None)?;
        let mut inner = self.0.borrow_mut();
        if !inner.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::NotFound, name.to_owned()));
        }
        let name = name.to_owned();
        let change = NameChange::Remove { name };
        change.clone().apply(&mut inner.names);
        inner.name_changes.push(change);
        finish(dies)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.step_whole(None)?;
        let mut inner = self.0.borrow_mut();
        inner.name_changes.clear();
        let names = inner.names.clone();
        inner.durable_names = names;
        let named: Vec<u64> = inner.names.values().copied().collect();
        inner.files.retain(|id, _| named.contains(id));
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        format!("simulated:{name}")
    }
}

impl SharedDisk for SimDisk {
    fn share(&self) -> io::Result<Self> {
        self.step_whole(None)?;
        Ok(self.clone())
    }
}

/// An operation whose change is already pending: whether it survives is the crash's to decide.
fn finish(dies: bool) -> io::Result<()> {
    if dies {
        return Err(io::Error::other("the power failed during this operation"));
    }
    Ok(())
}

impl SimFile {
    fn with<R>(&self, act: impl FnOnce(&mut FileState) -> R) -> io::Result<R> {
        let mut inner = self.disk.0.borrow_mut();
        inner
            .files
            .get_mut(&self.id)
            .map(act)
            .ok_or_else(|| io::Error::other("the file was removed"))
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.step_whole(Some(self.life))?;
        self.with(|file| file.current.len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.step_whole(Some(self.life))?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|file| {
            let bytes = file.current.get(start..start + buf.len());
            bytes.map(|bytes| buf.copy_from_slice(bytes))
        })?
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let dies = self.disk.step(Some(self.life))?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = bytes.to_vec();
        self.with(|file| file.change(Change::Write { offset, bytes }))?;
        finish(dies)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.step_whole(Some(self.life))?;
        self.with(FileState::sync)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let dies = self.disk.step(Some(self.life))?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.with(|file| file.change(Change::SetLen(len)))?;
        finish(dies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Concern;

    fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
        let mut disk = disk.clone();
        let file = disk.open(name, false).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    /// Runs `act` on a fresh disk for many seeds and collects what a crash can leave.
    fn outcomes(mode: CrashMode, act: impl Fn(&mut SimDisk)) -> Vec<Option<Vec<u8>>> {
        let mut seen = Vec::new();
        for seed in 0..400 {
            let mut disk = SimDisk::new();
            act(&mut disk);
            disk.crash(mode, &mut Dice::new(seed, Concern::Disk));
            let found = content(&disk, "a");
            if !seen.contains(&found) {
                seen.push(found);
            }
        }
        seen.sort();
        seen
    }

    fn create(disk: &mut SimDisk, name: &str, bytes: &[u8]) {
        let mut file = disk.open(name, true).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir().unwrap();
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_be_lost() {
        let seen = outcomes(CrashMode::Power, |disk| {
            create(disk, "a", b"old");
            let mut file = disk.open("a", false).unwrap();
            file.write_all_at(b"new", 0).unwrap();
        });
        assert_eq!(seen, [Some(b"new".to_vec()), Some(b"old".to_vec())]);
    }

    #[test]
    fn writes_are_torn_at_sectors_and_lost_in_any_order() {
        let seen = outcomes(CrashMode::Power, |disk| {
            create(disk, "a", &[0; 2 * SECTOR]);
            let mut file = disk.open("a", false).unwrap();
            file.write_all_at(&[1; 2 * SECTOR], 0).unwrap();
            file.write_all_at(&[2; 1], 0).unwrap();
        });
        let firsts: Vec<(u8, u8, u8)> = seen
            .iter()
            .map(|bytes| {
                let bytes = bytes.as_ref().unwrap();
                (bytes[0], bytes[1], bytes[SECTOR])
            })
            .collect();
        for expected in [
            (0, 0, 0),
            (2, 0, 0),
            (1, 1, 1),
            (2, 0, 1),
            (1, 1, 0),
            (2, 1, 1),
        ] {
            assert!(firsts.contains(&expected), "{expected:?} not in {firsts:?}");
        }
    }

    #[test]
    fn a_killed_process_leaves_what_it_wrote_but_power_may_still_take_it() {
        let act = |disk: &mut SimDisk| {
            create(disk, "a", b"old");
            let mut file = disk.open("a", false).unwrap();
            file.write_all_at(b"new", 0).unwrap();
        };
        assert_eq!(outcomes(CrashMode::Kill, act), [Some(b"new".to_vec())]);
        let seen = outcomes(CrashMode::Power, |disk| {
            act(disk);
            disk.crash(CrashMode::Kill, &mut Dice::new(0, Concern::Disk));
        });
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn names_need_the_directory_synced() {
        let seen = outcomes(CrashMode::Power, |disk| {
            let mut file = disk.open("a", true).unwrap();
            file.write_all_at(b"x", 0).unwrap();
            file.sync().unwrap();
        });
        assert_eq!(seen, [None, Some(b"x".to_vec())]);
        let seen = outcomes(CrashMode::Power, |disk| {
            create(disk, "a", b"old");
            create(disk, "b", b"new");
            disk.rename("b", "a").unwrap();
        });
        assert_eq!(seen, [Some(b"new".to_vec()), Some(b"old".to_vec())]);
        let seen = outcomes(CrashMode::Power, |disk| {
            create(disk, "a", b"old");
            disk.remove("a").unwrap();
            disk.sync_dir().unwrap();
        });
        assert_eq!(seen, [None]);
    }

    #[test]
    fn the_budget_ends_in_the_middle_of_an_operation() {
        let mut dice = Dice::new(3, Concern::Disk);
        let mut disk = SimDisk::new();
        create(&mut disk, "a", b"old");
        let mut file = disk.open("a", false).unwrap();
        disk.fail_after(1);
        file.write_all_at(b"new", 0).unwrap();
        assert!(file.sync().is_err());
        assert!(disk.has_failed());
        assert!(disk.list().is_err(), "a dead machine answers nothing");
        disk.crash(CrashMode::Kill, &mut dice);
        assert!(!disk.has_failed());
        assert!(file.len().is_err(), "handles do not outlive a crash");
        assert!(content(&disk, "a").is_some());
    }
}
