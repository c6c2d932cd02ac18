//! Refused logins by the address they came from: who keeps guessing waits longer for each answer. Only refusals wait, so
//! nobody who knows the password is kept out by somebody else's guesses, not even behind the same address.
//! Times are milliseconds of a clock that only goes forward.

use crate::limits::{
    REFUSED_ADDRESSES_MAX, REFUSED_FREE_MAX, REFUSED_REMEMBERED_MS, REFUSED_WAIT_MS_MAX, REFUSED_WAIT_STEP_MS,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// See the file's head.
#[derive(Debug, Default)]
pub struct Refusals {
    by_address: HashMap<IpAddr, Refused>,
    /// When those that are over were last looked for.
    swept_ms: u64,
    count: u64,
}

#[derive(Debug)]
struct Refused {
    count: u64,
    last_ms: u64,
}

impl Refusals {
    /// A login from there was refused: how long its answer is to wait, ms.
    pub fn note(&mut self, from: IpAddr, now_ms: u64) -> u64 {
        self.count += 1;
        let from = neighbourhood(from);
        if self.by_address.len() >= REFUSED_ADDRESSES_MAX && !self.by_address.contains_key(&from) {
            self.sweep(now_ms);
            if self.by_address.len() >= REFUSED_ADDRESSES_MAX {
                // So many at once are nobody's typing errors.
                return REFUSED_WAIT_MS_MAX;
            }
        }
        let refused = self.by_address.entry(from).or_insert(Refused { count: 0, last_ms: now_ms });
        if is_over(refused, now_ms) {
            refused.count = 0;
        }
        refused.count += 1;
        refused.last_ms = now_ms;
        let paid = refused.count.saturating_sub(REFUSED_FREE_MAX);
        paid.saturating_mul(REFUSED_WAIT_STEP_MS).min(REFUSED_WAIT_MS_MAX)
    }

    /// Logins refused so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Forgets those that are over, at most once a second.
    fn sweep(&mut self, now_ms: u64) {
        if now_ms >= self.swept_ms + 1000 {
            self.swept_ms = now_ms;
            self.by_address.retain(|_, refused| !is_over(refused, now_ms));
        }
    }
}

fn is_over(refused: &Refused, now_ms: u64) -> bool {
    now_ms >= refused.last_ms + REFUSED_REMEMBERED_MS
}

/// Whose neighbours count as one: who has one address of IPv6 has 2^64 of them.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_keeps_guessing_waits_longer_and_longer() {
        let mut refusals = Refusals::default();
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let waits: Vec<_> = (0..REFUSED_FREE_MAX + 3).map(|_| refusals.note(guesser, 1_000)).collect();
        let free = REFUSED_FREE_MAX as usize;
        assert!(waits[..free].iter().all(|wait_ms| *wait_ms == 0), "a typing error costs nothing: {waits:?}");
        assert_eq!(waits[free..], [REFUSED_WAIT_STEP_MS, 2 * REFUSED_WAIT_STEP_MS, 3 * REFUSED_WAIT_STEP_MS]);
        for _ in 0..1_000 {
            assert!(refusals.note(guesser, 1_000) <= REFUSED_WAIT_MS_MAX);
        }
        assert_eq!(refusals.note(guesser, 1_000), REFUSED_WAIT_MS_MAX);
        assert_eq!(refusals.note(other, 1_000), 0, "others have their own count");
        assert_eq!(refusals.note(guesser, 1_000 + REFUSED_REMEMBERED_MS), 0, "after a while it is forgotten");
    }

    #[test]
    fn neighbours_in_ipv6_count_together_and_mapped_addresses_are_those_of_ipv4() {
        let mut refusals = Refusals::default();
        for host in 0..=REFUSED_FREE_MAX {
            refusals.note(address(&format!("2001:db8::{host}")), 0);
        }
        assert!(refusals.note(address("2001:db8::ffff"), 0) > 0);
        assert_eq!(refusals.note(address("2001:db8:0:1::1"), 0), 0);
        for _ in 0..=REFUSED_FREE_MAX {
            refusals.note(address("::ffff:192.0.2.1"), 0);
        }
        assert!(refusals.note(address("192.0.2.1"), 0) > 0);
    }

    #[test]
    fn so_many_addresses_are_remembered_and_no_more() {
        let mut refusals = Refusals::default();
        for number in 0..REFUSED_ADDRESSES_MAX as u32 + 100 {
            refusals.note(IpAddr::V4(number.into()), 5_000);
        }
        assert_eq!(refusals.by_address.len(), REFUSED_ADDRESSES_MAX);
        assert_eq!(refusals.note(address("203.0.113.9"), 5_000), REFUSED_WAIT_MS_MAX);
        assert_eq!(refusals.note(address("203.0.113.9"), 5_000 + REFUSED_REMEMBERED_MS), 0);
        assert_eq!(refusals.by_address.len(), 1, "those that are over made room");
        assert_eq!(refusals.count(), REFUSED_ADDRESSES_MAX as u64 + 102);
    }
}
