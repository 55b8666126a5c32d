//! `chil snapshot inspect`: reads a snapshot from its first byte to its last, and says what it is.
//! Knows nothing about where it comes from.

use std::path::PathBuf;

use chil_core::SnapshotHeader;
use serde::Serialize;

use super::{Described, check};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Format, list};

/// Check every byte of a snapshot, and say what it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with code 6 when the file is damaged or no snapshot; the message says where.

Examples:
  chil snapshot inspect backup.chil
  chil snapshot inspect backup.chil --json")]
pub(super) struct Arguments {
    /// The snapshot.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Everything that a snapshot says about itself.
#[derive(Debug, Serialize)]
struct Inspected {
    #[serde(flatten)]
    snapshot: Described,
    epoch: u64,
    members: Vec<MemberView>,
    sessions_max: u64,
    session_reply_bytes_max: u64,
    lease: Option<LeaseView>,
}

/// Who belonged to the cluster that it was taken of.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct MemberView {
    name: String,
    weight: u32,
    disk: String,
}

#[derive(Debug, Serialize)]
struct LeaseView {
    duration_us: u64,
    drift_ppm: u32,
}

/// Runs `chil snapshot inspect`.
pub(super) fn run(arguments: &Arguments, format: Format) -> Result<Exit, Failure> {
    let checked = check(&arguments.file)?;
    let header = &checked.0;
    let inspected = Inspected {
        snapshot: Described::new(&arguments.file, &checked),
        epoch: header.membership.epoch.get(),
        members: members(header),
        sessions_max: header.membership.sessions.sessions_max,
        session_reply_bytes_max: header.membership.sessions.reply_bytes_max,
        lease: header.membership.lease.map(|lease| LeaseView {
            duration_us: lease.duration_us,
            drift_ppm: lease.drift_ppm,
        }),
    };
    format.print(&inspected, shown)?;
    Ok(Exit::Ok)
}

/// By name, as people list them.
fn members(header: &SnapshotHeader) -> Vec<MemberView> {
    let members = header.membership.members.values();
    let mut members: Vec<MemberView> = members
        .map(|member| MemberView {
            name: member.name.clone(),
            weight: member.weight,
            disk: member.disk.to_string(),
        })
        .collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

fn shown(inspected: &Inspected) -> String {
    let mut rows = inspected.snapshot.rows();
    let names: Vec<String> = inspected
        .members
        .iter()
        .map(|member| match member.weight {
            1 => member.name.clone(),
            weight => format!("{} (weight {weight})", member.name),
        })
        .collect();
    rows.push(("members".into(), names.join(", ")));
    rows.push(("epoch".into(), inspected.epoch.to_string()));
    if let Some(lease) = &inspected.lease {
        let lease = format!(
            "{} us, clocks within {} ppm",
            lease.duration_us, lease.drift_ppm
        );
        rows.push(("lease".into(), lease));
    }
    rows.push(("every byte".into(), "checked, sound".into()));
    list(&rows)
}
