//! How small structured records become bytes at rest: bincode, in this one place.
//! Knows nothing about files or checksums: callers decode only what a checksum vouched for.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest record, in bytes: a full membership with long names fits hundreds of times.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// The bytes of `record`.
///
/// # Errors
/// Says why when the record is larger than [`BYTES_MAX`].
pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, String> {
    let bytes = bincode::serde::encode_to_vec(record, config()).map_err(|e| e.to_string())?;
    if bytes.len() > BYTES_MAX {
        return Err(format!(
            "{} bytes, but a record may have {BYTES_MAX}",
            bytes.len()
        ));
    }
    Ok(bytes)
}

/// The record that these bytes, all of them, are.
///
/// # Errors
/// Says what does not fit.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let (record, used) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(|e| e.to_string())?;
    if used != bytes.len() {
        return Err(format!("{} bytes are left over", bytes.len() - used));
    }
    Ok(record)
}

fn config() -> impl bincode::config::Config {
    bincode::config::legacy().with_limit::<BYTES_MAX>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_left_over_are_refused() {
        let mut bytes = encode(&(7_u64, "seven")).unwrap();
        assert_eq!(
            decode::<(u64, String)>(&bytes),
            Ok((7, "seven".to_string()))
        );
        bytes.push(0);
        assert!(decode::<(u64, String)>(&bytes).is_err());
    }

    #[test]
    fn a_record_that_could_not_be_read_back_is_not_written() {
        assert!(encode(&vec![1_u8; BYTES_MAX + 1]).is_err());
    }
}
