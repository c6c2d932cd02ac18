//! How cold values (definitions, rows of the index) become bytes: bincode in its legacy configuration, fixed-width
//! and little-endian, which is byte-identical to bincode 1.3. The only file that names bincode, so that the codec can
//! be replaced by another of the same layout. Callers put a version byte before what they encode.
//! Types elsewhere derive through it: `#[derive(Encode, Decode)] #[bincode(crate = "ledgermq_storage::encoding")]`.

use bincode::config;
// The derived code looks for these modules and traits under the path it is given.
#[doc(hidden)]
pub use bincode::{BorrowDecode, de, enc, error};
pub use bincode::{Decode, Encode};

/// The bytes are not an encoding of the wanted type, or larger than allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored value cannot be read: {0}")]
pub struct DecodeError(String);

/// The bytes of `value`.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let encoded = bincode::encode_to_vec(value, config::legacy());
    assert!(encoded.is_ok(), "values of the store's own types can be encoded: {:?}", encoded.err());
    encoded.unwrap_or_default()
}

/// The value whose bytes these are, all of them. Claims no memory for more than the length of `bytes` says.
///
/// # Errors
/// If `bytes` are longer than `bytes_max`, are no such value, or go on behind it.
pub fn decode<T: Decode<()>>(bytes: &[u8], bytes_max: usize) -> Result<T, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError(format!("{} bytes where at most {bytes_max} are allowed", bytes.len())));
    }
    // The slice reader claims each length before it allocates; a fixed ceiling stands above what any caller allows.
    let (value, used) = bincode::decode_from_slice(bytes, config::legacy().with_limit::<LIMIT_BYTES>())
        .map_err(|error| DecodeError(error.to_string()))?;
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(DecodeError(format!("{} bytes behind the value", bytes.len() - used)))
    }
}

/// Memory that decoding one value may claim, bytes.
const LIMIT_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Sample {
        name: String,
        number: u32,
        list: Vec<u8>,
        choice: Option<bool>,
    }

    fn sample() -> Sample {
        Sample { name: "ab".into(), number: 0x0102_0304, list: vec![9, 8], choice: Some(true) }
    }

    const GOLDEN: &[u8] = b"\x02\0\0\0\0\0\0\0ab\x04\x03\x02\x01\x02\0\0\0\0\0\0\0\x09\x08\x01\x01";

    #[test]
    fn bytes_are_those_of_the_legacy_layout() {
        assert_eq!(encode(&sample()), GOLDEN);
        assert_eq!(decode::<Sample>(GOLDEN, 100), Ok(sample()));
    }

    #[test]
    fn what_is_cut_or_longer_or_too_large_is_refused() {
        for len in 0..GOLDEN.len() {
            assert!(decode::<Sample>(&GOLDEN[..len], 100).is_err(), "{len}");
        }
        let mut longer = GOLDEN.to_vec();
        longer.push(0);
        assert!(decode::<Sample>(&longer, 100).is_err());
        assert!(decode::<Sample>(GOLDEN, GOLDEN.len() - 1).is_err());
        assert!(decode::<Vec<u8>>(&[0xff; 8], 100).is_err(), "a length of 2^64 - 1 claims nothing");
        assert!(decode::<Vec<u64>>(&[0, 0, 0, 0, 1, 0, 0, 0], 100).is_err());
    }
}
