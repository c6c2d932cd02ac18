//! How a connection ends, from either side, and what time does to it: heartbeats and the end of patience.

use super::{Connection, ConnectionEffects, Request, Stage};
use crate::limits::CLOSE_GRACE_MS;
use crate::protocol::method_id::MethodId;
use crate::protocol::reply::ConnectionError;
use crate::protocol::server_method::ServerMethod;

impl Connection {
    /// Ends the connection for an error: connection.close to the client, the channels are gone, the vhost lets go.
    pub(super) fn fail(
        &mut self,
        error: &ConnectionError,
        cause: MethodId,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) {
        out.requests.push(Request::Log(format!("{} closed with {error}", self.peer)));
        let close = ServerMethod::ConnectionClose {
            reply_code: error.code.code(),
            reply_text: &error.reply_text(),
            cause,
        };
        out.outbound.method(0, &close);
        let closing = Stage::Closing { deadline_ms: now_ms + CLOSE_GRACE_MS, deaf: false };
        if let Stage::Running(mut running) = std::mem::replace(&mut self.stage, closing) {
            running.release_parked(self.read_from, out);
            out.requests.push(Request::Detach);
        }
    }

    /// connection.close of the client. What it had published goes on its way, also what an alarm held back.
    pub(super) fn close_by_client(&mut self, out: &mut ConnectionEffects) {
        if let Stage::Running(mut running) = std::mem::replace(&mut self.stage, Stage::Detaching) {
            running.release_parked(self.read_from, out);
            out.requests.push(Request::Detach);
        }
    }

    /// The vhost has let go of everything of this connection.
    pub fn detached(&mut self, now_ms: u64, out: &mut ConnectionEffects) {
        if let Stage::Detaching = self.stage {
            out.outbound.method(0, &ServerMethod::ConnectionCloseOk);
            self.linger(now_ms);
        }
    }

    /// Waits for the client to close its socket: closing ours while it still sends would lose what we said last.
    pub(super) fn linger(&mut self, now_ms: u64) {
        self.stage = Stage::Lingering { deadline_ms: now_ms + CLOSE_GRACE_MS };
    }

    pub(super) fn close_socket(&mut self, out: &mut ConnectionEffects) {
        self.stage = Stage::Over;
        out.requests.push(Request::CloseSocket);
    }

    /// Does what time asks for: heartbeats, the handshake's end, the end of patience with a silent client.
    pub fn tick(&mut self, now_ms: u64, out: &mut ConnectionEffects) {
        self.tick_half_received(now_ms, out);
        match &self.stage {
            Stage::Handshake { deadline_ms, step } => {
                if now_ms >= *deadline_ms {
                    let log = format!("{} took too long in state {}", self.peer, step.name());
                    out.requests.push(Request::Log(log));
                    return self.close_socket(out);
                }
            }
            Stage::Running(_) | Stage::Detaching => {
                if matches!(&self.bearer, Some(bearer) if bearer.expires_ms <= now_ms)
                    && matches!(self.stage, Stage::Running(_))
                {
                    return self.force_close("credential expired", now_ms, out);
                }
                if self.wants_input() && self.heartbeat.is_missed(now_ms) {
                    out.requests.push(Request::Log(format!("{} missed heartbeats", self.peer)));
                    self.socket_closed(out);
                    return self.close_socket(out);
                }
            }
            Stage::Closing { deadline_ms, .. } | Stage::Lingering { deadline_ms } => {
                if now_ms >= *deadline_ms {
                    self.close_socket(out);
                }
                return;
            }
            Stage::Over => return,
        }
        if self.heartbeat.is_due(now_ms) {
            out.outbound.heartbeat();
            self.heartbeat.sent(now_ms);
        }
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_deadline(&self) -> Option<u64> {
        match &self.stage {
            Stage::Handshake { deadline_ms, .. } => {
                self.heartbeat.next_deadline(false).into_iter().chain([*deadline_ms]).min()
            }
            Stage::Running(running) => {
                let heartbeat = self.heartbeat.next_deadline(self.wants_input());
                let expires = self.bearer.as_ref().map(|bearer| bearer.expires_ms);
                heartbeat.into_iter().chain(running.half_received_deadline()).chain(expires).min()
            }
            Stage::Detaching => self.heartbeat.next_deadline(self.listens()),
            Stage::Closing { deadline_ms, .. } | Stage::Lingering { deadline_ms } => Some(*deadline_ms),
            Stage::Over => None,
        }
    }
}
