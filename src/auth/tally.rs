//! How many channels a user has open, over all connections: a number they share, so that each can ask for one more
//! without asking anybody. What a connection took comes back when it lets go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    count: Arc<AtomicU64>,
}

/// One that was counted; let go, it is not any more.
#[derive(Debug)]
pub struct Counted {
    tally: Tally,
}

impl Tally {
    /// Counts one more.
    ///
    /// # Errors
    /// `limit`, if there are as many already.
    pub fn take(&self, limit: Option<u64>) -> Result<Counted, u64> {
        let before = self.count.fetch_add(1, Ordering::AcqRel);
        let counted = Counted { tally: self.clone() };
        match limit {
            Some(limit) if before >= limit => Err(limit),
            Some(_) | None => Ok(counted),
        }
    }

    /// How many are counted.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Whether nobody else counts with it.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.count) == 1
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let tally = Tally::default();
        let other = tally.clone();
        let one = tally.take(Some(2)).unwrap();
        let two = other.take(Some(2)).unwrap();
        assert_eq!(tally.take(Some(2)).unwrap_err(), 2);
        assert_eq!(tally.count(), 2, "what was refused is not counted");
        drop(one);
        assert_eq!(other.take(Some(2)).map(drop), Ok(()));
        drop(two);
        assert_eq!(tally.take(Some(0)).unwrap_err(), 0);
        assert_eq!(tally.take(None).map(drop), Ok(()));
        assert_eq!(tally.count(), 0);
        assert!(!tally.is_idle());
        drop(other);
        assert!(tally.is_idle());
    }
}
