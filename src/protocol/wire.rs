//! A cursor over bytes from a peer: reads the primitive types of AMQP without copying, and refuses instead of reaching
//! past the end. Everything else in this folder reads through it; nothing here knows what the bytes mean.
//! Source: AMQP 0-9-1 §4.2.5.

use crate::limits::{SHORT_STRING_BYTES_MAX, TABLE_DEPTH_MAX, TABLE_PAIRS_MAX};
use std::fmt;

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// A field reaches past the end of what holds it.
    Truncated,
    /// Bytes are left over.
    Trailing,
    /// A short string or field name is not UTF-8.
    Utf8,
    /// A field's type letter is none of AMQP's or RabbitMQ's.
    FieldType(u8),
    /// Tables and arrays nested deeper than [`TABLE_DEPTH_MAX`].
    Depth,
    /// A table or array, with those inside it, of more than [`TABLE_PAIRS_MAX`] values.
    Pairs,
    /// Property flags that name a property nobody knows, or more flags.
    PropertyFlags,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("a field reaches past the end"),
            Self::Trailing => f.write_str("bytes left over after the last field"),
            Self::Utf8 => f.write_str("Malformed UTF-8 in shortstr"),
            Self::FieldType(letter) => write!(f, "unknown field type '{}'", letter.escape_ascii()),
            Self::Depth => write!(f, "tables nested deeper than {TABLE_DEPTH_MAX}"),
            Self::Pairs => write!(f, "more than {TABLE_PAIRS_MAX} values in a table"),
            Self::PropertyFlags => f.write_str("unknown property flags"),
        }
    }
}

impl std::error::Error for WireError {}

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next `count` bytes.
    pub fn slice(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// An octet.
    pub fn octet(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// A short: 16 bits, big-endian like all that follow.
    pub fn short(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A long: 32 bits.
    pub fn long(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A long-long: 64 bits.
    pub fn long_long(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A short string: at most 255 bytes, UTF-8.
    pub fn short_string(&mut self) -> Result<&'a str, WireError> {
        let length = self.octet()?;
        let bytes = self.slice(usize::from(length))?;
        str::from_utf8(bytes).map_err(|_| WireError::Utf8)
    }

    /// A long string: any bytes.
    pub fn long_string(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.long()?;
        self.slice(length as usize)
    }

    /// The bytes of a field table without their length, checked to the last pair.
    pub fn table(&mut self) -> Result<&'a [u8], WireError> {
        let bytes = self.long_string()?;
        super::table::check(bytes)?;
        Ok(bytes)
    }

    /// Bit `index` of an octet of bits; AMQP packs from the lowest.
    pub fn bit(bits: u8, index: u8) -> bool {
        bits & (1 << index) != 0
    }

    /// Refuses what is left over.
    pub fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }
}

/// Cuts a text to what fits a short string, on a character boundary.
pub fn cut_to_short_string(text: &str) -> &str {
    let mut end = text.len().min(SHORT_STRING_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
