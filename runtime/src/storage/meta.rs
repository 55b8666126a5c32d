//! The metadata block: two checksummed copies with generations, both durable before an update counts.
//! Knows nothing about the log, except for the position in it that each block was written at.
//!
//! One copy is written and synced, then the other. A crash in between leaves the new generation in
//! one and the old one in the other; a damaged copy leaves the other one. With copies that take
//! turns, losing one would bring back an older promise.

use chil_core::{Lsn, Meta};
use serde::{Deserialize, Serialize};

use super::at_rest;
use super::block::{self, Broken, Kind};
use super::disk::{Disk, DiskFile};
use super::error::{Context, StorageError};

/// The two copies.
pub(super) const FILES: [&str; 2] = ["meta-a", "meta-b"];

const KIND: Kind = Kind {
    magic: *b"chilmeta",
    version: 3,
    // The first one knew neither snapshots nor leases, the second one no limits of sessions.
    oldest: 3,
};

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    /// The LSN of the persist that it came with.
    pub(super) lsn: Lsn,
    /// How many frames of the log were durable before it.
    pub(super) frames: u64,
    /// The metadata.
    pub(super) meta: Meta,
}

/// The open copies.
pub(super) struct Copies<F> {
    files: [F; 2],
    generation: u64,
}

impl<F: DiskFile> Copies<F> {
    /// Writes the first generation into new files; their names become durable with the next
    /// `sync_dir`.
    pub(super) fn create<D: Disk<File = F>>(
        disk: &mut D,
        first: &Block,
    ) -> Result<Self, StorageError> {
        let [a, b] = FILES.map(|name| disk.open(name, true).context(disk, name, "create"));
        let mut copies = Self {
            files: [a?, b?],
            generation: 0,
        };
        copies.write(disk, first)?;
        Ok(copies)
    }

    /// The generation that both copies hold.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Replaces the block; both copies are durable when this returns.
    pub(super) fn write<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        block: &Block,
    ) -> Result<(), StorageError> {
        let body = at_rest::encode(block).map_err(|detail| StorageError::Io {
            file: disk.describe(FILES[0]),
            what: "write",
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, detail),
        })?;
        self.generation += 1;
        let bytes = block::seal(&KIND, self.generation, &body);
        for (file, name) in self.files.iter_mut().zip(FILES) {
            file.write_all_at(&bytes, 0).context(disk, name, "write")?;
            file.sync().context(disk, name, "sync")?;
        }
        Ok(())
    }
}

/// What was found in the copies; nothing is changed before [`Found::repair`].
pub(super) struct Found<F> {
    files: [Option<F>; 2],
    generations: [Option<u64>; 2],
    newest: u64,
    /// The newest block.
    pub(super) block: Block,
}

impl<F: DiskFile> Found<F> {
    /// Reads the copies.
    pub(super) fn load<D: Disk<File = F>>(disk: &mut D) -> Result<Self, StorageError> {
        let mut files = [None, None];
        let mut generations = [None, None];
        let mut newest: Option<(u64, Block)> = None;
        let mut damage: Option<StorageError> = None;
        for (i, name) in FILES.into_iter().enumerate() {
            match read_copy(disk, name)? {
                (file, Ok((generation, block))) => {
                    files[i] = file;
                    generations[i] = Some(generation);
                    if newest.as_ref().is_none_or(|(g, _)| *g < generation) {
                        newest = Some((generation, block));
                    } else if newest
                        .as_ref()
                        .is_some_and(|(g, b)| *g == generation && *b != block)
                    {
                        let detail = "the two copies of one generation differ";
                        return Err(StorageError::corrupt(disk, name, 0, detail));
                    }
                }
                (file, Err(error)) => {
                    files[i] = file;
                    damage.get_or_insert(error);
                }
            }
        }
        match (newest, damage) {
            (Some((newest, block)), _) => Ok(Self {
                files,
                generations,
                newest,
                block,
            }),
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("each copy is either intact or damaged"),
        }
    }

    /// The generation of [`Found::block`].
    pub(super) const fn generation(&self) -> u64 {
        self.newest
    }

    /// Brings both copies to the newest generation. The intact one is synced before the other is
    /// touched: after the kill of a process it may be in the page cache only.
    pub(super) fn repair<D: Disk<File = F>>(self, disk: &mut D) -> Result<Copies<F>, StorageError> {
        let body = at_rest::encode(&self.block).map_err(|detail| {
            StorageError::corrupt(disk, FILES[0], block::HEADER_LEN as u64, &detail)
        })?;
        let bytes = block::seal(&KIND, self.newest, &body);
        let good = usize::from(self.generations[0] != Some(self.newest));
        let mut files = self.files;
        for i in [good, 1 - good] {
            let name = FILES[i];
            let missing = files[i].is_none();
            if missing {
                files[i] = Some(disk.open(name, true).context(disk, name, "create")?);
            }
            let Some(file) = files[i].as_mut() else {
                unreachable!("a missing copy was created above");
            };
            if self.generations[i] != Some(self.newest) {
                file.write_all_at(&bytes, 0).context(disk, name, "repair")?;
            }
            file.sync().context(disk, name, "sync")?;
            if missing {
                disk.sync_dir().context(disk, name, "make durable")?;
            }
        }
        match files {
            [Some(a), Some(b)] => Ok(Copies {
                files: [a, b],
                generation: self.newest,
            }),
            _ => unreachable!("both copies were opened above"),
        }
    }
}

/// A copy as it was found: its file, and its generation and content.
type Copy<F> = (Option<F>, Result<(u64, Block), StorageError>);

/// One copy: its file if there is one, and its content or what is wrong with it. An error that
/// could mean "try again with the disk connected" or "start another version of the program" ends the attempt.
fn read_copy<D: Disk>(disk: &mut D, name: &str) -> Result<Copy<D::File>, StorageError> {
    let Some((file, bytes)) = block::read(disk, name)? else {
        let error = StorageError::corrupt(disk, name, 0, "the file is missing");
        return Ok((None, Err(error)));
    };
    let read = match block::unseal(&KIND, &bytes) {
        Err(broken @ Broken::Version(_)) => return Err(broken.into_error(disk, name, &KIND)),
        Err(broken @ Broken::Damaged { .. }) => Err(broken.into_error(disk, name, &KIND)),
        Ok(block) => at_rest::decode(block.body)
            .map(|content| (block.generation, content))
            .map_err(|detail| StorageError::corrupt(disk, name, block::HEADER_LEN as u64, &detail)),
    };
    Ok((Some(file), read))
}

#[cfg(test)]
mod tests {
    use chil_core::{
        Ballot, Chain, DiskId, Epoch, Member, Membership, NodeId, Slot, SnapshotId, SnapshotMark,
    };

    use super::*;

    /// Changing these bytes would make every deployed node refuse its own metadata.
    #[test]
    fn the_bytes_are_pinned() {
        let disk = DiskId::new(0xd15c);
        let member = Member {
            name: "a".to_string(),
            disk,
            addr: "b:1".to_string(),
            weight: 2,
        };
        let membership = Membership::new(Epoch::FIRST, [member]).unwrap();
        let node = NodeId::from_name("a").unwrap();
        let mut meta = Meta::format(membership.cluster_id(), node, disk, membership);
        meta.damaged = Some(Ballot::new(Epoch::FIRST, 3, node));
        meta.snap = Some(SnapshotMark {
            id: SnapshotId {
                slot: Slot::new(6),
                chain: Chain::new(7),
                bytes: 8,
                digest: 9,
            },
            decided_in: Ballot::new(Epoch::FIRST, 10, node),
        });
        let block = Block {
            lsn: Lsn::new(4),
            frames: 5,
            meta,
        };
        let bytes = at_rest::encode(&block).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let pinned = include_str!("golden/meta.hex");
        assert_eq!(hex, pinned.split_whitespace().collect::<String>());
        assert_eq!(at_rest::decode(&bytes), Ok(block));
    }
}
