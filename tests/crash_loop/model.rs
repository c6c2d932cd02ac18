//! What the broker owes us: for each queue the messages that may, must or must not be in it. Everything the load does
//! is told here before it is sent, and every answer after it came, so the model never promises too much or too little.
//!
//! Invariant: a queue has one publisher, whose numbers rise; so a queue read from its head yields rising numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{TRANSACTION_LEN, queues};

/// A message as its queue gave it to us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) redelivered: bool,
}

/// How far the settling of a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ack {
    None,
    /// Sent; the broker may or may not know.
    Sent,
    /// Followed by an answered request of the same channel, or committed: it may not come back.
    Kept,
}

#[derive(Clone, Copy, Debug)]
struct Fate {
    confirmed: bool,
    delivered: bool,
    ack: Ack,
}

/// How much was done, for the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
    pub(crate) acks_kept: u64,
    pub(crate) found: u64,
}

/// One queue's messages.
#[derive(Debug, Default)]
struct Queue {
    fates: BTreeMap<u64, Fate>,
}

/// All queues, what went wrong, and how much was done.
#[derive(Debug, Default)]
pub(crate) struct Model {
    queues: BTreeMap<&'static str, Queue>,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: Counts,
}

impl Model {
    /// About to publish `number` to `queue`.
    pub(crate) fn sent(&mut self, queue: &'static str, number: u64) {
        self.counts.sent += 1;
        let fate = Fate { confirmed: false, delivered: false, ack: Ack::None };
        self.queues.entry(queue).or_default().fates.insert(number, fate);
    }

    /// The broker confirmed it, or committed its transaction.
    pub(crate) fn confirmed(&mut self, queue: &'static str, number: u64) {
        self.counts.confirmed += 1;
        self.update(queue, number, |fate| fate.confirmed = true);
    }

    /// A consumer got it while the load ran.
    pub(crate) fn delivered(&mut self, queue: &'static str, found: Found) {
        let Some(fate) = self.queues.entry(queue).or_default().fates.get_mut(&found.number) else {
            self.violations.push(format!("{queue}: delivered {}, which is not there", found.number));
            return;
        };
        let before = std::mem::replace(&mut fate.delivered, true);
        if before && !found.redelivered {
            self.violations
                .push(format!("{queue}: delivered {} again, not flagged as redelivered", found.number));
        }
    }

    /// About to acknowledge it.
    pub(crate) fn ack_sent(&mut self, queue: &'static str, number: u64) {
        self.update(queue, number, |fate| fate.ack = Ack::Sent);
    }

    /// A request sent after its ack was answered.
    pub(crate) fn ack_kept(&mut self, queue: &'static str, number: u64) {
        self.counts.acks_kept += 1;
        self.update(queue, number, |fate| fate.ack = Ack::Kept);
    }

    /// About to acknowledge everything there is.
    pub(crate) fn all_ack_sent(&mut self) {
        self.fates_mut().for_each(|fate| fate.ack = Ack::Sent);
    }

    /// And the broker knows.
    pub(crate) fn all_acks_kept(&mut self) {
        self.counts.acks_kept += self.fates_mut().map(|fate| fate.ack = Ack::Kept).count() as u64;
    }

    fn fates_mut(&mut self) -> impl Iterator<Item = &mut Fate> {
        self.queues.values_mut().flat_map(|queue| queue.fates.values_mut())
    }

    fn update(&mut self, queue: &'static str, number: u64, change: impl FnOnce(&mut Fate)) {
        if let Some(fate) = self.queues.entry(queue).or_default().fates.get_mut(&number) {
            change(fate);
        }
    }

    /// Compares what a restarted broker holds in `queue` with what it owes us; from then on it owes us just that.
    pub(crate) fn check(&mut self, queue: &'static str, found: &[Found]) {
        let fates = std::mem::take(&mut self.queues.entry(queue).or_default().fates);
        let mut complain = |complaint: String| self.violations.push(format!("{queue}: {complaint}"));
        for pair in found.windows(2) {
            if let [first, second] = pair
                && first.number >= second.number
            {
                complain(format!("{} came before {}", first.number, second.number));
            }
        }
        for message in found {
            match fates.get(&message.number) {
                None => complain(format!("found {}, which was not there", message.number)),
                Some(Fate { ack: Ack::Kept, .. }) => {
                    complain(format!("{} came back after its ack", message.number));
                }
                Some(Fate { delivered: true, .. }) if !message.redelivered => {
                    complain(format!("{} is not flagged as redelivered", message.number));
                }
                Some(_) => {}
            }
        }
        let numbers: BTreeSet<u64> = found.iter().map(|message| message.number).collect();
        for (number, fate) in &fates {
            if fate.confirmed && fate.ack == Ack::None && !numbers.contains(number) {
                complain(format!("lost {number}, which was confirmed"));
            }
        }
        let kept = Fate { confirmed: true, delivered: true, ack: Ack::None };
        self.counts.found += numbers.len() as u64;
        self.queues.entry(queue).or_default().fates =
            numbers.into_iter().map(|number| (number, kept)).collect();
    }

    /// Transactions publish `TRANSACTION_LEN` numbers to both `tx_left` and `tx_right`; others move them from `tx_left`
    /// to `tx_moved`. Called after `check` of all three: no transaction may be there by half.
    pub(crate) fn check_transactions(&mut self) {
        let numbers = |queue: &'static str| -> BTreeSet<u64> {
            self.queues.get(queue).map(|queue| queue.fates.keys().copied().collect()).unwrap_or_default()
        };
        let (left, right, moved) =
            (numbers(queues::TX_LEFT), numbers(queues::TX_RIGHT), numbers(queues::TX_MOVED));
        if let Some(number) = left.intersection(&moved).next() {
            self.violations.push(format!("{number} was moved and stayed, too"));
        }
        let both: BTreeSet<u64> = left.union(&moved).copied().collect();
        if let Some(number) = both.symmetric_difference(&right).next() {
            self.violations.push(format!("the transaction of {number} reached one queue of two"));
        }
        let whole = right.iter().filter(|number| *number % TRANSACTION_LEN == 0);
        if whole.flat_map(|first| *first..*first + TRANSACTION_LEN).ne(right.iter().copied()) {
            self.violations.push("a transaction is there in part".to_owned());
        }
    }
}
