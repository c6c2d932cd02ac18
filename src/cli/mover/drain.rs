//! One queue from one broker to the other: consumes at the source, publishes at the target, acknowledges at the source what the target
//! has confirmed. Dies either end at any time, no message is lost: it is still at the source until it is on disk at the target. What
//! was confirmed and not yet acknowledged comes twice, at most a prefetch window.
//!
//! Publishes go through a fanout exchange that is bound to the queue alone and lives as long as the move: so the queue keeps the
//! routing keys that consumers and dead-letter exchanges look at, and `CC` headers route nothing a second time.

use super::error::{End, MoveError};
use super::pass::Pass;
use super::progress::Progress;
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::client::signal::Signal;
use crate::cli::client::topology::{AUTO_DELETE, bind_queue, declare_exchange, delete_exchange};
use crate::cli::client::wire::{Method, put_short_string};
use crate::clock::Clock;
use crate::protocol::wire::Reader;
use sha2::{Digest, Sha256};

/// Our consumer.
pub(super) const TAG: &str = "ledgermq-move";

/// The two connections, each with a channel on which nothing was published or consumed yet.
pub(super) struct Ends {
    pub(super) source: Connection,
    pub(super) target: Connection,
}

/// How one queue went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Messages that the target has confirmed and the source was told to forget.
    pub(super) moved: u64,
    /// Those of them that the source had delivered before.
    pub(super) redelivered: u64,
    /// Ready messages that the source has still, as it said last.
    pub(super) remaining: u64,
    /// Why it is not empty.
    pub(super) trouble: Option<String>,
    /// It is not there.
    pub(super) is_missing: bool,
}

/// What does not change from queue to queue.
pub(super) struct Terms<'a> {
    pub(super) prefetch: u16,
    pub(super) interrupt: &'a Signal,
    pub(super) clock: Clock,
}

/// Moves a queue's messages until the source has none, or until it is interrupted.
///
/// # Errors
/// What ends all moving; trouble of this queue alone is in the outcome.
pub(super) fn drain(
    ends: &mut Ends,
    queue: &str,
    terms: &Terms<'_>,
    progress: &mut Progress,
) -> Result<Outcome, MoveError> {
    let mut outcome = Outcome::default();
    match drain_in_passes(ends, queue, terms, progress, &mut outcome) {
        Ok(()) => Ok(outcome),
        Err(MoveError::Queue(text)) => Ok(Outcome { trouble: Some(text), ..outcome }),
        Err(MoveError::Missing(text)) => Ok(Outcome { trouble: Some(text), is_missing: true, ..outcome }),
        Err(error) => Err(error),
    }
}

fn drain_in_passes(
    ends: &mut Ends,
    queue: &str,
    terms: &Terms<'_>,
    progress: &mut Progress,
    outcome: &mut Outcome,
) -> Result<(), MoveError> {
    loop {
        // On a channel without a consumer: nothing is on its way to us that the count leaves out.
        outcome.remaining = declared(&mut ends.source, End::Source, queue)?;
        if outcome.remaining == 0 || terms.interrupt.is_raised() {
            return Ok(());
        }
        declared(&mut ends.target, End::Target, queue)?;
        progress.begin(queue, outcome.moved, outcome.remaining, terms.clock.now_ns());
        let exchange = exchange_for(queue);
        let passed = prepare(ends, queue, &exchange, terms.prefetch)
            .and_then(|()| Pass::new(ends, queue, &exchange, terms, progress, outcome).run());
        // A connection that is gone needs no tidying, and says why it is gone.
        if let Err(error @ (MoveError::Connection(..) | MoveError::Other(..))) = passed {
            return Err(error);
        }
        tidy(ends, &exchange)?;
        passed?;
    }
}

/// Asks for a queue; gives how many messages are ready in it.
fn declared(connection: &mut Connection, end: End, queue: &str) -> Result<u64, MoveError> {
    ask_for(connection, queue);
    let answer = connection.answer_of(Method::QUEUE_DECLARE).and_then(|fields| ready(&fields));
    match answer.map_err(MoveError::at(end)) {
        Err(error @ (MoveError::Queue(_) | MoveError::Missing(_))) => {
            connection.reopen_channel().map_err(|failure| MoveError::Connection(end, failure))?;
            Err(error)
        }
        answer => answer,
    }
}

/// Sends a passive queue.declare.
pub(super) fn ask_for(connection: &mut Connection, queue: &str) {
    connection.send(Method::QUEUE_DECLARE, |out| {
        out.extend([0, 0]);
        put_short_string(out, queue);
        // passive
        out.push(1);
        out.extend([0; 4]);
    });
}

/// The count in queue.declare-ok.
pub(super) fn ready(fields: &[u8]) -> Result<u64, ClientError> {
    let mut reader = Reader::new(fields);
    let name_bytes = usize::from(reader.octet()?);
    reader.slice(name_bytes)?;
    Ok(reader.long()?.into())
}

/// The exchange that leads to this queue alone: always the same, so that a move that was killed leaves one behind and no more.
fn exchange_for(queue: &str) -> String {
    let digest = Sha256::digest(queue.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("ledgermq.move.{hex}")
}

fn prepare(ends: &mut Ends, queue: &str, exchange: &str, prefetch: u16) -> Result<(), MoveError> {
    let Ends { source, target } = ends;
    target
        .call(Method::CONFIRM_SELECT, |out| out.push(0))
        // It goes with the queue.
        .and_then(|_| declare_exchange(target, exchange, "fanout", AUTO_DELETE))
        .and_then(|()| bind_queue(target, queue, exchange, ""))
        .map_err(MoveError::at(End::Target))?;
    let qos = |out: &mut Vec<u8>| {
        out.extend([0; 4]);
        out.extend(prefetch.to_be_bytes());
        out.push(0);
    };
    source.call(Method::QOS, qos).map_err(MoveError::at(End::Source))?;
    // Deliveries may come before consume-ok is looked at: the pass reads both.
    source.send(Method::CONSUME, |out| {
        out.extend([0, 0]);
        put_short_string(out, queue);
        put_short_string(out, TAG);
        out.push(0);
        out.extend([0; 4]);
    });
    Ok(())
}

/// Leaves both channels as new and the target without the exchange.
fn tidy(ends: &mut Ends, exchange: &str) -> Result<(), MoveError> {
    renew(&mut ends.source, End::Source)?;
    renew(&mut ends.target, End::Target)?;
    let deleted = delete_exchange(&mut ends.target, exchange);
    match deleted.map_err(MoveError::at(End::Target)) {
        Err(MoveError::Queue(_)) => {
            ends.target.reopen_channel().map_err(|error| MoveError::Connection(End::Target, error))
        }
        deleted => deleted,
    }
}

/// A channel of which it is not known whether the broker has closed it becomes a new one.
fn renew(connection: &mut Connection, end: End) -> Result<(), MoveError> {
    let renewed = if connection.is_channel_closed() {
        connection.reopen_channel()
    } else {
        match connection.renew_channel() {
            // The broker closed it while we did.
            Err(ClientError::Closed { scope: "channel", .. }) => connection.reopen_channel(),
            renewed => renewed,
        }
    };
    renewed.map_err(|error| MoveError::Connection(end, error))
}
