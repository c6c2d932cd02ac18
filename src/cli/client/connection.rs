//! One connection to a broker, with channel 1: a socket that never blocks, a buffer for what comes and one for what
//! goes, both used again and again. The hot paths take frames from `input` and append to `output` by themselves; what every
//! connection must obey (blocked, flow, close) is in [`control`].

use super::error::ClientError;
use super::signal::Signal;
use super::socket::Socket;
use super::target::Target;
use super::wire::{Frame, Method, frame, put_long_string, put_method, put_pair};
use super::wire::{put_short_string, put_table};
use crate::clock::Clock;
use crate::protocol::frame::FRAME_OVERHEAD_BYTES;
use crate::protocol::table::Fields;
use crate::protocol::wire::Reader;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;

/// The channel everything happens on.
pub(in crate::cli) const CHANNEL: u16 = 1;
/// Bytes read at once where many messages come.
pub(in crate::cli) const DELIVERIES_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes read at once where only answers come.
pub(in crate::cli) const ANSWERS_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes before tune-ok, and of connections that stay idle.
const HANDSHAKE_BUFFER_BYTES: usize = 8 * 1024;
/// Largest frame we ask for, bytes.
const FRAME_BYTES_MAX: u32 = 131_072;
/// How long a connection may take to be accepted.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the broker may take for an answer, seconds.
const ANSWER_PATIENCE_S: u64 = 60;

/// A connection whose channel is open.
pub(in crate::cli) struct Connection {
    socket: Socket,
    pub(in crate::cli) input: Input,
    pub(in crate::cli) output: Output,
    pub(in crate::cli) held: Held,
    clock: Clock,
    pub(in crate::cli) frame_bytes_max: usize,
    /// What the broker calls itself: product and version.
    pub(in crate::cli) product: String,
}

/// What has come and is not looked at yet.
pub(in crate::cli) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    payload_bytes_max: usize,
}

/// What waits to be written.
#[derive(Default)]
pub(in crate::cli) struct Output {
    pub(in crate::cli) bytes: Vec<u8>,
    written: usize,
}

/// Why nothing may be published now.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Held {
    blocked: bool,
    flow_stopped: bool,
    /// The broker has closed the channel for an error.
    channel_closed: bool,
    /// How often the broker has asked for a pause.
    pub(in crate::cli) count: u64,
}

impl Held {
    /// Whether publishing has to wait.
    pub(in crate::cli) fn is_on(self) -> bool {
        self.blocked || self.flow_stopped
    }
}

impl Connection {
    /// Connects, logs in and opens channel 1; `buffer_bytes` are read at once.
    pub(in crate::cli) fn open(
        target: &Target,
        clock: Clock,
        buffer_bytes: usize,
    ) -> Result<Self, ClientError> {
        let mut connection = Self::open_small(target, clock)?;
        connection.input.grow(buffer_bytes.max(connection.frame_bytes_max), connection.frame_bytes_max);
        Ok(connection)
    }

    /// The same for a connection that hears no more than answers to declarations.
    pub(in crate::cli) fn open_small(target: &Target, clock: Clock) -> Result<Self, ClientError> {
        let mut connection = Self::log_in(target, clock)?;
        connection.call(Method::CHANNEL_OPEN, |out| out.push(0))?;
        Ok(connection)
    }

    /// Leaves nothing but the socket: an idle connection needs no buffers.
    pub(in crate::cli) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Opens the channel again that the broker has closed for an error.
    pub(in crate::cli) fn reopen_channel(&mut self) -> Result<(), ClientError> {
        self.held.channel_closed = false;
        self.send(Method::CHANNEL_CLOSE_OK, |_| {});
        self.call(Method::CHANNEL_OPEN, |out| out.push(0)).map(drop)
    }

    /// Whether the broker has closed the channel for an error, which [`Self::reopen_channel`] undoes.
    pub(in crate::cli) fn is_channel_closed(&self) -> bool {
        self.held.channel_closed
    }

    /// Begins a new life of the channel, in which delivery tags and publishes count from 1 again. What was delivered and not
    /// acknowledged goes back to its queue.
    pub(in crate::cli) fn renew_channel(&mut self) -> Result<(), ClientError> {
        self.close_channel()?;
        self.call(Method::CHANNEL_OPEN, |out| out.push(0)).map(drop)
    }

    fn log_in(target: &Target, clock: Clock) -> Result<Self, ClientError> {
        let mut connection = Self {
            socket: connect(target)?,
            input: Input::new(HANDSHAKE_BUFFER_BYTES),
            output: Output::default(),
            held: Held::default(),
            clock,
            frame_bytes_max: FRAME_BYTES_MAX as usize,
            product: String::new(),
        };
        connection.output.bytes.extend(b"AMQP\x00\x00\x09\x01");
        let start = connection.answer(Method::START, "before the login")?;
        connection.product = product(&start).unwrap_or_default();
        put_method(&mut connection.output.bytes, 0, Method::START_OK, |out| start_ok(out, target));
        let tune = connection.answer(Method::TUNE, "at the login (a refused one, mostly)")?;
        let mut tune = Reader::new(&tune);
        let (channels_max, frame_bytes_max) = (tune.short()?, tune.long()?);
        // 0 is no limit.
        let frame_bytes_max = if frame_bytes_max == 0 { FRAME_BYTES_MAX } else { frame_bytes_max };
        let frame_bytes_max = frame_bytes_max.min(FRAME_BYTES_MAX);
        connection.frame_bytes_max = frame_bytes_max as usize;
        let output = &mut connection.output.bytes;
        put_method(output, 0, Method::TUNE_OK, |out| {
            out.extend(channels_max.to_be_bytes());
            out.extend(frame_bytes_max.to_be_bytes());
            // No heartbeats: a measurement sends and reads all the time, or is idle on purpose.
            out.extend([0, 0]);
        });
        put_method(output, 0, Method::OPEN, |out| {
            put_short_string(out, &target.vhost);
            out.extend([0, 0]);
        });
        connection.answer(Method::OPEN.answer(), "at the vhost")?;
        Ok(connection)
    }

    /// Calls a synchronous method on the channel and returns the fields of its answer.
    pub(in crate::cli) fn call(
        &mut self,
        method: Method,
        fields: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Vec<u8>, ClientError> {
        self.send(method, fields);
        self.answer_of(method)
    }

    /// Appends a method on the channel; [`Self::answer_of`] waits for what it is answered with.
    pub(in crate::cli) fn send(&mut self, method: Method, fields: impl FnOnce(&mut Vec<u8>)) {
        put_method(&mut self.output.bytes, CHANNEL, method, fields);
    }

    /// Waits for the answer to a method that was sent.
    pub(in crate::cli) fn answer_of(&mut self, method: Method) -> Result<Vec<u8>, ClientError> {
        self.answer(method.answer(), "which owed an answer")
    }

    /// Closes the channel in good order: what was sent on it before has been taken when this returns.
    pub(in crate::cli) fn close_channel(&mut self) -> Result<(), ClientError> {
        self.call(Method::CHANNEL_CLOSE, close_fields).map(drop)
    }

    /// Closes the connection in good order.
    pub(in crate::cli) fn close(mut self) -> Result<(), ClientError> {
        put_method(&mut self.output.bytes, 0, Method::CONNECTION_CLOSE, close_fields);
        self.answer(Method::CONNECTION_CLOSE.answer(), "which was told to close").map(drop)
    }

    fn answer(&mut self, expected: Method, while_doing: &'static str) -> Result<Vec<u8>, ClientError> {
        let deadline_ns = self.clock.now_ns() + ANSWER_PATIENCE_S * 1_000_000_000;
        loop {
            self.send_some()?;
            while let Some(frame) = self.input.next()? {
                match frame {
                    Frame::Method(method, fields) if method == expected => return Ok(fields.to_vec()),
                    Frame::Method(method, fields) => {
                        control(method, fields, &mut self.output, &mut self.held)?;
                    }
                    Frame::Header { .. } | Frame::Body(_) | Frame::Heartbeat => {}
                }
            }
            let more = self.read_some().map_err(|error| match error {
                ClientError::HungUp { .. } => ClientError::HungUp { while_doing },
                other => other,
            })?;
            if more {
                continue;
            }
            let now_ns = self.clock.now_ns();
            if now_ns >= deadline_ns {
                let while_doing = while_doing.to_owned();
                return Err(ClientError::Silent { while_doing, seconds: ANSWER_PATIENCE_S });
            }
            self.wait(None, Some(deadline_ns - now_ns))?;
        }
    }

    /// Writes what the socket takes now.
    pub(in crate::cli) fn send_some(&mut self) -> Result<(), ClientError> {
        while let Some(rest) = self.output.bytes.get(self.output.written..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(count) => self.output.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return self.broken(error),
            }
        }
        if let Err(error) = self.socket.push() {
            return self.broken(error);
        }
        self.output.bytes.clear();
        self.output.written = 0;
        Ok(())
    }

    /// A write failed: the broker may have said why before it hung up, and that is told rather than the failure.
    fn broken(&mut self, error: std::io::Error) -> Result<(), ClientError> {
        while self.read_some()? {
            while let Some(frame) = self.input.next()? {
                if let Frame::Method(method, fields) = frame {
                    control(method, fields, &mut Output::default(), &mut self.held)?;
                }
            }
        }
        Err(error.into())
    }

    /// Whether the socket did not take all of it.
    pub(in crate::cli) fn has_unsent(&self) -> bool {
        !self.output.bytes.is_empty()
    }

    /// Reads what is there, without waiting. Returns whether there was anything.
    pub(in crate::cli) fn read_some(&mut self) -> Result<bool, ClientError> {
        let room = self.input.room();
        loop {
            match self.socket.read(room) {
                Ok(0) => return Err(ClientError::HungUp { while_doing: "in the middle of its work" }),
                Ok(count) => {
                    self.input.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(ClientError::HungUp { while_doing: "with a reset" });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether there may be something to read after [`Self::read_some`] although nobody would be woken for it.
    pub(in crate::cli) fn may_hold_back(&self) -> bool {
        self.socket.may_hold_back()
    }

    /// Bytes that wait to be written.
    pub(in crate::cli) fn unsent_bytes(&self) -> usize {
        self.output.bytes.len() - self.output.written
    }

    /// Waits until there is something to read, room for what is unsent, a signal, or the time has passed (ns).
    pub(in crate::cli) fn wait(
        &self,
        signal: Option<&Signal>,
        timeout_ns: Option<u64>,
    ) -> Result<(), ClientError> {
        match signal {
            Some(signal) => {
                let signal = signal.descriptor();
                wait_for(&mut [self.interest(true), PollFd::new(&signal, PollFlags::IN)], timeout_ns)
            }
            None => wait_for(&mut [self.interest(true)], timeout_ns),
        }
    }

    /// What [`wait_for`] waits for on this connection: room for what is unsent, and, if `reads`, something to read.
    pub(in crate::cli) fn interest(&self, reads: bool) -> PollFd<'_> {
        let mut interest = PollFlags::empty();
        if reads {
            interest |= PollFlags::IN;
        }
        if self.has_unsent() || self.socket.wants_write() {
            interest |= PollFlags::OUT;
        }
        PollFd::from_borrowed_fd(self.socket.tcp().as_fd(), interest)
    }
}

/// Waits until one of these is ready, or the time has passed (ns).
pub(in crate::cli) fn wait_for(ready: &mut [PollFd<'_>], timeout_ns: Option<u64>) -> Result<(), ClientError> {
    let timeout = timeout_ns.map(|ns| Timespec {
        tv_sec: (ns / 1_000_000_000).cast_signed(),
        tv_nsec: (ns % 1_000_000_000).cast_signed(),
    });
    match poll(ready, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Input {
    fn new(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], start: 0, end: 0, payload_bytes_max: bytes - FRAME_OVERHEAD_BYTES }
    }

    fn grow(&mut self, bytes: usize, frame_bytes_max: usize) {
        self.buffer.resize(bytes, 0);
        self.payload_bytes_max = frame_bytes_max - FRAME_OVERHEAD_BYTES;
    }

    /// The next whole frame.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Frame<'_>>, ClientError> {
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((frame, length)) = frame(bytes, self.payload_bytes_max)? else { return Ok(None) };
        self.start += length;
        Ok(Some(frame))
    }

    /// Where the next bytes are read to; what is incomplete moves to the front when the end comes near.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < self.buffer.len() / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }
}

/// Obeys a method that may come at any time: a pause, its end, a close. Others are left alone.
pub(in crate::cli) fn control(
    method: Method,
    fields: &[u8],
    output: &mut Output,
    held: &mut Held,
) -> Result<(), ClientError> {
    match method {
        Method::BLOCKED => {
            held.blocked = true;
            held.count += 1;
        }
        Method::UNBLOCKED => held.blocked = false,
        Method::FLOW => {
            let active = Reader::new(fields).octet()? & 1;
            held.flow_stopped = active == 0;
            held.count += u64::from(active == 0);
            put_method(&mut output.bytes, CHANNEL, Method::FLOW_OK, |out| out.push(active));
        }
        Method::CONNECTION_CLOSE => return Err(closed("connection", fields)?),
        Method::CHANNEL_CLOSE => {
            held.channel_closed = true;
            return Err(closed("channel", fields)?);
        }
        Method::CANCEL => {
            return Err(ClientError::Protocol("the end of a consumer whose queue nobody deleted".to_owned()));
        }
        Method(..) => {}
    }
    Ok(())
}

fn closed(scope: &'static str, fields: &[u8]) -> Result<ClientError, ClientError> {
    let mut reader = Reader::new(fields);
    let code = reader.short()?;
    let length = usize::from(reader.octet()?);
    let text = String::from_utf8_lossy(reader.slice(length)?).into_owned();
    Ok(ClientError::Closed { scope, code, text })
}

fn close_fields(out: &mut Vec<u8>) {
    out.extend(200_u16.to_be_bytes());
    out.extend([0; 5]);
}

fn connect(target: &Target) -> Result<Socket, ClientError> {
    let unreachable = |source| ClientError::Unreachable { place: target.place(), source };
    let mut failure = std::io::Error::other("the name has no address");
    for address in (&*target.host, target.port).to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                return Socket::new(stream, target);
            }
            Err(error) => failure = error,
        }
    }
    Err(unreachable(failure))
}

fn start_ok(out: &mut Vec<u8>, target: &Target) {
    put_table(out, |out| {
        put_pair(out, "product", target.client);
        put_pair(out, "connection_name", target.client);
        put_short_string(out, "capabilities");
        out.push(b'F');
        put_table(out, |out| {
            for capability in [
                "publisher_confirms",
                "basic.nack",
                "connection.blocked",
                "consumer_cancel_notify",
                "authentication_failure_close",
            ] {
                put_pair(out, capability, "true");
            }
        });
    });
    put_short_string(out, "PLAIN");
    put_long_string(out, format!("\0{}\0{}", target.user, target.password).as_bytes());
    put_short_string(out, "en_US");
}

/// Product and version from the fields of connection.start.
fn product(start: &[u8]) -> Option<String> {
    let mut reader = Reader::new(start);
    reader.array::<2>().ok()?;
    let properties = Fields::from_wire(reader.long_string().ok()?).ok()?;
    let text = |name| properties.get(name).and_then(|value| value.as_str());
    Some(format!("{} {}", text("product")?, text("version").unwrap_or_default()).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_asked_for_its_name() {
        let mut start = vec![0, 9];
        put_table(&mut start, |out| {
            put_short_string(out, "capabilities");
            out.push(b'F');
            put_table(out, |out| put_pair(out, "basic.nack", "true"));
            put_pair(out, "product", "RabbitMQ");
            put_pair(out, "version", "3.10.8");
        });
        assert_eq!(product(&start).as_deref(), Some("RabbitMQ 3.10.8"));
        assert_eq!(product(&[0, 9, 0, 0, 0, 9]), None);
    }

    #[test]
    fn pauses_and_closes_are_obeyed() {
        let (mut output, mut held) = (Output::default(), Held::default());
        let mut take = |method, fields: &[u8]| control(method, fields, &mut output, &mut held).map(|()| held);
        assert!(take(Method::BLOCKED, b"\0").unwrap().is_on());
        assert!(!take(Method::UNBLOCKED, b"").unwrap().is_on());
        assert!(take(Method::FLOW, &[0]).unwrap().is_on());
        assert_eq!(take(Method::FLOW, &[1]).map(|held| (held.is_on(), held.count)).unwrap(), (false, 2));
        let error = take(Method::CHANNEL_CLOSE, b"\x01\x94\x0aNOT_FOUND!\0\x3c\0\x28").unwrap_err();
        assert_eq!(error.to_string(), "the broker closed the channel: 404 NOT_FOUND!");
        assert!(take(Method::CONNECTION_CLOSE, &[1]).is_err(), "a close without its text");
        assert!(!output.bytes.is_empty(), "flow is answered");
    }

    #[test]
    fn frames_are_found_however_they_arrive() {
        let mut bytes = Vec::new();
        for number in 0..40_u8 {
            put_method(&mut bytes, 1, Method::ACK, |out| out.extend([number; 9]));
        }
        let mut input = Input::new(64);
        let (mut rest, mut found) = (&*bytes, 0);
        while found < 40 {
            let room = input.room();
            let count = room.len().min(7).min(rest.len());
            assert!(count > 0, "there is always room for the rest of a frame");
            room[..count].copy_from_slice(&rest[..count]);
            input.end += count;
            rest = &rest[count..];
            while let Some(frame) = input.next().unwrap() {
                assert_eq!(frame, Frame::Method(Method::ACK, &[found; 9]));
                found += 1;
            }
        }
        assert!(rest.is_empty());
    }
}
