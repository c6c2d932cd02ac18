//! A budget in bytes for what many hold at once and none of them can be trusted with: half-received messages, of all
//! connections together. While it lasts, everybody takes what they like. Once it is used up, only those may take more who
//! hold no more than an equal part of it, and one of the others at a time, so that somebody finishes; the rest waits.
//! So all together hold at most twice the limit and what that one may hold, and who holds little never waits.
//! Knows nothing of what the bytes are for, nor of time: how long one waits is the holder's to bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What all holders share.
#[derive(Clone, Debug)]
pub struct FairBudget {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    /// Shares that are not empty.
    holders: AtomicUsize,
    /// Somebody has the turn to go on beyond an equal part.
    turn_is_taken: AtomicBool,
}

/// What one holder has of it; it comes back when this is dropped.
#[derive(Debug)]
pub struct Share {
    pool: Arc<Pool>,
    held_bytes: usize,
    has_turn: bool,
}

impl FairBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            pool: Arc::new(Pool {
                limit_bytes,
                used_bytes: AtomicUsize::new(0),
                holders: AtomicUsize::new(0),
                turn_is_taken: AtomicBool::new(false),
            }),
        }
    }

    /// An empty share.
    pub fn share(&self) -> Share {
        Share { pool: Arc::clone(&self.pool), held_bytes: 0, has_turn: false }
    }

    /// Bytes that all shares hold.
    pub fn used_bytes(&self) -> usize {
        self.pool.used_bytes.load(Ordering::Relaxed)
    }

    /// The limit.
    pub fn limit_bytes(&self) -> usize {
        self.pool.limit_bytes
    }
}

impl Share {
    /// Takes bytes, also beyond the limit: they are there already.
    pub fn take(&mut self, bytes: usize) {
        if self.held_bytes == 0 && bytes > 0 {
            self.pool.holders.fetch_add(1, Ordering::Relaxed);
        }
        self.held_bytes += bytes;
        self.pool.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub fn give(&mut self, bytes: usize) {
        assert!(self.held_bytes >= bytes, "a share gives back at most what it took");
        self.held_bytes -= bytes;
        self.pool.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if self.held_bytes == 0 && bytes > 0 {
            self.pool.holders.fetch_sub(1, Ordering::Relaxed);
            self.end_turn();
        }
    }

    /// Bytes it holds.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether it may take more now. If it holds more than an equal part of a budget that is used up, it is let on all
    /// the same while nobody else is: then it has the turn, until it holds little again.
    pub fn may_grow(&mut self) -> bool {
        if !self.is_too_large() {
            self.end_turn();
            return true;
        }
        if !self.has_turn {
            self.has_turn = !self.pool.turn_is_taken.swap(true, Ordering::AcqRel);
        }
        self.has_turn
    }

    /// Whether it goes on beyond an equal part, since it is its turn.
    pub fn has_turn(&self) -> bool {
        self.has_turn
    }

    fn is_too_large(&self) -> bool {
        let Pool { limit_bytes, used_bytes, holders, .. } = &*self.pool;
        let equal_part = limit_bytes / holders.load(Ordering::Relaxed).max(1);
        used_bytes.load(Ordering::Relaxed) > *limit_bytes && self.held_bytes > equal_part
    }

    fn end_turn(&mut self) {
        if std::mem::take(&mut self.has_turn) {
            self.pool.turn_is_taken.store(false, Ordering::Release);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give(self.held_bytes);
        self.end_turn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_little_never_waits_and_of_the_others_one_goes_on() {
        let budget = FairBudget::new(100);
        let (mut one, mut other, mut small) = (budget.share(), budget.share(), budget.share());
        one.take(60);
        other.take(40);
        assert!(one.may_grow() && other.may_grow(), "the budget lasts");
        small.take(20);
        assert!(small.may_grow(), "20 of 100 is no more than a third");
        assert!(one.may_grow() && one.has_turn(), "somebody must finish");
        assert!(!other.may_grow(), "40 is more than a third, and the turn is taken");
        one.take(30);
        assert!(one.may_grow());
        one.give(90);
        assert!(!one.has_turn() && one.may_grow());
        assert_eq!(budget.used_bytes(), 60);
        assert!(other.may_grow() && !other.has_turn(), "there is room again");
    }

    #[test]
    fn what_is_held_comes_back_with_its_holder() {
        let budget = FairBudget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        one.take(30);
        other.take(30);
        assert!(one.may_grow() && !other.may_grow());
        drop(one);
        assert_eq!(budget.used_bytes(), 30);
        assert!(other.may_grow() && other.has_turn(), "alone, and still more than the limit: its turn");
        drop(other);
        assert_eq!(budget.used_bytes(), 0);
        assert_eq!(budget.pool.holders.load(Ordering::Relaxed), 0);
        assert!(!budget.pool.turn_is_taken.load(Ordering::Relaxed));
    }
}
