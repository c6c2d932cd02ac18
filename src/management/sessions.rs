//! Sessions of the management page: a token for a login, so that the page need not keep a password. A session ends when it
//! is ended, was not used for a while, is old, or its user's password changed. Only digests of tokens are kept. Pure: the
//! randomness and the time are passed in.

use crate::limits::{SESSION_IDLE_MS, SESSION_LIFE_MS, SESSIONS_MAX};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Random bytes of a token.
pub(super) type TokenBytes = [u8; 32];

/// What tokens begin with, so that a token found somewhere tells what it is.
const PREFIX: &str = "ledgermq_";

/// All sessions there are.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_digest: HashMap<[u8; 32], Session>,
}

#[derive(Debug)]
struct Session {
    user: Arc<str>,
    /// Which of its passwords the user had at the login; another one ends the session.
    password_stamp: u64,
    since_ms: u64,
    used_ms: u64,
}

impl Sessions {
    /// Begins a session and gives its token. If there are too many, the one that was used longest ago ends.
    pub(super) fn begin(
        &mut self,
        user: Arc<str>,
        password_stamp: u64,
        bytes: TokenBytes,
        now_ms: u64,
    ) -> String {
        self.by_digest.retain(|_, session| session.is_alive(now_ms));
        if self.by_digest.len() >= SESSIONS_MAX {
            let oldest = self.by_digest.iter().min_by_key(|(_, session)| session.used_ms);
            if let Some(digest) = oldest.map(|(digest, _)| *digest) {
                self.by_digest.remove(&digest);
            }
        }
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let session = Session { user, password_stamp, since_ms: now_ms, used_ms: now_ms };
        self.by_digest.insert(digest(&token), session);
        token
    }

    /// The user of a token. `password_stamp` tells which password a user has now.
    pub(super) fn user(
        &mut self,
        token: &str,
        now_ms: u64,
        password_stamp: impl FnOnce(&str) -> Option<u64>,
    ) -> Option<Arc<str>> {
        let digest = digest(token);
        let session = self.by_digest.get_mut(&digest)?;
        if !session.is_alive(now_ms) || password_stamp(&session.user) != Some(session.password_stamp) {
            self.by_digest.remove(&digest);
            return None;
        }
        session.used_ms = now_ms;
        Some(Arc::clone(&session.user))
    }

    /// Ends a session, if there is one.
    pub(super) fn end(&mut self, token: &str) {
        self.by_digest.remove(&digest(token));
    }
}

impl Session {
    fn is_alive(&self, now_ms: u64) -> bool {
        now_ms < self.used_ms + SESSION_IDLE_MS && now_ms < self.since_ms + SESSION_LIFE_MS
    }
}

/// Whether this is the text of a session's token, and no other kind of bearer token.
pub(super) fn is_session_token(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Looking a digest up tells nothing of the token by its timing.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(at_ms: u64) -> (Sessions, String) {
        let mut sessions = Sessions::default();
        let token = sessions.begin("guest".into(), 1, [7; 32], at_ms);
        (sessions, token)
    }

    #[test]
    fn a_token_stands_for_its_user_until_it_is_ended() {
        let (mut sessions, token) = begun(0);
        assert!(is_session_token(&token));
        assert_eq!(sessions.user(&token, 1, |_| Some(1)).as_deref(), Some("guest"));
        assert_eq!(sessions.user("ledgermq_AAAA", 1, |_| Some(1)), None);
        assert!(!format!("{sessions:?}").contains(&token), "tokens are kept nowhere");
        sessions.end(&token);
        assert_eq!(sessions.user(&token, 1, |_| Some(1)), None);
    }

    #[test]
    fn it_ends_by_itself() {
        let (mut sessions, token) = begun(0);
        assert_eq!(sessions.user(&token, SESSION_IDLE_MS, |_| Some(1)), None, "not used for long");
        let (mut sessions, token) = begun(0);
        for at_ms in (0..SESSION_LIFE_MS).step_by(usize::try_from(SESSION_IDLE_MS / 2).unwrap()) {
            assert!(sessions.user(&token, at_ms, |_| Some(1)).is_some(), "used at {at_ms}");
        }
        assert_eq!(sessions.user(&token, SESSION_LIFE_MS, |_| Some(1)), None, "old");
        let (mut sessions, token) = begun(0);
        assert_eq!(sessions.user(&token, 1, |_| Some(2)), None, "another password");
        assert_eq!(sessions.user(&token, 1, |_| Some(1)), None, "and that is final");
        let (mut sessions, token) = begun(0);
        assert_eq!(sessions.user(&token, 1, |_| None), None, "the user is gone");
    }

    #[test]
    fn there_are_never_too_many() {
        let (mut sessions, first) = begun(0);
        for number in 0..SESSIONS_MAX as u64 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            sessions.begin("guest".into(), 1, bytes, 1);
        }
        assert_eq!(sessions.by_digest.len(), SESSIONS_MAX);
        assert_eq!(sessions.user(&first, 2, |_| Some(1)), None, "the oldest made room");
    }
}
