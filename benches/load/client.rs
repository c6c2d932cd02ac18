//! The smallest AMQP 0-9-1 client that can load a broker: blocking sockets, frames made by hand, no library in between that
//! could be the bottleneck. Knows just the methods the workloads need.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A field table argument: only what the workloads use.
const NO_ARGUMENTS: &[u8] = &[0, 0, 0, 0];
/// Longest wait for anything the broker owes; a run that hits it has lost something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection with channel 1 open.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// What the broker sent, as far as a workload looks at it.
pub(crate) enum Event<'a> {
    /// basic.ack up to a publish number (or just it).
    Confirm { tag: u64, multiple: bool },
    /// A whole delivery.
    Deliver { tag: u64, body: &'a [u8] },
    /// The answer to a synchronous method: class and method id.
    Reply { class: u16, method: u16 },
}

impl Client {
    /// Connects as guest to vhost `/` and opens channel 1.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, buffer: vec![0; 256 * 1024], start: 0, end: 0 };
        client.stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        client.expect(10, 10)?;
        let mut start_ok = NO_ARGUMENTS.to_vec();
        short(&mut start_ok, "PLAIN");
        long(&mut start_ok, b"\0guest\0guest");
        short(&mut start_ok, "en_US");
        client.send(0, 10, 11, &start_ok)?;
        client.expect(10, 30)?;
        client.send(0, 10, 31, &[0x07, 0xff, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00])?;
        let mut open = Vec::new();
        short(&mut open, "/");
        open.extend([0, 0]);
        client.send(0, 10, 40, &open)?;
        client.expect(10, 41)?;
        client.send(1, 20, 10, &[0])?;
        client.expect(20, 11)?;
        Ok(client)
    }

    /// A second handle on the socket, for writing while this one reads.
    pub(crate) fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Declares a durable queue.
    pub(crate) fn declare_queue(&mut self, name: &str) -> io::Result<()> {
        let mut fields = vec![0, 0];
        short(&mut fields, name);
        fields.push(0b0000_0010);
        fields.extend(NO_ARGUMENTS);
        self.call(50, 10, &fields)
    }

    /// Deletes a queue if it is there.
    pub(crate) fn delete_queue(&mut self, name: &str) -> io::Result<()> {
        let mut fields = vec![0, 0];
        short(&mut fields, name);
        fields.push(0);
        self.call(50, 40, &fields)
    }

    /// Declares a durable fanout exchange and binds queues to it.
    pub(crate) fn declare_fanout(&mut self, exchange: &str, queues: &[String]) -> io::Result<()> {
        let mut fields = vec![0, 0];
        short(&mut fields, exchange);
        short(&mut fields, "fanout");
        fields.push(0b0000_0010);
        fields.extend(NO_ARGUMENTS);
        self.call(40, 10, &fields)?;
        for queue in queues {
            let mut fields = vec![0, 0];
            short(&mut fields, queue);
            short(&mut fields, exchange);
            short(&mut fields, "");
            fields.push(0);
            fields.extend(NO_ARGUMENTS);
            self.call(50, 20, &fields)?;
        }
        Ok(())
    }

    /// Puts the channel into confirm mode.
    pub(crate) fn confirm_select(&mut self) -> io::Result<()> {
        self.call(85, 10, &[0])
    }

    /// Starts consuming; `prefetch` 0 means no acknowledgements.
    pub(crate) fn consume(&mut self, queue: &str, prefetch: u16) -> io::Result<()> {
        let no_ack = prefetch == 0;
        if !no_ack {
            let [high, low] = prefetch.to_be_bytes();
            self.call(60, 10, &[0, 0, 0, 0, high, low, 0])?;
        }
        let mut fields = vec![0, 0];
        short(&mut fields, queue);
        short(&mut fields, "c");
        fields.push(if no_ack { 0b0000_0010 } else { 0 });
        fields.extend(NO_ARGUMENTS);
        self.send(1, 60, 20, &fields)?;
        self.expect(60, 21)
    }

    /// Closes the channel: everything published on it has been taken when this returns.
    pub(crate) fn close_channel(&mut self) -> io::Result<()> {
        self.call(20, 40, &[0, 200, 0, 0, 0, 0, 0])
    }

    /// Acknowledges everything up to `tag`.
    pub(crate) fn ack(&mut self, tag: u64) -> io::Result<()> {
        let mut fields = tag.to_be_bytes().to_vec();
        fields.push(1);
        self.send(1, 60, 80, &fields)
    }

    /// The next event; reads from the socket only when nothing is buffered.
    pub(crate) fn next(&mut self) -> io::Result<Event<'_>> {
        loop {
            match self.parse()? {
                Parsed::Incomplete => self.fill()?,
                Parsed::Skip(bytes) => self.start += bytes,
                Parsed::Confirm { bytes, tag, multiple } => {
                    self.start += bytes;
                    return Ok(Event::Confirm { tag, multiple });
                }
                Parsed::Reply { bytes, class, method } => {
                    self.start += bytes;
                    return Ok(Event::Reply { class, method });
                }
                Parsed::Deliver { bytes, tag, content_at, body_bytes } => {
                    self.join_body(content_at, body_bytes);
                    self.start += bytes;
                    return Ok(Event::Deliver {
                        tag,
                        body: &self.buffer[content_at..content_at + body_bytes],
                    });
                }
            }
        }
    }

    /// Whether a whole event may be at hand without reading from the socket.
    pub(crate) fn has_buffered(&self) -> io::Result<bool> {
        Ok(!matches!(self.parse()?, Parsed::Incomplete))
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = self.stream.read(&mut self.buffer[self.end..])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection"));
        }
        self.end += count;
        Ok(())
    }

    fn parse(&self) -> io::Result<Parsed> {
        let data = &self.buffer[self.start..self.end];
        let Some((kind, payload, bytes)) = frame(data) else { return Ok(Parsed::Incomplete) };
        if kind != 1 {
            return Ok(Parsed::Skip(bytes));
        }
        let (class, method) = (u16_at(payload, 0), u16_at(payload, 2));
        match (class, method) {
            (60, 80) => {
                Ok(Parsed::Confirm { bytes, tag: u64_at(payload, 4), multiple: payload[12] & 1 == 1 })
            }
            (60, 120) => Err(io::Error::other("the broker refused a publish (basic.nack)")),
            (60, 60) => {
                let tag_at = 5 + usize::from(payload[4]);
                let tag = u64_at(payload, tag_at);
                self.parse_content(bytes, tag)
            }
            (10, 50) | (20, 40) => {
                let text = &payload[7..7 + usize::from(payload[6])];
                Err(io::Error::other(format!("the broker closed: {}", String::from_utf8_lossy(text))))
            }
            _ => Ok(Parsed::Reply { bytes, class, method }),
        }
    }

    /// Measures the header and body frames that follow a delivery; nothing is moved, so it may be asked again.
    fn parse_content(&self, method_bytes: usize, tag: u64) -> io::Result<Parsed> {
        let mut at = self.start + method_bytes;
        let Some((_, header, bytes)) = frame(&self.buffer[at..self.end]) else {
            return Ok(Parsed::Incomplete);
        };
        let body_bytes = usize::try_from(u64_at(header, 4)).map_err(io::Error::other)?;
        at += bytes;
        let (content_at, mut seen) = (at, 0);
        while seen < body_bytes {
            let Some((_, part, bytes)) = frame(&self.buffer[at..self.end]) else {
                return Ok(Parsed::Incomplete);
            };
            seen += part.len();
            at += bytes;
        }
        Ok(Parsed::Deliver { bytes: at - self.start, tag, content_at, body_bytes })
    }

    /// Moves the parts of a body together, over the frame heads between them.
    fn join_body(&mut self, content_at: usize, body_bytes: usize) {
        let (mut from, mut to) = (content_at, content_at);
        while to < content_at + body_bytes {
            let Some((_, part, bytes)) = frame(&self.buffer[from..self.end]) else { return };
            let length = part.len();
            self.buffer.copy_within(from + 7..from + 7 + length, to);
            from += bytes;
            to += length;
        }
    }

    fn call(&mut self, class: u16, method: u16, fields: &[u8]) -> io::Result<()> {
        self.send(1, class, method, fields)?;
        self.expect(class, method + 1)
    }

    fn send(&mut self, channel: u16, class: u16, method: u16, fields: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(fields.len() + 12);
        push_frame(&mut out, 1, channel, |out| {
            out.extend(class.to_be_bytes());
            out.extend(method.to_be_bytes());
            out.extend(fields);
        });
        self.stream.write_all(&out)
    }

    fn expect(&mut self, class: u16, method: u16) -> io::Result<()> {
        loop {
            if let Event::Reply { class: c, method: m } = self.next()? {
                if (c, m) == (class, method) {
                    return Ok(());
                }
                return Err(io::Error::other(format!("expected method {class}.{method}, got {c}.{m}")));
            }
        }
    }
}

enum Parsed {
    Incomplete,
    Skip(usize),
    Confirm { bytes: usize, tag: u64, multiple: bool },
    Reply { bytes: usize, class: u16, method: u16 },
    Deliver { bytes: usize, tag: u64, content_at: usize, body_bytes: usize },
}

/// Appends a whole publish: method, content header, body.
pub(crate) fn push_publish(
    out: &mut Vec<u8>,
    exchange: &str,
    routing_key: &str,
    persistent: bool,
    body: &[u8],
) {
    push_frame(out, 1, 1, |out| {
        out.extend([0, 60, 0, 40, 0, 0]);
        short(out, exchange);
        short(out, routing_key);
        out.push(0);
    });
    push_frame(out, 2, 1, |out| {
        out.extend([0, 60, 0, 0]);
        out.extend((body.len() as u64).to_be_bytes());
        out.extend([0x10, 0x00, if persistent { 2 } else { 1 }]);
    });
    for part in body.chunks(131_072 - 8) {
        push_frame(out, 3, 1, |out| out.extend(part));
    }
}

fn push_frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    let length_at = out.len();
    out.extend([0; 4]);
    payload(out);
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    out.push(0xCE);
}

fn frame(data: &[u8]) -> Option<(u8, &[u8], usize)> {
    let length = u32::from_be_bytes(data.get(3..7)?.try_into().ok()?) as usize;
    (data.len() >= length + 8).then(|| (data[0], &data[7..7 + length], length + 8))
}

fn short(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

fn long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
