//! How long confirms take: from the moment a vhost takes a persistent publish out of its inbox until its confirm is handed
//! to its connection. Sampled, so that no message pays for it: a vhost watches one publish at a time, the first of a
//! batch, and asks the time once when its confirm went out.

use ledgermq_storage::{DurationCounter, Lsn};
use std::time::Duration;

/// The publish that a vhost watches.
#[derive(Debug, Default)]
pub(super) struct ConfirmProbe(Option<(Lsn, u64)>);

impl ConfirmProbe {
    /// A batch that was taken at `began_ns` had its first publish at `lsn`, [`Lsn::NONE`] if it had none.
    pub(super) fn begin(&mut self, lsn: Lsn, began_ns: u64) {
        if self.0.is_none() && lsn != Lsn::NONE {
            self.0 = Some((lsn, began_ns));
        }
    }

    /// Whether the confirm of the publish is out once all below `durable` is confirmed.
    pub(super) fn is_over(&self, durable: Lsn) -> bool {
        self.0.is_some_and(|(lsn, _)| lsn < durable)
    }

    /// Its confirm is out.
    pub(super) fn end(&mut self, now_ns: u64, times: &DurationCounter) {
        if let Some((_, began_ns)) = self.0.take() {
            times.note(Duration::from_nanos(now_ns.saturating_sub(began_ns)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledgermq_storage::DURATION_CLASSES_US;

    #[test]
    fn one_publish_at_a_time_is_watched_until_it_is_durable() {
        let (mut probe, times) = (ConfirmProbe::default(), DurationCounter::default());
        probe.begin(Lsn::NONE, 5);
        assert!(!probe.is_over(Lsn(99)), "nothing was published");
        probe.begin(Lsn(10), 1_000_000);
        probe.begin(Lsn(11), 9_000_000);
        assert!(!probe.is_over(Lsn(10)) && probe.is_over(Lsn(11)));
        probe.end(3_500_000, &times);
        assert!(!probe.is_over(Lsn(99)), "it is watched no more");
        let found = times.durations();
        let class = DURATION_CLASSES_US.iter().position(|end| *end == 2_500).unwrap();
        assert_eq!((found.counts[class], found.count(), found.total_ns), (1, 1, 2_500_000));
    }
}
