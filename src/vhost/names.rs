//! Names the broker makes up: unguessable, and never the same twice. Pure: the randomness was passed in at birth.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A source of names, each from the hash of a secret seed and a counter.
#[derive(Debug)]
pub(super) struct Names {
    seed: [u8; 32],
    count: u64,
}

/// Random bytes in a name: 22 characters of base64url.
const NAME_BYTES: usize = 16;

impl Names {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, count: 0 }
    }

    /// A number that depends on the seed alone and tells nothing of it: the beginning of other chance.
    pub(super) fn number(&self) -> u64 {
        let hash = Sha256::new().chain_update(self.seed).finalize();
        hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A name for a queue that was declared without one. Source: RabbitMQ `rabbit_guid:binary(_, "amq.gen")`.
    pub(super) fn queue(&mut self) -> Arc<str> {
        self.name("amq.gen-")
    }

    /// A name for the reply consumer of a channel: only who was sent it can reply.
    pub(super) fn reply(&mut self) -> Arc<str> {
        self.name("amq.rabbitmq.reply-to.")
    }

    fn name(&mut self, prefix: &str) -> Arc<str> {
        self.count += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.count.to_be_bytes());
        let hash = hash.finalize();
        let bytes: Vec<u8> = hash.iter().copied().take(NAME_BYTES).collect();
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_like_rabbitmqs_and_differ() {
        let mut names = Names::new([7; 32]);
        let (one, other) = (names.queue(), names.queue());
        assert_ne!(one, other);
        assert_ne!(one, Names::new([8; 32]).queue());
        let random = one.strip_prefix("amq.gen-").expect("the prefix");
        assert_eq!(random.len(), 22);
        assert!(names.reply().starts_with("amq.rabbitmq.reply-to."));
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}
