//! Heartbeats both ways: when to send one, and when silence means that the client is gone.
//! Knows only times; what is sent and how a connection ends is decided by its owner.
//! Source: AMQP 0-9-1 §4.2.7; RabbitMQ sends at half the interval and gives up after two of them.

/// When this side and the other were last heard.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "units end names")]
pub(super) struct Heartbeat {
    /// 0 = off.
    interval_ms: u64,
    sent_ms: u64,
    received_ms: u64,
}

impl Heartbeat {
    /// Off until [`Self::start`].
    pub(super) fn new(now_ms: u64) -> Self {
        Self { interval_ms: 0, sent_ms: now_ms, received_ms: now_ms }
    }

    pub(super) fn start(&mut self, interval_s: u16, now_ms: u64) {
        *self = Self { interval_ms: u64::from(interval_s) * 1000, ..Self::new(now_ms) };
    }

    pub(super) fn sent(&mut self, now_ms: u64) {
        self.sent_ms = now_ms;
    }

    pub(super) fn received(&mut self, now_ms: u64) {
        self.received_ms = now_ms;
    }

    pub(super) fn interval_s(&self) -> u16 {
        u16::try_from(self.interval_ms / 1000).unwrap_or(u16::MAX)
    }

    /// Whether it is time to send one.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.send_at().is_some_and(|at| now_ms >= at)
    }

    /// Whether the client has been silent for two intervals.
    pub(super) fn is_missed(&self, now_ms: u64) -> bool {
        self.missed_at().is_some_and(|at| now_ms >= at)
    }

    /// When to look again; `listening` is false while we are the ones who do not read.
    pub(super) fn next_deadline(&self, listening: bool) -> Option<u64> {
        let missed = if listening { self.missed_at() } else { None };
        self.send_at().into_iter().chain(missed).min()
    }

    fn send_at(&self) -> Option<u64> {
        (self.interval_ms > 0).then(|| self.sent_ms + self.interval_ms / 2)
    }

    fn missed_at(&self) -> Option<u64> {
        (self.interval_ms > 0).then(|| self.received_ms + 2 * self.interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_at_half_an_interval_and_gives_up_after_two() {
        let mut heartbeat = Heartbeat::new(0);
        assert!(!heartbeat.is_due(u64::MAX) && !heartbeat.is_missed(u64::MAX), "off");
        assert_eq!(heartbeat.next_deadline(true), None);

        heartbeat.start(10, 1000);
        assert_eq!(heartbeat.next_deadline(true), Some(6000));
        assert!(!heartbeat.is_due(5999) && heartbeat.is_due(6000));
        heartbeat.sent(20_000);
        assert_eq!(
            (heartbeat.next_deadline(true), heartbeat.next_deadline(false)),
            (Some(21_000), Some(25_000))
        );
        assert!(!heartbeat.is_missed(20_999) && heartbeat.is_missed(21_000));
        heartbeat.received(20_999);
        assert!(!heartbeat.is_missed(40_998));
    }

    #[test]
    fn the_longest_interval_does_not_overflow() {
        let mut heartbeat = Heartbeat::new(0);
        heartbeat.start(u16::MAX, 0);
        assert_eq!(heartbeat.interval_s(), u16::MAX);
        assert_eq!(heartbeat.next_deadline(true), Some(32_767_500));
    }
}
