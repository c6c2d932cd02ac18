//! Field tables: queue and exchange arguments, message headers, client properties. A [`Table`] owns the bytes that came
//! in, checked once; [`Fields`] borrows them. Order, repeated names and type letters stay as the peer sent them.
//! Invariant: the bytes of a `Table` pass [`check`]. Does not know what any name means.

use super::value::Value;
use super::wire::{Reader, WireError};
use crate::limits::{TABLE_DEPTH_MAX, TABLE_PAIRS_MAX};
use bytes::Bytes;
use std::fmt;

/// A field table as the bytes it came in, checked. Cheap to clone.
///
/// Two tables are equal if they hold the same pairs, in whatever order: RabbitMQ sorts before it compares arguments.
#[derive(Clone, Default)]
pub struct Table {
    bytes: Bytes,
}

impl Table {
    /// Checks and copies the bytes of a table without their length.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, WireError> {
        check(bytes)?;
        Ok(Self::trusted(bytes))
    }

    /// A table of these pairs.
    ///
    /// # Panics
    /// If a name is longer than 255 bytes: names given here are the broker's own.
    pub fn from_pairs(pairs: &[(&str, Value<'_>)]) -> Self {
        let mut bytes = Vec::new();
        for (name, value) in pairs {
            let length = u8::try_from(name.len());
            assert!(length.is_ok(), "a field name is a short string");
            bytes.push(length.unwrap_or_default());
            bytes.extend_from_slice(name.as_bytes());
            value.write(&mut bytes);
        }
        Self { bytes: bytes.into() }
    }

    /// These pairs behind one more, which replaces all others of its name.
    ///
    /// # Panics
    /// If the name is longer than 255 bytes: names given here are the broker's own.
    pub fn with_first(fields: Fields<'_>, name: &str, value: &Value<'_>) -> Self {
        let mut bytes = Vec::with_capacity(fields.as_bytes().len() + name.len() + 10);
        let length = u8::try_from(name.len());
        assert!(length.is_ok(), "a field name is a short string");
        bytes.push(length.unwrap_or_default());
        bytes.extend_from_slice(name.as_bytes());
        value.write(&mut bytes);
        if fields.get(name).is_none() {
            bytes.extend_from_slice(fields.as_bytes());
        } else {
            for (other, value) in fields.iter().filter(|(other, _)| *other != name) {
                bytes.push(other.len() as u8);
                bytes.extend_from_slice(other.as_bytes());
                value.write(&mut bytes);
            }
        }
        Self { bytes: bytes.into() }
    }

    /// Copies bytes that have been checked.
    pub(super) fn trusted(bytes: &[u8]) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes) }
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        self.fields().get(name)
    }

    /// The pairs in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.fields().iter()
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// No pairs.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes on the wire, without their length.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Borrows the table.
    pub fn fields(&self) -> Fields<'_> {
        Fields::trusted(&self.bytes)
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        if self.bytes == other.bytes {
            return true;
        }
        if self.bytes.len() != other.bytes.len() {
            return false;
        }
        let mut mine: Vec<_> = self.fields().raw_pairs().collect();
        let mut theirs: Vec<_> = other.fields().raw_pairs().collect();
        mine.sort_unstable();
        theirs.sort_unstable();
        mine == theirs
    }
}

impl Eq for Table {}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().fmt(f)
    }
}

/// A borrowed field table: checked bytes without their length. Equal means the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Checks the bytes of a table without their length.
    pub fn from_wire(bytes: &'a [u8]) -> Result<Self, WireError> {
        check(bytes)?;
        Ok(Self { bytes })
    }

    pub(super) fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find_map(|(candidate, value)| (candidate == name).then_some(value))
    }

    /// The pairs in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            let name = reader.short_string().ok()?;
            Some((name, Value::read(&mut reader).ok()?))
        })
    }

    /// No pairs.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes on the wire, without their length.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Copies the table.
    pub fn to_table(self) -> Table {
        Table::trusted(self.bytes)
    }

    /// A copy without the values of this name.
    pub fn without(self, name: &str) -> Table {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for (known, value) in self.raw_pairs().filter(|(known, _)| *known != name) {
            bytes.push(known.len() as u8);
            bytes.extend_from_slice(known.as_bytes());
            bytes.extend_from_slice(value);
        }
        Table { bytes: bytes.into() }
    }

    /// Name and type letter with value, as bytes.
    fn raw_pairs(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            let name = reader.short_string().ok()?;
            let before = reader.rest();
            Value::read(&mut reader).ok()?;
            Some((name, before.get(..before.len() - reader.rest().len())?))
        })
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A table or array being checked: where it ends, counted from the end of the outermost, and whether it has names.
#[derive(Clone, Copy)]
struct Level {
    left_at_end: usize,
    named: bool,
}

/// Checks the bytes of a table (without their length) to the last pair: names are UTF-8, every value lies within what
/// holds it, types are known, depth and number are bounded. Iterates, so that no nesting reaches the stack.
pub fn check(bytes: &[u8]) -> Result<(), WireError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(bytes);
    let mut level = Level { left_at_end: 0, named: true };
    let mut outer = [level; TABLE_DEPTH_MAX];
    let mut depth = 0;
    let mut values = 0;
    loop {
        while reader.rest().len() == level.left_at_end {
            if depth == 0 {
                return Ok(());
            }
            depth -= 1;
            level = *outer.get(depth).ok_or(WireError::Depth)?;
        }
        values += 1;
        if values > TABLE_PAIRS_MAX {
            return Err(WireError::Pairs);
        }
        if level.named {
            reader.short_string()?;
        }
        let letter = reader.octet()?;
        let inside = skip_value(letter, &mut reader)?;
        let left = reader.rest().len();
        if left < level.left_at_end {
            return Err(WireError::Truncated);
        }
        if !matches!(letter, b'F' | b'A') {
            continue;
        }
        *outer.get_mut(depth).ok_or(WireError::Depth)? = level;
        depth += 1;
        if depth >= TABLE_DEPTH_MAX {
            return Err(WireError::Depth);
        }
        level = Level { left_at_end: left, named: letter == b'F' };
        let start = bytes.len() - left - inside.len();
        reader = Reader::new(bytes.get(start..).unwrap_or_default());
    }
}

/// Passes over a value behind its type letter, and gives the bytes it consists of (without their length).
fn skip_value<'a>(letter: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    match letter {
        b'S' | b'F' | b'A' | b'x' => reader.long_string(),
        b'I' | b'i' | b'f' => reader.slice(4),
        b't' | b'b' | b'B' => reader.slice(1),
        b'l' | b'L' | b'd' | b'T' => reader.slice(8),
        b's' | b'u' => reader.slice(2),
        b'D' => reader.slice(5),
        b'V' => Ok(&[]),
        _ => Err(WireError::FieldType(letter)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, letter: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap();
        [&[length][..], name.as_bytes(), &[letter], value].concat()
    }

    fn long(value: &[u8]) -> Vec<u8> {
        [&u32::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
    }

    #[test]
    fn gives_back_what_it_was_made_of() {
        let inner = Table::from_pairs(&[("deep", Value::Void)]);
        let pairs = [
            ("bool", Value::Bool(true)),
            ("i8", Value::I8(-1)),
            ("u8", Value::U8(255)),
            ("i16", Value::I16(-2)),
            ("u16", Value::U16(65_535)),
            ("i32", Value::I32(-3)),
            ("u32", Value::U32(u32::MAX)),
            ("i64", Value::I64(i64::MIN)),
            ("f32", Value::F32(0.5)),
            ("f64", Value::F64(-0.25)),
            ("decimal", Value::Decimal { scale: 2, value: 314 }),
            ("text", Value::text("grüße")),
            ("bytes", Value::Binary(&[0, 255])),
            ("time", Value::Timestamp(1_700_000_000)),
            ("void", Value::Void),
            ("table", Value::Table(inner.fields())),
        ];
        let table = Table::from_pairs(&pairs);
        assert_eq!(check(table.as_bytes()), Ok(()));
        assert_eq!(table.iter().collect::<Vec<_>>(), pairs);
        assert_eq!(table.len(), pairs.len());
        assert_eq!(table.get("u16").and_then(|value| value.as_i64()), Some(65_535));
        assert_eq!(table.get("text").and_then(|value| value.as_str()), Some("grüße"));
        let deep = table.get("table").and_then(|value| value.as_table()).unwrap();
        assert_eq!(deep.get("deep"), Some(Value::Void));
        assert_eq!(table.get("none"), None);
    }

    #[test]
    fn refuses_what_cannot_be_read() {
        fn check_refused(bytes: &[u8], expected: WireError) {
            assert_eq!(check(bytes), Err(expected), "{bytes:?}");
        }
        check_refused(b"\x01", WireError::Truncated);
        check_refused(b"\x01a", WireError::Truncated);
        check_refused(&pair("a", b'I', &[0, 0, 0]), WireError::Truncated);
        check_refused(&pair("a", b'Z', &[]), WireError::FieldType(b'Z'));
        check_refused(b"\x01\xffV", WireError::Utf8);
        check_refused(&pair("a", b'S', &[255, 255, 255, 255, 1]), WireError::Truncated);
        // A value that reaches out of its own table into the one around it.
        let inner = pair("i", b'l', &[0; 4]);
        let outer = [pair("t", b'F', &long(&inner)), pair("after", b'l', &[0; 8])].concat();
        check_refused(&outer, WireError::Truncated);
        let array = [pair("t", b'A', &long(b"I\0\0")), pair("after", b'l', &[0; 8])].concat();
        check_refused(&array, WireError::Truncated);
    }

    #[test]
    fn bounds_depth_and_number() {
        fn nested(letter: u8, depth: usize) -> Vec<u8> {
            let mut bytes = Vec::new();
            for _ in 1..depth {
                let name: &[u8] = if letter == b'F' { b"\x01n" } else { b"" };
                bytes = [name, &[letter], &long(&bytes)].concat();
            }
            if letter == b'A' { pair("n", b'A', &long(&bytes)) } else { bytes }
        }
        assert_eq!(check(&nested(b'F', TABLE_DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(b'F', TABLE_DEPTH_MAX + 1)), Err(WireError::Depth));
        assert_eq!(check(&nested(b'A', TABLE_DEPTH_MAX - 1)), Ok(()));
        assert_eq!(check(&nested(b'A', TABLE_DEPTH_MAX)), Err(WireError::Depth));
        assert_eq!(check(&nested(b'F', 10_000)), Err(WireError::Depth));
        assert_eq!(check(&nested(b'A', 10_000)), Err(WireError::Depth));
        let voids = vec![b'V'; TABLE_PAIRS_MAX];
        assert_eq!(check(&pair("v", b'A', &long(&voids))), Err(WireError::Pairs));
        assert_eq!(check(&pair("v", b'A', &long(&voids[1..]))), Ok(()));
    }

    #[test]
    fn equal_whatever_the_order() {
        let ab = Table::from_pairs(&[("a", Value::I32(1)), ("b", Value::I32(2))]);
        let ba = Table::from_pairs(&[("b", Value::I32(2)), ("a", Value::I32(1))]);
        let other = Table::from_pairs(&[("a", Value::I32(2)), ("b", Value::I32(1))]);
        let wider = Table::from_pairs(&[("a", Value::I64(1)), ("b", Value::I32(2))]);
        assert_eq!(ab, ba);
        assert_ne!(ab, other);
        assert_ne!(ab, wider);
        assert_ne!(ab, Table::default());
        let nan = Table::from_pairs(&[("n", Value::F64(f64::NAN))]);
        assert_eq!(nan, nan.clone());
    }
}
