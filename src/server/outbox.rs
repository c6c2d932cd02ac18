//! The way from the machine's outbound bytes to the socket, and the account of deliveries on it: what the vhost has
//! handed over counts against its budget for this connection until the socket took it.

use super::socket::Socket;
use crate::connection::ConnectionEffects;
use crate::limits::OUTBOX_BYTES_MAX;
use crate::protocol::outbound::Outbound;
use bytes::Buf;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};

/// Pieces of one vectored write.
const SLICES_MAX: usize = 64;
/// Written deliveries are reported once they come to this many bytes: a report for each write would cost more than the
/// room it gives back, and what is held back never fills the budget.
const REPORT_BYTES: usize = OUTBOX_BYTES_MAX / 8;

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Bytes the socket has taken since the start.
    written: u64,
    /// Writes that took some.
    write_count: u64,
    /// For deliveries not yet written: where in the stream they end, and what they count for.
    deliveries: VecDeque<(u64, usize)>,
    drained_bytes: usize,
}

impl Outbox {
    /// Bytes the socket has taken since the start.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written
    }

    /// Writes in which it did.
    pub(super) fn write_count(&self) -> u64 {
        self.write_count
    }

    /// Notes the deliveries that the machine has encoded since the last call.
    pub(super) fn note_deliveries(&mut self, effects: &mut ConnectionEffects) {
        if effects.drained_bytes > 0 {
            let end = self.written + effects.outbound.len() as u64;
            self.deliveries.push_back((end, std::mem::take(&mut effects.drained_bytes)));
        }
    }

    /// Writes what the socket takes now.
    pub(super) fn write(&mut self, stream: &mut impl Socket, outbound: &mut Outbound) -> io::Result<()> {
        if stream.holds_bytes() {
            stream.flush()?;
        }
        while !outbound.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = outbound.chunks_vectored(&mut slices);
            match stream.try_write_vectored(slices.get(..used).unwrap_or_default()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    outbound.advance(written);
                    self.written += written as u64;
                    self.write_count += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        while let Some((end, bytes)) = self.deliveries.front()
            && *end <= self.written
        {
            self.drained_bytes += bytes;
            self.deliveries.pop_front();
        }
        Ok(())
    }

    /// Bytes of deliveries to report to the vhost as written; 0 while it is not worth it.
    pub(super) fn take_drained(&mut self) -> usize {
        if self.drained_bytes < REPORT_BYTES {
            return 0;
        }
        std::mem::take(&mut self.drained_bytes)
    }

    /// Writes everything, however long the socket takes, and that it was all.
    pub(super) async fn drain(
        &mut self,
        stream: &mut impl Socket,
        outbound: &mut Outbound,
    ) -> io::Result<()> {
        let mut has_ended = false;
        loop {
            self.write(stream, outbound)?;
            if outbound.is_empty() && !has_ended {
                has_ended = true;
                stream.say_end();
                continue;
            }
            if outbound.is_empty() && !stream.holds_bytes() {
                return Ok(());
            }
            poll_fn(|cx| stream.poll_write_ready(cx)).await?;
        }
    }
}
