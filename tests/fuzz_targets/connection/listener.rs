//! What a client checks of all it is told: whole frames, whole contents, methods a server sends, codes of the standard,
//! nothing on what is closed, delivery tags that grow, and no publish answered twice.

use crate::fuzz_targets::method::{ALL, plain};
use ledgermq::protocol::content::ContentHeader;
use ledgermq::protocol::frame::{self, ChannelId, Frame};
use ledgermq::protocol::method_id::MethodId;
use ledgermq::protocol::wire::Reader;

/// One client's ears.
#[derive(Debug, Default)]
pub struct Listener {
    /// By channel number; 0 stands for channels above.
    channels: [Heard; 4],
    content: Option<Content>,
    /// connection.close or connection.close-ok was heard, or the protocol header that refuses a stranger.
    pub is_closed: bool,
    /// The code of connection.close.
    pub refused: Option<u16>,
    /// The queue named last.
    pub queue: String,
    /// All methods heard, while somebody wants to know.
    pub methods: Vec<MethodId>,
}

/// What was heard on one channel.
#[derive(Debug, Default)]
struct Heard {
    /// channel.close or close-ok came, and no open-ok since.
    closed: Option<Closed>,
    delivery_tag: u64,
    /// Publishes answered up to here, and beyond.
    answered_through: u64,
    answered: Vec<u64>,
}

/// Who began to close a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    ByBroker,
    ByClient,
}

/// A content under way: its channel, and what is missing, once that is known.
#[derive(Debug)]
struct Content {
    channel: u16,
    missing: Option<u64>,
}

/// Codes that end a connection.
const CONNECTION_CODES: [u16; 10] = [320, 403, 501, 502, 503, 504, 505, 506, 530, 540];
/// Codes that end a channel.
const CHANNEL_CODES: [u16; 5] = [311, 403, 404, 405, 406];

impl Listener {
    /// Takes what was written to the socket: whole frames.
    pub fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if let Some(rest) = bytes.strip_prefix(b"AMQP\0\0\x09\x01") {
                assert!(!self.is_closed && rest.is_empty(), "the header is the last word to a stranger");
                self.is_closed = true;
                return;
            }
            let (frame, consumed) = frame::decode(bytes, 0).expect("a frame").expect("a whole frame");
            match frame {
                Frame::Method { channel, payload } => self.method(channel, payload),
                Frame::Header { channel, payload } => self.header(channel, payload),
                Frame::Body { channel, payload } => self.body(channel, payload),
                Frame::Heartbeat => assert!(!self.is_closed, "a closed connection is silent"),
            }
            bytes = &bytes[consumed..];
        }
        assert!(self.content.is_none(), "contents are written whole");
    }

    /// Whether a channel was closed, and not opened since.
    pub fn closed_channel(&self, channel: u16) -> Option<Closed> {
        self.channels[usize::from(channel) & 3].closed
    }

    fn method(&mut self, channel: u16, payload: &[u8]) {
        assert!(self.content.is_none(), "nothing comes between a method and its content");
        assert!(plain(payload, &ALL).is_some(), "a method, to the last byte: {payload:?}");
        let id = MethodId::of(payload).unwrap();
        let mut fields = Reader::new(&payload[4..]);
        self.methods.push(id);
        let id = (id.class, id.method);
        assert!(!self.is_closed || id == (10, 51), "a closed connection says nothing but close-ok: {id:?}");
        assert_eq!(channel == 0, id.0 == 10, "the connection speaks on channel 0, and alone: {id:?}");
        if id.0 == 10 {
            return self.connection_method(id.1, &mut fields);
        }
        let heard = &mut self.channels[if channel < 4 { usize::from(channel) } else { 0 }];
        let answers_at_once = matches!(id, (20, 11 | 21 | 40 | 41) | (30, 11));
        assert!(
            heard.closed.is_none() || answers_at_once || channel > 3,
            "{id:?} on closed channel {channel}"
        );
        match id {
            (20, 11) => *heard = Heard::default(),
            (20, 40) => {
                let code = fields.short().unwrap();
                assert!(CHANNEL_CODES.contains(&code), "{code} ends no channel");
                *heard = Heard { closed: Some(Closed::ByBroker), ..Heard::default() };
            }
            (20, 41) => drop(heard.closed.get_or_insert(Closed::ByClient)),
            (50, 11) => fields.short_string().unwrap().clone_into(&mut self.queue),
            (60, 50 | 60 | 71) => {
                if id.1 != 50 {
                    heard.delivery(id.1, fields, channel);
                }
                self.content = Some(Content { channel, missing: None });
            }
            (60, 80 | 120) => {
                let (seq, bits) = (fields.long_long().unwrap(), fields.octet().unwrap());
                if channel < 4 {
                    heard.answer(seq, bits & 1 == 1);
                }
            }
            _ => {}
        }
    }

    fn connection_method(&mut self, method: u16, fields: &mut Reader<'_>) {
        match method {
            50 => {
                let code = fields.short().unwrap();
                assert!(CONNECTION_CODES.contains(&code), "{code} ends no connection");
                (self.is_closed, self.refused) = (true, Some(code));
            }
            51 => self.is_closed = true,
            _ => {}
        }
    }

    fn header(&mut self, channel: ChannelId, payload: &[u8]) {
        let content = self.content.as_mut().filter(|content| content.missing.is_none());
        let content = content.expect("a method comes before its header");
        assert_eq!(content.channel, channel.get());
        let header = ContentHeader::decode(payload).expect("a header that clients can read");
        content.missing = Some(header.body_bytes);
        self.end_content();
    }

    fn body(&mut self, channel: ChannelId, payload: &[u8]) {
        let content = self.content.as_mut().expect("a body follows its header");
        assert_eq!(content.channel, channel.get());
        let missing = content.missing.expect("a body follows its header");
        assert!(!payload.is_empty(), "every piece of a body brings something");
        content.missing = Some(missing.checked_sub(payload.len() as u64).expect("no more than announced"));
        self.end_content();
    }

    fn end_content(&mut self) {
        self.content.take_if(|content| content.missing == Some(0));
    }
}

impl Heard {
    fn delivery(&mut self, method: u16, mut fields: Reader<'_>, channel: u16) {
        if method == 60 {
            fields.short_string().unwrap();
        }
        let tag = fields.long_long().unwrap();
        assert!(tag > self.delivery_tag || channel > 3, "tag {tag} after {}", self.delivery_tag);
        self.delivery_tag = tag;
    }

    fn answer(&mut self, seq: u64, multiple: bool) {
        assert!(seq > self.answered_through, "{seq} was answered before");
        assert!(multiple || !self.answered.contains(&seq), "{seq} was answered before");
        if multiple {
            self.answered_through = seq;
            self.answered.retain(|answered| *answered > seq);
        } else {
            self.answered.push(seq);
        }
        while let Some(at) = self.answered.iter().position(|answered| *answered == self.answered_through + 1)
        {
            self.answered.swap_remove(at);
            self.answered_through += 1;
        }
    }
}
