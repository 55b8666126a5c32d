//! Why bytes are not the snapshot that they should be.
//! Knows nothing about what is done about it: usually, the snapshot is fetched again.

use std::io;

use crate::session::SessionLimits;

/// Why a snapshot cannot be used. What it was to be restored into is not usable either, then.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes could not be read.
    #[error("cannot read the snapshot: {0}")]
    Io(io::Error),
    /// A block is cut off, or its checksum is not that of its bytes.
    #[error("the snapshot is cut off or damaged in the block that begins at byte {offset}")]
    Damaged {
        /// Where the block begins: what comes before it is sound.
        offset: u64,
    },
    /// The bytes do not begin as a snapshot does.
    #[error("not a snapshot of chil")]
    Foreign,
    /// The format is of another version of this library.
    #[error("snapshot format {found} is not known here (known: {known})", known = super::header::VERSION)]
    Version {
        /// The version found.
        found: u32,
    },
    /// The blocks are sound, but their contents cannot be: a bug, or another machine's snapshot.
    #[error("the snapshot's contents make no sense here: {0}")]
    Malformed(String),
    /// It is a sound snapshot, but not the one asked for.
    #[error("this is another snapshot than the one asked for")]
    OtherSnapshot,
    /// Its sessions were kept under other limits: every member must have the same.
    #[error(
        "the snapshot was made with limits of {found}, but here they are {expected}: \
         it is of another cluster"
    )]
    OtherLimits {
        /// The snapshot's.
        found: SessionLimits,
        /// This node's.
        expected: SessionLimits,
    },
    /// The restored state differs from the one that was frozen: the state machine does not
    /// restore what it wrote, or is of another version.
    #[error("the restored state has digest {found:032x}, but {expected:032x} was frozen")]
    OtherState {
        /// The digest of what was restored.
        found: u128,
        /// The digest of what was frozen.
        expected: u128,
    },
}

/// Errors of a snapshot's blocks travel through [`io::Read`] to whoever decodes their contents,
/// and are unpacked here; any other error is the decoder's, about contents.
impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(of_blocks) => of_blocks,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Malformed("it ends too early".into())
            }
            Err(error) => Self::Malformed(error.to_string()),
        }
    }
}
