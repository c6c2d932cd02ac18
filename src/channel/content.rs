//! Content on its way in: method, then header, then as many body frames as the header announced, with nothing in between.
//!
//! Nothing is allocated by what a header claims: memory grows with what has arrived, and what has arrived is counted
//! against the connection's bound, and that of all connections together. Does not know what the finished content is for.
//! Source: AMQP 0-9-1 §4.2.6; texts: RabbitMQ's `rabbit_command_assembler`, `rabbit_basic:check_msg_size`.

use super::Failure;
use super::publish::Announced;
use crate::fair_budget::Share;
use crate::limits::{ASSEMBLY_BYTES_MAX, ASSEMBLY_RESERVE_BYTES, CONTENT_BYTES_MAX};
use crate::protocol::content::{ContentHeader, NOT_A_HEADER};
use crate::protocol::method_id::MethodId;
use crate::protocol::reply::{ChannelCode, ChannelError, ConnectionCode, ConnectionError};
use bytes::Bytes;

/// What has arrived of a content.
#[derive(Debug, Default)]
pub(super) enum Assembly {
    #[default]
    Idle,
    AwaitHeader(Announced),
    AwaitBody(Partial),
}

/// A content whose body is incomplete.
#[derive(Debug)]
pub(super) struct Partial {
    announced: Announced,
    properties: Bytes,
    body: Vec<u8>,
    missing_bytes: u64,
}

/// A content that is all there.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) announced: Announced,
    pub(super) properties: Bytes,
    pub(super) body: Bytes,
}

impl Assembly {
    /// What is wrong with a method that comes now.
    pub(super) fn interrupted(&self) -> Option<ConnectionError> {
        match self {
            Self::Idle => None,
            Self::AwaitHeader(_) => {
                Some(unexpected("expected content header for class 60, got non content header frame instead"))
            }
            Self::AwaitBody(_) => {
                Some(unexpected("expected content body, got non content body frame instead"))
            }
        }
    }

    /// The method that an error in the content names.
    pub(super) fn cause(&self) -> MethodId {
        match self {
            Self::Idle => MethodId::default(),
            Self::AwaitHeader(_) | Self::AwaitBody(_) => MethodId::BASIC_PUBLISH,
        }
    }

    /// Takes a content header's payload; `properties` makes the bytes to keep. Returns the content if it has no body.
    pub(super) fn header(
        &mut self,
        payload: &[u8],
        message_bytes_max: u64,
        properties: impl FnOnce(&[u8]) -> Bytes,
    ) -> Result<Option<Content>, Failure> {
        let announced = match std::mem::take(self) {
            Self::AwaitHeader(announced) => announced,
            Self::Idle => return Err(unexpected(EXPECTED_METHOD).into()),
            state @ Self::AwaitBody(_) => {
                *self = state;
                return Err(unexpected("expected content body, got non content body frame instead").into());
            }
        };
        let header = ContentHeader::decode(payload)?;
        check_size(header.body_bytes, message_bytes_max)?;
        let properties = properties(header.properties);
        if header.body_bytes == 0 {
            return Ok(Some(Content { announced, properties, body: Bytes::new() }));
        }
        *self = Self::AwaitBody(Partial {
            announced,
            properties,
            body: Vec::new(),
            missing_bytes: header.body_bytes,
        });
        Ok(None)
    }

    /// Takes a piece of the body. Returns the content once nothing is missing. `lent` is the memory `piece` is in, if it may
    /// be kept. `held` counts half-received bodies of the whole connection.
    pub(super) fn body(
        &mut self,
        piece: &[u8],
        lent: Option<&Bytes>,
        message_bytes_max: u64,
        held: &mut Share,
    ) -> Result<Option<Content>, ConnectionError> {
        let partial = match self {
            Self::AwaitBody(partial) => partial,
            Self::Idle => return Err(unexpected(EXPECTED_METHOD)),
            Self::AwaitHeader(_) => {
                return Err(unexpected(NOT_A_HEADER));
            }
        };
        let Some(missing) = partial.missing_bytes.checked_sub(piece.len() as u64) else {
            let more = piece.len() as u64 - partial.missing_bytes;
            return Err(ConnectionError::new(
                ConnectionCode::FrameError,
                format!("content body is {more} bytes longer than its header says"),
            ));
        };
        partial.missing_bytes = missing;
        if missing > 0 {
            partial.push(piece);
            held.take(piece.len());
            return check_held(held.held_bytes(), message_bytes_max).map(|()| None);
        }
        let Self::AwaitBody(partial) = std::mem::take(self) else { return Ok(None) };
        held.give(partial.body.len());
        Ok(Some(partial.finish(piece, lent)))
    }

    /// Gives back what a half-received body holds: its channel is gone.
    pub(super) fn release(&self, held: &mut Share) {
        if let Self::AwaitBody(partial) = self {
            held.give(partial.body.len());
        }
    }
}

impl Partial {
    fn push(&mut self, piece: &[u8]) {
        let spare = self.body.capacity() - self.body.len();
        if spare < piece.len() {
            // Doubles like any vector, but never beyond what was announced.
            let total = self.body.len() + piece.len();
            let wanted = (total + self.missing_bytes as usize).min(total.max(ASSEMBLY_RESERVE_BYTES) * 2);
            self.body.reserve_exact(wanted - self.body.len());
        }
        self.body.extend_from_slice(piece);
    }

    /// The common case, a body of one piece, is copied once, or not at all.
    fn finish(self, last: &[u8], lent: Option<&Bytes>) -> Content {
        let Self { announced, properties, mut body, missing_bytes: _ } = self;
        let body = match lent {
            Some(memory) if body.is_empty() => memory.slice_ref(last),
            None if body.is_empty() => Bytes::copy_from_slice(last),
            Some(_) | None => {
                body.reserve_exact(last.len());
                body.extend_from_slice(last);
                Bytes::from(body)
            }
        };
        Content { announced, properties, body }
    }
}

fn check_size(body_bytes: u64, message_bytes_max: u64) -> Result<(), Failure> {
    if body_bytes > CONTENT_BYTES_MAX {
        let text = format!("content body size {body_bytes} exceeds maximum allowed size {CONTENT_BYTES_MAX}");
        return Err(ConnectionError::new(ConnectionCode::FrameError, text).into());
    }
    if body_bytes > message_bytes_max {
        let text =
            format!("message size {body_bytes} is larger than configured max size {message_bytes_max}");
        return Err(ChannelError::new(ChannelCode::PreconditionFailed, text).into());
    }
    Ok(())
}

fn check_held(held_bytes: usize, message_bytes_max: u64) -> Result<(), ConnectionError> {
    if held_bytes as u64 <= message_bytes_max.max(ASSEMBLY_BYTES_MAX) {
        return Ok(());
    }
    let text = format!("{held_bytes} bytes of unfinished messages on one connection");
    Err(ConnectionError::new(ConnectionCode::ConnectionForced, text))
}

fn unexpected(text: &str) -> ConnectionError {
    ConnectionError::new(ConnectionCode::UnexpectedFrame, text)
}

const EXPECTED_METHOD: &str = "expected method frame, got non method frame instead";
