//! Logins by bearer token: the keys' file, read again when it changes, and the question whether a token is good now.
//! What a token must be is `auth::TokenKeys`' business.

use super::broker::Broker;
use super::error::ServeError;
use super::tls::{Stamp, stamp};
use crate::auth::{Accounts, Token, TokenKeys};
use crate::config::Config;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    rules: crate::auth::TokenRules,
    keys: RwLock<Arc<TokenKeys>>,
    seen: Mutex<Option<Stamp>>,
}

/// Who logged in, and by which token if it was one.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// Name.
    pub user: Arc<str>,
    pub(super) token: Option<Arc<Token>>,
}

impl Tokens {
    /// Reads the keys; `None` if nobody logs in by token.
    ///
    /// # Errors
    /// [`ServeError::Configuration`] if they cannot be used.
    pub(super) fn load(config: &Config) -> Result<Option<Self>, ServeError> {
        let Some(path) = config.oauth_keys.clone() else { return Ok(None) };
        let rules = config.oauth.clone();
        let seen = Mutex::new(stamp(&path));
        let keys = read(&path, &rules).map_err(ServeError::Configuration)?;
        Ok(Some(Self { path, rules, keys: RwLock::new(Arc::new(keys)), seen }))
    }

    /// Reads the keys again; an error is a sentence for the log, and changes nothing.
    pub(super) fn reload(&self) -> Result<(), String> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp(&self.path);
        let keys = read(&self.path, &self.rules)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    pub(super) fn has_changed(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamp(&self.path)
    }

    fn keys(&self) -> Arc<TokenKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(path: &PathBuf, rules: &crate::auth::TokenRules) -> Result<TokenKeys, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    TokenKeys::parse(&text, rules.clone()).map_err(|error| format!("{}: {error}", path.display()))
}

impl Broker {
    /// Checks a token: an error is a reason for the log.
    pub(super) fn check_token(&self, token: &str) -> Result<Arc<Token>, String> {
        let tokens = self.tokens.as_ref().ok_or("nobody logs in by token here")?;
        tokens.keys().check(token, self.clock.unix_ms() / 1000).map(Arc::new)
    }

    /// When a token ends, ms of the broker's clock.
    pub(super) fn expires_ms(&self, token: &Token) -> u64 {
        let left_ms = token.expires_unix_s.saturating_mul(1000).saturating_sub(self.clock.unix_ms());
        self.clock.now_ms().saturating_add(left_ms)
    }

    /// Who may do what, as the one who logged in sees it.
    pub fn accounts_of(&self, logged_in: &LoggedIn) -> Arc<Accounts> {
        let accounts = self.directory.accounts();
        match &logged_in.token {
            Some(token) => Arc::new(accounts.with_token(Arc::clone(token))),
            None => accounts,
        }
    }
}
