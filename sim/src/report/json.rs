//! A recording as JSON lines: first what the run was, then one event a line.
//! Knows nothing about who reads them.

use std::fmt;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::event::{Event, Recording};
use crate::plan::Plan;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    plan: Plan,
    nodes: Vec<String>,
    violation: Option<String>,
    explained: Vec<String>,
    hash: String,
    /// How many lines follow: a file that was cut off is recognised.
    events: usize,
}

/// Why lines are not a recording.
#[derive(Debug)]
pub enum ReadError {
    /// They cannot be read.
    Io(io::Error),
    /// A line is not what belongs there: its number from 1, and what is wrong with it.
    Line(usize, serde_json::Error),
    /// Another build wrote them: its version of the format.
    Version(u32),
    /// Other lines follow than the first one says: how many are there, and how many should be.
    Length(usize, usize),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "the recording cannot be read: {e}"),
            Self::Line(line, e) => write!(f, "line {line} does not belong into a recording: {e}"),
            Self::Version(version) => write!(
                f,
                "the recording has format version {version}, and this build reads {}: replay its \
                 plan with this build, or read it with the build that wrote it",
                Recording::VERSION
            ),
            Self::Length(is, should) => write!(
                f,
                "{is} events follow where the first line says {should}: the file was cut off or \
                 put together, export it again"
            ),
        }
    }
}

impl std::error::Error for ReadError {}

/// Writes the recording.
///
/// # Errors
/// If `out` takes no more.
pub fn write(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    let header = Header {
        version: recording.version,
        plan: recording.plan.clone(),
        nodes: recording.nodes.clone(),
        violation: recording.violation.clone(),
        explained: recording.explained.clone(),
        hash: recording.hash.clone(),
        events: recording.events.len(),
    };
    serde_json::to_writer(&mut *out, &header)?;
    out.write_all(b"\n")?;
    for event in &recording.events {
        serde_json::to_writer(&mut *out, event)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Only the version, which is understood in files of every version.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// If it is something else, of another version, or not all of it.
pub fn read(lines: impl BufRead) -> Result<Recording, ReadError> {
    let mut lines = (1..).zip(lines.lines());
    let first = match lines.next() {
        Some((_, line)) => line.map_err(ReadError::Io)?,
        None => String::new(),
    };
    let version: Version = serde_json::from_str(&first).map_err(|e| ReadError::Line(1, e))?;
    if version.version != Recording::VERSION {
        return Err(ReadError::Version(version.version));
    }
    let header: Header = serde_json::from_str(&first).map_err(|e| ReadError::Line(1, e))?;
    let mut events: Vec<Event> = Vec::new();
    for (number, line) in lines {
        let line = line.map_err(ReadError::Io)?;
        let event = serde_json::from_str(&line).map_err(|e| ReadError::Line(number, e))?;
        events.push(event);
    }
    if events.len() != header.events {
        return Err(ReadError::Length(events.len(), header.events));
    }
    Ok(Recording {
        version: header.version,
        plan: header.plan,
        nodes: header.nodes,
        events,
        violation: header.violation,
        explained: header.explained,
        hash: header.hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn written(recording: &Recording) -> String {
        let mut bytes = Vec::new();
        write(recording, &mut bytes).expect("memory takes everything");
        String::from_utf8(bytes).expect("JSON is text")
    }

    #[test]
    fn what_is_written_is_read_again() {
        for recording in [fixture::small(), fixture::hostile()] {
            let text = written(&recording);
            assert_eq!(text.lines().count(), 1 + recording.events.len());
            let again = read(text.as_bytes()).expect("it was just written");
            assert_eq!(again, recording);
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let text = written(&fixture::small());
        let cut = text.trim_end().rsplit_once('\n').expect("many lines").0;
        let all = fixture::small().events.len();
        let error = read(cut.as_bytes()).expect_err("one line is missing");
        assert!(
            matches!(error, ReadError::Length(is, should) if is + 1 == should && should == all)
        );
        let error = read(&b""[..]).expect_err("nothing is no recording");
        assert!(matches!(error, ReadError::Line(1, _)));
    }

    #[test]
    fn another_version_is_named() {
        let text = written(&fixture::small()).replacen("\"version\":2", "\"version\":7", 1);
        let error = read(text.as_bytes()).expect_err("no build writes that yet");
        assert!(error.to_string().contains("version 7"), "{error}");
    }
}
