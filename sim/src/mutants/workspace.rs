//! A copy of the workspace's sources that mutants are planted in, with its own build directory.
//! Knows nothing about mutants: it puts texts into files and builds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// What a workspace consists of, beside its manifest and lock file.
const PARTS: [&str; 7] = ["core", "proto", "runtime", "sim", "tests", ".cargo", "docs"];

/// A scratch copy.
#[derive(Debug)]
pub struct Copy {
    origin: PathBuf,
    dir: PathBuf,
}

impl Copy {
    /// The copy of the workspace `origin` in `dir`, which is made, or brought up to date.
    #[must_use]
    pub fn new(origin: &Path, dir: &Path) -> Self {
        Self {
            origin: origin.to_owned(),
            dir: dir.to_owned(),
        }
    }

    /// Makes the copy equal to the origin but for `changed`. Files that are right already are not
    /// touched, so that what was built from them stays built.
    ///
    /// # Errors
    /// If files cannot be read or written.
    pub fn refresh(&self, changed: &[(String, String)]) -> anyhow::Result<()> {
        let mut wanted: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        for file in ["Cargo.toml", "Cargo.lock"] {
            wanted.insert(file.into(), fs::read(self.origin.join(file))?);
        }
        for part in PARTS {
            gather(&self.origin, Path::new(part), &mut wanted)?;
        }
        for (file, text) in changed {
            wanted.insert(file.into(), text.clone().into_bytes());
        }
        let sources = self.dir.join("src");
        let mut held = BTreeMap::new();
        gather(&sources, Path::new(""), &mut held)?;
        for file in held.keys().filter(|file| !wanted.contains_key(*file)) {
            fs::remove_file(sources.join(file))?;
        }
        for (file, content) in &wanted {
            if held.get(file) != Some(content) {
                let path = sources.join(file);
                let parent = path.parent().context("a file has a directory")?;
                fs::create_dir_all(parent)?;
                fs::write(&path, content)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Builds `chil-sim` in the copy and returns its path.
    ///
    /// # Errors
    /// If it does not compile, with the compiler's last words.
    pub fn build(&self) -> anyhow::Result<PathBuf> {
        let target = self.dir.join("target");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(self.dir.join("src"))
            .args([
                "build",
                "--release",
                "--quiet",
                "-p",
                "chil-sim",
                "--bin",
                "chil-sim",
            ])
            .arg("--target-dir")
            .arg(&target)
            // Quick to build again matters more here than quick to run.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "64")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_INCREMENTAL")
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let from = words.len().saturating_sub(2_000);
            let last = words.get(from..).unwrap_or(&words);
            bail!("it does not compile:\n{last}");
        }
        let binary = target
            .join("release")
            .join(format!("chil-sim{}", std::env::consts::EXE_SUFFIX));
        ensure!(binary.exists(), "cargo built no {}", binary.display());
        Ok(binary)
    }
}

/// Reads all files below `root`/`part`; build directories and hidden files of tools are left out.
fn gather(root: &Path, part: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) -> anyhow::Result<()> {
    let dir = root.join(part);
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let name = part.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != "target" && entry.file_name() != ".git" {
            gather(root, &name, into)?;
        } else if kind.is_file() {
            into.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// The root of the workspace that `from` lies in.
///
/// # Errors
/// If there is none.
pub fn root_above(from: &Path) -> anyhow::Result<PathBuf> {
    from.ancestors()
        .find(|dir| dir.join("sim/mutants").is_dir() && dir.join("Cargo.lock").is_file())
        .map(Path::to_owned)
        .with_context(|| format!("{} is not in chil's sources: run it there", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_follows_its_origin_and_keeps_what_is_right() {
        let root = root_above(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let dir = std::env::temp_dir().join(format!("chil-sim-copy-{}", std::process::id()));
        let copy = Copy::new(&root, &dir);
        let file = "core/src/time.rs".to_owned();
        copy.refresh(&[(file.clone(), "changed".to_owned())])
            .unwrap();
        let path = dir.join("src").join(&file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "changed");
        let other = dir.join("src/core/src/log.rs");
        let before = fs::metadata(&other).unwrap().modified().unwrap();
        fs::write(dir.join("src/core/src/extra.rs"), "left over").unwrap();
        copy.refresh(&[]).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            fs::read_to_string(root.join(&file)).unwrap()
        );
        assert!(!dir.join("src/core/src/extra.rs").exists());
        assert_eq!(fs::metadata(&other).unwrap().modified().unwrap(), before);
        fs::remove_dir_all(&dir).unwrap();
    }
}
