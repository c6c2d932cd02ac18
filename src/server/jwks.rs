//! Keys of tokens that a server publishes, by the URL of its key set or of its issuer. Asked for at the start, beside
//! everything else, then at a steady pace, and when a token names a key that is not there, within the bounds of
//! `auth::RefreshPlan`. Keys stay good until a key set without them was read; what cannot be read changes nothing.

use super::broker::{Broker, Stage};
use super::fetch::{self, Bounds, Place};
use crate::auth::{RefreshPlan, TokenKeys, TokenRules};
use crate::config::JwksConfig;
use crate::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MS};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;
use tracing::{info, warn};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Jwks {
    config: JwksConfig,
    at: Source,
    rules: TokenRules,
    keys: RwLock<Arc<TokenKeys>>,
    /// Held while the server is asked, so that it is asked once for all who wait.
    plan: Mutex<RefreshPlan>,
    wanted: Notify,
}

#[derive(Clone, Debug)]
enum Source {
    /// The key set itself.
    Keys(Place),
    /// The description of an issuer, which says where its key set is; and who it is.
    Issuer(Place, String),
}

impl Jwks {
    /// `None` if nothing is to be asked.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(super) fn new(config: &JwksConfig, rules: &TokenRules) -> Result<Option<Self>, String> {
        let place = |url: &str| Place::parse(url, config.plain_is_good);
        let at = match (config.url.as_str(), config.issuer.trim_end_matches('/')) {
            ("", "") => return Ok(None),
            ("", issuer) => {
                let described = format!("{issuer}/.well-known/openid-configuration");
                Source::Issuer(place(&described)?, config.issuer.clone())
            }
            (url, _) => Source::Keys(place(url)?),
        };
        Ok(Some(Self {
            config: config.clone(),
            at,
            rules: rules.clone(),
            keys: RwLock::new(Arc::new(TokenKeys::none(rules.clone()))),
            plan: Mutex::new(RefreshPlan::new(config.refresh_s * 1000, config.retry_s * 1000)),
            wanted: Notify::new(),
        }))
    }

    /// The keys that are there.
    pub(super) fn keys(&self) -> Arc<TokenKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody needs a key that is not there, and does not wait for it.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Somebody waits for a key that is not there: asks the server, unless that was done a moment ago.
    pub(super) async fn wait_for_more(&self, broker: &Broker) {
        let mut plan = self.plan.lock().await;
        if plan.may_ask(broker.now_ms()) {
            let worked = self.refresh().await;
            plan.note(broker.now_ms(), worked);
        }
    }

    async fn refresh(&self) -> bool {
        match self.fetch().await {
            Ok(keys) => {
                info!(?keys, "keys of tokens were fetched");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                true
            }
            Err(why) => {
                warn!(why, "keys of tokens cannot be fetched; those from before are good");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<TokenKeys, String> {
        let place = match &self.at {
            Source::Keys(place) => place.clone(),
            Source::Issuer(description, issuer) => {
                let text = self.get(description).await?;
                let said: serde_json::Value = serde_json::from_str(&text)
                    .map_err(|error| format!("the description of the issuer is no JSON: {error}"))?;
                let text =
                    |name: &str| said.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
                if text("issuer").trim_end_matches('/') != issuer.trim_end_matches('/') {
                    return Err("the description is of another issuer".to_owned());
                }
                Place::parse(text("jwks_uri"), self.config.plain_is_good)?
            }
        };
        TokenKeys::parse(&self.get(&place).await?, self.rules.clone())
    }

    async fn get(&self, place: &Place) -> Result<String, String> {
        let bounds = Bounds { bytes_max: JWKS_BYTES_MAX, within_ms: JWKS_FETCH_MS };
        let bytes = fetch::get(place, self.config.authorities.clone(), bounds).await?;
        String::from_utf8(bytes).map_err(|_| "the answer is no text".to_owned())
    }
}

/// Keeps the keys fresh until the broker stops.
pub(super) async fn watch(broker: Arc<Broker>) {
    let Some(jwks) = broker.tokens.as_ref().and_then(|tokens| tokens.jwks.as_ref()) else { return };
    let stopping = broker.reached(Stage::Stopping);
    tokio::pin!(stopping);
    loop {
        let due_ms = {
            let mut plan = jwks.plan.lock().await;
            if plan.due_ms().is_none_or(|due_ms| due_ms <= broker.now_ms()) {
                let worked = jwks.refresh().await;
                plan.note(broker.now_ms(), worked);
            }
            plan.due_ms().unwrap_or_default()
        };
        tokio::select! {
            () = sleep(Duration::from_millis(due_ms.saturating_sub(broker.now_ms()))) => {}
            () = jwks.wanted.notified() => jwks.wait_for_more(&broker).await,
            () = &mut stopping => return,
        }
    }
}
