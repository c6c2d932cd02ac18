//! Time to live and length limits: when the first message of a queue must go, and when a queue is looked at for it.
//!
//! Only queues that have something of the kind are *tended*; a plain publish, delivery or ack costs one branch on it. A
//! message expires at the head of its queue, never elsewhere, and is never handed out afterwards. Expiry is kept as
//! wall-clock time, because it must outlive the process, but within one process the wall clock is read once: from then on
//! it advances with the monotonic clock, so that a clock that jumps neither kills messages nor keeps them.
//!
//! A message that came while a consumer was ready is on its way out already, though the log may not have it yet. Neither
//! a time to live of 0 nor a length limit takes it back before the log has moved: that is the *grace*.

use super::dead_letter::Farewell;
use super::delayed::delay_ms;
use super::input::Effect;
use super::timers::{SetTime, Timer};
use super::topology::{QueueRecord, QueueSlot};
use super::{Context, Now, Vhost};
use crate::limits::{LEAVING_BYTES_PER_INPUT_MAX, LEAVING_RETRY_MS};
use crate::message::Message;
use crate::queue::{Availability, Death, Leaver, LeavesFrom, Overflow, QueueKind, QueueSettings};
use ledgermq_storage::Seq;

/// What a queue needs to know about the passing of time.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Time, lengths or dead letters concern this queue: it is looked at whenever something happens to it.
    pub(super) is_tended: bool,
    /// It refuses publishes when it is full.
    pub(super) refuses: bool,
    /// Messages from here on came while a consumer was ready.
    grace: Option<Seq>,
    /// A time to live was set when messages waited: those before this seq live no longer than this (unix ms).
    cap: Option<(Seq, u64)>,
    /// The time to live that messages were given so far.
    ttl_ms: Option<u64>,
    pub(super) tend_at: SetTime,
    pub(super) lease_at: SetTime,
    /// When the queue was last used, monotonic ms.
    pub(super) used_ms: u64,
}

/// The clock of expiry: wall-clock time that never jumps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    now: Now,
    /// Wall clock less monotonic clock, as they stood at the first reading.
    offset_ms: Option<u64>,
}

impl Clock {
    /// Reads the clocks. Answers whether that was the first time.
    pub(super) fn read(&mut self, now: Now) -> bool {
        self.now = now;
        let is_first = self.offset_ms.is_none();
        self.offset_ms.get_or_insert(now.unix_ms.saturating_sub(now.monotonic_ms));
        is_first
    }

    /// For waiting.
    pub(super) fn monotonic_ms(&self) -> u64 {
        self.now.monotonic_ms
    }

    /// For expiry.
    pub(super) fn expiry_ms(&self) -> u64 {
        self.now.monotonic_ms + self.offset_ms.unwrap_or_default()
    }

    /// For telling people.
    pub(super) fn unix_ms(&self) -> u64 {
        self.now.unix_ms
    }

    /// When an expiry comes, on the monotonic clock.
    fn monotonic_at(&self, expire_ms: u64) -> u64 {
        expire_ms.saturating_sub(self.offset_ms.unwrap_or_default())
    }
}

impl QueueRecord {
    /// When a message that comes now expires, unix ms; 0 = never. `own_ms` is what its publisher gave it. In a queue
    /// of a delayed exchange, when it is let go.
    pub(super) fn expire_at(&self, message: &Message, own_ms: Option<u64>, clock: &Clock) -> u64 {
        if self.delays_for.is_some() {
            return (clock.expiry_ms() + delay_ms(message).unwrap_or_default()).max(1);
        }
        let lives_ms = match (own_ms, self.settings.message_ttl_ms) {
            (None, None) => return 0,
            _ if self.stream.is_some() => return 0,
            (Some(one), Some(other)) => one.min(other),
            (Some(ms), None) | (None, Some(ms)) => ms,
        };
        (clock.expiry_ms() + lives_ms).max(1)
    }

    /// When its first message expires, unix ms, if it is known and does.
    fn head_expires_at(&self) -> Option<u64> {
        let head = self.queue.head()?;
        let own = (head.expire_unix_ms != 0).then_some(head.expire_unix_ms);
        let cap = self.life.cap.filter(|(before, _)| head.seq < *before).map(|(_, at_ms)| at_ms);
        own.into_iter().chain(cap).min()
    }

    /// Whether its first message must not be handed out any more.
    pub(super) fn is_head_expired(&self, clock: &Clock) -> bool {
        self.head_expires_at().is_some_and(|at_ms| at_ms <= clock.expiry_ms()) && !self.has_grace()
    }

    /// Whether its first message came while a consumer was ready, and one still is.
    fn has_grace(&self) -> bool {
        let Some(from) = self.life.grace else { return false };
        self.queue.head().is_some_and(|head| head.seq >= from) && self.queue.has_ready_consumer()
    }

    /// Whether its first message must make room.
    fn is_over_limit(&self) -> bool {
        let (count_max, bytes_max) = (self.settings.length_max, self.settings.length_bytes_max);
        self.settings.overflow == Overflow::DropHead
            && (count_max.is_some_and(|max| self.queue.ready_count() > max)
                || bytes_max.is_some_and(|max| self.queue.ready_bytes_min() > max))
            && !(self.life.grace.is_some() && self.queue.has_ready_consumer())
    }

    /// Whether it has no room for another message of this size, besides `count` messages of `bytes` bytes on their way.
    pub(super) fn refuses(&self, message: &Message, (count, bytes): (u64, u64)) -> bool {
        let count = self.queue.ready_count() + count + 1;
        let bytes = self.queue.ready_bytes_min() + bytes + message.body.len() as u64;
        self.life.refuses
            && (self.settings.length_max.is_some_and(|max| count > max)
                || self.settings.length_bytes_max.is_some_and(|max| bytes > max))
    }

    /// What happens to it when a message came: `expire_unix_ms` is the message's.
    pub(super) fn message_came(&mut self, seq: Seq, expire_unix_ms: u64) {
        self.life.is_tended |= expire_unix_ms != 0;
        if self.life.is_tended && self.life.grace.is_none() && self.queue.has_ready_consumer() {
            self.life.grace = Some(seq);
        }
    }

    /// The next message that must leave from there.
    pub(super) fn leaver(&self, from: LeavesFrom, clock: &Clock) -> Option<Leaver> {
        match from {
            LeavesFrom::Hand => self.queue.next_leaver(),
            LeavesFrom::Head if self.is_head_expired(clock) => self.queue.leaving_head(Death::Expired),
            LeavesFrom::Head if self.is_over_limit() => self.queue.leaving_head(Death::MaxLength),
            LeavesFrom::Head => None,
        }
    }
}

impl Vhost {
    /// Reads the clock and does what has become due. At first, every queue begins to count.
    pub(super) fn begin_input(&mut self, now: Now, cx: &mut Context<'_>) {
        self.leaving_bytes_left = LEAVING_BYTES_PER_INPUT_MAX;
        if self.clock.read(now) {
            let slots: Vec<_> = self.topology.queues.iter().map(|(slot, _)| slot).collect();
            for slot in slots {
                self.apply_settings(slot, cx);
                self.use_queue(slot);
            }
            self.remove_orphans(cx);
        }
        while let Some((slot, timer)) = self.timers.pop(now.monotonic_ms) {
            let Some(record) = self.topology.queues.get_mut(slot) else { continue };
            match timer {
                Timer::Tend => {
                    record.life.tend_at.is_over();
                    if record.stream.is_some() {
                        self.trim_stream(slot, cx);
                    }
                    self.look_at(slot);
                }
                Timer::Lease => {
                    record.life.lease_at.is_over();
                    self.lease_ended(slot, cx);
                }
            }
        }
    }

    /// The settings of a queue are new, or it is: they hold at once. A time to live counts from now for what already waits.
    pub(super) fn apply_settings(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        if record.delays_for.is_some() {
            // No policy governs it.
            record.settings = QueueSettings::default();
            record.life.is_tended = true;
            return self.look_at(slot);
        }
        let settings = &record.settings;
        if settings.kind == QueueKind::Stream {
            return self.trim_stream(slot, cx);
        }
        let is_limited = settings.length_max.is_some() || settings.length_bytes_max.is_some();
        let refuses = is_limited && settings.overflow != Overflow::DropHead;
        match (record.life.refuses, refuses) {
            (false, true) => self.refusing_count += 1,
            (true, false) => self.refusing_count -= 1,
            (false, false) | (true, true) => {}
        }
        record.life.refuses = refuses;
        record.life.is_tended |= is_limited
            || settings.message_ttl_ms.is_some()
            || settings.dead_letter_exchange.is_some()
            || settings.counts_returns();
        if let Some(ttl_ms) = settings.message_ttl_ms
            && record.life.ttl_ms.is_some_and(|before| ttl_ms < before)
        {
            record.life.cap = Some((record.queue.next_seq(), (self.clock.expiry_ms() + ttl_ms).max(1)));
        }
        record.life.ttl_ms = Some(settings.message_ttl_ms.unwrap_or(u64::MAX));
        record.queue.keep_held(settings.dead_letter_exchange.is_some());
        record.queue.count_returns(settings.counts_returns(), settings.delivery_limit);
        // A lease begins when it is given: a policy must not end at once what has long been idle.
        record.life.used_ms = self.clock.monotonic_ms();
        self.set_lease(slot);
        self.look_at(slot);
        self.tend(slot, cx);
    }

    /// A queue is about to go. What a consumer rejected before goes first, as far as it is in memory; the rest goes with it.
    pub(super) fn end_life(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        while let Some(leaver) = self.topology.queues.get(slot).and_then(|record| record.queue.next_leaver())
            && self.bury(slot, &leaver, cx) == Farewell::Gone
        {}
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        self.refusing_count -= usize::from(record.life.refuses);
        record.life.refuses = false;
        self.timers.set(Timer::Tend, slot, &mut record.life.tend_at, None);
        self.timers.set(Timer::Lease, slot, &mut record.life.lease_at, None);
    }

    /// Messages were handed out, as many as could be: what came in the meantime has had its chance, unless it still waits
    /// for the log.
    pub(super) fn end_grace(&mut self, slot: QueueSlot) {
        let marks = self.watermarks();
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        let waits =
            record.queue.has_ready_consumer() && record.queue.availability(marks) == Availability::Later;
        if !waits {
            record.life.grace = None;
        }
    }

    /// Lets go of what must leave a queue, and sees to it that it is looked at again in time.
    pub(super) fn tend(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        self.log_returns(slot, cx);
        let mut again_ms = None;
        for from in [LeavesFrom::Hand, LeavesFrom::Head] {
            loop {
                let Some(record) = self.topology.queues.get(slot) else { return };
                let Some(leaver) = record.leaver(from, &self.clock) else { break };
                let farewell = if self.leaving_bytes_left == 0 {
                    Farewell::Refused { retry_ms: 0 }
                } else {
                    self.bury(slot, &leaver, cx)
                };
                match farewell {
                    Farewell::Gone => {}
                    Farewell::Unread => {
                        self.await_body(slot, &leaver, cx);
                        break;
                    }
                    Farewell::Refused { retry_ms } => {
                        again_ms = Some(self.clock.monotonic_ms() + retry_ms);
                        break;
                    }
                }
            }
        }
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        // Only its entry tells when the first message expires: it must be known although nobody waits for it. A start looks
        // at that of every queue, once.
        if let Some(run) = record.queue.wanted_head() {
            cx.effects.effects.push(Effect::ReadEntries { queue: record.queue.id(), run });
        }
        let expires_at = record.head_expires_at().filter(|at_ms| *at_ms > self.clock.expiry_ms());
        let expires_at = expires_at.map(|at_ms| self.clock.monotonic_at(at_ms));
        let at_ms = again_ms.into_iter().chain(expires_at).min();
        self.timers.set(Timer::Tend, slot, &mut record.life.tend_at, at_ms);
    }

    /// A message that is to leave must be read first; once the log has it.
    fn await_body(&mut self, slot: QueueSlot, leaver: &Leaver, cx: &mut Context<'_>) {
        let marks = self.watermarks();
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        if record.queue.is_readable(leaver, marks) {
            self.read(slot, cx);
        } else if !record.is_waiting {
            record.is_waiting = true;
            self.waiting.push(slot);
        }
    }
}

/// A letter that the log has no room for is tried again after this time.
pub(super) const NO_ROOM: Farewell = Farewell::Refused { retry_ms: LEAVING_RETRY_MS };
