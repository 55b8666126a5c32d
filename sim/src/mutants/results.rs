//! What came of mutants so far, in a file, so that a long hunt can go on where it was stopped.
//! Knows nothing about hunting.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use xxhash_rust::xxh3::xxh3_64;

use super::catch::Catch;
use crate::file::replace;

/// The results of a scratch directory, by mutant and by how it was hunted: a short hunt takes
/// nothing from a long one.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    catches: Mutex<BTreeMap<String, Catch>>,
    /// Keeps others away for as long as this hunt lasts: they would write over its results, and
    /// into the same copies.
    lock: File,
}

impl Results {
    /// Those that earlier hunts left.
    ///
    /// # Errors
    /// If the directory or its file cannot be used, or another hunt uses them.
    pub fn open(scratch: &Path) -> anyhow::Result<Self> {
        let shown = scratch.display();
        fs::create_dir_all(scratch).with_context(|| format!("cannot make {shown}"))?;
        let lock = File::create(scratch.join("lock"));
        let lock = lock.with_context(|| format!("cannot write to {shown}"))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => bail!(
                "another hunt is under way in {shown}: wait for it, or name another directory \
                 with --scratch"
            ),
            // There are file systems that know no locks: they are no reason to hunt nothing.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let path = scratch.join("results.json");
        let known = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is not a hunt's: remove it", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Ok(Self {
            path,
            catches: Mutex::new(known),
            lock,
        })
    }

    /// Forgets what came of a mutant that was hunted so.
    pub fn forget(&self, id: &str, effort: &str) {
        self.catches().remove(&key(id, effort));
    }

    /// What came of a mutant that was hunted so, if it is not stale.
    #[must_use]
    pub fn get(&self, id: &str, effort: &str, of: u64) -> Option<Catch> {
        let catches = self.catches();
        let catch = catches.get(&key(id, effort));
        catch.filter(|catch| catch.of == of).cloned()
    }

    /// Keeps what came of a mutant. Whoever is killed meanwhile finds the file as it was before.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn put(&self, catch: Catch) -> anyhow::Result<()> {
        let mut catches = self.catches();
        catches.insert(key(&catch.id, &catch.effort), catch);
        let text = serde_json::to_string_pretty(&*catches)?;
        replace(&self.path, &text).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// All that were hunted so, by mutant; stale ones as well.
    #[must_use]
    pub fn all(&self, effort: &str) -> BTreeMap<String, Catch> {
        let catches = self.catches();
        let so = catches.values().filter(|catch| catch.effort == effort);
        so.map(|catch| (catch.id.clone(), catch.clone())).collect()
    }

    fn catches(&self) -> MutexGuard<'_, BTreeMap<String, Catch>> {
        self.catches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that is being started has the file open as well, for a moment, and would keep it locked.
impl Drop for Results {
    fn drop(&mut self) {
        // Closing it does the same a little later.
        let _ = self.lock.unlock();
    }
}

fn key(id: &str, effort: &str) -> String {
    format!("{id} {effort}")
}

/// What a hunt depends on, from the workspace's root: what is built, and the plans that are tried.
const SOURCES: [&str; 11] = [
    "core/src",
    "proto/src",
    "runtime/src",
    "sim/src",
    "sim/tests/plans",
    "Cargo.toml",
    "Cargo.lock",
    "core/Cargo.toml",
    "proto/Cargo.toml",
    "runtime/Cargo.toml",
    "sim/Cargo.toml",
];

/// A number that changes with the sources that a hunt depends on.
///
/// # Errors
/// If one of them cannot be read.
pub fn digest_of_sources(root: &Path) -> anyhow::Result<u64> {
    let mut rest: Vec<PathBuf> = SOURCES.iter().map(|source| root.join(source)).collect();
    let mut files = Vec::new();
    while let Some(path) = rest.pop() {
        if path.is_dir() {
            for entry in
                fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?
            {
                rest.push(entry?.path());
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    let mut digest = 0;
    for file in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy();
        let before = u64::to_le_bytes(digest);
        digest = xxh3_64(&[&before, name.as_bytes(), &content].concat());
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(id: &str, effort: &str, of: u64) -> Catch {
        Catch {
            id: id.to_owned(),
            effort: effort.to_owned(),
            of,
            ..Catch::default()
        }
    }

    #[test]
    fn results_outlive_whoever_wrote_them_and_a_torn_write_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let results = Results::open(dir.path()).unwrap();
        let catch = caught("X", "long", 7);
        results.put(catch.clone()).unwrap();
        drop(results);
        fs::write(dir.path().join("results.json.part"), "{ \"Y\": ").unwrap();
        let again = Results::open(dir.path()).unwrap();
        assert_eq!(again.get("X", "long", 7), Some(catch.clone()));
        assert_eq!(again.get("X", "long", 8), None, "of other sources");
        assert_eq!(again.all("long").len(), 1);
        again.put(catch).unwrap();
        let names = fs::read_dir(dir.path()).unwrap();
        assert_eq!(names.count(), 2, "nothing is left beside it but the lock");
    }

    #[test]
    fn a_short_hunt_takes_nothing_from_a_long_one() {
        let dir = tempfile::tempdir().unwrap();
        let results = Results::open(dir.path()).unwrap();
        let (long, other) = (caught("X", "long", 7), caught("Y", "long", 7));
        for catch in [&long, &other, &caught("X", "short", 7)] {
            results.put(catch.clone()).unwrap();
        }
        assert_eq!(results.get("X", "long", 7), Some(long.clone()));
        results.forget("X", "short");
        results.put(caught("Z", "short", 7)).unwrap();
        drop(results);
        let results = Results::open(dir.path()).unwrap();
        let ids: Vec<String> = results.all("short").into_keys().collect();
        assert_eq!(ids, ["Z"]);
        let expected = [("X".to_owned(), long), ("Y".to_owned(), other)];
        assert_eq!(results.all("long"), BTreeMap::from(expected));
    }

    #[test]
    fn two_hunts_do_not_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = Results::open(dir.path()).unwrap();
        let error = Results::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another hunt is under way"), "{error}");
        drop(first);
        Results::open(dir.path()).unwrap();
    }

    #[test]
    fn plans_and_manifests_are_part_of_what_a_hunt_depends_on() {
        let dir = tempfile::tempdir().unwrap();
        for source in SOURCES {
            let path = dir.path().join(source);
            if source.contains("Cargo") {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            } else {
                fs::create_dir_all(path).unwrap();
            }
        }
        let mut digests = Vec::new();
        let mut note = || digests.push(digest_of_sources(dir.path()).unwrap());
        note();
        let plan = dir.path().join("sim/tests/plans/new.json");
        fs::write(&plan, "{}").unwrap();
        note();
        fs::rename(&plan, dir.path().join("sim/tests/plans/other.json")).unwrap();
        note();
        fs::write(dir.path().join("Cargo.lock"), "changed").unwrap();
        note();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 4);
        fs::remove_file(dir.path().join("Cargo.lock")).unwrap();
        assert!(digest_of_sources(dir.path()).is_err());
    }
}
