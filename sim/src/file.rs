//! Files that are replaced whole: whoever is killed meanwhile leaves the old content or the new one.
//! Knows nothing about what is in them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Puts a text into a file.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
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
