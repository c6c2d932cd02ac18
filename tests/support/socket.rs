//! A client of nothing but a socket: sends any bytes, reads frames, says in one line what came. For what no client
//! library would send, and for seeing what none of them shows. Blocking, with a deadline on every read, so that a test
//! fails instead of hanging. Points at any broker (see [`address`]), so that one script asks ours and RabbitMQ alike.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use amq_protocol::protocol::{AMQPClass, basic, channel, connection, gen_class, parse_class};
use amq_protocol::types::{FieldTable, ShortString};
use ledgermq::protocol::content::ContentHeader;
use ledgermq::protocol::frame::{self, Frame};
use ledgermq::protocol::protocol_header::AMQP_0_9_1;

/// How long a read waits for the broker.
const DEADLINE: Duration = Duration::from_secs(15);
/// What the client agrees to in tune-ok unless told otherwise.
pub(crate) const FRAME_BYTES_MAX: u32 = 131_072;

/// Frame types.
pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;

/// The broker that `LEDGERMQ_TEST_ADDR` names (host:port), if it names one.
pub(crate) fn address() -> Option<String> {
    env::var("LEDGERMQ_TEST_ADDR").ok()
}

/// What came from the broker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    /// A method.
    Method(u16, AMQPClass),
    /// A content header: body size, and flags with property list.
    Header(u16, u64, Vec<u8>),
    /// A piece of a body.
    Body(u16, Vec<u8>),
    Heartbeat,
    /// The broker closed the socket, with these bytes unread that are no frame.
    Closed(Vec<u8>),
}

impl Received {
    /// The method on this channel, or a panic that says what came instead.
    pub(crate) fn method(self, channel: u16) -> AMQPClass {
        match self {
            Self::Method(on, class) if on == channel => class,
            other => panic!("a method on channel {channel}, not: {}", other.line()),
        }
    }

    /// It in one line: errors as `channel 1 close: 404 NOT_FOUND - … (60.70)`, all else in debug form.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Method(_, AMQPClass::Connection(connection::AMQPMethod::Close(close))) => {
                let (class, method) = (close.class_id, close.method_id);
                format!("connection close: {} {} ({class}.{method})", close.reply_code, close.reply_text)
            }
            Self::Method(on, AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
                let (class, method) = (close.class_id, close.method_id);
                format!("channel {on} close: {} {} ({class}.{method})", close.reply_code, close.reply_text)
            }
            Self::Method(on, class) => format!("channel {on} {class:?}"),
            Self::Header(on, body_bytes, properties) => {
                format!("channel {on} header: {body_bytes} bytes, properties {}", properties.escape_ascii())
            }
            Self::Body(on, piece) => format!("channel {on} body: {}", piece.escape_ascii()),
            Self::Heartbeat => "heartbeat".to_owned(),
            Self::Closed(unread) => format!("closed after {}", unread.escape_ascii()),
        }
    }
}

/// A connection to a broker.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    /// Connects, and sends nothing.
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new() })
    }

    /// Connects and logs in as the default user, with no channel open.
    pub(crate) fn login(address: &str) -> io::Result<Self> {
        let mut client = Self::connect(address)?;
        client.send(&AMQP_0_9_1)?;
        client.expect("connection.start", |class| {
            matches!(class, AMQPClass::Connection(connection::AMQPMethod::Start(_)))
        });
        client.method(0, &start_ok("PLAIN", b"\0guest\0guest"))?;
        client.expect("connection.tune", |class| {
            matches!(class, AMQPClass::Connection(connection::AMQPMethod::Tune(_)))
        });
        client.method(0, &tune_ok(2047, FRAME_BYTES_MAX, 0))?;
        client.method(0, &open("/"))?;
        client.expect("connection.open-ok", |class| {
            matches!(class, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_)))
        });
        Ok(client)
    }

    /// Opens a channel.
    pub(crate) fn open_channel(&mut self, number: u16) -> io::Result<()> {
        self.method(number, &AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))?;
        self.expect("channel.open-ok", |class| {
            matches!(class, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)))
        });
        Ok(())
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a method.
    pub(crate) fn method(&mut self, channel: u16, class: &AMQPClass) -> io::Result<()> {
        self.send(&method(channel, class))
    }

    /// The next frame, heartbeats too.
    ///
    /// # Panics
    /// If nothing comes before the deadline, or what comes is no frame.
    pub(crate) fn receive(&mut self) -> Received {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let decoded = frame::decode(&self.input, FRAME_BYTES_MAX).expect("the broker sends frames");
            if let Some((frame, consumed)) = decoded {
                let received = received(frame);
                self.input.drain(..consumed);
                return received;
            }
            if self.read_more(deadline) == 0 {
                return Received::Closed(std::mem::take(&mut self.input));
            }
        }
    }

    /// Reads until the broker closes the socket: all it still sends, as bytes.
    pub(crate) fn receive_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        while self.read_more(deadline) > 0 {}
        std::mem::take(&mut self.input)
    }

    /// The next method, which must be this one.
    pub(crate) fn expect(&mut self, what: &str, is: impl Fn(&AMQPClass) -> bool) -> AMQPClass {
        match self.receive() {
            Received::Method(_, class) if is(&class) => class,
            other => panic!("{what}, not: {}", other.line()),
        }
    }

    /// Appends what has come to `input`: how many bytes; 0 means closed.
    fn read_more(&mut self, deadline: Instant) -> usize {
        let mut buffer = [0; 16_384];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the broker said nothing more than {}", self.input.escape_ascii());
            self.stream.set_read_timeout(Some(left)).expect("a socket takes a timeout");
            match self.stream.read(&mut buffer) {
                Ok(count) => {
                    self.input.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    return count;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return 0,
                Err(error) if is_transient(&error) => {}
                Err(error) => panic!("the socket failed: {error}"),
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn received(frame: Frame<'_>) -> Received {
    match frame {
        Frame::Method { channel, payload } => {
            let (rest, class) = parse_class(payload).expect("the broker sends methods of AMQP");
            // RabbitMQ's access.request-ok holds a ticket that this parser leaves.
            assert!(rest.len() <= 2, "{class:?} ends where its frame ends");
            Received::Method(channel, class)
        }
        Frame::Header { channel, payload } => {
            let header = ContentHeader::decode(payload).expect("the broker sends content headers of AMQP");
            Received::Header(channel.get(), header.body_bytes, header.properties.to_vec())
        }
        Frame::Body { channel, payload } => Received::Body(channel.get(), payload.to_vec()),
        Frame::Heartbeat => Received::Heartbeat,
    }
}

// ---- bytes to send ----

/// A frame of any kind, well-formed on the outside.
pub(crate) fn raw_frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a payload that fits a frame");
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[0xCE]].concat()
}

/// A method frame.
pub(crate) fn method(channel: u16, class: &AMQPClass) -> Vec<u8> {
    let payload = gen_class(class)(Vec::new().into()).expect("a vector takes everything").write;
    raw_frame(METHOD, channel, &payload)
}

/// A method frame of any numbers and fields.
pub(crate) fn raw_method(channel: u16, class: u16, number: u16, fields: &[u8]) -> Vec<u8> {
    raw_frame(METHOD, channel, &[&class.to_be_bytes()[..], &number.to_be_bytes(), fields].concat())
}

/// A content header frame; `properties` are flags and property list.
pub(crate) fn header(channel: u16, class: u16, body_bytes: u64, properties: &[u8]) -> Vec<u8> {
    let head = [&class.to_be_bytes()[..], &[0, 0], &body_bytes.to_be_bytes()].concat();
    raw_frame(HEADER, channel, &[&head, properties].concat())
}

/// basic.publish, content header and body in one frame, without properties.
pub(crate) fn publish(
    channel: u16,
    exchange: &str,
    routing_key: &str,
    mandatory: bool,
    body: &[u8],
) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: exchange.into(),
        routing_key: routing_key.into(),
        mandatory,
        immediate: false,
    };
    let mut bytes = method(channel, &AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
    bytes.extend(header(channel, 60, body.len() as u64, &[0, 0]));
    if !body.is_empty() {
        bytes.extend(raw_frame(BODY, channel, body));
    }
    bytes
}

/// basic.get
pub(crate) fn get(queue: &str) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Get(basic::Get { queue: queue.into(), no_ack: true }))
}

/// connection.start-ok of a client that wants to hear why its login failed.
pub(crate) fn start_ok(mechanism: &str, response: &[u8]) -> AMQPClass {
    let mut capabilities = FieldTable::default();
    for name in ["authentication_failure_close", "basic.nack", "connection.blocked", "consumer_cancel_notify"]
    {
        capabilities.insert(name.into(), amq_protocol::types::AMQPValue::Boolean(true));
    }
    let mut client_properties = FieldTable::default();
    client_properties.insert("capabilities".into(), amq_protocol::types::AMQPValue::FieldTable(capabilities));
    AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
        client_properties,
        mechanism: mechanism.into(),
        response: response.into(),
        locale: ShortString::from("en_US"),
    }))
}

/// connection.tune-ok
pub(crate) fn tune_ok(channel_max: u16, frame_max: u32, heartbeat: u16) -> AMQPClass {
    let tune_ok = connection::TuneOk { channel_max, frame_max, heartbeat };
    AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok))
}

/// connection.open
pub(crate) fn open(vhost: &str) -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open { virtual_host: vhost.into() }))
}
