//! How far a queue is: a bar on a terminal, and for logs a line every few seconds and one at the end. All of it goes to standard
//! error; the result is standard output's.

use crate::cli::numbers::grouped;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};

/// How often a log gets a line, ns.
const LINE_EVERY_NS: u64 = 5_000_000_000;
/// How often a bar is told, ns; it draws when it likes.
const BAR_EVERY_NS: u64 = 50_000_000;
const BAR: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";

/// See the file's head.
pub(super) struct Progress {
    shown: Shown,
    queue: String,
    /// Messages that were moved when this queue, or this look at it, began; and how many there are in all.
    first: u64,
    total: u64,
    first_ns: u64,
    told_ns: u64,
}

enum Shown {
    Nothing,
    Lines,
    Bar(Option<ProgressBar>),
}

impl Progress {
    /// Where standard error leads decides how it looks.
    pub(super) fn new(quiet: bool) -> Self {
        let shown = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Bar(None),
            (false, false) => Shown::Lines,
        };
        Self { shown, queue: String::new(), first: 0, total: 0, first_ns: 0, told_ns: 0 }
    }

    /// A queue begins or goes on: so many moved, so many to go.
    pub(super) fn begin(&mut self, queue: &str, moved: u64, remaining: u64, now_ns: u64) {
        let is_new = self.queue != queue;
        self.queue = printable(queue);
        self.total = moved + remaining;
        if is_new {
            (self.first, self.first_ns, self.told_ns) = (moved, now_ns, now_ns);
        }
        match &mut self.shown {
            Shown::Bar(bar) => {
                // The template is a constant that is right.
                let style =
                    ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = bar.get_or_insert_with(|| ProgressBar::new(self.total).with_style(style));
                bar.set_message(self.queue.clone());
                bar.set_length(self.total);
            }
            Shown::Lines if is_new => say(&format!("{}: {} messages", self.queue, grouped(remaining))),
            Shown::Lines | Shown::Nothing => {}
        }
    }

    /// So many of the queue are moved.
    pub(super) fn at(&mut self, moved: u64, blocked: bool, now_ns: u64) {
        let since_ns = now_ns - self.told_ns;
        match &self.shown {
            Shown::Bar(Some(bar)) if since_ns >= BAR_EVERY_NS => {
                bar.set_length(self.total.max(moved));
                bar.set_position(moved);
                bar.set_message(if blocked {
                    format!("{} (the target is blocked)", self.queue)
                } else {
                    self.queue.clone()
                });
            }
            Shown::Lines if since_ns >= LINE_EVERY_NS => say(&self.line(moved, blocked, now_ns)),
            Shown::Bar(_) | Shown::Lines | Shown::Nothing => return,
        }
        self.told_ns = now_ns;
    }

    fn line(&self, moved: u64, blocked: bool, now_ns: u64) -> String {
        let rate = (moved - self.first) * 1_000 / ((now_ns - self.first_ns) / 1_000_000).max(1);
        let why = if blocked { ", the target is blocked: see its alarms" } else { "" };
        let to_go = grouped(self.total.saturating_sub(moved));
        format!("{}: {} moved, {to_go} to go, {} a second{why}", self.queue, grouped(moved), grouped(rate))
    }

    /// The queue is done: with its figures, or why it is not.
    pub(super) fn end(&mut self, queue: &str, moved: u64, trouble: Option<&str>) {
        let queue = printable(queue);
        let text = match trouble {
            Some(trouble) => format!("{queue}: {} moved, then: {trouble}", grouped(moved)),
            None => format!("{queue}: {} moved", grouped(moved)),
        };
        if let Shown::Bar(bar) = &mut self.shown
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
        if !matches!(self.shown, Shown::Nothing) {
            say(&text);
        }
        self.queue.clear();
    }
}

/// A terminal that is gone is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Names come from clients and must not command the terminal.
fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is_and_how_fast() {
        let mut progress = Progress { shown: Shown::Nothing, ..Progress::new(true) };
        progress.begin("orders\n", 0, 20_000, 1_000_000_000);
        assert_eq!(
            progress.line(12_345, false, 3_000_000_000),
            "orders\u{fffd}: 12,345 moved, 7,655 to go, 6,172 a second"
        );
        // More came while it ran.
        assert!(progress.line(20_001, true, 3_000_000_000).contains("0 to go"));
        assert!(progress.line(1, true, 1_000_000_000).ends_with("the target is blocked: see its alarms"));
    }
}
