//! Numbers and byte strings as one sequence of bytes, written to and read from streams.
//! Knows nothing about what they mean.
//!
//! For the snapshots of state machines, whose bytes must be the same on every node: numbers are
//! big-endian, byte strings are their length in 8 bytes and themselves.
//!
//! ```
//! use chil_core::canonical;
//!
//! let mut bytes = Vec::new();
//! canonical::write_u64(&mut bytes, 7)?;
//! canonical::write_bytes(&mut bytes, b"seven")?;
//!
//! let mut from = bytes.as_slice();
//! assert_eq!(canonical::read_u64(&mut from)?, 7);
//! assert_eq!(&canonical::read_bytes(&mut from, 100)?[..], b"seven");
//! canonical::read_end(&mut from)?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{Error, ErrorKind, Read, Result, Write};

use bytes::Bytes;

/// Writes one byte.
///
/// # Errors
/// As `out` does.
pub fn write_u8(out: &mut dyn Write, number: u8) -> Result<()> {
    out.write_all(&[number])
}

/// Writes 4 bytes.
///
/// # Errors
/// As `out` does.
pub fn write_u32(out: &mut dyn Write, number: u32) -> Result<()> {
    out.write_all(&number.to_be_bytes())
}

/// Writes 8 bytes.
///
/// # Errors
/// As `out` does.
pub fn write_u64(out: &mut dyn Write, number: u64) -> Result<()> {
    out.write_all(&number.to_be_bytes())
}

/// Writes 16 bytes.
///
/// # Errors
/// As `out` does.
pub fn write_u128(out: &mut dyn Write, number: u128) -> Result<()> {
    out.write_all(&number.to_be_bytes())
}

/// Writes a byte string: its length, then itself.
///
/// # Errors
/// As `out` does.
pub fn write_bytes(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    write_u64(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

/// Reads one byte.
///
/// # Errors
/// As `from` does, and if it ends before.
pub fn read_u8(from: &mut dyn Read) -> Result<u8> {
    array::<1>(from).map(u8::from_be_bytes)
}

/// Reads 4 bytes.
///
/// # Errors
/// As `from` does, and if it ends before.
pub fn read_u32(from: &mut dyn Read) -> Result<u32> {
    array(from).map(u32::from_be_bytes)
}

/// Reads 8 bytes.
///
/// # Errors
/// As `from` does, and if it ends before.
pub fn read_u64(from: &mut dyn Read) -> Result<u64> {
    array(from).map(u64::from_be_bytes)
}

/// Reads 16 bytes.
///
/// # Errors
/// As `from` does, and if it ends before.
pub fn read_u128(from: &mut dyn Read) -> Result<u128> {
    array(from).map(u128::from_be_bytes)
}

/// Reads a byte string of at most `max` bytes. Memory is taken as bytes arrive, never because a
/// length announces them.
///
/// # Errors
/// As `from` does, if it ends before, and if the string is longer than `max`.
pub fn read_bytes(from: &mut dyn Read, max: u64) -> Result<Bytes> {
    let len = read_u64(from)?;
    if len > max {
        return Err(invalid(format!(
            "a byte string of {len} bytes, where at most {max} make sense"
        )));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len.min(AT_ONCE)).unwrap_or_default());
    from.take(len).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < len {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Bytes::from(bytes))
}

/// Makes sure that nothing follows.
///
/// # Errors
/// As `from` does, and if something does.
pub fn read_end(from: &mut dyn Read) -> Result<()> {
    let mut byte = [0];
    loop {
        return match from.read(&mut byte) {
            Ok(0) => Ok(()),
            Ok(_) => Err(invalid("bytes follow behind the end".into())),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

fn array<const N: usize>(from: &mut dyn Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Memory that a length alone may take.
const AT_ONCE: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_pinned() {
        let mut out = Vec::new();
        write_u8(&mut out, 1).unwrap();
        write_u32(&mut out, 2).unwrap();
        write_u64(&mut out, 3).unwrap();
        write_u128(&mut out, 4).unwrap();
        write_bytes(&mut out, b"ab").unwrap();
        let expected = [
            &[1][..],
            &[0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            b"ab",
        ];
        assert_eq!(out, expected.concat());
        let mut from = out.as_slice();
        assert_eq!(read_u8(&mut from).unwrap(), 1);
        assert_eq!(read_u32(&mut from).unwrap(), 2);
        assert_eq!(read_u64(&mut from).unwrap(), 3);
        assert_eq!(read_u128(&mut from).unwrap(), 4);
        assert!(read_end(&mut &from[..]).is_err());
        assert_eq!(read_bytes(&mut from, 2).unwrap(), "ab");
        assert!(read_end(&mut from).is_ok());
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        let huge = u64::MAX.to_be_bytes();
        let error = read_bytes(&mut huge.as_slice(), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        // Even where such a length would be allowed, only what arrives is kept.
        let error = read_bytes(&mut huge.as_slice(), u64::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
