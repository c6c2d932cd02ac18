//! Password hashes. New ones are argon2id, written as a PHC string; RabbitMQ's own are read and made as well, so that
//! definitions move between the brokers: `base64(salt ‖ H(salt ‖ password))` with four bytes of salt and SHA-256 or
//! SHA-512 for H. Which of them a stored text is, the text itself says. Checking takes the same time whether the user
//! exists or not, and whatever part of the password is wrong. Knows no users.
//! Source: RabbitMQ `rabbit_password_hashing_sha256`, `…_sha512`; RFC 9106; the PHC string format.

use super::AccountsError;
use crate::limits::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_KIB, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES, ARGON2_PASSES_MAX,
};
use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};
use std::fmt;
use subtle::ConstantTimeEq;

/// Random bytes that make equal passwords look different. RabbitMQ's hashes use the first four.
pub type Salt = [u8; 16];

/// Salt of RabbitMQ's hashes, bytes.
const RABBIT_SALT_BYTES: usize = 4;

/// How a password is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashing {
    /// Costs memory and time on purpose. RabbitMQ cannot import it.
    #[default]
    Argon2id,
    /// RabbitMQ's default.
    Sha256,
    /// RabbitMQ's other one.
    Sha512,
}

impl Hashing {
    /// Its name in definitions and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Argon2id => "argon2id",
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Argon2id, Self::Sha256, Self::Sha512].into_iter().find(|known| known.name() == name)
    }
}

/// What is kept of a password: enough to recognise it. `Debug` shows only how it was made.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.hashing().map_or("none", Hashing::name))
    }
}

impl PasswordHash {
    /// The hash of a new password. [`Hashing::Argon2id`] takes about 20 ms: not for threads that serve others.
    ///
    /// # Errors
    /// [`AccountsError::EmptyPassword`].
    pub fn new(password: &str, hashing: Hashing, salt: Salt) -> Result<Self, AccountsError> {
        if password.is_empty() {
            return Err(AccountsError::EmptyPassword);
        }
        Ok(Self(match hashing {
            Hashing::Argon2id => argon2id(password.as_bytes(), &salt)?,
            Hashing::Sha256 => rabbit::<Sha256>(password.as_bytes(), &salt),
            Hashing::Sha512 => rabbit::<Sha512>(password.as_bytes(), &salt),
        }))
    }

    /// No password: the user cannot log in with one.
    pub fn none() -> Self {
        Self::default()
    }

    /// A hash from a definitions file or the management API: `password_hash` and `hashing_algorithm`. Without an
    /// algorithm it is what its length says: RabbitMQ takes it for SHA-256 then, and nobody could log in by a longer
    /// one. An empty hash is no password.
    ///
    /// # Errors
    /// [`AccountsError::InvalidPasswordHash`]: an algorithm that is not one of [`Hashing`] (MD5 is not), or a text that is
    /// not its hash, or one that would cost too much to check.
    pub fn import(text: &str, algorithm: Option<&str>) -> Result<Self, AccountsError> {
        let refused = |why: String| Err(AccountsError::InvalidPasswordHash(why));
        let by_length = || Self(text.to_owned()).hashing().filter(|hashing| *hashing == Hashing::Sha512);
        let name = algorithm.unwrap_or_else(|| by_length().unwrap_or(Hashing::Sha256).name());
        let Some(hashing) = Hashing::from_name(name) else {
            return refused(format!("hashing algorithm '{}' is not supported", name.escape_debug()));
        };
        let unwrapped = || String::from_utf8(STANDARD.decode(text).ok()?).ok();
        let hash = match hashing {
            Hashing::Argon2id => Self(unwrapped().unwrap_or_default()),
            Hashing::Sha256 | Hashing::Sha512 => Self(text.to_owned()),
        };
        if text.is_empty() || hash.hashing() == Some(hashing) {
            return Ok(hash);
        }
        refused(format!("password_hash is not a hash of {name}"))
    }

    /// The hash and the name of its algorithm, for a definitions file. A hash of argon2id goes as base64: RabbitMQ
    /// imports the file then, and its user can log in there once it has another password; a hash that is no base64 would
    /// have the whole file refused.
    pub fn export(&self) -> (String, &'static str) {
        match self.hashing() {
            Some(Hashing::Argon2id) => (STANDARD.encode(&self.0), Hashing::Argon2id.name()),
            Some(rabbits) => (self.0.clone(), rabbits.name()),
            None => (self.0.clone(), Hashing::Sha256.name()),
        }
    }

    /// As it is stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// What is stored.
    pub(crate) fn as_stored(&self) -> &str {
        &self.0
    }

    /// Whether there is no password.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// How it was made; `None` for no password, and for a text that is no hash.
    pub fn hashing(&self) -> Option<Hashing> {
        if self.0.starts_with('$') {
            return affordable(&self.0).map(|()| Hashing::Argon2id);
        }
        match STANDARD.decode(&self.0).ok()?.len().checked_sub(RABBIT_SALT_BYTES)? {
            32 => Some(Hashing::Sha256),
            64 => Some(Hashing::Sha512),
            _ => None,
        }
    }

    fn matches(&self, password: &[u8]) -> bool {
        match self.hashing() {
            Some(Hashing::Argon2id) => Argon2::default().verify_password(password, self.0.as_str()).is_ok(),
            Some(Hashing::Sha256) => rabbit_matches::<Sha256>(password, &self.0),
            Some(Hashing::Sha512) => rabbit_matches::<Sha512>(password, &self.0),
            None => false,
        }
    }
}

/// Whether the password belongs to the hash. An empty password never does, nor does any to none. A refusal costs at
/// least what a check of `usual` does, so that it does not tell whether there was something to compare with.
pub(super) fn verify(password: &[u8], known: Option<&PasswordHash>, usual: Hashing) -> bool {
    let matches = known.is_some_and(|known| known.matches(password));
    let had_usual_cost = known.and_then(PasswordHash::hashing) == Some(usual);
    if !matches && !had_usual_cost {
        let spent = match usual {
            Hashing::Argon2id => argon2id(password, &Salt::default()).unwrap_or_default(),
            Hashing::Sha256 => rabbit::<Sha256>(password, &Salt::default()),
            Hashing::Sha512 => rabbit::<Sha512>(password, &Salt::default()),
        };
        std::hint::black_box(spent);
    }
    matches && !password.is_empty()
}

fn argon2id(password: &[u8], salt: &Salt) -> Result<String, AccountsError> {
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, 1, None);
    let hash = params.map_err(|error| error.to_string()).and_then(|params| {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_with_salt(password, salt).map_err(|error| error.to_string())
    });
    hash.map(|hash| hash.to_string()).map_err(AccountsError::InvalidPasswordHash)
}

/// Whether the text is an argon2id hash that may be checked: what an import brings decides about time and memory.
fn affordable(text: &str) -> Option<()> {
    let hash = phc::PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let fits = params.m_cost() <= ARGON2_MEMORY_KIB_MAX
        && params.t_cost() <= ARGON2_PASSES_MAX
        && params.p_cost() <= ARGON2_LANES_MAX;
    (fits && hash.algorithm == argon2::ARGON2ID_IDENT && hash.hash.is_some()).then_some(())
}

fn rabbit<H: Digest>(password: &[u8], salt: &Salt) -> String {
    let salt = salt.get(..RABBIT_SALT_BYTES).unwrap_or_default();
    let mut bytes = salt.to_vec();
    bytes.extend_from_slice(&H::new().chain_update(salt).chain_update(password).finalize());
    STANDARD.encode(bytes)
}

fn rabbit_matches<H: Digest>(password: &[u8], text: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(text) else { return false };
    let Some((salt, expected)) = bytes.split_at_checked(RABBIT_SALT_BYTES) else { return false };
    let digest = H::new().chain_update(salt).chain_update(password).finalize();
    bool::from(digest.as_slice().ct_eq(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vector of RabbitMQ's documentation.
    const TEST12: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

    const EACH: [Hashing; 3] = [Hashing::Argon2id, Hashing::Sha256, Hashing::Sha512];

    fn hash(password: &str, hashing: Hashing) -> PasswordHash {
        PasswordHash::new(password, hashing, *b"0123456789abcdef").unwrap()
    }

    #[test]
    fn hashes_are_those_of_rabbitmq() {
        let mut salt = Salt::default();
        salt[..4].copy_from_slice(&[0x90, 0x8d, 0xc6, 0x0a]);
        let made = PasswordHash::new("test12", Hashing::Sha256, salt).unwrap();
        assert_eq!(made.export(), (TEST12.to_owned(), "rabbit_password_hashing_sha256"));
    }

    /// These texts are in stores.
    #[test]
    fn stored_hashes_stay_as_they_are() {
        for (hashing, expected) in [
            (Hashing::Argon2id, "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"),
            (Hashing::Sha256, "MDEyM"),
            (Hashing::Sha512, "MDEyM"),
        ] {
            let made = hash("secret", hashing);
            assert!(made.as_stored().starts_with(expected), "{}", made.as_stored());
            assert_eq!(made.hashing(), Some(hashing));
            assert!(!format!("{made:?}").contains(expected), "{made:?}");
        }
        let known = PasswordHash::stored(
            "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$3KbRuLI1tPtZyzy0f3OPuKxIVRMd8l1j6DqFBbzNGTk".to_owned(),
        );
        assert_eq!(known.hashing(), Some(Hashing::Argon2id));
    }

    #[test]
    fn only_the_right_password_passes() {
        for hashing in EACH {
            let known = hash("test12", hashing);
            for (password, expected) in [("test12", true), ("test1", false), ("test123", false), ("", false)]
            {
                assert_eq!(verify(password.as_bytes(), Some(&known), hashing), expected, "{password:?}");
            }
        }
        let empty = PasswordHash::stored(rabbit::<Sha256>(b"", &Salt::default()));
        for (password, known) in [
            ("", Some(empty)),
            ("test12", Some(PasswordHash::none())),
            ("test12", Some(PasswordHash::stored("not base64!".to_owned()))),
            ("test12", Some(PasswordHash::stored("AAAA".to_owned()))),
            ("test12", Some(PasswordHash::stored("$argon2id$".to_owned()))),
            ("test12", None),
            ("", None),
        ] {
            assert!(!verify(password.as_bytes(), known.as_ref(), Hashing::Sha256), "{password:?} {known:?}");
        }
        assert_eq!(
            PasswordHash::new("", Hashing::Sha256, Salt::default()),
            Err(AccountsError::EmptyPassword),
            "users need a password"
        );
    }

    #[test]
    fn what_rabbitmq_exports_is_imported_and_goes_back_as_it_came() {
        let sha512 = hash("test12", Hashing::Sha512);
        let argon2id = STANDARD.encode(hash("test12", Hashing::Argon2id).as_stored());
        for (text, algorithm, made_by) in [
            (TEST12, None, Hashing::Sha256),
            (TEST12, Some("rabbit_password_hashing_sha256"), Hashing::Sha256),
            (sha512.as_stored(), Some("rabbit_password_hashing_sha512"), Hashing::Sha512),
            (sha512.as_stored(), None, Hashing::Sha512),
            (&*argon2id, Some("argon2id"), Hashing::Argon2id),
        ] {
            let imported = PasswordHash::import(text, algorithm).unwrap();
            assert_eq!(imported.export(), (text.to_owned(), made_by.name()));
            assert!(verify(b"test12", Some(&imported), made_by));
        }
        assert!(PasswordHash::import("", Some("rabbit_password_hashing_sha256")).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_checked_is_not_imported() {
        let expensive =
            "$argon2id$v=19$m=4194304,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$bm9uZW5vbmVub25lbm9uZW5vbmVub25l";
        let slow =
            "$argon2id$v=19$m=19456,t=4000000,p=1$MDEyMzQ1Njc4OWFiY2RlZg$bm9uZW5vbmVub25lbm9uZW5vbmVub25l";
        for (text, algorithm, expected) in [
            (
                "AAAA",
                Some("rabbit_password_hashing_md5"),
                "hashing algorithm 'rabbit_password_hashing_md5' is not supported",
            ),
            ("AAAA", None, "password_hash is not a hash of rabbit_password_hashing_sha256"),
            ("!", None, "password_hash is not a hash of rabbit_password_hashing_sha256"),
            (
                TEST12,
                Some("rabbit_password_hashing_sha512"),
                "password_hash is not a hash of rabbit_password_hashing_sha512",
            ),
            (&*STANDARD.encode(expensive), Some("argon2id"), "password_hash is not a hash of argon2id"),
            (&*STANDARD.encode(slow), Some("argon2id"), "password_hash is not a hash of argon2id"),
            ("/w==", Some("argon2id"), "password_hash is not a hash of argon2id"),
        ] {
            let refused = PasswordHash::import(text, algorithm).unwrap_err();
            assert_eq!(refused.to_string(), expected);
        }
    }
}
