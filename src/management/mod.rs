//! The HTTP side: metrics, the management page, and the management API as RabbitMQ's tools know it.
//!
//! ```text
//! http (connections, bounds) ─▶ router ─▶ table: path × method × rule ─▶ api/… (one file per resource)
//!                                 │                                          │
//!                               access (who may)             Broker's public face, src/server/face.rs
//! ```
//!
//! To add a route: write `async fn name(call: Call) -> Answer` in the file of its resource under `api/`, and give it a line
//! in [`table::table`] with its method, path, [`access::Rule`] and a sentence. The rule is checked before the function
//! runs, a vhost in the path exists by then if the rule speaks of it, and the body has been read within its bound. Names
//! of the path come decoded from [`call::Call::name`]; the body from [`call::Call::object`]; whether the caller may do it
//! with that queue or exchange says [`access::Caller::check`]. What the broker does is asked of [`Broker`].

mod access;
mod answer;
mod api;
mod call;
mod change;
mod form;
mod history;
mod http;
mod listing;
mod metrics;
mod openapi;
mod page;
mod parts;
mod properties_key;
mod rates;
mod router;
mod sampler;
mod sessions;
mod shape;
mod table;
mod versions;

use crate::server::{Acquaintance, Broker, Https};
use crate::vhost::command::ConnectionId;
use axum::Router;
use history::{History, Object, Series};
use listing::Wanted;
use sessions::Sessions;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Management {
    /// The broker.
    pub(crate) broker: Arc<Broker>,
    /// What was counted over the last minutes.
    history: History,
    /// Who is logged in to the page.
    sessions: Mutex<Sessions>,
}

impl Management {
    fn new(broker: Arc<Broker>) -> Self {
        Self { broker, history: History::default(), sessions: Mutex::default() }
    }

    /// Connections that opened a vhost.
    fn connections(&self) -> HashMap<ConnectionId, Acquaintance> {
        self.broker.acquaintances().into_iter().map(|one| (one.id, one)).collect()
    }

    /// Shows what is kept of an object. One that somebody sees is watched from now on; one that is only sorted is not.
    fn series<R>(&self, object: Object, wanted: &Wanted, show: impl FnOnce(&Series) -> R) -> R {
        if wanted.is_shown() {
            self.history.read(object, self.broker.now_ms(), show)
        } else {
            self.history.peek(&object, show)
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves HTTP on `listeners`, on those with TLS that have it, until the task is dropped.
pub fn serve(
    broker: Arc<Broker>,
    listeners: Vec<(TcpListener, Option<Https>)>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let management = Arc::new(Management::new(broker));
        let router = routes(&management);
        let mut serving = JoinSet::new();
        if !listeners.is_empty() {
            serving.spawn(sampler::run(Arc::clone(&management)));
        }
        for (listener, tls) in listeners {
            serving.spawn(http::serve(Arc::clone(&management.broker), router.clone(), listener, tls));
        }
        while serving.join_next().await.is_some() {}
    })
}

/// Serves metrics alone on `listener` until the task is dropped: RabbitMQ has a port of its own for them.
pub fn serve_metrics(broker: Arc<Broker>, listener: TcpListener) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(http::serve(Arc::clone(&broker), metrics::routes().with_state(broker), listener, None))
}

/// Every route there is.
fn routes(management: &Arc<Management>) -> Router {
    let pages = metrics::routes().with_state(Arc::clone(&management.broker));
    pages.merge(page::routes()).merge(router::router(management))
}
