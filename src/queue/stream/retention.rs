//! What a stream lets go of: its oldest messages beyond the limits, never the newest unit. Ages need the time of the last
//! message of a piece, which may have to be read first.

use super::Stream;
use ledgermq_storage::{Run, Seq, SettleReason};

/// What retention has to go by.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of records to keep at most, about.
    pub bytes_max: Option<u64>,
    /// Age of the messages to keep at most, ms.
    pub age_max_ms: Option<u64>,
    /// The newest part that always stays, bytes.
    pub unit_bytes: u64,
}

/// Messages that retention let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// First offset.
    pub first: Seq,
    /// Last offset.
    pub last: Seq,
    /// Why.
    pub reason: SettleReason,
}

impl Stream {
    /// Whether a piece was completed since [`Self::trim`] was called last.
    pub fn wants_trim(&self) -> bool {
        self.wants_trim
    }

    /// Lets go of the oldest messages beyond the limits, never of the newest unit. Answers what went, and the run whose
    /// time must be read before more can be said.
    pub fn trim(&mut self, limits: Limits, now_ms: u64) -> (Vec<Trimmed>, Option<Run>) {
        self.wants_trim = false;
        let unit_bytes = limits.unit_bytes.max(1);
        let mut trimmed: Vec<Trimmed> = Vec::new();
        let mut undated = None;
        while let Some(piece) = self.shelf.oldest().copied() {
            let left = self.shelf.bytes() - piece.bytes;
            if left < unit_bytes {
                break;
            }
            let is_long = limits.bytes_max.is_some_and(|bytes_max| {
                self.shelf.bytes() > bytes_max && left >= bytes_max.saturating_sub(unit_bytes)
            });
            let reason = if is_long {
                SettleReason::MaxLength
            } else if let Some(age_max_ms) = limits.age_max_ms {
                let Some(unix_ms) = piece.unix_ms else {
                    undated = self.shelf.run_to(piece.last).filter(|_| self.dating != Some(piece.last));
                    self.dating = Some(piece.last);
                    undated = undated.map(|run| Run { last: piece.last, ..run });
                    break;
                };
                if now_ms.saturating_sub(unix_ms) < age_max_ms {
                    break;
                }
                SettleReason::Expired
            } else {
                break;
            };
            let (first, last) = (self.first, piece.last);
            self.shelf.drop_oldest();
            self.first = last.next();
            match trimmed.last_mut() {
                Some(before) if before.reason == reason => before.last = last,
                Some(_) | None => trimmed.push(Trimmed { first, last, reason }),
            }
        }
        if !trimmed.is_empty() {
            self.bodies.drop_before(self.first);
            self.damaged = self.damaged.split_off(&self.first);
        }
        (trimmed, undated)
    }

    /// The time of the message at `last` was read. One that cannot be read counts as new: nothing goes on a guess.
    pub fn dated(&mut self, last: Seq, unix_ms: Option<u64>) {
        if let Some(unix_ms) = unix_ms {
            self.dating = None;
            self.shelf.set_time(last, unix_ms);
        }
    }
}
