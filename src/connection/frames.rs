//! Frames to whom they are for: the handshake, the connection, or a channel. Decides by the stage who may say what; the
//! rest is theirs.

use super::handshake::{Handshake, out_of_turn};
use super::{Connection, ConnectionEffects, Fatal, Request, Stage};
use crate::auth::Secret;
use crate::limits::LARGE_METHOD_BYTES;
use crate::protocol::client_method::ClientMethod;
use crate::protocol::frame::{self, Frame};
use crate::protocol::method_id::MethodId;
use crate::protocol::reply::{ConnectionCode, ConnectionError};
use crate::protocol::server_method::ServerMethod;
use crate::protocol::wire::WireError;
use std::sync::Arc;

/// connection.update-secret
pub(super) const UPDATE_SECRET: MethodId = MethodId { class: 10, method: 70 };

impl Connection {
    /// Whether bytes from the socket can be handled now.
    pub(super) fn listens(&self) -> bool {
        match &self.stage {
            Stage::Handshake { step, .. } => step.listens(),
            Stage::Running(running) => !running.parked_too_much(),
            Stage::Detaching | Stage::Closing { .. } | Stage::Lingering { .. } => true,
            Stage::Over => false,
        }
    }

    /// Handles the first frame of `input`; one that is an error ends the connection. Returns how many bytes it took; 0 if it
    /// is incomplete.
    pub(super) fn step(&mut self, input: &[u8], now_ms: u64, out: &mut ConnectionEffects) -> usize {
        match &self.stage {
            Stage::Handshake { step: Handshake::AwaitHeader, .. } => {
                return self.protocol_header(input, out);
            }
            Stage::Detaching | Stage::Lingering { .. } | Stage::Closing { deaf: true, .. } | Stage::Over => {
                return input.len();
            }
            Stage::Handshake { .. } | Stage::Running(_) | Stage::Closing { deaf: false, .. } => {}
        }
        let (frame, length) = match frame::decode(input, self.frame_bytes_max) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return 0,
            Err(error) => {
                self.lose_track(&error, now_ms, out);
                return input.len();
            }
        };
        let handled = match self.stage {
            Stage::Running(_) => self.running_frame(frame, now_ms, out),
            Stage::Handshake { .. } => self.handshake_frame(frame, now_ms, out),
            _ => {
                self.closing_frame(frame, out);
                Ok(())
            }
        };
        if let Err((error, cause)) = handled {
            self.fail(&error, cause, now_ms, out);
        }
        length
    }

    fn running_frame(
        &mut self,
        frame: Frame<'_>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let Stage::Running(running) = &mut self.stage else { return Ok(()) };
        match frame {
            Frame::Method { channel: 0, payload } => {
                let method = decode(payload)?;
                self.connection_method(&method, now_ms, out)
            }
            Frame::Method { channel, payload } => {
                let method = decode(payload)?;
                if payload.len() > LARGE_METHOD_BYTES {
                    out.method_bytes += payload.len();
                }
                running.method(channel, method, &self.client, self.frame_bytes_max, out)
            }
            Frame::Header { channel, payload } => {
                running.header(channel, payload, &self.client, self.frame_bytes_max, out)
            }
            Frame::Body { channel, payload } => {
                running.body(channel, payload, &self.client, self.frame_bytes_max, out)
            }
            Frame::Heartbeat => Ok(()),
        }
    }

    /// A method on channel 0 of a connection that runs.
    fn connection_method(
        &mut self,
        method: &ClientMethod<'_>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        match method {
            ClientMethod::ConnectionClose { .. } => {
                self.close_by_client(out);
                Ok(())
            }
            ClientMethod::ConnectionUpdateSecret { new_secret, .. } if self.login_ends() => {
                let token = Secret::new(String::from_utf8_lossy(new_secret.0));
                out.requests.push(Request::RenewToken(token));
                Ok(())
            }
            ClientMethod::ConnectionUpdateSecret { .. } => {
                self.ask_rights_again(out)?;
                out.outbound.method(0, &ServerMethod::ConnectionUpdateSecretOk);
                self.heartbeat.sent(now_ms);
                Ok(())
            }
            other => {
                let text = "unexpected method in connection state running";
                Err((ConnectionError::new(ConnectionCode::ChannelError, text), other.id()))
            }
        }
    }

    /// Whether the login was by a token that ends; a directory's answer does not.
    fn login_ends(&self) -> bool {
        self.bearer.as_ref().is_some_and(|bearer| !bearer.token.is_of_directory())
    }

    /// connection.update-secret: everything that was found allowed is asked again. The secret itself is for logins that
    /// expire; one by password does not, and any secret will do, as in RabbitMQ.
    pub(super) fn ask_rights_again(&mut self, out: &mut ConnectionEffects) -> Result<(), Fatal> {
        let Stage::Running(running) = &mut self.stage else { return Ok(()) };
        running.accounts_changed(Arc::clone(&self.accounts), &self.client, self.frame_bytes_max, out)
    }

    fn handshake_frame(
        &mut self,
        frame: Frame<'_>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let Stage::Handshake { step, .. } = &self.stage else { return Ok(()) };
        match frame {
            Frame::Method { channel: 0, payload } => {
                let method = decode(payload)?;
                self.handshake_method(method, now_ms, out)
            }
            Frame::Method { payload, .. } => {
                Err((out_of_turn(step.name()), MethodId::of(payload).unwrap_or_default()))
            }
            Frame::Header { .. } | Frame::Body { .. } => {
                let text = format!("unexpected content in connection state {}", step.name());
                Err((ConnectionError::new(ConnectionCode::UnexpectedFrame, text), MethodId::default()))
            }
            Frame::Heartbeat => Ok(()),
        }
    }

    /// A frame while our connection.close waits for its answer: nothing else counts any more.
    fn closing_frame(&mut self, frame: Frame<'_>, out: &mut ConnectionEffects) {
        let Frame::Method { channel: 0, payload } = frame else { return };
        match ClientMethod::decode(payload) {
            Ok(ClientMethod::ConnectionCloseOk) => self.close_socket(out),
            Ok(ClientMethod::ConnectionClose { .. }) => {
                out.outbound.method(0, &ServerMethod::ConnectionCloseOk);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// The boundaries of frames are lost: says why, and hears nothing any more.
    fn lose_track(&mut self, error: &ConnectionError, now_ms: u64, out: &mut ConnectionEffects) {
        match &mut self.stage {
            Stage::Closing { deaf, .. } => *deaf = true,
            Stage::Handshake { .. } | Stage::Running(_) => {
                self.fail(error, MethodId::default(), now_ms, out);
                if let Stage::Closing { deaf, .. } = &mut self.stage {
                    *deaf = true;
                }
            }
            Stage::Detaching | Stage::Lingering { .. } | Stage::Over => {
                out.requests.push(Request::Log(format!("{} sent no frame: {error}", self.peer)));
            }
        }
    }
}

fn decode(payload: &[u8]) -> Result<ClientMethod<'_>, Fatal> {
    ClientMethod::decode(payload).map_err(|error| {
        // RabbitMQ does not name the method where a short string of it is no text.
        let is_named = error.explanation != WireError::Utf8.to_string();
        let cause = if is_named { MethodId::of(payload).unwrap_or_default() } else { MethodId::default() };
        (error, cause)
    })
}
