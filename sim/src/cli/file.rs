//! Files that commands write: whole or not at all, and none that a campaign writes to.
//! Knows nothing about what is in them.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::file::{can_replace, replace};

/// Puts a text into a file, which has either its old content or the new one at any time. A file
/// that a campaign writes to is left alone.
pub(super) fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    if is_replaced(path)? {
        replace(path, text).with_context(context)
    } else {
        std::fs::write(path, text).with_context(context)
    }
}

/// Whether [`save`] could put something into a file now.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    if is_replaced(path)? {
        can_replace(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Whether a file is, or will be, an ordinary one, which another one takes the place of.
fn is_replaced(path: &Path) -> anyhow::Result<bool> {
    let Ok(existing) = File::open(path) else {
        return Ok(true);
    };
    let shown = path.display();
    let metadata = existing.metadata();
    let kind = metadata.with_context(|| format!("cannot write {shown}"))?;
    ensure!(!kind.is_dir(), "cannot write {shown}: it is a directory");
    if !kind.is_file() {
        // A pipe or a device: there is nothing to replace.
        return Ok(false);
    }
    ensure!(
        !matches!(existing.try_lock(), Err(TryLockError::WouldBlock)),
        "another process writes to {shown}: wait for it, or name another file"
    );
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_unless_somebody_writes_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.json");
        save(&path, "old").unwrap();
        let campaign = File::open(&path).unwrap();
        campaign.lock().unwrap();
        let error = save(&path, "new").unwrap_err().to_string();
        assert!(error.contains("another process writes"), "{error}");
        assert!(check(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        drop(campaign);
        check(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        save(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = dir.path().join("missing/file");
        let error = format!("{:#}", save(&nowhere, "x").unwrap_err());
        assert!(error.starts_with("cannot write"), "{error}");
        let before = format!("{:#}", check(&nowhere).unwrap_err());
        assert_eq!(before, error);
        let folder = format!("{:#}", check(dir.path()).unwrap_err());
        assert!(folder.ends_with("it is a directory"), "{folder}");
        check(&dir.path().join("new")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        check(Path::new("/dev/null")).unwrap();
        save(Path::new("/dev/null"), "x").unwrap();
    }
}
