//! AMQP as a client writes and reads it, between text and bytes. Made from a table of its own, so that the broker's codec
//! is checked against a second opinion.
//!
//! `queue.declare queue=q durable=true arguments={x-max-length=5}` is a method; fields left out are empty, 0 or false.

use super::notation::{Item, Text, given, number_bytes, take, write_field};
use std::fmt::Write;

/// Every method: name, class, number, fields with their types.
pub const METHODS: &[(&str, u16, u16, &str)] = &[
    (
        "connection.start",
        10,
        10,
        "version-major:B version-minor:B server-properties:F mechanisms:S locales:S",
    ),
    ("connection.start-ok", 10, 11, "client-properties:F mechanism:s response:S locale:s"),
    ("connection.secure", 10, 20, "challenge:S"),
    ("connection.secure-ok", 10, 21, "response:S"),
    ("connection.tune", 10, 30, "channel-max:U frame-max:I heartbeat:U"),
    ("connection.tune-ok", 10, 31, "channel-max:U frame-max:I heartbeat:U"),
    ("connection.open", 10, 40, "virtual-host:s reserved-1:s reserved-2:t"),
    ("connection.open-ok", 10, 41, "reserved-1:s"),
    ("connection.close", 10, 50, "reply-code:U reply-text:s class-id:U method-id:U"),
    ("connection.close-ok", 10, 51, ""),
    ("connection.blocked", 10, 60, "reason:s"),
    ("connection.unblocked", 10, 61, ""),
    ("connection.update-secret", 10, 70, "new-secret:S reason:s"),
    ("connection.update-secret-ok", 10, 71, ""),
    ("channel.open", 20, 10, "reserved-1:s"),
    ("channel.open-ok", 20, 11, "reserved-1:S"),
    ("channel.flow", 20, 20, "active:t"),
    ("channel.flow-ok", 20, 21, "active:t"),
    ("channel.close", 20, 40, "reply-code:U reply-text:s class-id:U method-id:U"),
    ("channel.close-ok", 20, 41, ""),
    ("access.request", 30, 10, "realm:s exclusive:t passive:t active:t write:t read:t"),
    ("access.request-ok", 30, 11, "ticket:U"),
    (
        "exchange.declare",
        40,
        10,
        "ticket:U exchange:s type:s passive:t durable:t auto-delete:t internal:t nowait:t arguments:F",
    ),
    ("exchange.declare-ok", 40, 11, ""),
    ("exchange.delete", 40, 20, "ticket:U exchange:s if-unused:t nowait:t"),
    ("exchange.delete-ok", 40, 21, ""),
    ("exchange.bind", 40, 30, "ticket:U destination:s source:s routing-key:s nowait:t arguments:F"),
    ("exchange.bind-ok", 40, 31, ""),
    ("exchange.unbind", 40, 40, "ticket:U destination:s source:s routing-key:s nowait:t arguments:F"),
    ("exchange.unbind-ok", 40, 51, ""),
    (
        "queue.declare",
        50,
        10,
        "ticket:U queue:s passive:t durable:t exclusive:t auto-delete:t nowait:t arguments:F",
    ),
    ("queue.declare-ok", 50, 11, "queue:s message-count:I consumer-count:I"),
    ("queue.bind", 50, 20, "ticket:U queue:s exchange:s routing-key:s nowait:t arguments:F"),
    ("queue.bind-ok", 50, 21, ""),
    ("queue.purge", 50, 30, "ticket:U queue:s nowait:t"),
    ("queue.purge-ok", 50, 31, "message-count:I"),
    ("queue.delete", 50, 40, "ticket:U queue:s if-unused:t if-empty:t nowait:t"),
    ("queue.delete-ok", 50, 41, "message-count:I"),
    ("queue.unbind", 50, 50, "ticket:U queue:s exchange:s routing-key:s arguments:F"),
    ("queue.unbind-ok", 50, 51, ""),
    ("basic.qos", 60, 10, "prefetch-size:I prefetch-count:U global:t"),
    ("basic.qos-ok", 60, 11, ""),
    (
        "basic.consume",
        60,
        20,
        "ticket:U queue:s consumer-tag:s no-local:t no-ack:t exclusive:t nowait:t arguments:F",
    ),
    ("basic.consume-ok", 60, 21, "consumer-tag:s"),
    ("basic.cancel", 60, 30, "consumer-tag:s nowait:t"),
    ("basic.cancel-ok", 60, 31, "consumer-tag:s"),
    ("basic.publish", 60, 40, "ticket:U exchange:s routing-key:s mandatory:t immediate:t"),
    ("basic.return", 60, 50, "reply-code:U reply-text:s exchange:s routing-key:s"),
    ("basic.deliver", 60, 60, "consumer-tag:s delivery-tag:L redelivered:t exchange:s routing-key:s"),
    ("basic.get", 60, 70, "ticket:U queue:s no-ack:t"),
    ("basic.get-ok", 60, 71, "delivery-tag:L redelivered:t exchange:s routing-key:s message-count:I"),
    ("basic.get-empty", 60, 72, "reserved-1:s"),
    ("basic.ack", 60, 80, "delivery-tag:L multiple:t"),
    ("basic.reject", 60, 90, "delivery-tag:L requeue:t"),
    ("basic.recover-async", 60, 100, "requeue:t"),
    ("basic.recover", 60, 110, "requeue:t"),
    ("basic.recover-ok", 60, 111, ""),
    ("basic.nack", 60, 120, "delivery-tag:L multiple:t requeue:t"),
    ("tx.select", 90, 10, ""),
    ("tx.select-ok", 90, 11, ""),
    ("tx.commit", 90, 20, ""),
    ("tx.commit-ok", 90, 21, ""),
    ("tx.rollback", 90, 30, ""),
    ("tx.rollback-ok", 90, 31, ""),
    ("confirm.select", 85, 10, "nowait:t"),
    ("confirm.select-ok", 85, 11, ""),
];

/// Properties of a content, in the order of their flags from bit 15 down.
const PROPERTIES: &str = "content-type:s content-encoding:s headers:F delivery-mode:B priority:B correlation-id:s \
                          reply-to:s expiration:s message-id:s timestamp:T type:s user-id:s app-id:s cluster-id:s";

/// The names of the methods a client sends.
pub fn client_methods() -> impl Iterator<Item = &'static str> {
    const BOTH: [&str; 9] = [
        "connection.close",
        "connection.close-ok",
        "channel.flow",
        "channel.flow-ok",
        "channel.close",
        "channel.close-ok",
        "basic.cancel",
        "basic.ack",
        "basic.nack",
    ];
    const SERVER: [&str; 8] = [
        "connection.start",
        "connection.secure",
        "connection.tune",
        "connection.blocked",
        "connection.unblocked",
        "basic.return",
        "basic.deliver",
        "basic.get-empty",
    ];
    const CLIENT_OK: [&str; 4] =
        ["connection.start-ok", "connection.secure-ok", "connection.tune-ok", "basic.cancel-ok"];
    METHODS.iter().map(|(name, ..)| *name).filter(|name| {
        !SERVER.contains(name) && (!name.ends_with("-ok") || BOTH.contains(name) || CLIENT_OK.contains(name))
    })
}

/// A frame of any type.
pub fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(0xCE);
    out
}

/// A method frame, and the content's frames if the text goes on with ` properties={…}` or ` body="…"`.
///
/// # Panics
/// If the text is none of this file's notation.
pub fn encode(channel: u16, text: &str) -> Vec<u8> {
    let (name, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let (_, class, method, fields) =
        METHODS.iter().find(|known| known.0 == name).unwrap_or_else(|| panic!("no method {name:?}"));
    let mut given = Text { rest }.pairs();
    let mut payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
    let mut bits = 0;
    for (field, kind) in split(fields) {
        let value = take(&mut given, field);
        if kind == 't' {
            if bits % 8 == 0 {
                payload.push(0);
            }
            *payload.last_mut().unwrap() |= u8::from(value == Some(Item::Bool(true))) << (bits % 8);
            bits += 1;
        } else {
            bits = 0;
            write_field(&mut payload, kind, value.as_ref());
        }
    }
    let mut out = frame(1, channel, &payload);
    if name == "basic.publish" {
        out.extend(content(channel, take(&mut given, "properties"), take(&mut given, "body")));
    }
    assert!(given.is_empty(), "{name} has no field {:?}", given.first());
    out
}

fn content(channel: u16, properties: Option<Item>, body: Option<Item>) -> Vec<u8> {
    let body = body.map(Item::into_bytes).unwrap_or_default();
    let Item::Table(mut given) = properties.unwrap_or(Item::Table(Vec::new())) else {
        panic!("properties={{…}}")
    };
    let mut flags = 0_u16;
    let mut list = Vec::new();
    for (position, (name, kind)) in split(PROPERTIES).enumerate() {
        if let Some(value) = take(&mut given, name) {
            flags |= 1 << (15 - position);
            write_field(&mut list, kind, Some(&value));
        }
    }
    assert!(given.is_empty(), "no property {:?}", given.first());
    let mut header = [60_u16.to_be_bytes(), 0_u16.to_be_bytes()].concat();
    header.extend((body.len() as u64).to_be_bytes());
    header.extend(flags.to_be_bytes());
    header.extend(list);
    let mut out = frame(2, channel, &header);
    for piece in body.chunks(100_000) {
        out.extend(frame(3, channel, piece));
    }
    out
}

/// Takes the whole frames at the front of `bytes` away, as text; contents are joined with their method.
///
/// # Panics
/// If they are no frames.
pub fn decode_all(bytes: &mut Vec<u8>) -> Vec<(u16, String)> {
    let mut lines: Vec<(u16, String)> = Vec::new();
    let mut missing = 0;
    loop {
        if bytes.starts_with(b"AMQP") && bytes.len() >= 8 {
            lines.push((0, format!("header {:?}", bytes.drain(..8).collect::<Vec<_>>())));
            continue;
        }
        let Some(size) = bytes.get(3..7) else { break };
        let size = u32::from_be_bytes(size.try_into().unwrap()) as usize;
        if bytes.len() < size + 8 {
            break;
        }
        let frame: Vec<u8> = bytes.drain(..size + 8).collect();
        assert_eq!(frame.last(), Some(&0xCE), "frame end");
        let channel = u16::from_be_bytes([frame[1], frame[2]]);
        let payload = &frame[7..7 + size];
        match frame[0] {
            1 => lines.push((channel, method_text(payload))),
            2 => {
                let (text, length) = header_text(payload);
                let line = &mut lines.last_mut().expect("a method before its content").1;
                line.push_str(&text);
                line.push_str(" body=\"");
                missing = length;
                if missing == 0 {
                    line.push('"');
                }
            }
            3 => {
                let line = &mut lines.last_mut().expect("a method before its content").1;
                line.push_str(&escape(payload));
                missing -= payload.len() as u64;
                if missing == 0 {
                    line.push('"');
                }
            }
            8 => lines.push((channel, "heartbeat".to_owned())),
            other => panic!("frame type {other}"),
        }
    }
    lines
}

fn method_text(payload: &[u8]) -> String {
    let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    let (class, method) = (number(0), number(2));
    let known = METHODS.iter().find(|known| (known.1, known.2) == (class, method));
    let (name, _, _, fields) = known.unwrap_or_else(|| panic!("method {class},{method}"));
    let mut text = (*name).to_owned();
    let mut cursor = Cursor { rest: &payload[4..] };
    let mut bits = (0, 8);
    for (field, kind) in split(fields) {
        if kind == 't' {
            if bits.1 == 8 {
                bits = (cursor.take(1)[0], 0);
            }
            if !field.starts_with("reserved") {
                write!(text, " {field}={}", bits.0 >> bits.1 & 1 == 1).unwrap();
            }
            bits.1 += 1;
        } else {
            bits = (0, 8);
            let value = cursor.field(kind);
            if !field.starts_with("reserved") {
                write!(text, " {field}={value}").unwrap();
            }
        }
    }
    assert!(cursor.rest.is_empty(), "bytes left over in {text}");
    text
}

fn header_text(payload: &[u8]) -> (String, u64) {
    let mut cursor = Cursor { rest: payload };
    assert_eq!(cursor.number(2), 60, "content class");
    assert_eq!(cursor.number(2), 0, "content weight");
    let length = cursor.number(8);
    let flags = cursor.number(2);
    let mut text = String::new();
    for (position, (name, kind)) in split(PROPERTIES).enumerate() {
        if flags >> (15 - position) & 1 == 1 {
            let space = if text.is_empty() { "" } else { " " };
            write!(text, "{space}{name}={}", cursor.field(kind)).unwrap();
        }
    }
    assert!(cursor.rest.is_empty(), "bytes left over in the properties {text}");
    (if text.is_empty() { text } else { format!(" properties={{{text}}}") }, length)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    fn number(&mut self, width: usize) -> u64 {
        self.take(width).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn field(&mut self, kind: char) -> String {
        match kind {
            'B' => self.number(1).to_string(),
            'U' => self.number(2).to_string(),
            'I' => self.number(4).to_string(),
            'L' | 'T' => self.number(8).to_string(),
            's' => {
                let length = self.number(1) as usize;
                quoted(self.take(length))
            }
            'S' => {
                let length = self.number(4) as usize;
                quoted(self.take(length))
            }
            'F' => {
                let length = self.number(4) as usize;
                Cursor { rest: self.take(length) }.table()
            }
            other => panic!("field type {other}"),
        }
    }

    fn table(mut self) -> String {
        let mut pairs = Vec::new();
        while !self.rest.is_empty() {
            let length = self.number(1) as usize;
            let name = String::from_utf8_lossy(self.take(length)).into_owned();
            pairs.push(format!("{name}={}", self.value()));
        }
        format!("{{{}}}", pairs.join(" "))
    }

    fn value(&mut self) -> String {
        let kind = char::from(self.take(1)[0]);
        match kind {
            't' => (self.number(1) != 0).to_string(),
            'I' => (self.number(4) as u32).cast_signed().to_string(),
            'l' => format!("{}:l", self.number(8).cast_signed()),
            'b' | 'B' | 's' | 'u' | 'i' | 'L' | 'T' | 'f' | 'd' | 'D' => {
                format!("{}:{kind}", self.number(number_bytes(kind)))
            }
            'x' => self.field('S'),
            'V' => "void".to_owned(),
            'A' => {
                let length = self.number(4) as usize;
                let mut inner = Cursor { rest: self.take(length) };
                let mut values = Vec::new();
                while !inner.rest.is_empty() {
                    values.push(inner.value());
                }
                format!("[{}]", values.join(" "))
            }
            other => self.field(other),
        }
    }
}

/// The short string that a method in text gives a field, as a broker takes it: without line breaks.
pub fn short_string(method: &str, field: &str) -> Option<Vec<u8>> {
    let mut bytes = given(method, field)?.into_bytes();
    bytes.retain(|byte| !b"\r\n".contains(byte));
    Some(bytes)
}

/// A string as the notation has it.
pub fn quote(bytes: &[u8]) -> String {
    quoted(bytes)
}

fn split(fields: &'static str) -> impl Iterator<Item = (&'static str, char)> {
    fields.split_whitespace().map(|field| {
        let (name, kind) = field.split_once(':').expect("name:type");
        (name, kind.chars().next().expect("a type"))
    })
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", escape(bytes))
}

fn escape(bytes: &[u8]) -> String {
    let escape_lossy = |text: &str| {
        let mut out = String::new();
        for char in text.chars() {
            match char {
                '"' | '\\' => out.extend(['\\', char]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                control if control.is_control() => write!(out, "\\x{:02x}", control as u32).unwrap(),
                other => out.push(other),
            }
        }
        out
    };
    match str::from_utf8(bytes) {
        Ok(text) => escape_lossy(text),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}
