//! Logins that were good before, so that a client that comes back does not cost a slow hash again. What is kept is a
//! keyed digest of the name, the stored hash and the password: nothing to read a password from, and nothing that still
//! fits once the user has another password or is gone. Bounded; the oldest is forgotten first.

use super::PasswordHash;
use crate::limits::KNOWN_LOGINS_MAX;
use sha2::{Digest, Sha256};
use std::collections::{HashSet, VecDeque};
use std::fmt;

/// A secret of this process: without it the digests say nothing.
pub type LoginKey = [u8; 32];

type LoginDigest = [u8; 32];

/// See the file's head.
pub struct KnownLogins {
    key: LoginKey,
    known: HashSet<LoginDigest>,
    /// The same, oldest first.
    order: VecDeque<LoginDigest>,
}

impl fmt::Debug for KnownLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownLogins({})", self.known.len())
    }
}

impl KnownLogins {
    /// None yet. `key` is random.
    pub fn new(key: LoginKey) -> Self {
        Self { key, known: HashSet::new(), order: VecDeque::new() }
    }

    /// Whether this password was found good for this hash of this user.
    pub fn knows(&self, user: &str, hash: &PasswordHash, password: &str) -> bool {
        self.known.contains(&self.digest(user, hash, password))
    }

    /// It was found good.
    pub fn learn(&mut self, user: &str, hash: &PasswordHash, password: &str) {
        let digest = self.digest(user, hash, password);
        if !self.known.insert(digest) {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > KNOWN_LOGINS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn digest(&self, user: &str, hash: &PasswordHash, password: &str) -> LoginDigest {
        let mut digest = Sha256::new().chain_update(self.key);
        for part in [user, hash.as_stored(), password] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Hashing, Salt};

    fn hash(password: &str) -> PasswordHash {
        PasswordHash::new(password, Hashing::Sha256, Salt::default()).unwrap()
    }

    #[test]
    fn only_what_was_learned_is_known_and_only_for_that_hash() {
        let mut logins = KnownLogins::new([7; 32]);
        logins.learn("ann", &hash("secret"), "secret");
        for (user, stored, password, expected) in [
            ("ann", "secret", "secret", true),
            ("ann", "secret", "Secret", false),
            ("ann", "secret", "", false),
            ("bob", "secret", "secret", false),
            ("an", "secret", "nsecret", false),
            ("ann", "other", "secret", false),
        ] {
            assert_eq!(logins.knows(user, &hash(stored), password), expected, "{user} {stored} {password}");
        }
        assert!(!format!("{logins:?}").contains("secret"));
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut logins = KnownLogins::new([7; 32]);
        let hash = hash("secret");
        for number in 0..=KNOWN_LOGINS_MAX {
            logins.learn(&format!("u{number}"), &hash, "secret");
            logins.learn(&format!("u{number}"), &hash, "secret");
        }
        assert!(!logins.knows("u0", &hash, "secret") && logins.knows("u1", &hash, "secret"));
        assert_eq!((logins.known.len(), logins.order.len()), (KNOWN_LOGINS_MAX, KNOWN_LOGINS_MAX));
    }
}
