//! How many files and connections this process may have open: as many as its limits let in.
//! Knows nothing about what they are used for.

use chil::limits::ConnectionLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::failure::Failure;

/// For links to others, of which there are three to each of at most 256 addresses, and for segments,
/// snapshots, certificates, log lines, and what libraries open.
const FILES: u64 = 3 * 256 + 256;

/// Raises what this process may open to what `limits` let in.
///
/// # Errors
/// If it may not be raised so far: then a flood of clients would leave no file to the log.
pub(super) fn make_room(limits: &ConnectionLimits) -> Result<(), Failure> {
    let connections = limits.most() as u64;
    let needed = connections.saturating_add(FILES);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no bound.
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(most) = maximum.filter(|most| *most < needed) {
        return Err(Failure::usage(format!(
            "consensus.limits.connections lets {connections} connections in, and with {FILES} files \
             this process needs {needed} open at the same time, but it may have {most}: allow more \
             (`ulimit -Hn`, LimitNOFILE= of systemd), or lower consensus.limits.connections.clients"
        )));
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        Failure::usage(format!(
            "cannot raise the number of files that this process may open to {needed}: {error}"
        ))
    })
}
