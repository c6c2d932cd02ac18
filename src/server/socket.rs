//! What a connection task needs of a socket: reading and writing without waiting. Implemented by a plain TCP socket here
//! and by one with TLS in `tls_socket`; the task is compiled for each, so that the plain one pays nothing for the other.

use bytes::{BufMut, BytesMut};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// See the file's head.
pub(super) trait Socket: Send + Unpin + 'static {
    /// Reads into `buffer`; ready with nothing read means that the peer closed its side.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Reads at most `limit` bytes to the end of `buffer`; 0 means that the peer closed its side.
    fn poll_read_behind(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>>;

    /// Whether reading is worth a try.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether writing is worth a try.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes what it can; [`ErrorKind::WouldBlock`] if nothing.
    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether bytes that were taken are still to be sent by [`Self::flush`].
    fn holds_bytes(&self) -> bool {
        false
    }

    /// Sends what can be sent now of the bytes that were taken.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// No more will be written.
    fn say_end(&mut self) {}
}

impl Socket for TcpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(self), cx, buffer)
    }

    fn poll_read_behind(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.try_read_buf(&mut (&mut *buffer).limit(limit)) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_read_ready(self, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_write_ready(self, cx)
    }

    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        TcpStream::try_write_vectored(self, slices)
    }
}
