//! When to ask again for something that others publish and change: at a steady pace, sooner after a failure, and when
//! somebody needs what is not there, but then not more often than now and again: strangers can need things, too.

use crate::limits::JWKS_AGAIN_MS;

/// See the file's head.
#[derive(Debug)]
pub struct RefreshPlan {
    every_ms: u64,
    wanted_ms: u64,
    tried: Option<Tried>,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    at_ms: u64,
    worked: bool,
}

impl RefreshPlan {
    /// Nothing was asked yet; what is there is good for `every_ms`, and who needs more is heard every `wanted_ms`.
    pub fn new(every_ms: u64, wanted_ms: u64) -> Self {
        Self { every_ms, wanted_ms, tried: None }
    }

    /// When it is time, whoever wants it; `None` is now.
    pub fn due_ms(&self) -> Option<u64> {
        self.tried.map(|tried| tried.at_ms + if tried.worked { self.every_ms } else { JWKS_AGAIN_MS })
    }

    /// Whether to ask now because somebody needs what is not there.
    pub fn may_ask(&self, now_ms: u64) -> bool {
        self.tried.is_none_or(|tried| now_ms >= tried.at_ms + self.wanted_ms)
    }

    /// It was asked.
    pub fn note(&mut self, now_ms: u64, worked: bool) {
        self.tried = Some(Tried { at_ms: now_ms, worked });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_more_waits_for_his_turn() {
        let mut plan = RefreshPlan::new(3_600_000, 30_000);
        assert_eq!((plan.due_ms(), plan.may_ask(0)), (None, true));
        plan.note(1_000, true);
        assert_eq!(plan.due_ms(), Some(3_601_000));
        assert!(!plan.may_ask(1_000) && !plan.may_ask(30_999));
        assert!(plan.may_ask(31_000));
        plan.note(50_000, false);
        assert_eq!(plan.due_ms(), Some(50_000 + JWKS_AGAIN_MS), "a failure is tried again soon");
        assert!(!plan.may_ask(50_001), "also then");
    }
}
