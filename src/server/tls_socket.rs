//! A socket with TLS, after its handshake. Bytes are encrypted when the connection hands them over and kept, bounded, until
//! the peer takes them; nothing here waits. rustls asks the system for a record at a time; where there is room for many, they
//! are fetched at once, into one buffer per worker thread.

use super::socket::Socket;
use crate::limits::{TLS_FETCH_BYTES, TLS_UNSENT_BYTES_MAX};
use bytes::BytesMut;
use rustls::ServerConnection;
use std::cell::RefCell;
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// More than a record holds, of which a part may have come before. Source: RFC 8446 §5.2.
const RECORD_BYTES_MAX: usize = 16 * 1024 + 256;

thread_local! {
    static FETCHED: RefCell<Vec<u8>> = RefCell::new(vec![0; TLS_FETCH_BYTES]);
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct TlsSocket {
    tcp: TcpStream,
    tls: ServerConnection,
}

impl TlsSocket {
    /// A socket whose handshake is done.
    pub(super) fn new(tcp: TcpStream, mut tls: ServerConnection) -> Self {
        tls.set_buffer_limit(Some(TLS_UNSENT_BYTES_MAX));
        Self { tcp, tls }
    }

    /// Brings records from the peer; ready once there may be something new to read.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let read = self.tls.read_tls(&mut Incoming { tcp: &mut self.tcp, cx });
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(self.decrypt())
    }

    fn decrypt(&mut self) -> io::Result<()> {
        let processed = self.tls.process_new_packets();
        // An alert, or the answer to a key update.
        self.flush()?;
        processed.map(drop).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Brings many records from the peer, and what is in them into `buffer`, which has room for it all: no more is fetched, so
    /// that nothing is left when this returns.
    fn poll_many_records(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        FETCHED.with_borrow_mut(|fetched| {
            let most = fetched.len().min(buffer.remaining().saturating_sub(RECORD_BYTES_MAX));
            let mut fetched = ReadBuf::new(fetched.get_mut(..most).unwrap_or_default());
            ready!(AsyncRead::poll_read(Pin::new(&mut self.tcp), cx, &mut fetched))?;
            let mut encrypted = fetched.filled();
            loop {
                // The end is told too; behind it nothing is taken.
                let taken = self.tls.read_tls(&mut encrypted)?;
                self.decrypt()?;
                while let Ok(read @ 1..) = self.tls.reader().read(buffer.initialize_unfilled()) {
                    buffer.advance(read);
                }
                if encrypted.is_empty() || taken == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }
}

impl Socket for TlsSocket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            match self.tls.reader().read(buffer.initialize_unfilled()) {
                Ok(0) => break,
                Ok(read) => buffer.advance(read),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let brought = if buffer.remaining() > 2 * RECORD_BYTES_MAX {
                        self.poll_many_records(cx, buffer)
                    } else {
                        self.poll_records(cx)
                    };
                    match brought {
                        Poll::Ready(Ok(())) => {}
                        // What was read goes first; the rest comes again.
                        Poll::Pending | Poll::Ready(Err(_)) if buffer.filled().len() > before => break,
                        stopped => return stopped,
                    }
                }
                // The peer closed without a word: AMQP has its own.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read_behind(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut reader = self.tls.reader();
            match reader.fill_buf() {
                Ok(decrypted) => {
                    let taken = decrypted.get(..limit).unwrap_or(decrypted);
                    buffer.extend_from_slice(taken);
                    let read = taken.len();
                    reader.consume(read);
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.poll_records(cx))?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tls.wants_read() { self.tcp.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_write_ready(cx)
    }

    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.tls.writer().write_vectored(slices)?;
        self.flush()?;
        if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn holds_bytes(&self) -> bool {
        self.tls.wants_write()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outgoing(&self.tcp)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn say_end(&mut self) {
        self.tls.send_close_notify();
    }
}

/// The TCP socket as rustls reads it.
struct Incoming<'a, 'b> {
    tcp: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Read for Incoming<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match AsyncRead::poll_read(Pin::new(&mut *self.tcp), self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

/// The TCP socket as rustls writes to it.
struct Outgoing<'a>(&'a TcpStream);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
