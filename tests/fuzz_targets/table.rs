//! Field tables: the checker, which walks without a stack, agrees with a plain recursive one, and what it lets through can
//! be read to the last value, written, and read again.

use ledgermq::limits::{TABLE_DEPTH_MAX, TABLE_PAIRS_MAX};
use ledgermq::protocol::table::{Fields, Table};
use ledgermq::protocol::value::Value;
use ledgermq::protocol::wire::Reader;

/// The bytes of a table without their length.
pub fn run(input: &[u8]) {
    let read = Table::from_wire(input);
    assert_eq!(read.is_ok(), is_table(input), "{:?}", read.as_ref().err());
    let Ok(table) = read else { return };
    assert_eq!(table.as_bytes(), input, "kept byte for byte");
    let pairs: Vec<_> = table.iter().collect();
    assert_eq!((pairs.len(), pairs.is_empty()), (table.len(), table.is_empty()));
    pairs.iter().for_each(|(_, value)| visit(*value));

    // A boolean or a number of 64 bits has several spellings; written again there is only one.
    let written = Table::from_pairs(&pairs);
    let again: Vec<_> = written.iter().collect();
    assert_eq!(again.len(), pairs.len());
    assert_eq!(Table::from_pairs(&again).as_bytes(), written.as_bytes());
    assert!(is_table(written.as_bytes()));
    let reversed: Vec<_> = again.iter().rev().copied().collect();
    assert_eq!(Table::from_pairs(&reversed), written, "the order is no part of it");

    let Some((name, _)) = pairs.first() else { return };
    let without = table.fields().without(name);
    assert!(without.get(name).is_none() && is_table(without.as_bytes()));
    assert_eq!(without.len(), pairs.iter().filter(|(known, _)| known != name).count());
    let first = Table::with_first(table.fields(), name, &Value::I32(7));
    assert_eq!(first.iter().next(), Some((*name, Value::I32(7))));
    assert_eq!(first.len(), without.len() + 1);
    assert!(is_table(first.as_bytes()));
}

/// Reads a value to its bottom.
fn visit(value: Value<'_>) {
    assert!(!value.type_name().is_empty());
    match value {
        Value::Table(fields) => {
            assert_eq!(Fields::from_wire(fields.as_bytes()), Ok(fields), "what is inside passes by itself");
            fields.iter().for_each(|(_, value)| visit(value));
        }
        Value::Array(elements) => elements.iter().for_each(visit),
        _ => {}
    }
}

/// Whether bytes are a table: the definition, word by word.
pub fn is_table(bytes: &[u8]) -> bool {
    level(bytes, true, 0, &mut 0).is_some()
}

fn level(bytes: &[u8], named: bool, depth: usize, values: &mut usize) -> Option<()> {
    if depth >= TABLE_DEPTH_MAX {
        return None;
    }
    let mut reader = Reader::new(bytes);
    while !reader.rest().is_empty() {
        *values += 1;
        if *values > TABLE_PAIRS_MAX {
            return None;
        }
        if named {
            reader.short_string().ok()?;
        }
        match reader.octet().ok()? {
            b't' | b'b' | b'B' => drop(reader.slice(1).ok()?),
            b's' | b'u' => drop(reader.slice(2).ok()?),
            b'I' | b'i' | b'f' => drop(reader.slice(4).ok()?),
            b'D' => drop(reader.slice(5).ok()?),
            b'l' | b'L' | b'd' | b'T' => drop(reader.slice(8).ok()?),
            b'S' | b'x' => drop(reader.long_string().ok()?),
            b'F' => level(reader.long_string().ok()?, true, depth + 1, values)?,
            b'A' => level(reader.long_string().ok()?, false, depth + 1, values)?,
            b'V' => {}
            _ => return None,
        }
    }
    Some(())
}
