//! Password hashes in RabbitMQ's format: `base64(salt ‖ SHA-256(salt ‖ password))` with four bytes of salt, so that
//! definitions move between the brokers. Checking takes the same time whether the user exists or not, and whatever
//! part of the password is wrong. Knows no users.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random bytes that make equal passwords look different.
pub(super) const SALT_BYTES: usize = 4;
const DIGEST_BYTES: usize = 32;

/// The hash of a password under this salt.
pub(super) fn hash(password: &[u8], salt: [u8; SALT_BYTES]) -> String {
    let mut bytes = salt.to_vec();
    bytes.extend_from_slice(&digest(password, salt));
    STANDARD.encode(bytes)
}

/// Whether the password belongs to the hash. An empty password never does, nor does any to an empty or damaged hash;
/// both cost as much as a real check.
pub(super) fn verify(password: &[u8], password_hash: Option<&str>) -> bool {
    let known = password_hash.and_then(split);
    let (salt, expected) = known.unwrap_or(([0; SALT_BYTES], [0; DIGEST_BYTES]));
    let equal = bool::from(digest(password, salt).ct_eq(&expected));
    equal && known.is_some() && !password.is_empty()
}

fn digest(password: &[u8], salt: [u8; SALT_BYTES]) -> [u8; DIGEST_BYTES] {
    Sha256::new().chain_update(salt).chain_update(password).finalize().into()
}

fn split(password_hash: &str) -> Option<([u8; SALT_BYTES], [u8; DIGEST_BYTES])> {
    let bytes = STANDARD.decode(password_hash).ok()?;
    let (salt, digest) = bytes.split_first_chunk::<SALT_BYTES>()?;
    Some((*salt, digest.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vector of RabbitMQ's documentation.
    const TEST12: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

    #[test]
    fn hashes_are_those_of_rabbitmq() {
        assert_eq!(hash(b"test12", [0x90, 0x8d, 0xc6, 0x0a]), TEST12);
    }

    #[test]
    fn only_the_right_password_passes() {
        let empty = hash(b"", [1, 2, 3, 4]);
        for (password, known, expected) in [
            ("test12", Some(TEST12), true),
            ("test1", Some(TEST12), false),
            ("test123", Some(TEST12), false),
            ("", Some(TEST12), false),
            ("", Some(&*empty), false),
            ("test12", Some(""), false),
            ("test12", Some("not base64!"), false),
            ("test12", Some("AAAA"), false),
            ("test12", None, false),
            ("", None, false),
        ] {
            assert_eq!(verify(password.as_bytes(), known), expected, "{password:?} {known:?}");
        }
    }
}
