//! Steps of a script as bytes of a client: methods with the fields the script chooses, contents whole and in parts, and frames
//! that are none.

use super::words;
use crate::fuzz_targets::frame::push;
use crate::fuzz_targets::method::{CLIENT, Field, Shape};
use crate::fuzz_targets::script::Script;
use ledgermq::protocol::method_id::MethodId;

/// A method with fields out of the lists; those of the connection go where they belong.
pub fn method(out: &mut Vec<u8>, channel: u16, what: u8, queue: &str, script: &mut Script<'_>) {
    let shape = &CLIENT[usize::from(what) % CLIENT.len()];
    let payload = payload(shape, queue, script);
    push(out, 1, if shape.id.class == 10 { 0 } else { channel }, &payload);
}

fn payload(shape: &Shape, queue: &str, script: &mut Script<'_>) -> Vec<u8> {
    let mut out = [shape.id.class.to_be_bytes(), shape.id.method.to_be_bytes()].concat();
    let mut bits = 0;
    for field in &shape.fields {
        if field.kind == b't' {
            if bits % 8 == 0 {
                out.push(if field.is_reserved { 0 } else { script.byte() });
            }
            bits += 1;
        } else {
            bits = 0;
            push_field(&mut out, field, queue, script);
        }
    }
    out
}

fn push_field(out: &mut Vec<u8>, field: &Field, queue: &str, script: &mut Script<'_>) {
    match field.kind {
        _ if field.is_reserved => out.extend(std::iter::repeat_n(0, if field.kind == b'U' { 2 } else { 1 })),
        b's' => {
            let text = short_string(field.name, queue, script);
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        b'S' => long(out, script.pick(&words::SECRETS)),
        b'F' => long(out, words::table(script).as_bytes()),
        b'B' => out.push(script.byte()),
        // Prefetch counts, channels, codes, seconds: small, or the largest there is.
        b'U' => {
            let number = script.byte();
            let number = if number == 0xFF { u16::MAX } else { number.into() };
            out.extend(number.to_be_bytes());
        }
        b'I' => out.extend((script.pick(&words::NUMBERS) as u32).to_be_bytes()),
        // Delivery tags: mostly one of the first.
        _ => {
            let number = script.byte();
            let number =
                if number < 0xF0 { number.into() } else { words::NUMBERS[usize::from(number & 0x0F)] };
            out.extend(number.to_be_bytes());
        }
    }
}

fn short_string<'a>(field: &str, queue: &'a str, script: &mut Script<'_>) -> &'a str {
    match field {
        "queue" | "exchange" | "destination" | "source" => {
            let name = script.byte();
            // The name the broker chose last stands behind those of the list.
            if name & 0x3F == 0x3F { queue } else { words::NAMES[usize::from(name & 0x1F)] }
        }
        "routing-key" => script.pick(&words::KEYS),
        "consumer-tag" => script.pick(&words::TAGS),
        "type" => script.pick(&words::TYPES),
        "virtual-host" => ["/", "x", "", "/"][usize::from(script.byte() & 3)],
        _ => script.pick(&words::TEXTS),
    }
}

fn long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A publish with its whole content.
pub fn publish(out: &mut Vec<u8>, channel: u16, script: &mut Script<'_>) {
    let shape = CLIENT.iter().find(|shape| shape.id == MethodId::BASIC_PUBLISH).unwrap();
    push(out, 1, channel, &payload(shape, "", script));
    let properties = words::properties(script);
    let body_bytes = script.pick(&words::BODY_BYTES);
    push_header(out, channel, body_bytes as u64, &properties);
    for at in (0..body_bytes).step_by(4000) {
        push(out, 3, channel, &FILLER[..(body_bytes - at).min(4000)]);
    }
}

static FILLER: [u8; 4096] = [b'.'; 4096];

/// A content header alone.
pub fn header(out: &mut Vec<u8>, channel: u16, script: &mut Script<'_>) {
    let number = script.byte();
    let body_bytes = if number < 0xF0 { number.into() } else { words::NUMBERS[usize::from(number & 0x0F)] };
    let properties = words::properties(script);
    push_header(out, channel, body_bytes, &properties);
}

fn push_header(out: &mut Vec<u8>, channel: u16, body_bytes: u64, properties: &[u8]) {
    let payload = [&[0, 60, 0, 0][..], &body_bytes.to_be_bytes(), properties].concat();
    push(out, 2, channel, &payload);
}

/// A piece of a body alone.
pub fn body(out: &mut Vec<u8>, channel: u16, script: &mut Script<'_>) {
    push(out, 3, channel, &FILLER[..usize::from(script.byte())]);
}

/// A frame of any type with any payload, now and then with a wrong end.
pub fn any_frame(out: &mut Vec<u8>, channel: u16, script: &mut Script<'_>) {
    let kind = script.byte();
    push(out, kind & 0x0F, channel, script.counted());
    if kind >= 0xF0 {
        out.pop();
        out.push(kind);
    }
}
