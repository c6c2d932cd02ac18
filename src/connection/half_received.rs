//! The half-received messages of a connection, against what those of all connections together may hold: a client that
//! begins many large messages and finishes none is not read any further, and closed when it has had its time.
//! Messages that fit one frame are never half-received. The rule who waits is the budget's; here are the times.

use super::{Connection, ConnectionEffects, Stage};
use crate::fair_budget::{FairBudget, Share};
use crate::limits::{ASSEMBLY_LOOK_MS, ASSEMBLY_PATIENCE_MS, ASSEMBLY_TURN_MS};
use crate::protocol::method_id::MethodId;
use crate::protocol::reply::{ConnectionCode, ConnectionError};

/// See the file's head.
#[derive(Debug)]
pub(super) struct HalfReceived {
    /// What channels take bytes from.
    pub(super) share: Share,
    limit_bytes: usize,
    /// Nothing is read since then.
    waits_since_ms: Option<u64>,
    /// It is read though it holds too much since then.
    turn_since_ms: Option<u64>,
    /// When it was last asked whether it may go on.
    looked_ms: u64,
}

impl HalfReceived {
    pub(super) fn new(budget: &FairBudget) -> Self {
        Self {
            share: budget.share(),
            limit_bytes: budget.limit_bytes(),
            waits_since_ms: None,
            turn_since_ms: None,
            looked_ms: 0,
        }
    }

    /// Whether nothing more is to be read.
    pub(super) fn waits(&self) -> bool {
        self.waits_since_ms.is_some()
    }

    /// Asks whether more may be read: after each read, and while it waits now and then.
    pub(super) fn look(&mut self, now_ms: u64) {
        if self.share.held_bytes() == 0 && !self.waits() {
            return;
        }
        self.looked_ms = now_ms;
        self.waits_since_ms =
            if self.share.may_grow() { None } else { Some(self.waits_since_ms.unwrap_or(now_ms)) };
        self.turn_since_ms = self.share.has_turn().then(|| self.turn_since_ms.unwrap_or(now_ms));
    }

    fn is_out_of_time(&self, now_ms: u64) -> bool {
        let over = |since_ms: Option<u64>, ms| since_ms.is_some_and(|since_ms| now_ms >= since_ms + ms);
        over(self.waits_since_ms, ASSEMBLY_PATIENCE_MS) || over(self.turn_since_ms, ASSEMBLY_TURN_MS)
    }

    /// When to look again.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let look_ms = self.waits_since_ms.map(|_| self.looked_ms + ASSEMBLY_LOOK_MS);
        let turn_ms = self.turn_since_ms.map(|since_ms| since_ms + ASSEMBLY_TURN_MS);
        look_ms.into_iter().chain(turn_ms).min()
    }
}

impl Connection {
    /// Notes what a read left half-received.
    pub(super) fn note_half_received(&mut self, now_ms: u64) {
        if let Stage::Running(running) = &mut self.stage {
            running.half_received().look(now_ms);
        }
    }

    /// Whether it is not read because it holds too much of what all connections share.
    pub(super) fn waits_for_others(&self) -> bool {
        matches!(&self.stage, Stage::Running(running) if running.waits_for_others())
    }

    /// Time passed for a connection that holds much: it may go on, or must go.
    pub(super) fn tick_half_received(&mut self, now_ms: u64, out: &mut ConnectionEffects) {
        let Stage::Running(running) = &mut self.stage else { return };
        let half_received = running.half_received();
        if half_received.next_deadline().is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        let waited = half_received.waits();
        half_received.look(now_ms);
        if half_received.is_out_of_time(now_ms) {
            let text = format!(
                "{} bytes of unfinished messages, while those of all connections come to more than {}",
                half_received.share.held_bytes(),
                half_received.limit_bytes
            );
            let error = ConnectionError::new(ConnectionCode::ConnectionForced, text);
            self.fail(&error, MethodId::default(), now_ms, out);
        } else if waited && !half_received.waits() {
            // Silence while we did not read was ours.
            self.heartbeat.received(now_ms);
        }
    }
}
