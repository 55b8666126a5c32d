//! What storage needs of a disk: files in one directory, positioned reads and writes, syncs.
//! Knows nothing about what is stored. `real` has real files; the simulator brings its own.

use std::io;

/// One directory that belongs to one node.
pub trait Disk {
    /// An open file.
    type File: DiskFile;

    /// Opens the file `name` for reading and writing; creates it empty when `create` is set.
    ///
    /// # Errors
    /// `NotFound` when it is missing and `create` is not set; else what the system says.
    fn open(&mut self, name: &str, create: bool) -> io::Result<Self::File>;

    /// Names of the files, sorted.
    ///
    /// # Errors
    /// What the system says.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// Gives `from` the name `to`, replacing what had it; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the system says.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the file; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the system says.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// What the system says. The caller must stop: nothing is known about the directory any more.
    fn sync_dir(&mut self) -> io::Result<()>;

    /// What to call `name` in messages to people: its full path where there is one.
    fn describe(&self, name: &str) -> String;
}

/// A disk that two may use at the same time, each with its own files.
pub trait SharedDisk: Disk + Sized {
    /// Another handle on the same directory.
    ///
    /// # Errors
    /// What the system says.
    fn share(&self) -> io::Result<Self>;
}

/// An open file.
pub trait DiskFile {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it is empty.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before `buf` is full; else what the system says.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file where needed.
    ///
    /// # Errors
    /// What the system says; a part may have been written.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all writes so far durable (`fdatasync`).
    ///
    /// # Errors
    /// What the system says. The caller must stop: retrying can report success for lost pages
    /// (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file to `len` bytes.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

/// A borrowed disk is a disk: a simulator keeps its own whatever becomes of the store.
impl<D: Disk + ?Sized> Disk for &mut D {
    type File = D::File;

    fn open(&mut self, name: &str, create: bool) -> io::Result<Self::File> {
        (**self).open(name, create)
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        (**self).list()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        (**self).sync_dir()
    }

    fn describe(&self, name: &str) -> String {
        (**self).describe(name)
    }
}
