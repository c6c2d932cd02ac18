//! Looks after a run while it lasts: the line a second on a terminal, the broker's memory, and whether anything still moves.

use super::process::BrokerProcess;
use super::state::Progress;
use crate::cli::numbers::grouped;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// How often the broker's memory is looked at.
pub(super) const TICK: Duration = Duration::from_millis(50);
const LINE_EVERY_NS: u64 = 1_000_000_000;

/// Who watches a run.
pub(super) struct Watch {
    /// Lines are for people only.
    on_terminal: bool,
    pub(super) broker: Option<BrokerProcess>,
    pub(super) patience_ns: u64,
    last: Progress,
    moved_ns: u64,
    line_ns: u64,
    line: Progress,
}

impl Watch {
    /// Watches a broker's process, if it is known; `patience_s` without any progress are too many.
    pub(super) fn new(broker: Option<BrokerProcess>, patience_s: u64, quiet: bool) -> Self {
        let nothing = Progress::default();
        Self {
            on_terminal: !quiet && std::io::stderr().is_terminal(),
            broker,
            patience_ns: patience_s.saturating_mul(1_000_000_000),
            last: nothing,
            moved_ns: 0,
            line_ns: 0,
            line: nothing,
        }
    }

    /// A run begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        (self.moved_ns, self.line_ns) = (now_ns, now_ns);
        (self.last, self.line) = (Progress::default(), Progress::default());
    }

    /// Takes a look. Returns whether nothing has moved for too long.
    pub(super) fn look(&mut self, now_ns: u64, progress: Progress) -> bool {
        if let Some(broker) = &mut self.broker {
            broker.sample();
        }
        if progress != self.last {
            (self.last, self.moved_ns) = (progress, now_ns);
        }
        if self.on_terminal && now_ns - self.line_ns >= LINE_EVERY_NS {
            let text = line(self.line, progress, (now_ns - self.line_ns) as f64 / 1e9);
            // A terminal that is gone is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{text}");
            (self.line, self.line_ns) = (progress, now_ns);
        }
        now_ns - self.moved_ns > self.patience_ns
    }

    /// A line of a workload that does not move messages.
    pub(super) fn say(&mut self, now_ns: u64, text: impl FnOnce() -> String) {
        if self.on_terminal && now_ns - self.line_ns >= LINE_EVERY_NS {
            let _ = writeln!(std::io::stderr(), "{}", text());
            self.line_ns = now_ns;
        }
    }
}

fn line(before: Progress, now: Progress, seconds: f64) -> String {
    let rate = |now: u64, before: u64| grouped(((now - before) as f64 / seconds) as u64);
    format!(
        "published {}/s  confirmed {}/s  delivered {}/s  (in all {}, {}, {})",
        rate(now.published, before.published),
        rate(now.confirmed, before.confirmed),
        rate(now.delivered, before.delivered),
        grouped(now.published),
        grouped(now.confirmed),
        grouped(now.delivered),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn patience_ends_when_nothing_moves() {
        let mut watch = Watch::new(None, 2, true);
        watch.begin(5 * S);
        let one = Progress { delivered: 1, ..Progress::default() };
        assert!(!watch.look(7 * S, Progress::default()));
        assert!(!watch.look(8 * S, one), "something came");
        assert!(!watch.look(10 * S, one));
        assert!(watch.look(10 * S + 1, one));
    }

    #[test]
    fn a_line_tells_rates_since_the_last_one() {
        let before = Progress { published: 100, confirmed: 50, delivered: 0 };
        let now = Progress { published: 2100, confirmed: 1050, delivered: 10 };
        let text = line(before, now, 2.0);
        assert_eq!(text, "published 1,000/s  confirmed 500/s  delivered 5/s  (in all 2,100, 1,050, 10)");
    }
}
