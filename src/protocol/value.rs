//! Values of field tables, borrowed from the bytes they came in. Knows the type letters of AMQP as RabbitMQ reads them
//! (`s` is 16 bits, `l` and `L` are signed 64 bits, `x` is bytes) and the names RabbitMQ calls the types in its errors.

use super::table::Fields;
use super::wire::{Reader, WireError};

/// One value of a field table or array. Equal means same type and same value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and `L`, which the specification calls unsigned and everybody reads as signed.
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// The number without its point.
        value: u32,
    },
    /// `S`: any bytes, mostly text.
    LongString(&'a [u8]),
    /// `x`
    Binary(&'a [u8]),
    /// `A`
    Array(Elements<'a>),
    /// `F`
    Table(Fields<'a>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `V`
    Void,
}

impl<'a> Value<'a> {
    /// A text value.
    pub fn text(text: &'a str) -> Self {
        Self::LongString(text.as_bytes())
    }

    /// Any integer, whatever its width.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::I8(n) => Some(n.into()),
            Self::U8(n) => Some(n.into()),
            Self::I16(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::I32(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::I64(n) => Some(n),
            Self::Bool(_)
            | Self::F32(_)
            | Self::F64(_)
            | Self::Decimal { .. }
            | Self::LongString(_)
            | Self::Binary(_)
            | Self::Array(_)
            | Self::Table(_)
            | Self::Timestamp(_)
            | Self::Void => None,
        }
    }

    /// A long string that is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::LongString(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A bool.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A nested table.
    pub fn as_table(&self) -> Option<Fields<'a>> {
        match *self {
            Self::Table(fields) => Some(fields),
            _ => None,
        }
    }

    /// The word RabbitMQ uses for this type in reply texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::LongString(_) => "longstr",
            Self::Binary(_) => "binary",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
            Self::Timestamp(_) => "timestamp",
            Self::Void => "void",
        }
    }

    /// Reads a type letter and its value. Nested tables and arrays are taken as bytes, not entered.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match reader.octet()? {
            b't' => Self::Bool(reader.octet()? != 0),
            b'b' => Self::I8(i8::from_be_bytes(reader.array()?)),
            b'B' => Self::U8(reader.octet()?),
            b's' => Self::I16(i16::from_be_bytes(reader.array()?)),
            b'u' => Self::U16(reader.short()?),
            b'I' => Self::I32(i32::from_be_bytes(reader.array()?)),
            b'i' => Self::U32(reader.long()?),
            b'l' | b'L' => Self::I64(i64::from_be_bytes(reader.array()?)),
            b'f' => Self::F32(f32::from_be_bytes(reader.array()?)),
            b'd' => Self::F64(f64::from_be_bytes(reader.array()?)),
            b'D' => Self::Decimal { scale: reader.octet()?, value: reader.long()? },
            b'S' => Self::LongString(reader.long_string()?),
            b'x' => Self::Binary(reader.long_string()?),
            b'A' => Self::Array(Elements::trusted(reader.long_string()?)),
            b'F' => Self::Table(Fields::trusted(reader.long_string()?)),
            b'T' => Self::Timestamp(reader.long_long()?),
            b'V' => Self::Void,
            letter => return Err(WireError::FieldType(letter)),
        })
    }

    /// Appends the type letter and the value.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        fn long(out: &mut Vec<u8>, letter: u8, bytes: &[u8]) {
            out.push(letter);
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        fn fixed<const N: usize>(out: &mut Vec<u8>, letter: u8, bytes: [u8; N]) {
            out.push(letter);
            out.extend_from_slice(&bytes);
        }
        match *self {
            Self::Bool(value) => fixed(out, b't', [u8::from(value)]),
            Self::I8(n) => fixed(out, b'b', n.to_be_bytes()),
            Self::U8(n) => fixed(out, b'B', [n]),
            Self::I16(n) => fixed(out, b's', n.to_be_bytes()),
            Self::U16(n) => fixed(out, b'u', n.to_be_bytes()),
            Self::I32(n) => fixed(out, b'I', n.to_be_bytes()),
            Self::U32(n) => fixed(out, b'i', n.to_be_bytes()),
            Self::I64(n) => fixed(out, b'l', n.to_be_bytes()),
            Self::F32(n) => fixed(out, b'f', n.to_be_bytes()),
            Self::F64(n) => fixed(out, b'd', n.to_be_bytes()),
            Self::Decimal { scale, value } => {
                fixed(out, b'D', [scale]);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::LongString(bytes) => long(out, b'S', bytes),
            Self::Binary(bytes) => long(out, b'x', bytes),
            Self::Array(elements) => long(out, b'A', elements.as_bytes()),
            Self::Table(fields) => long(out, b'F', fields.as_bytes()),
            Self::Timestamp(seconds) => fixed(out, b'T', seconds.to_be_bytes()),
            Self::Void => out.push(b'V'),
        }
    }
}

/// The values of an array, as checked bytes without their length.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Elements<'a> {
    bytes: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(super) fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || Value::read(&mut reader).ok())
    }

    /// The bytes on the wire, without their length.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// An array of the broker's own making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Array {
    bytes: Vec<u8>,
}

impl Array {
    /// An array of these values.
    pub fn from_values<'a>(values: impl IntoIterator<Item = Value<'a>>) -> Self {
        let mut bytes = Vec::new();
        values.into_iter().for_each(|value| value.write(&mut bytes));
        Self { bytes }
    }

    /// Borrows its values.
    pub fn elements(&self) -> Elements<'_> {
        Elements::trusted(&self.bytes)
    }
}

impl std::fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
