//! Publisher confirms of one channel: numbers publishes, and folds what the vhost confirms into as few basic.ack
//! frames as the protocol allows.
//!
//! Invariant: every number up to `settled_through` has been answered; numbers above it that have been answered are in
//! `ahead`, as disjoint ascending ranges that do not touch `settled_through`. Does not know why something is confirmed.

use crate::vhost::command::PublishSeq;
use std::collections::VecDeque;

/// A basic.ack or basic.nack to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `delivery-tag`.
    pub(crate) seq: u64,
    /// Everything up to it.
    pub(crate) multiple: bool,
}

/// What was published in confirm mode and how far it is answered.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    last: u64,
    settled_through: u64,
    ahead: VecDeque<(u64, u64)>,
    ahead_count: u64,
}

impl Confirms {
    /// The number of the next publish.
    pub(crate) fn number(&mut self) -> PublishSeq {
        self.last += 1;
        PublishSeq(self.last)
    }

    /// Publishes without an answer.
    pub(crate) fn outstanding_count(&self) -> u64 {
        self.last - self.settled_through - self.ahead_count
    }

    /// Notes that these publishes are answered (`seqs` ascending) and hands over the frames that say so: one
    /// `multiple` for all below the lowest number without an answer, single ones for the rest.
    pub(crate) fn confirmed(&mut self, seqs: &[PublishSeq], mut send: impl FnMut(Answer)) {
        for seq in seqs {
            self.note(seq.0);
        }
        let covered = seqs.partition_point(|seq| seq.0 <= self.settled_through);
        let (below, rest) = seqs.split_at(covered);
        if let Some(last) = below.last() {
            send(Answer { seq: last.0, multiple: below.len() > 1 });
        }
        for seq in rest {
            send(Answer { seq: seq.0, multiple: false });
        }
    }

    /// Notes that these publishes are refused (`seqs` ascending) and hands over a basic.nack for each: a `multiple` could
    /// take in others that were confirmed meanwhile.
    pub(crate) fn refused(&mut self, seqs: &[PublishSeq], mut send: impl FnMut(Answer)) {
        for seq in seqs {
            self.note(seq.0);
            send(Answer { seq: seq.0, multiple: false });
        }
    }

    fn note(&mut self, seq: u64) {
        assert!(seq <= self.last, "a confirm answers a publish that was made");
        if seq == self.settled_through + 1 {
            self.settled_through = seq;
            self.absorb();
        } else if seq > self.settled_through {
            self.note_ahead(seq);
        }
    }

    fn absorb(&mut self) {
        if let Some(&(first, last)) = self.ahead.front()
            && first == self.settled_through + 1
        {
            self.settled_through = last;
            self.ahead_count -= last - first + 1;
            self.ahead.pop_front();
        }
    }

    fn note_ahead(&mut self, seq: u64) {
        let position = self.ahead.partition_point(|&(first, _)| first <= seq);
        let after = self.ahead.get(position).copied();
        if let Some(before) = position.checked_sub(1).and_then(|index| self.ahead.get_mut(index)) {
            if seq <= before.1 {
                return;
            }
            if seq == before.1 + 1 {
                before.1 = seq;
                self.ahead_count += 1;
                if let Some((first, last)) = after
                    && first == seq + 1
                {
                    before.1 = last;
                    self.ahead.remove(position);
                }
                return;
            }
        }
        self.ahead_count += 1;
        if let Some(after) = self.ahead.get_mut(position)
            && after.0 == seq + 1
        {
            after.0 = seq;
            return;
        }
        self.ahead.insert(position, (seq, seq));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(count: u64) -> Confirms {
        let mut confirms = Confirms::default();
        for _ in 0..count {
            confirms.number();
        }
        confirms
    }

    fn check(confirms: &mut Confirms, seqs: &[u64], expected: &[(u64, bool)]) {
        let seqs: Vec<_> = seqs.iter().copied().map(PublishSeq).collect();
        let mut sent = Vec::new();
        confirms.confirmed(&seqs, |answer| sent.push((answer.seq, answer.multiple)));
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_run_is_one_frame() {
        let mut confirms = published(100);
        check(&mut confirms, &(1..=60).collect::<Vec<_>>(), &[(60, true)]);
        check(&mut confirms, &[61], &[(61, false)]);
        check(&mut confirms, &(62..=100).collect::<Vec<_>>(), &[(100, true)]);
        assert_eq!(confirms.outstanding_count(), 0);
    }

    #[test]
    fn a_gap_is_never_covered_by_multiple() {
        let mut confirms = published(10);
        check(&mut confirms, &[2, 3, 5], &[(2, false), (3, false), (5, false)]);
        assert_eq!(confirms.outstanding_count(), 7);
        check(&mut confirms, &[1, 4], &[(4, true)]);
        check(&mut confirms, &[7, 9], &[(7, false), (9, false)]);
        check(&mut confirms, &[6, 8], &[(8, true)]);
        check(&mut confirms, &[10], &[(10, false)]);
        assert_eq!((confirms.outstanding_count(), confirms.ahead.len()), (0, 0));
    }

    #[test]
    fn refusals_are_single_and_close_gaps() {
        let mut confirms = published(4);
        let mut sent = Vec::new();
        confirms.refused(&[PublishSeq(2), PublishSeq(3)], |answer| sent.push((answer.seq, answer.multiple)));
        assert_eq!(sent, [(2, false), (3, false)]);
        check(&mut confirms, &[1, 4], &[(4, true)]);
    }

    #[test]
    fn any_order_answers_every_number_once_and_covers_no_gap() {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(42_u64);
        println!("SEED={seed}");
        let mut random = seed;
        for round in 0..200 {
            let count = 1 + round % 40;
            let mut confirms = published(count);
            let mut waiting: Vec<u64> = (1..=count).collect();
            let mut answered = std::collections::BTreeSet::new();
            while !waiting.is_empty() {
                let mut batch = Vec::new();
                waiting.retain(|&seq| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let take = random >> 62 == 0;
                    if take {
                        batch.push(PublishSeq(seq));
                    }
                    !take
                });
                confirms.confirmed(&batch, |answer| {
                    let from = if answer.multiple { 1 } else { answer.seq };
                    for seq in from..=answer.seq {
                        assert!(!waiting.contains(&seq), "{seq} is not confirmed yet");
                        answered.insert(seq);
                    }
                });
                assert_eq!(confirms.outstanding_count(), waiting.len() as u64);
            }
            assert_eq!(answered.len() as u64, count);
            assert!(confirms.ahead.is_empty());
        }
    }
}
