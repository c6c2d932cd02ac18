//! Consumer tags for clients that name none: `amq.ctag-` and 22 letters, as RabbitMQ makes them. They must differ within
//! a channel and need not be hard to guess, so a small generator seeded by the driver does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;

/// Makes names. Two makers with the same seed make the same ones.
#[derive(Debug)]
pub(crate) struct TagMaker {
    state: u64,
}

impl TagMaker {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// `prefix` and 22 letters.
    pub(crate) fn name(&mut self, prefix: &str) -> Arc<str> {
        let mut bytes = [0; 16];
        let number = u128::from(self.next()) << 64 | u128::from(self.next());
        bytes.copy_from_slice(&number.to_be_bytes());
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)).into()
    }

    /// `splitmix64`: its state only counts, so names do not repeat before 2^64 of them.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_like_rabbitmqs_and_differ() {
        let mut tags = TagMaker::new(1);
        let (first, second) = (tags.name("amq.ctag-"), tags.name("amq.ctag-"));
        assert!(first.starts_with("amq.ctag-") && first.len() == 9 + 22, "{first}");
        assert_ne!(first, second);
        assert_eq!(TagMaker::new(1).name("amq.ctag-"), first);
    }
}
