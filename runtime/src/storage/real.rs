//! A real directory as a [`Disk`]: locked against a second process, created when missing.
//! Knows nothing about what is stored in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, SharedDisk};
use super::error::StorageError;

/// The file whose lock stands for the directory.
const LOCK_FILE: &str = "lock";

/// A directory of the file system, in use by this process alone.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    dir: File,
    /// Held until the last handle is dropped; the system lets go of it when the process ends,
    /// however.
    lock: Arc<File>,
}

impl RealDisk {
    /// Takes the directory at `path` into use; creates it, and what leads to it, when missing.
    ///
    /// # Errors
    /// `Locked` when another process uses it (or this one, twice); `Io` when it cannot be created,
    /// read or written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let failed = |at: &Path, what| {
            let file = at.display().to_string();
            move |source| StorageError::Io { file, what, source }
        };
        create_dir(path).map_err(failed(path, "create this data directory"))?;
        let dir = File::open(path).map_err(failed(path, "open this data directory"))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed(&lock_path, "write to the data directory"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_path_buf(),
                dir,
                lock: Arc::new(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(StorageError::Locked(path.display().to_string())),
            Err(TryLockError::Error(e)) => Err(failed(&lock_path, "lock the data directory")(e)),
        }
    }
}

/// Creates a directory and its missing parents, each durable in the one above it.
fn create_dir(path: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = Vec::new();
    for ancestor in path.ancestors() {
        // The empty path ends a relative one: the working directory, which is there.
        if ancestor.as_os_str().is_empty() || ancestor.try_exists()? {
            break;
        }
        missing.push(ancestor);
    }
    for dir in missing.into_iter().rev() {
        match fs::create_dir(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

impl Disk for RealDisk {
    type File = RealFile;

    fn open(&mut self, name: &str, create: bool) -> io::Result<RealFile> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(self.path.join(name))
            .map(RealFile)
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string()
                && name != LOCK_FILE
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.dir.sync_all()
    }

    fn describe(&self, name: &str) -> String {
        if name.is_empty() {
            return self.path.display().to_string();
        }
        self.path.join(name).display().to_string()
    }
}

impl SharedDisk for RealDisk {
    /// The directory is opened anew: an error that a sync of it meets is reported once to each
    /// opening, and must reach both users.
    fn share(&self) -> io::Result<Self> {
        Ok(Self {
            path: self.path.clone(),
            dir: File::open(&self.path)?,
            lock: Arc::clone(&self.lock),
        })
    }
}

/// A file of a [`RealDisk`].
#[derive(Debug)]
pub struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|m| m.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
