//! A disk in memory that loses power at a chosen operation, and may keep, drop or tear any write
//! that was not synced. Knows nothing about the store on it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use chil::storage::{Disk, DiskFile, SharedDisk};

const SECTOR: usize = 512;

/// A handle: clones see the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultDisk(Arc<Mutex<World>>);

#[derive(Clone, Debug, Default)]
struct World {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    dir_ops: Vec<DirOp>,
    inodes: Vec<Inode>,
    rng: Rng,
    /// Operations until the power fails.
    ops_left: Option<u64>,
    crashed: bool,
    /// Bytes by which files may still grow.
    room: Option<u64>,
    fail_syncs: bool,
    /// Set when a sync fails.
    tells_failed_sync: Option<Arc<AtomicBool>>,
    fail_dir_syncs: bool,
    /// What cannot be read.
    unreadable: Option<usize>,
    ops: u64,
    syncs: u64,
}

#[derive(Clone, Debug)]
enum DirOp {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String, usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

/// xorshift64*: the same seed tears the same sectors.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Default for Rng {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Rng {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

impl FaultDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.world().rng = Rng(seed | 1);
        disk
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// A disk of its own with the same content.
    pub(crate) fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().clone())))
    }

    /// Lets `ops` more operations pass, then fails the power.
    pub(crate) fn crash_after(&self, ops: u64) {
        self.world().ops_left = Some(ops);
    }

    pub(crate) fn crashed(&self) -> bool {
        self.world().crashed
    }

    /// Files may grow by this much more.
    pub(crate) fn set_room(&self, room: Option<u64>) {
        self.world().room = room;
    }

    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.world().fail_syncs = fail;
    }

    /// Sets `told` at the next sync that fails: something else happens at that very moment.
    pub(crate) fn tell_failed_sync(&self, told: Arc<AtomicBool>) {
        self.world().tells_failed_sync = Some(told);
    }

    /// Every read of this file fails from now on, as from a bad sector.
    pub(crate) fn fail_reads(&self, name: &str) {
        let mut world = self.world();
        world.unreadable = world.names.get(name).copied();
    }

    pub(crate) fn fail_dir_syncs(&self, fail: bool) {
        self.world().fail_dir_syncs = fail;
    }

    /// Operations so far.
    pub(crate) fn ops(&self) -> u64 {
        self.world().ops
    }

    /// File syncs so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// The power comes back: what was not synced survived by chance.
    pub(crate) fn power_cycle(&self) {
        let mut guard = self.world();
        let world = &mut *guard;
        // A directory's changes survive in any combination, too.
        let keep = world.rng.below(4);
        for op in world.dir_ops.drain(..) {
            if keep == 0 || (keep > 1 && world.rng.below(2) == 0) {
                op.apply(&mut world.durable_names);
            }
        }
        world.names.clone_from(&world.durable_names);
        for inode in &mut world.inodes {
            inode.survive(&mut world.rng);
        }
        world.restart();
    }

    /// The process was killed and starts again: the page cache is still there.
    pub(crate) fn process_restart(&self) {
        self.world().restart();
    }

    pub(crate) fn file_names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[name]].now.clone()
    }

    /// Replaces a file's content, durably, behind everybody's back.
    pub(crate) fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut world = self.world();
        let inode = world.names[name];
        world.inodes[inode] = Inode {
            durable: bytes.clone(),
            now: bytes,
            pending: Vec::new(),
        };
    }

    /// Removes a file, durably, behind everybody's back.
    pub(crate) fn lose(&self, name: &str) {
        let mut world = self.world();
        world.names.remove(name);
        world.durable_names.remove(name);
    }
}

impl World {
    fn restart(&mut self) {
        self.crashed = false;
        self.ops_left = None;
    }

    /// Counts an operation; an error when the power is off.
    fn operation(&mut self) -> io::Result<()> {
        if self.crashed || self.ops_left == Some(0) {
            self.crashed = true;
            return Err(io::Error::other("the power is off"));
        }
        self.ops += 1;
        if let Some(left) = &mut self.ops_left {
            *left -= 1;
        }
        Ok(())
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        let inode = self.names.get(name).copied();
        inode.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn dir_op(&mut self, op: DirOp) -> io::Result<()> {
        self.operation()?;
        op.apply(&mut self.names);
        self.dir_ops.push(op);
        Ok(())
    }
}

impl DirOp {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename(from, to, inode) => {
                Self::Remove(from.clone(), *inode).apply(names);
                names.insert(to.clone(), *inode);
            }
            Self::Remove(name, inode) => {
                if names.get(name) == Some(inode) {
                    names.remove(name);
                }
            }
        }
    }
}

impl Inode {
    /// Each sector of each pending write is kept or not: all, none, or by the toss of a coin.
    fn survive(&mut self, rng: &mut Rng) {
        let keep = rng.below(4);
        for (offset, bytes) in self.pending.drain(..) {
            let mut from = 0;
            while from < bytes.len() {
                let to = bytes
                    .len()
                    .min((offset + from) / SECTOR * SECTOR + SECTOR - offset);
                if keep == 0 || (keep > 1 && rng.below(2) == 0) {
                    put(&mut self.durable, offset + from, &bytes[from..to]);
                }
                from = to;
            }
        }
        self.now.clone_from(&self.durable);
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

impl Disk for FaultDisk {
    type File = FaultFile;

    fn open(&mut self, name: &str, create: bool) -> io::Result<FaultFile> {
        let mut world = self.world();
        world.operation()?;
        let inode = match world.names.get(name) {
            Some(inode) => *inode,
            None if create => {
                world.inodes.push(Inode::default());
                let inode = world.inodes.len() - 1;
                let op = DirOp::Create(name.to_string(), inode);
                op.apply(&mut world.names);
                world.dir_ops.push(op);
                inode
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(FaultFile {
            disk: self.clone(),
            inode,
        })
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.operation()?;
        Ok(world.names.keys().cloned().collect())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        let inode = world.inode(from)?;
        world.dir_op(DirOp::Rename(from.to_string(), to.to_string(), inode))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        let inode = world.inode(name)?;
        world.dir_op(DirOp::Remove(name.to_string(), inode))
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut guard = self.world();
        let world = &mut *guard;
        world.operation()?;
        if world.fail_dir_syncs {
            return Err(io::Error::other("I/O error"));
        }
        world.dir_ops.clear();
        world.durable_names.clone_from(&world.names);
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        format!("disk/{name}")
    }
}

impl SharedDisk for FaultDisk {
    fn share(&self) -> io::Result<Self> {
        self.world().operation()?;
        Ok(self.clone())
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct FaultFile {
    disk: FaultDisk,
    inode: usize,
}

impl DiskFile for FaultFile {
    fn len(&self) -> io::Result<u64> {
        let mut world = self.disk.world();
        world.operation()?;
        Ok(world.inodes[self.inode].now.len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.operation()?;
        if world.unreadable == Some(self.inode) {
            return Err(io::Error::other("I/O error"));
        }
        let offset = usize::try_from(offset).unwrap();
        let bytes = world.inodes[self.inode]
            .now
            .get(offset..offset + buf.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut guard = self.disk.world();
        let world = &mut *guard;
        let offset = usize::try_from(offset).unwrap();
        if let Err(off) = world.operation() {
            // The write that was under way then: a part of it reached the page cache.
            if world.ops_left.take() == Some(0) {
                let part = usize::try_from(world.rng.below(bytes.len() as u64 + 1)).unwrap();
                let inode = &mut world.inodes[self.inode];
                put(&mut inode.now, offset, &bytes[..part]);
                inode.pending.push((offset, bytes[..part].to_vec()));
            }
            return Err(off);
        }
        let inode = &mut world.inodes[self.inode];
        let grows = (offset + bytes.len()).saturating_sub(inode.now.len()) as u64;
        if let Some(room) = &mut world.room {
            if grows > *room {
                // A part is written, as a real disk does it.
                let fits = bytes.len() - usize::try_from(grows - *room).unwrap();
                *room = 0;
                put(&mut inode.now, offset, &bytes[..fits]);
                inode.pending.push((offset, bytes[..fits].to_vec()));
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= grows;
        }
        put(&mut inode.now, offset, bytes);
        inode.pending.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut guard = self.disk.world();
        let world = &mut *guard;
        world.operation()?;
        let inode = &mut world.inodes[self.inode];
        if world.fail_syncs {
            // As on Linux: what was not written counts as clean then, and is read until it is
            // evicted, but no later sync writes it.
            inode.pending.clear();
            if let Some(told) = world.tells_failed_sync.take() {
                told.store(true, Ordering::Release);
            }
            return Err(io::Error::other("I/O error"));
        }
        world.syncs += 1;
        for (offset, bytes) in inode.pending.drain(..) {
            put(&mut inode.durable, offset, &bytes);
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        // The store never cuts a file: it writes zeros. Unmodelled means refused.
        Err(io::Error::other(format!("set_len({len}) is not modelled")))
    }
}
