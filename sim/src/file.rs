//! Files that are replaced whole: whoever is killed meanwhile leaves the old content or the new one.
//! Knows nothing about what is in them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Whether [`replace`] could do it now; changes nothing.
pub(crate) fn can_replace(path: &Path) -> io::Result<()> {
    let aside = aside(path);
    File::create(&aside).and_then(|_| fs::remove_file(&aside))
}

/// Where a text is written before it takes the place of another.
fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    aside.into()
}

/// Puts a text into a file.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let aside = aside(path);
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| fs::rename(&aside, path));
    if replaced.is_err() {
        // What is left of it is of no use, and may fill a disk.
        fs::remove_file(&aside).ok();
    }
    replaced
}
