//! Logins that a directory (LDAP) decides: a bind with the user's name and password, and the groups it is in. Each login is
//! a connection of its own, bounded in time as a whole; who logged in a moment ago is known (`auth::LdapCache`). What the
//! answers mean is the business of `auth::LdapRights`.
//! Source: RFC 4511, RFC 4513 §5.1; RabbitMQ `rabbit_auth_backend_ldap`.

use super::broker::Broker;
use super::error::ServeError;
use super::ldap_session::{LdapSession, Socket};
use super::random_bytes;
use super::tls_client;
use crate::auth::{Facts, LdapCache, LdapResult, LdapRights};
use crate::config::{Config, LdapBind, LdapConfig, LdapSecurity};
use crate::limits::{LDAP_GROUPS_MAX, LDAP_LOGINS_MAX, LDAP_TEXT_SHOWN_MAX};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Ldap {
    config: LdapConfig,
    cache: Mutex<LdapCache>,
    /// One for each login that may be under way.
    places: Semaphore,
}

/// Why a directory let nobody in; sentences for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LdapRefused {
    /// It does not know the name, or not with this password.
    Credentials,
    /// It could not be asked, or did not answer as it should.
    Unavailable(String),
}

/// What is done when the bind is refused. Source: RFC 4511, appendix A.
const INVALID_CREDENTIALS: u32 = 49;

/// A conversation with a directory, in the open or with TLS.
type Session = LdapSession<Box<dyn Socket>>;

impl Ldap {
    /// `None` if no directory is configured.
    ///
    /// # Errors
    /// [`ServeError::Configuration`] if whom to believe cannot be read.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, ServeError> {
        let ldap = &config.ldap;
        if !config.asks_ldap() {
            return Ok(None);
        }
        if ldap.security == LdapSecurity::None {
            warn!(servers = ldap.servers.join(","), "passwords go to the directory without TLS");
        } else {
            // A file that cannot be read is told now rather than at the first login.
            tls_client::trusting(ldap.authorities.as_deref()).map_err(ServeError::Configuration)?;
        }
        Ok(Some(Self {
            cache: Mutex::new(LdapCache::new(random_bytes(), ldap.cache_s * 1000)),
            places: Semaphore::new(LDAP_LOGINS_MAX),
            config: ldap.clone(),
        }))
    }

    fn cache(&self) -> MutexGuard<'_, LdapCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn log_in(&self, user: &Arc<str>, password: &str) -> Result<LdapRights, LdapRefused> {
        let within = Duration::from_millis(self.config.timeout_ms);
        timeout(within, self.log_in_unhurried(user, password)).await.unwrap_or_else(|_| {
            let why = format!("the directory took longer than {} ms", self.config.timeout_ms);
            Err(LdapRefused::Unavailable(why))
        })
    }

    async fn log_in_unhurried(&self, user: &Arc<str>, password: &str) -> Result<LdapRights, LdapRefused> {
        let mut session = self.connect().await?;
        let facts = Facts { username: user, ..Facts::default() };
        let pattern_dn = self.config.user_dn_pattern.fill_dn(&facts);
        let user_dn = match (self.config.lookup_attribute.as_str(), &self.config.bind) {
            ("", _) => pattern_dn,
            (_, LdapBind::AsUser) => {
                bind(&mut session, &pattern_dn, password).await?;
                self.look_up(&mut session, &facts).await?
            }
            (_, other) => {
                self.bind_as_configured(&mut session, other).await?;
                self.look_up(&mut session, &facts).await?
            }
        };
        bind(&mut session, &user_dn, password).await?;
        let groups = self.groups(&mut session, &user_dn).await?;
        session.leave().await;
        Ok(LdapRights::new(Arc::clone(user), user_dn, groups, Arc::clone(&self.config.queries)))
    }

    /// The first server that can be reached.
    async fn connect(&self) -> Result<Session, LdapRefused> {
        let trust = if self.config.security == LdapSecurity::None {
            None
        } else {
            let file = self.config.authorities.clone();
            let trust = spawn_blocking(move || tls_client::trusting(file.as_deref())).await;
            let trust = trust.map_err(|error| LdapRefused::Unavailable(error.to_string()))?;
            Some(trust.map_err(LdapRefused::Unavailable)?)
        };
        let mut why = "no server is configured".to_owned();
        let share_ms = self.config.timeout_ms / (self.config.servers.len() as u64).max(1);
        for server in &self.config.servers {
            let security = match (&trust, self.config.security) {
                (Some(trust), LdapSecurity::StartTls) => Some((Arc::clone(trust), true)),
                (Some(trust), _) => Some((Arc::clone(trust), false)),
                (None, _) => None,
            };
            let port = self.config.port;
            let opened = LdapSession::open(server, port, security);
            match timeout(Duration::from_millis(share_ms), opened).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => why = format!("{server}:{port}: {error}"),
                Err(_) => why = format!("{server}:{port}: it took longer than {share_ms} ms"),
            }
        }
        Err(LdapRefused::Unavailable(why))
    }

    /// The one entry whose attribute is the user's name.
    async fn look_up(&self, session: &mut Session, facts: &Facts<'_>) -> Result<String, LdapRefused> {
        let value = self.config.user_dn_pattern.fill(facts);
        let what = (self.config.lookup_attribute.as_str(), value.as_str());
        let found = search(session, &self.config.lookup_base, what, 2).await?;
        match <[String; 1]>::try_from(found) {
            Ok([dn]) => Ok(dn),
            // Nobody, or more than one: it is not known who is meant.
            Err(_) => Err(LdapRefused::Credentials),
        }
    }

    /// The groups that name the user, as far as a query asks for them.
    async fn groups(
        &self,
        session: &mut Session,
        user_dn: &str,
    ) -> Result<Vec<(String, String)>, LdapRefused> {
        let attributes = self.config.queries.attributes();
        if attributes.is_empty() {
            return Ok(Vec::new());
        }
        if self.config.bind != LdapBind::AsUser {
            self.bind_as_configured(session, &self.config.bind).await?;
        }
        let mut groups = Vec::new();
        for attribute in attributes {
            let what = (attribute.as_str(), user_dn);
            let found = search(session, &self.config.group_base, what, LDAP_GROUPS_MAX).await?;
            groups.extend(found.into_iter().map(|dn| (attribute.clone(), dn)));
        }
        Ok(groups)
    }

    async fn bind_as_configured(&self, session: &mut Session, whom: &LdapBind) -> Result<(), LdapRefused> {
        let bound = match whom {
            LdapBind::AsUser => Ok(()),
            LdapBind::Anonymous => bind(session, "", "").await,
            LdapBind::As(dn) => bind(session, dn, self.config.bind_password.expose()).await,
        };
        bound.map_err(|refused| match refused {
            LdapRefused::Credentials => LdapRefused::Unavailable(
                "the directory refuses the name and password of ldap_bind".to_owned(),
            ),
            unavailable @ LdapRefused::Unavailable(_) => unavailable,
        })
    }
}

async fn bind(session: &mut Session, dn: &str, password: &str) -> Result<(), LdapRefused> {
    let result = session.bind(dn, password).await.map_err(LdapRefused::Unavailable)?;
    match result.code {
        0 => Ok(()),
        INVALID_CREDENTIALS => Err(LdapRefused::Credentials),
        _ => Err(failed("bind", &result)),
    }
}

/// Names of the entries with an attribute of this value.
async fn search(
    session: &mut Session,
    base: &str,
    what: (&str, &str),
    most: usize,
) -> Result<Vec<String>, LdapRefused> {
    let (names, result) = session.search(base, what, most).await.map_err(LdapRefused::Unavailable)?;
    if result.code == 0 { Ok(names) } else { Err(failed("search", &result)) }
}

/// With what the directory says about it, as far as it may go into a line of the log.
fn failed(what: &str, LdapResult { code, text }: &LdapResult) -> LdapRefused {
    let said: String = text.chars().take(LDAP_TEXT_SHOWN_MAX).collect();
    LdapRefused::Unavailable(format!("the {what} failed with code {code}: {}", said.escape_debug()))
}

impl Broker {
    /// Asks the directory for a login; who logged in a moment ago is known.
    pub(super) async fn check_ldap_login(
        &self,
        user: &Arc<str>,
        password: &str,
    ) -> Result<Arc<LdapRights>, LdapRefused> {
        let Some(ldap) = &self.ldap else { return Err(LdapRefused::Credentials) };
        // A bind without a password is a bind as nobody, which succeeds for every name (RFC 4513 §5.1.2).
        if password.is_empty() || crate::auth::check_name(user).is_err() {
            return Err(LdapRefused::Credentials);
        }
        if let Some(rights) = ldap.cache().find(user, password, self.clock.now_ms()) {
            return Ok(rights);
        }
        // Nobody closes it.
        let _place = ldap.places.acquire().await;
        let answer = ldap.log_in(user, password).await;
        match answer {
            Ok(rights) => {
                let rights = Arc::new(rights);
                ldap.cache().learn(user, password, Arc::clone(&rights), self.clock.now_ms());
                Ok(rights)
            }
            Err(refused) => {
                if let LdapRefused::Unavailable(why) = &refused
                    && self.client_lines.admit(self.clock.now_ms()).is_some()
                {
                    warn!(why, "the directory did not decide a login");
                }
                Err(refused)
            }
        }
    }

    /// Forgets who logged in a moment ago: the next logins are the directory's to decide.
    pub(super) fn forget_directory_logins(&self) {
        if let Some(ldap) = &self.ldap {
            *ldap.cache() = LdapCache::new(random_bytes(), ldap.config.cache_s * 1000);
            info!("logins that the directory decided are forgotten");
        }
    }
}
