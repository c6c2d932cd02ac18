//! The payload of a method frame: the reader made by hand agrees with one that walks a table of all methods, and what it
//! reads is the same again when everything that means nothing was taken out.

use super::table::is_table;
use crate::support::wire;
use ledgermq::protocol::client_method::{ClientMethod, Secret};
use ledgermq::protocol::method_id::MethodId;
use ledgermq::protocol::sasl;
use ledgermq::protocol::wire::Reader;
use std::sync::LazyLock;

/// A method: its fields, with whether they are reserved, and the letters of their types.
#[derive(Debug)]
pub struct Shape {
    pub name: &'static str,
    pub id: MethodId,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: u8,
    pub is_reserved: bool,
}

/// The methods a client may send.
pub static CLIENT: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let names: Vec<_> = wire::client_methods().collect();
    shapes(|name| names.contains(&name))
});

/// All methods.
pub static ALL: LazyLock<Vec<Shape>> = LazyLock::new(|| shapes(|_| true));

fn shapes(wanted: impl Fn(&str) -> bool) -> Vec<Shape> {
    let methods = wire::METHODS.iter().filter(|method| wanted(method.0));
    methods
        .map(|&(name, class, method, fields)| {
            let field = |field: &'static str| {
                let (name, kind) = field.split_once(':').unwrap();
                let is_reserved = name.starts_with("reserved") || name == "ticket";
                Field { name, kind: kind.as_bytes()[0], is_reserved }
            };
            let fields = fields.split_whitespace().map(field).collect();
            Shape { name, id: MethodId { class, method }, fields }
        })
        .collect()
}

/// The payload of a method frame.
pub fn run(input: &[u8]) {
    let plain = plain(input, &CLIENT);
    match ClientMethod::decode(input) {
        Ok(method) => {
            let plain = plain.unwrap_or_else(|| panic!("read as {method:?}"));
            assert_eq!(ClientMethod::decode(&plain).as_ref(), Ok(&method), "nothing that counts is lost");
            assert_eq!(MethodId::of(input), Some(method.id()));
            if let ClientMethod::ConnectionStartOk { mechanism, response: Secret(response), .. } = method {
                for mechanism in ["PLAIN", "AMQPLAIN", mechanism] {
                    let login = sasl::parse(mechanism, response);
                    assert!(login.is_err() || !login.unwrap().user.is_empty());
                }
            }
        }
        Err(error) => {
            assert!(plain.is_none(), "refused with {error}: {plain:?}");
            assert!(matches!(error.code.code(), 501..=503), "{error}");
            assert!(error.reply_text().len() <= 255, "{error}");
        }
    }
}

/// A method with nothing in it that means nothing: reserved fields empty, unused bits 0. `None` if it is none of these.
pub fn plain(payload: &[u8], methods: &[Shape]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(payload);
    let id = MethodId { class: reader.short().ok()?, method: reader.short().ok()? };
    let shape = methods.iter().find(|shape| shape.id == id)?;
    let mut out = payload[..4].to_vec();
    let mut bits = 0;
    let mut octet = 0;
    for field in &shape.fields {
        if field.kind != b't' {
            bits = 0;
            let before = reader.rest();
            pass(&mut reader, field.kind)?;
            let read = &before[..before.len() - reader.rest().len()];
            match (field.is_reserved, field.kind) {
                (false, _) => out.extend_from_slice(read),
                (true, b's') => out.push(0),
                (true, _) => out.extend(read.iter().map(|_| 0)),
            }
            continue;
        }
        if bits % 8 == 0 {
            octet = reader.octet().ok()?;
            out.push(0);
        }
        let bit = octet & (1 << (bits % 8));
        *out.last_mut()? |= if field.is_reserved { 0 } else { bit };
        bits += 1;
    }
    reader.end().ok().map(|()| out)
}

fn pass(reader: &mut Reader<'_>, kind: u8) -> Option<()> {
    match kind {
        b'B' => drop(reader.octet().ok()?),
        b'U' => drop(reader.short().ok()?),
        b'I' => drop(reader.long().ok()?),
        b'L' | b'T' => drop(reader.long_long().ok()?),
        b's' => drop(reader.short_string().ok()?),
        b'S' => drop(reader.long_string().ok()?),
        b'F' => return is_table(reader.long_string().ok()?).then_some(()),
        other => panic!("no type {other}"),
    }
    Some(())
}
