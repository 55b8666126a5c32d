//! Who puts a state machine through chaos: its name, how it is run again, where it leaves things.
//! Knows nothing about what is run.

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A test, or a program of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What it is called.
    pub(super) name: String,
    is_test: bool,
    exe: PathBuf,
}

impl Caller {
    /// Whoever calls this.
    pub(super) fn current() -> Self {
        let exe = std::env::current_exe().unwrap_or_default();
        Self::of(std::thread::current().name(), exe)
    }

    /// A test's thread has the test's name; that of a program says nothing.
    fn of(thread: Option<&str>, exe: PathBuf) -> Self {
        let test = thread.filter(|name| *name != "main");
        let program = exe.file_stem().unwrap_or_else(|| OsStr::new("chaos"));
        let name = test.map_or_else(|| program.to_string_lossy().into_owned(), str::to_owned);
        Self {
            name,
            is_test: test.is_some(),
            exe,
        }
    }

    /// How it is run again with a variable of the environment that has this value.
    pub(super) fn again(&self, variable: &str, value: impl Display) -> String {
        if self.is_test {
            format!("{variable}={value} cargo test {}", self.name)
        } else {
            // Its arguments, features and profile are known to whoever wrote them.
            format!("{variable}={value} (in front of the same command)")
        }
    }

    /// Where plans and diagrams go if nobody says so: beside what cargo builds, whose tests are in
    /// `target/debug/deps`, its examples in `target/debug/examples`, and its programs above.
    pub(super) fn artifacts(&self) -> PathBuf {
        let profile = self.exe.parent().map(|dir| match dir.file_name() {
            Some(name) if name == "deps" || name == "examples" => dir.parent().unwrap_or(dir),
            _ => dir,
        });
        let target = profile.and_then(Path::parent);
        let target = target.filter(|dir| !dir.as_os_str().is_empty());
        let target = target.map_or_else(std::env::temp_dir, PathBuf::from);
        target.join("chil-sim").join(self.name.replace("::", "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_run_again_by_its_name_and_a_program_like_before() {
        let test = Caller::of(
            Some("bank::survives"),
            "/p/target/debug/deps/bank-0f".into(),
        );
        assert_eq!(
            test.again("CHIL_SIM_SEED", 7),
            "CHIL_SIM_SEED=7 cargo test bank::survives"
        );
        let left = Path::new("/p/target/chil-sim/bank-survives");
        assert_eq!(test.artifacts(), left);
        for (thread, exe) in [
            (Some("main"), "/p/target/debug/examples/payments"),
            (Some("main"), "/p/target/release/payments"),
            (None, "/p/target/debug/examples/payments"),
        ] {
            let program = Caller::of(thread, exe.into());
            let again = program.again("CHIL_SIM_SEED", 7);
            assert_eq!(again, "CHIL_SIM_SEED=7 (in front of the same command)");
            let left = Path::new("/p/target/chil-sim/payments");
            assert_eq!(program.artifacts(), left, "{exe}");
        }
    }

    #[test]
    fn this_test_knows_its_own_name() {
        let name = "this_test_knows_its_own_name";
        assert!(Caller::current().again("A", 1).ends_with(name));
    }
}
