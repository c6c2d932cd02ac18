//! Logins by bearer token: the keys, from files that are read again when they change and from a server (`jwks.rs`), and the
//! question whether a token is good now. What a token must be is `auth::TokenKeys`' business.

use super::broker::Broker;
use super::error::ServeError;
use super::jwks::Jwks;
use super::tls::{Stamp, stamp};
use crate::auth::{Accounts, Token, TokenKeys, TokenRefused, TokenRules};
use crate::config::{Config, KeyFile};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Tokens {
    files: Vec<KeyFile>,
    rules: TokenRules,
    from_files: RwLock<Arc<TokenKeys>>,
    seen: Mutex<Vec<Option<Stamp>>>,
    pub(super) jwks: Option<Jwks>,
}

/// Who logged in, and by which token if it was one.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// Name.
    pub user: Arc<str>,
    pub(super) token: Option<Arc<Token>>,
}

impl LoggedIn {
    /// The user, if its rights are those that are kept here, and not those that a token or a directory gives it.
    pub fn kept_here(self) -> Option<Arc<str>> {
        self.token.is_none().then_some(self.user)
    }
}

impl Tokens {
    /// Reads the keys; `None` if nobody logs in by token.
    ///
    /// # Errors
    /// [`ServeError::Configuration`] if they cannot be used. A server is not asked yet.
    pub(super) fn load(config: &Config) -> Result<Option<Self>, ServeError> {
        let jwks = Jwks::new(&config.jwks, &config.oauth).map_err(ServeError::Configuration)?;
        if config.oauth_keys.is_empty() && jwks.is_none() {
            return Ok(None);
        }
        let (files, rules) = (config.oauth_keys.clone(), config.oauth.clone());
        let seen = Mutex::new(stamps(&files));
        let from_files = read(&files, &rules).map_err(ServeError::Configuration)?;
        Ok(Some(Self { files, rules, from_files: RwLock::new(Arc::new(from_files)), seen, jwks }))
    }

    /// Reads the files again; an error is a sentence for the log, and changes nothing.
    pub(super) fn reload(&self) -> Result<(), String> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.files);
        let keys = read(&self.files, &self.rules)?;
        *self.from_files.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    pub(super) fn has_changed(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamps(&self.files)
    }

    fn check(&self, token: &str, now_unix_s: u64) -> Result<Arc<Token>, TokenRefused> {
        let mut keys = Arc::clone(&self.from_files.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(jwks) = &self.jwks {
            keys = Arc::new(keys.and(&jwks.keys()));
        }
        keys.check(token, now_unix_s).map(Arc::new)
    }
}

fn stamps(files: &[KeyFile]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| stamp(&file.path)).collect()
}

fn read(files: &[KeyFile], rules: &TokenRules) -> Result<TokenKeys, String> {
    let mut all = TokenKeys::none(rules.clone());
    for KeyFile { id, path } in files {
        let of_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| of_file(&format!("cannot be read: {error}")))?;
        let keys = TokenKeys::parse(&text, rules.clone()).map_err(|error| of_file(&error))?;
        all = all.and(&if let Some(id) = id { keys.named(id) } else { keys });
    }
    Ok(all)
}

impl Broker {
    /// Checks a token: an error is a reason for the log. Waits for nobody: if its key is not there, that is asked for, and
    /// may be there the next time.
    pub(super) fn check_token(&self, token: &str) -> Result<Arc<Token>, String> {
        let tokens = self.tokens.as_ref().ok_or("nobody logs in by token here")?;
        tokens.check(token, self.clock.unix_ms() / 1000).map_err(|refused| {
            if let Some(jwks) = tokens.jwks.as_ref().filter(|_| refused.key_is_unknown) {
                jwks.want();
            }
            refused.why
        })
    }

    /// The same, and waits for a key that is not there if a server may have it.
    pub(super) async fn check_new_token(&self, token: &str) -> Result<Arc<Token>, String> {
        let tokens = self.tokens.as_ref().ok_or("nobody logs in by token here")?;
        let now_unix_s = self.clock.unix_ms() / 1000;
        match (tokens.check(token, now_unix_s), &tokens.jwks) {
            (Err(TokenRefused { key_is_unknown: true, .. }), Some(jwks)) => {
                jwks.wait_for_more(self).await;
                tokens.check(token, now_unix_s).map_err(|refused| refused.why)
            }
            (checked, _) => checked.map_err(|refused| refused.why),
        }
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
