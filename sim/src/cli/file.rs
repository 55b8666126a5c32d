//! Files that commands write: whole or not at all, and none that a campaign writes to.
//! Knows nothing about what is in them.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::file::replace;

/// Puts a text into a file, which has either its old content or the new one at any time. A file
/// that a campaign writes to is left alone.
pub(super) fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    if let Ok(existing) = File::open(path) {
        if !existing.metadata().with_context(context)?.is_file() {
            // A pipe or a device: there is nothing to replace.
            return std::fs::write(path, text).with_context(context);
        }
        if matches!(existing.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!(
                "another process writes to {}: wait for it, or name another file",
                path.display()
            );
        }
    }
    replace(path, text).with_context(context)
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
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        drop(campaign);
        save(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = dir.path().join("missing/file");
        let error = format!("{:#}", save(&nowhere, "x").unwrap_err());
        assert!(error.starts_with("cannot write"), "{error}");
        save(Path::new("/dev/null"), "x").unwrap();
    }
}
