//! A checksummed block at the start of a file: what kind it is, its format version, a generation, a body.
//! Knows nothing about what the body means.
//!
//! ```text
//! 0        8        12       16          24        28           32
//! | magic  | version| length | generation| body crc| header crc | body ...
//! ```
//! Numbers are little-endian; the checksums are CRC-32C. The first 12 bytes and the header's
//! checksum keep their place in every version, so that an old program can name a newer one.

use super::disk::{Disk, DiskFile};
use super::error::{Context, StorageError};

/// Bytes before the body.
pub(super) const HEADER_LEN: usize = 32;
/// Largest body.
pub(super) const BODY_MAX: usize = super::at_rest::BYTES_MAX;

/// What a block is used for.
pub(super) struct Kind {
    /// The first bytes of the file.
    pub(super) magic: [u8; 8],
    /// The version that is written, and the highest that is read.
    pub(super) version: u32,
    /// The lowest that is read.
    pub(super) oldest: u32,
}

/// An intact block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// Its generation.
    pub(super) generation: u64,
    /// Its content.
    pub(super) body: &'a [u8],
}

/// Why bytes are no block of a kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// A version wrote it that this one does not read.
    Version(u32),
    /// They are damaged.
    Damaged {
        /// Where, from the start of the file.
        offset: u64,
        /// How.
        detail: &'static str,
    },
}

impl Broken {
    /// The error to end with.
    pub(super) fn into_error<D: Disk>(self, disk: &D, file: &str, kind: &Kind) -> StorageError {
        match self {
            Self::Version(found) => StorageError::Version {
                file: disk.describe(file),
                found,
                known: kind.version,
            },
            Self::Damaged { offset, detail } => StorageError::corrupt(disk, file, offset, detail),
        }
    }
}

/// The bytes of a block.
///
/// # Panics
/// If the body is larger than [`BODY_MAX`]; `at_rest` refuses such records before.
pub(super) fn seal(kind: &Kind, generation: u64, body: &[u8]) -> Vec<u8> {
    assert!(body.len() <= BODY_MAX, "a block of {} bytes", body.len());
    let len = u32::try_from(body.len()).expect("BODY_MAX fits 32 bits");
    let mut out = Vec::with_capacity(HEADER_LEN + body.len());
    out.extend_from_slice(&kind.magic);
    out.extend_from_slice(&kind.version.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// The block that `bytes` begin with.
pub(super) fn unseal<'a>(kind: &Kind, bytes: &'a [u8]) -> Result<Block<'a>, Broken> {
    let damaged = |offset, detail| Err(Broken::Damaged { offset, detail });
    if bytes.len() < HEADER_LEN {
        return damaged(bytes.len() as u64, "the file ends within its header");
    }
    let mut header = Reader(bytes);
    let magic = header.bytes(8);
    let version = header.u32();
    let len = header.u32() as usize;
    let generation = header.u64();
    let body_crc = header.u32();
    let header_crc = header.u32();
    if crc32c::crc32c(&bytes[..HEADER_LEN - 4]) != header_crc {
        return damaged(0, "the checksum of the header does not match");
    }
    if magic != kind.magic {
        return damaged(0, "this is another kind of file");
    }
    if version < kind.oldest || kind.version < version {
        return Err(Broken::Version(version));
    }
    let Some(body) = header.0.get(..len) else {
        return damaged(bytes.len() as u64, "the file ends within its content");
    };
    if crc32c::crc32c(body) != body_crc {
        return damaged(
            HEADER_LEN as u64,
            "the checksum of the content does not match",
        );
    }
    Ok(Block { generation, body })
}

/// A file and what it begins with; `None` when there is no such file.
pub(super) type Contents<F> = Option<(F, Vec<u8>)>;

/// Reads the start of a file, as much as a block can have.
pub(super) fn read<D: Disk>(disk: &mut D, name: &str) -> Result<Contents<D::File>, StorageError> {
    let file = match disk.open(name, false) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).context(disk, name, "open"),
    };
    let len = file.len().context(disk, name, "measure")?;
    let len = usize::try_from(len).map_or(HEADER_LEN + BODY_MAX, |l| l.min(HEADER_LEN + BODY_MAX));
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)
        .context(disk, name, "read")?;
    Ok(Some((file, bytes)))
}

/// Takes fixed-size fields off the front of bytes whose length was checked.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub(super) fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N)
            .try_into()
            .expect("bytes(N) gives N bytes or panics")
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// The next little-endian number.
    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// The next little-endian number.
    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// The next big-endian number, as ballots are kept.
    pub(super) fn u64_be(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// The next little-endian number.
    pub(super) fn u128(&mut self) -> u128 {
        u128::from_le_bytes(self.array())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        magic: *b"chiltest",
        version: 3,
        oldest: 2,
    };

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = seal(&KIND, 9, b"content");
        assert_eq!(
            unseal(&KIND, &good),
            Ok(Block {
                generation: 9,
                body: b"content"
            })
        );
        for i in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[i / 8] ^= 1 << (i % 8);
            assert!(
                matches!(unseal(&KIND, &bad), Err(Broken::Damaged { .. })),
                "bit {i}"
            );
        }
        for len in 0..good.len() {
            assert!(
                matches!(unseal(&KIND, &good[..len]), Err(Broken::Damaged { .. })),
                "cut at {len}"
            );
        }
    }

    #[test]
    fn a_version_that_is_not_read_is_named() {
        let sealed = |version| {
            seal(
                &Kind {
                    magic: KIND.magic,
                    version,
                    oldest: version,
                },
                1,
                b"x",
            )
        };
        assert_eq!(unseal(&KIND, &sealed(4)), Err(Broken::Version(4)));
        assert_eq!(unseal(&KIND, &sealed(1)), Err(Broken::Version(1)));
        assert!(unseal(&KIND, &sealed(2)).is_ok());
    }
}
