//! Strangers at the door: sessions as clients send them, damaged at random and fed in random pieces, through everything
//! that reads bytes of a peer. Nothing may panic, no frame may reach past its input, and what is read must not depend on
//! how the bytes were cut. `LEDGERMQ_SEED` replays a seed, `LEDGERMQ_FUZZ_ROUNDS` sets how many sessions are tried.

#![expect(clippy::indexing_slicing, reason = "positions are drawn below the length they index")]

mod fuzz_targets;
mod support;

use std::env;
use std::panic::{self, AssertUnwindSafe};

use fuzz_targets::frame::{Read, feed};
use ledgermq::protocol::client_method::ClientMethod;
use ledgermq::protocol::content::ContentHeader;
use ledgermq::protocol::frame::Frame;
use ledgermq::protocol::properties::{Properties, PropertyList};
use ledgermq::protocol::sasl;
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;

const FRAME_BYTES_MAX: u32 = 4096;
const ROUNDS: u64 = 3000;

/// Seeds that once found something, tried first on every run, and a few that did not.
const SEEDS: [u64; 4] = [1, 0xDEAD_BEEF, 0x1234_5678_9ABC_DEF0, u64::MAX];

/// Xorshift: good enough to break things, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % bound
    }
}

fn raw_frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a payload that fits a frame");
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[0xCE]].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// One of each kind of frame a client sends, tables and properties included.
fn session() -> Vec<Vec<u8>> {
    let inner = Table::from_pairs(&[("basic.nack", Value::Bool(true)), ("list", Value::text("a"))]);
    let array = b"\x05arrayA\0\0\0\x0cS\0\0\0\x02hiI\0\0\0\x07";
    let table = Table::from_pairs(&[
        ("capabilities", Value::Table(inner.fields())),
        ("x-message-ttl", Value::I32(1000)),
        ("x-max-length", Value::I64(5)),
        ("ratio", Value::F64(0.5)),
    ]);
    let start_ok =
        [&b"\0\x0a\0\x0b"[..], &long(table.as_bytes()), b"\x05PLAIN", &long(b"\0guest\0guest"), b"\x05en_US"]
            .concat();
    let declare = [&b"\0\x32\0\x0a\0\0\x01q\x02"[..], &long(table.as_bytes())].concat();
    let consume = [&b"\0\x3c\0\x14\0\0\x01q\x01t\0"[..], &long(array)].concat();
    let properties = PropertyList {
        content_type: Some("text/plain"),
        headers: Some(table.clone()),
        delivery_mode: Some(2),
        correlation_id: Some("7"),
        timestamp: Some(9),
        ..PropertyList::default()
    };
    let header = [&b"\0\x3c\0\0\0\0\0\0\0\0\0\x05"[..], &properties.encode()].concat();
    vec![
        raw_frame(1, 0, &start_ok),
        raw_frame(1, 0, b"\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\x3c"),
        raw_frame(1, 0, b"\0\x0a\0\x28\x01/\0\0"),
        raw_frame(1, 1, b"\0\x14\0\x0a\0"),
        raw_frame(1, 1, &declare),
        raw_frame(1, 1, &consume),
        raw_frame(1, 1, b"\0\x3c\0\x28\0\0\x06orders\x03key\x01"),
        raw_frame(2, 1, &header),
        raw_frame(3, 1, b"hello"),
        raw_frame(1, 1, b"\0\x3c\0\x50\0\0\0\0\0\0\0\x01\x01"),
        raw_frame(8, 0, b""),
        raw_frame(1, 1, b"\0\x14\0\x28\0\xc8\x02ok\0\0\0\0"),
    ]
}

/// A session with frames left out, repeated and swapped, and with bytes changed, lost and added.
fn damaged(random: &mut Random) -> Vec<u8> {
    let mut frames = session();
    for _ in 0..random.below(4) {
        let (from, to) = (random.below(frames.len()), random.below(frames.len()));
        match random.below(3) {
            0 => frames.swap(from, to),
            1 => frames.insert(to, frames[from].clone()),
            _ => drop(frames.remove(from)),
        }
    }
    let mut bytes = frames.concat();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] = random.next().to_le_bytes()[0],
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, b'A', b'F', b'S'][random.below(8)],
            3 => drop(bytes.remove(at)),
            _ => bytes.insert(at, random.next().to_le_bytes()[0]),
        }
    }
    bytes
}

/// Reads one frame's payload to the bottom: what was found, or the refusal.
fn read(frame: Frame<'_>) -> String {
    match frame {
        Frame::Method { channel, payload } => match ClientMethod::decode(payload) {
            Ok(ClientMethod::ConnectionStartOk { mechanism, response, ref client_properties, .. }) => {
                format!("{channel} {:?} {client_properties:?}", sasl::parse(mechanism, response.0))
            }
            other => format!("{channel} {other:?}"),
        },
        Frame::Header { payload, .. } => match ContentHeader::decode(payload) {
            Ok(header) => {
                let properties = Properties::new(header.properties);
                let changed = properties.with_headers(&Table::default());
                assert_eq!(Properties::new(&changed).delivery_mode(), properties.delivery_mode());
                format!("{header:?} {:?} {:?}", properties.headers(), properties.timestamp())
            }
            Err(error) => error.to_string(),
        },
        Frame::Body { payload, .. } => format!("{} bytes", payload.len()),
        Frame::Heartbeat => "heartbeat".to_owned(),
    }
}

fn round(seed: u64) {
    let mut random = Random(seed | 1);
    let bytes = damaged(&mut random);
    let at_once = feed(&bytes, FRAME_BYTES_MAX, || usize::MAX, read);
    let in_pieces = feed(&bytes, FRAME_BYTES_MAX, || 1 + random.below(40), read);
    assert_eq!(at_once, in_pieces, "the same however it is cut");
}

#[test]
fn damaged_sessions_are_read_or_refused() {
    let fixed = env::var("LEDGERMQ_SEED").ok().map(|seed| seed.parse::<u64>().expect("a number"));
    let rounds = env::var("LEDGERMQ_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let seeds: Vec<u64> = match fixed {
        Some(seed) => vec![seed],
        None => SEEDS.into_iter().chain((0..rounds).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect(),
    };
    for seed in seeds {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| round(seed)));
        assert!(outcome.is_ok(), "seed {seed} failed: LEDGERMQ_SEED={seed} replays it");
    }
}

#[test]
fn an_undamaged_session_is_read_wholly() {
    let bytes = session().concat();
    let Read { frames, refused } = feed(&bytes, FRAME_BYTES_MAX, || usize::MAX, read);
    assert_eq!((frames.len(), refused), (session().len(), None));
    assert!(frames.iter().all(|line| !line.contains("Err(") && !line.contains("ERROR")), "{frames:#?}");
}
