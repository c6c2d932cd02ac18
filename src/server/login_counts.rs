//! Logins counted by the door they were tried at, for operators.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where a login was tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    Amqp,
    Http,
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct LoginCounts {
    amqp: Counts,
    http: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl LoginCounts {
    /// Notes a login.
    pub(super) fn note(&self, door: Door, is_allowed: bool) {
        let counts = match door {
            Door::Amqp => &self.amqp,
            Door::Http => &self.http,
        };
        let counter = if is_allowed { &counts.succeeded } else { &counts.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// By RabbitMQ's names of the doors: how many succeeded and how many failed.
    pub(super) fn all(&self) -> Vec<(&'static str, u64, u64)> {
        let read = |counts: &Counts| {
            (counts.succeeded.load(Ordering::Relaxed), counts.failed.load(Ordering::Relaxed))
        };
        let named = [("amqp091", &self.amqp), ("http", &self.http)];
        named.map(|(name, counts)| (name, read(counts).0, read(counts).1)).to_vec()
    }

    /// Begins again.
    pub(super) fn forget(&self) {
        for counts in [&self.amqp, &self.http] {
            counts.succeeded.store(0, Ordering::Relaxed);
            counts.failed.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_counted_where_they_were_tried() {
        let counts = LoginCounts::default();
        counts.note(Door::Amqp, true);
        counts.note(Door::Http, false);
        counts.note(Door::Http, true);
        assert_eq!(counts.all(), [("amqp091", 1, 0), ("http", 1, 1)]);
        counts.forget();
        assert_eq!(counts.all(), [("amqp091", 0, 0), ("http", 0, 0)]);
    }
}
