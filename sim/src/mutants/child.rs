//! A mutant at work, as a process of its own: what it printed, and how it ended, which it must in time.
//! Knows nothing about what it was asked to do.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// How a process ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself.
    Exit {
        /// Its exit code.
        code: i32,
        /// What it printed.
        stdout: Vec<u8>,
        /// What it complained of.
        stderr: String,
    },
    /// By a signal, as whoever aborts, has no stack or no memory left: a word about that.
    Broken(String),
    /// It did not, and was killed: a word about that.
    Hung(String),
}

/// So often it is asked whether it has ended.
const LOOKS: Duration = Duration::from_millis(20);

/// Runs a command to its end, for so long at most.
pub(super) fn run(command: &mut Command, limit: Duration) -> anyhow::Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run the mutant")?;
    let stdout = drained(child.stdout.take());
    let stderr = drained(child.stderr.take());
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for the mutant")? {
            break status;
        }
        if waited >= limit {
            child.kill().context("cannot end the mutant")?;
            child.wait().context("cannot end the mutant")?;
            let seconds = limit.as_secs();
            return Ok(Ended::Hung(format!("had not ended after {seconds} s")));
        }
        thread::sleep(LOOKS);
        waited += LOOKS;
    };
    let Some(code) = status.code() else {
        return Ok(Ended::Broken(format!("was ended by the system: {status}")));
    };
    Ok(Ended::Exit {
        code,
        stdout: stdout.recv().unwrap_or_default(),
        stderr: String::from_utf8_lossy(&stderr.recv().unwrap_or_default()).into_owned(),
    })
}

/// Reads what a process prints while it runs: one whose pipe is full stands still.
fn drained(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What can be read is what there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // Nobody wants it of a process that was killed.
        let _ = sender.send(bytes);
    });
    receiver
}
