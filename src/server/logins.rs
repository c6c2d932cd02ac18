//! Checks of passwords. A check is slow on purpose, so it runs beside the threads that serve clients, few at a time, and
//! one at a time for each address: a flood of logins takes some of the machine's time, never all of it, and waits for
//! itself more than others wait for it. Who was let in before is recognised at once (`auth::KnownLogins`).
//! A password that was kept in an older way is kept in the configured one after a good login; nobody waits for that.

use super::broker::Broker;
use super::directory::Directory;
use super::ldap::LdapRefused;
use super::tokens::LoggedIn;
use crate::auth::{
    Accounts, AccountsError, Hashing, KnownLogins, LoginRefused, PasswordHash, Salt, Token, looks_like_token,
    neighbourhood,
};
use crate::config::AuthBackend;
use crate::connection::{Login, Peer};
use crate::limits::LOGIN_CHECKS_MAX;
use crate::protocol::sasl::EXTERNAL;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Logins {
    known: Arc<Mutex<KnownLogins>>,
    /// One permit for each check that may run.
    checks: Arc<Semaphore>,
    /// Addresses that have a check running or waiting.
    lanes: Arc<Lanes>,
}

/// A name and a password that somebody says are his.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) user: Arc<str>,
    pub(super) password: Arc<str>,
    /// Where it comes from.
    pub(super) from: IpAddr,
    /// Whether that is this machine.
    pub(super) is_local: bool,
}

impl Logins {
    /// Nobody was here yet.
    pub(super) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            known: Arc::new(Mutex::new(KnownLogins::new(random_bytes()))),
            checks: Arc::new(Semaphore::new((cores / 2).clamp(1, LOGIN_CHECKS_MAX))),
            lanes: Arc::default(),
        }
    }

    /// The answer, if it is known without a check.
    pub(super) fn known(&self, accounts: &Accounts, claim: &Claim) -> Option<Result<(), LoginRefused>> {
        let hash = accounts.password_hash(&claim.user)?;
        if !claim.is_local && accounts.is_loopback_user(&claim.user) {
            // It is refused anyway: not sooner because the password was right.
            return None;
        }
        let is_known = lock(&self.known).knows(&claim.user, hash, &claim.password);
        is_known.then(|| accounts.login_without_password(&claim.user, claim.is_local))
    }

    /// Checks a claim; waits its turn.
    pub(super) async fn check(&self, directory: &Directory, claim: &Claim) -> Result<(), LoginRefused> {
        if let Some(answer) = self.known(&directory.accounts(), claim) {
            return answer;
        }
        let lane = Lane::enter(&self.lanes, claim.from);
        let _turn = lane.semaphore.acquire().await;
        let running = self.running().await;
        let accounts = directory.accounts();
        // Somebody with the same password may have been checked meanwhile.
        if let Some(answer) = self.known(&accounts, claim) {
            return answer;
        }
        let (known, claim) = (Arc::clone(&self.known), claim.clone());
        let checked = spawn_blocking(move || {
            let answer = accounts.login(&claim.user, claim.password.as_bytes(), claim.is_local);
            if let (Ok(()), Some(hash)) = (answer, accounts.password_hash(&claim.user)) {
                lock(&known).learn(&claim.user, hash, &claim.password);
            }
            drop(running);
            answer
        });
        checked.await.unwrap_or(Err(LoginRefused::InvalidCredentials))
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: &str, hashing: Hashing) -> Result<PasswordHash, AccountsError> {
        let running = self.running().await;
        let password: Arc<str> = password.into();
        let hashed = spawn_blocking(move || {
            let hash = PasswordHash::new(&password, hashing, salt());
            drop(running);
            hash
        });
        hashed.await.unwrap_or_else(|error| Err(AccountsError::InvalidPasswordHash(error.to_string())))
    }

    async fn running(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        Arc::clone(&self.checks).acquire_owned().await.ok()
    }
}

impl Broker {
    /// Checks a login that came from `peer`: the user's name, or a reason for the log.
    /// A mechanism without a password (EXTERNAL) has proved who it is by other means.
    pub(super) async fn check_login(
        &self,
        login: &Login,
        peer: &Peer,
        is_local: bool,
    ) -> Result<LoggedIn, String> {
        let claim = Claim {
            user: login.user.as_str().into(),
            password: login.password.as_str().into(),
            from: peer.remote.ip(),
            is_local,
        };
        let refused = |refused: LoginRefused| refused.reason(&login.user);
        if login.mechanism == EXTERNAL {
            let accounts = self.directory.accounts();
            accounts.login_without_password(&login.user, is_local).map_err(refused)?;
            return Ok(LoggedIn { user: claim.user, token: None });
        }
        if self.tokens.is_some() && looks_like_token(&login.password) {
            // What the client calls itself does not count: the token does.
            let token = self.check_new_token(&login.password).await?;
            if !is_local && self.directory.accounts().is_loopback_user(&token.user) {
                return Err(LoginRefused::LoopbackOnly.reason(&token.user));
            }
            return Ok(LoggedIn { user: Arc::clone(&token.user), token: Some(token) });
        }
        let mut why = "nobody logs in by name and password here".to_owned();
        for backend in &self.config.auth_backends {
            match self.check_with(*backend, &claim).await {
                Ok(logged_in) => return Ok(logged_in),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    /// What one of those who decide logins says.
    async fn check_with(&self, backend: AuthBackend, claim: &Claim) -> Result<LoggedIn, String> {
        let user = Arc::clone(&claim.user);
        let refused = |refused: LoginRefused| refused.reason(&claim.user);
        if backend == AuthBackend::Internal {
            self.logins.check(&self.directory, claim).await.map_err(refused)?;
            self.keep_better(claim);
            return Ok(LoggedIn { user, token: None });
        }
        let answer = self.check_ldap_login(&user, &claim.password).await;
        let rights = answer.map_err(|answer| match answer {
            LdapRefused::Credentials => LoginRefused::InvalidCredentials.reason(&user),
            LdapRefused::Unavailable(why) => format!("user '{}' - {why}", user.escape_debug()),
        })?;
        let accounts = self.directory.accounts();
        if backend == AuthBackend::LdapThenInternal {
            accounts.login_without_password(&user, claim.is_local).map_err(refused)?;
            return Ok(LoggedIn { user, token: None });
        }
        if !claim.is_local && accounts.is_loopback_user(&user) {
            return Err(refused(LoginRefused::LoopbackOnly));
        }
        Ok(LoggedIn { user, token: Some(Arc::new(Token::of_directory(rights))) })
    }

    /// The hash of a new password, as configured.
    ///
    /// # Errors
    /// [`AccountsError::EmptyPassword`].
    pub async fn hash_password(&self, password: &str) -> Result<PasswordHash, AccountsError> {
        self.logins.hash(password, self.directory.accounts().hashing()).await
    }

    /// Keeps the password of a good login as new ones are kept, if it is kept in a way that costs a thief less.
    pub(super) fn keep_better(&self, claim: &Claim) {
        let accounts = self.directory.accounts();
        let Some(hash) = accounts.password_hash(&claim.user) else { return };
        if accounts.hashing() != Hashing::Argon2id || hash.hashing() == Some(Hashing::Argon2id) {
            return;
        }
        let (old, claim) = (hash.clone(), claim.clone());
        let Some(broker) = self.me.upgrade() else { return };
        tokio::spawn(async move {
            let better = match broker.hash_password(&claim.password).await {
                Ok(better) => better,
                Err(error) => return warn!(%error, "a password could not be kept in a better way"),
            };
            lock(&broker.logins.known).learn(&claim.user, &better, &claim.password);
            if broker.directory.rehash(&claim.user, &old, better).await {
                info!(user = %claim.user.escape_debug(), "the password is now kept as argon2id");
            }
        });
    }
}

/// Who is being checked, by address.
#[derive(Debug, Default)]
struct Lanes(Mutex<HashMap<IpAddr, Arc<Semaphore>>>);

/// A place in the queue of one address.
struct Lane {
    lanes: Arc<Lanes>,
    from: IpAddr,
    semaphore: Arc<Semaphore>,
}

impl Lane {
    fn enter(lanes: &Arc<Lanes>, from: IpAddr) -> Self {
        let from = neighbourhood(from);
        let semaphore = Arc::clone(lock(&lanes.0).entry(from).or_insert_with(|| Arc::new(Semaphore::new(1))));
        Self { lanes: Arc::clone(lanes), from, semaphore }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut lanes = lock(&self.lanes.0);
        // Ours and the one in the map: nobody else waits.
        if Arc::strong_count(&self.semaphore) <= 2 {
            lanes.remove(&self.from);
        }
    }
}

/// Random bytes of the operating system.
pub(super) fn salt() -> Salt {
    random_bytes()
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    assert!(filled.is_ok(), "the operating system gives random numbers: {:?}", filled.err());
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_forgotten_when_nobody_of_them_waits() {
        let lanes: Arc<Lanes> = Arc::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = Lane::enter(&lanes, address("10.0.0.1"));
        let same = Lane::enter(&lanes, address("::ffff:10.0.0.1"));
        let other = Lane::enter(&lanes, address("10.0.0.2"));
        let taken = one.semaphore.try_acquire().unwrap();
        assert!(same.semaphore.try_acquire().is_err(), "one at a time for each address");
        assert!(other.semaphore.try_acquire().is_ok());
        drop(taken);
        drop(one);
        assert_eq!(lock(&lanes.0).len(), 2);
        drop((same, other));
        assert!(lock(&lanes.0).is_empty());
    }
}
