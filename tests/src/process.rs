//! Processes of the `chil` binary as tests start them: built from the sources as they are, without
//! the settings of whoever runs the tests. Knows nothing about nodes and clusters.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// The binary, built from the sources as they are now, unless `CHIL_TEST_BINARY` names one that is:
/// whoever tests the whole workspace at once has built it already.
///
/// # Panics
/// If it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os("CHIL_TEST_BINARY") {
            return named.into();
        }
        // <target>/<profile>/deps/<this test>
        let test = std::env::current_exe().expect("a test has a file");
        let profile = test.parent().and_then(Path::parent).expect("it lies deep");
        let mut build = Command::new(env!("CARGO"));
        build
            .args([
                "build",
                "--quiet",
                "-p",
                "chil",
                "--bin",
                "chil",
                "--target-dir",
            ])
            .arg(profile.parent().expect("it lies deep"))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.status().expect("cargo runs: it runs this test");
        assert!(built.success(), "the binary does not build");
        profile.join("chil")
    })
}

/// A command of the binary, without the settings of whoever runs the tests. Nodes and clients do
/// without TLS, unless the arguments name certificates.
pub fn chil(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    forget_settings(&mut command);
    if !arguments
        .iter()
        .any(|it| ["--tls-cert", "--tls"].contains(it))
    {
        command.env("CONSENSUS_TLS_ENABLED", "false");
    }
    command.args(arguments);
    command
}

/// Removes the settings of whoever runs the tests from what `command` will see.
pub fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CONSENSUS_") || name.starts_with("CHIL_") {
            command.env_remove(name);
        }
    }
}

/// Waits for the end of the process; kills it and returns `None` when that takes too long.
///
/// # Panics
/// If it is no process of ours.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    None
}

/// Sends a signal by its name.
///
/// # Panics
/// If there is no such process or signal.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    let sent = status.is_ok_and(|status| status.success());
    assert!(sent, "cannot send {name} to {pid}");
}
