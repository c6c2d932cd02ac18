//! Contents put together on one connection: methods, headers and bodies of two channels in any order, cut anywhere. What
//! comes out (the publishes, and how channel and connection end) is compared with a model of AMQP 0-9-1 §4.2.6, once with
//! all bytes at once and once in pieces.

use super::frame::push;
use super::script::Script;
use crate::support::machine::{HEADER, Machine, accounts, start_ok, take_outbound};
use crate::support::wire;
use ledgermq::auth::Accounts;
use ledgermq::connection::{Connection, ConnectionConfig, Peer};
use ledgermq::limits::{CONTENT_BYTES_MAX, MESSAGE_BYTES_MAX};
use ledgermq::protocol::content::ContentHeader;
use ledgermq::protocol::frame::{self, Frame};
use ledgermq::vhost::command::{
    Addressed, ChannelKey, Command, ConnectionId, Envelope, Notice, Publish, Reply,
};
use std::sync::{Arc, LazyLock};

/// A channel, its routing key, its body.
type Published = (u16, String, Vec<u8>);

/// What a conversation came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    published: Vec<Published>,
    /// Channels the broker closed, with the code.
    closed: Vec<(u16, u16)>,
    /// The code of connection.close.
    refused: Option<u16>,
}

/// The first byte says how the bytes are cut; then frames, each chosen by a byte.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let piece_bytes = usize::from(script.byte()) + 1;
    let (mut bytes, mut model) = (Vec::new(), Model::default());
    while !script.is_empty() {
        next_frame(&mut script, &mut bytes, &mut model);
    }
    let expected = model.outcome;
    assert_eq!(play(&bytes, usize::MAX), expected, "at once");
    assert_eq!(play(&bytes, piece_bytes), expected, "in pieces of {piece_bytes}");
}

/// What a header may announce; the script adds to the first.
const SIZES: [u64; 8] =
    [0, 1, 5, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1, CONTENT_BYTES_MAX, CONTENT_BYTES_MAX + 1, u64::MAX];
/// Properties, the last two not to be read.
const PROPERTIES: [&[u8]; 4] = [b"\0\0", b"\x10\0\x02", b"\0\x02", b"\x80\0\x05a"];
const KEYS: [&str; 4] = ["q", "", "a.b", "q"];

fn next_frame(script: &mut Script<'_>, bytes: &mut Vec<u8>, model: &mut Model) {
    let what = script.byte();
    let number = 1 + u16::from(what >> 7);
    let channel = &mut model.channels[usize::from(number - 1)];
    let outcome = &mut model.outcome;
    match what & 0x0F {
        0..=3 => {
            let key = KEYS[usize::from(what & 3)];
            let payload = [b"\0\x3c\0\x28\0\0\0", &[key.len() as u8][..], key.as_bytes(), b"\0"].concat();
            push(bytes, 1, number, &payload);
            outcome.step(number, channel, Piece::Publish(key));
        }
        4..=8 => {
            let how = script.byte();
            let mut size = SIZES[usize::from(how >> 5)];
            if size == 0 {
                size = u64::from(how & 0x0F);
            }
            let properties = PROPERTIES[usize::from(what & 3)];
            let class = if how & 0x1F == 0x1F { 50 } else { 60 };
            let payload = [&[0, class, 0, 0][..], &size.to_be_bytes(), properties].concat();
            push(bytes, 2, number, &payload);
            outcome.step(number, channel, Piece::Header(&payload));
        }
        9..=13 => {
            let body = script.counted();
            push(bytes, 3, number, body);
            outcome.step(number, channel, Piece::Body(body));
        }
        14 => {
            // access.request: a method that is answered at once, and asks nothing of the vhost.
            push(bytes, 1, number, b"\0\x1e\0\x0a\0\0");
            outcome.step(number, channel, Piece::Other);
        }
        _ if what & 0x40 == 0 => push(bytes, 8, 0, b""),
        _ => {
            push(bytes, 1, number, b"\0\x14\0\x29");
            outcome.step(number, channel, Piece::CloseOk);
        }
    }
}

/// The rules as the specification and RabbitMQ have them.
#[derive(Debug, Default)]
struct Model {
    channels: [Assembly; 2],
    outcome: Outcome,
}

#[derive(Debug, Default)]
enum Assembly {
    #[default]
    Idle,
    AwaitHeader(String),
    AwaitBody {
        key: String,
        missing: u64,
        body: Vec<u8>,
    },
    /// Closed by the broker; everything but close-ok is passed over.
    Closing,
    Gone,
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Publish(&'a str),
    Header(&'a [u8]),
    Body(&'a [u8]),
    Other,
    CloseOk,
}

impl Outcome {
    fn step(&mut self, number: u16, channel: &mut Assembly, piece: Piece<'_>) {
        if self.refused.is_some() {
            return;
        }
        *channel = match (std::mem::take(channel), piece) {
            (Assembly::Closing, Piece::CloseOk) => Assembly::Gone,
            (Assembly::Closing, _) => Assembly::Closing,
            (Assembly::Gone, Piece::Header(_) | Piece::Body(_)) => return self.refuse(505),
            (Assembly::Gone, _) => return self.refuse(504),
            (Assembly::Idle, Piece::Publish(key)) => Assembly::AwaitHeader(key.to_owned()),
            (Assembly::Idle, Piece::Other) => Assembly::Idle,
            (Assembly::Idle, Piece::CloseOk) => return self.refuse(503),
            (Assembly::AwaitHeader(key), Piece::Header(payload)) => match self.header(number, key, payload) {
                Some(next) => next,
                None => return,
            },
            (Assembly::AwaitBody { key, missing, mut body }, Piece::Body(piece)) => {
                let Some(missing) = missing.checked_sub(piece.len() as u64) else { return self.refuse(501) };
                body.extend_from_slice(piece);
                if missing == 0 {
                    self.published.push((number, key, body));
                    Assembly::Idle
                } else {
                    Assembly::AwaitBody { key, missing, body }
                }
            }
            (Assembly::Idle | Assembly::AwaitHeader(_) | Assembly::AwaitBody { .. }, _) => {
                return self.refuse(505);
            }
        }
    }

    fn header(&mut self, number: u16, key: String, payload: &[u8]) -> Option<Assembly> {
        let header = match ContentHeader::decode(payload) {
            Ok(header) => header,
            Err(error) => {
                self.refuse(error.code.code());
                return None;
            }
        };
        Some(match header.body_bytes {
            0 => {
                self.published.push((number, key, Vec::new()));
                Assembly::Idle
            }
            size if size > CONTENT_BYTES_MAX => {
                self.refuse(501);
                return None;
            }
            size if size > MESSAGE_BYTES_MAX => {
                self.closed.push((number, 406));
                Assembly::Closing
            }
            missing => Assembly::AwaitBody { key, missing, body: Vec::new() },
        })
    }

    fn refuse(&mut self, code: u16) {
        self.refused = Some(code);
    }
}

/// What every play begins with.
struct Beginning {
    accounts: Arc<Accounts>,
    config: Arc<ConnectionConfig>,
    login: Vec<u8>,
    open: Vec<u8>,
    channels: Vec<u8>,
}

static BEGINNING: LazyLock<Beginning> = LazyLock::new(|| Beginning {
    accounts: Arc::new(accounts()),
    config: Arc::new(ConnectionConfig::default()),
    login: [HEADER, &wire::encode(0, &start_ok("{}", "guest"))].concat(),
    open: [
        wire::encode(0, "connection.tune-ok channel-max=2047 frame-max=131072"),
        wire::encode(0, "connection.open virtual-host=/"),
    ]
    .concat(),
    channels: [wire::encode(1, "channel.open"), wire::encode(2, "channel.open")].concat(),
});

/// A connection with channels 1 and 2 open.
fn open() -> Machine {
    let beginning = &*BEGINNING;
    let peer = Peer { remote: ([127, 0, 0, 1], 50_000).into(), local: ([127, 0, 0, 1], 5672).into() };
    let (config, accounts) = (Arc::clone(&beginning.config), Arc::clone(&beginning.accounts));
    let connection = Connection::new(ConnectionId(1), config, accounts, peer, 7, 0);
    let (effects, unread, written) = Default::default();
    let mut machine = Machine { connection, effects, unread, written, now_ms: 0 };
    machine.send_bytes(&beginning.login);
    machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
    machine.send_bytes(&beginning.open);
    machine.connection.vhost_opened(Ok(()), 0, &mut machine.effects);
    machine.send_bytes(&beginning.channels);
    let keys =
        [(1, 0), (2, 1)].map(|(number, life)| ChannelKey { connection: ConnectionId(1), number, life });
    let opened = keys.map(|channel| Addressed { channel, notice: Notice::Reply(Reply::ChannelOpened) });
    machine.connection.notices(opened.into_iter(), 0, &mut machine.effects);
    take_outbound(&mut machine.effects, &mut machine.written);
    machine.written.clear();
    machine.effects.commands.clear();
    machine.effects.requests.clear();
    machine
}

fn play(bytes: &[u8], piece_bytes: usize) -> Outcome {
    let mut machine = open();
    let mut outcome = Outcome::default();
    for piece in bytes.chunks(piece_bytes.max(1)) {
        machine.send_bytes(piece);
        for envelope in machine.effects.commands.drain(..) {
            assert!(outcome.refused.is_none(), "a refused connection asks for nothing more");
            note(envelope, &mut outcome);
        }
        hear(&mut machine, &mut outcome);
    }
    if outcome.refused.is_none() {
        assert!(machine.unread.is_empty(), "whole frames are consumed wholly");
    }
    outcome
}

fn note(Envelope { channel, command, .. }: Envelope, outcome: &mut Outcome) {
    match command {
        Command::Publish(Publish { message, .. }) => {
            let (key, body) = (message.routing_key.to_string(), message.body.to_vec());
            outcome.published.push((channel.number, key, body));
        }
        Command::CloseChannel => {}
        other => panic!("{other:?}"),
    }
}

/// Channels are closed, and at most once the connection; all else is access.request-ok.
fn hear(machine: &mut Machine, outcome: &mut Outcome) {
    take_outbound(&mut machine.effects, &mut machine.written);
    let mut rest = &machine.written[..];
    while !rest.is_empty() {
        let (frame, consumed) = frame::decode(rest, 0).unwrap().expect("whole frames");
        assert!(outcome.refused.is_none(), "after connection.close nothing is said");
        match frame {
            Frame::Method { channel, payload: [0, 20, 0, 40, high, low, ..] } => {
                outcome.closed.push((channel, u16::from_be_bytes([*high, *low])));
            }
            Frame::Method { channel: 0, payload: [0, 10, 0, 50, high, low, ..] } => {
                outcome.refused = Some(u16::from_be_bytes([*high, *low]));
            }
            Frame::Method { payload: [0, 30, 0, 11, ..], .. } => {}
            other => panic!("{other:?}"),
        }
        rest = &rest[consumed..];
    }
    machine.written.clear();
}
