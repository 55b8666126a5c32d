//! What came of mutants so far, in a file, so that a long hunt can go on where it was stopped.
//! Knows nothing about hunting.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use xxhash_rust::xxh3::xxh3_64;

use super::catch::Catch;
use crate::file::replace;

/// The results of a scratch directory.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    catches: Mutex<BTreeMap<String, Catch>>,
}

impl Results {
    /// Those that an earlier hunt left, or none if they are to be had `again`.
    ///
    /// # Errors
    /// If the directory or its file cannot be used.
    pub fn open(scratch: &Path, again: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        let path = scratch.join("results.json");
        let known = match fs::read_to_string(&path) {
            Ok(text) if !again => serde_json::from_str(&text)
                .with_context(|| format!("{} is not a hunt's: remove it", path.display()))?,
            _ => BTreeMap::new(),
        };
        Ok(Self {
            path,
            catches: Mutex::new(known),
        })
    }

    /// What came of a mutant, if it is not stale.
    #[must_use]
    pub fn get(&self, id: &str, of: u64) -> Option<Catch> {
        let catches = self.catches.lock().unwrap_or_else(PoisonError::into_inner);
        catches.get(id).filter(|catch| catch.of == of).cloned()
    }

    /// Keeps what came of a mutant. Whoever is killed meanwhile finds the file as it was before.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn put(&self, catch: Catch) -> anyhow::Result<()> {
        let mut catches = self.catches.lock().unwrap_or_else(PoisonError::into_inner);
        catches.insert(catch.id.clone(), catch);
        let text = serde_json::to_string_pretty(&*catches)?;
        replace(&self.path, &text).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// All of them, stale ones as well.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Catch> {
        let catches = self.catches.lock().unwrap_or_else(PoisonError::into_inner);
        catches.clone()
    }
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

    #[test]
    fn results_outlive_whoever_wrote_them_and_a_torn_write_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let results = Results::open(dir.path(), false).unwrap();
        let catch = Catch {
            id: "X".to_owned(),
            of: 7,
            ..Catch::default()
        };
        results.put(catch.clone()).unwrap();
        fs::write(dir.path().join("results.json.part"), "{ \"Y\": ").unwrap();
        let again = Results::open(dir.path(), false).unwrap();
        assert_eq!(again.get("X", 7), Some(catch.clone()));
        assert_eq!(again.get("X", 8), None, "of other sources");
        assert_eq!(again.all().len(), 1);
        again.put(catch).unwrap();
        let names = fs::read_dir(dir.path()).unwrap();
        assert_eq!(names.count(), 1, "nothing is left beside it");
        assert!(Results::open(dir.path(), true).unwrap().all().is_empty());
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
