//! What Prometheus reads, under RabbitMQ's paths and names, so that dashboards made for RabbitMQ show this broker:
//! `/metrics` with sums (or as the next, by configuration), `/metrics/per-object` with a sample for each queue, channel and connection, and
//! `/metrics/detailed?family=…&vhost=…` with those families alone.
//!
//! The sums are made without looking at a name; the other two pages copy the numbers there are, a few pages at a time, and are
//! sent while they are made. Counters are read where the broker keeps them; nothing is counted for these pages.

mod counters;
mod node;
mod objects;
mod output;
mod sums;
mod text;

use super::parts::{PartSink, parts};
use crate::limits::{METRICS_PAGE_MS, METRICS_PAGES_MAX, METRICS_WAITING_MAX};
use crate::server::{Broker, BrokerMetrics};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use objects::Group;
use output::Output;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use text::Page;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What begins the names that RabbitMQ knows.
const PREFIX: &str = "rabbitmq_";
/// The same where only some families are shown, so that these are not added to sums of all.
const DETAILED_PREFIX: &str = "rabbitmq_detailed_";
/// The `rabbitmq_endpoint` of each page.
const AGGREGATED: &str = "aggregated";
const PER_OBJECT: &str = "per-object";
const DETAILED: &str = "detailed";

/// Pages of a sample for each object take time and some memory: few at once, and few who wait.
struct Turns {
    made: Semaphore,
    asked_for: Semaphore,
}

impl Turns {
    const fn new() -> Self {
        Self {
            made: Semaphore::const_new(METRICS_PAGES_MAX),
            asked_for: Semaphore::const_new(METRICS_PAGES_MAX + METRICS_WAITING_MAX),
        }
    }
}

static TURNS: Turns = Turns::new();

/// Its routes.
pub(super) fn routes() -> Router<Arc<Broker>> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/metrics/per-object", get(per_object))
        .route("/metrics/detailed", get(detailed))
}

async fn metrics(broker: State<Arc<Broker>>) -> Response {
    if broker.config().prometheus_per_object { per_object(broker).await } else { aggregated(broker).await }
}

async fn aggregated(State(broker): State<Arc<Broker>>) -> Response {
    let metrics = broker.metrics().await;
    let mut page = of_node(&broker, &metrics, AGGREGATED);
    sums::objects(&mut page, &metrics);
    sums::messages(&mut page, &metrics.figures);
    show(page)
}

async fn per_object(State(broker): State<Arc<Broker>>) -> Response {
    sent(&TURNS, async move |sink| {
        let metrics = broker.metrics().await;
        let page = of_node(&broker, &metrics, PER_OBJECT);
        let seen = objects::look(&broker, &[]).await;
        let mut out = Output::new(page, sink);
        for group in Group::chosen(None) {
            objects::show(&mut out, group, &seen).await;
        }
        let page = out.page();
        sums::counts(page, &metrics);
        sums::messages(page, &metrics.figures);
        out.finish().await;
    })
}

/// A page with what is said of the broker as a whole.
fn of_node(broker: &Broker, metrics: &BrokerMetrics, endpoint: &'static str) -> Page {
    let mut page = Page::new(PREFIX);
    node::identity(&mut page, broker, metrics, endpoint);
    node::node(&mut page, metrics);
    node::churn(&mut page, metrics);
    node::logins(&mut page, metrics);
    node::store(&mut page, metrics);
    node::confirms(&mut page, metrics);
    page
}

async fn detailed(State(broker): State<Arc<Broker>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let asked = |name: &str| -> Vec<String> {
        query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    };
    let (families, vhosts) = (asked("family"), asked("vhost"));
    let asks = |name: &str| families.iter().any(|family| family == name);
    let mut page = Page::new(DETAILED_PREFIX);
    let metrics = broker.metrics().await;
    node::identity(&mut page, &broker, &metrics, DETAILED);
    if asks("node_coarse_metrics") || asks("node_metrics") {
        node::node(&mut page, &metrics);
    }
    if asks("connection_churn_metrics") {
        node::churn(&mut page, &metrics);
    }
    if asks("auth_attempt_metrics") {
        node::logins(&mut page, &metrics);
    }
    let groups = Group::chosen(Some(&families));
    if groups.is_empty() {
        return show(page);
    }
    sent(&TURNS, async move |sink| {
        let seen = objects::look(&broker, &vhosts).await;
        let mut out = Output::new(page, sink);
        for group in groups {
            objects::show(&mut out, group, &seen).await;
        }
        out.finish().await;
    })
}

const CONTENT_TYPE: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];

fn show(page: Page) -> Response {
    (CONTENT_TYPE, page.finish()).into_response()
}

/// A page that is sent while it is made, when it is its turn. Who goes, or reads it too slowly, gets no more of it.
fn sent<W: Future<Output = ()> + Send>(
    turns: &'static Turns,
    make: impl FnOnce(PartSink) -> W + Send + 'static,
) -> Response {
    let Ok(place) = turns.asked_for.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many ask for this page at once\n").into_response();
    };
    let (sink, parts) = parts();
    tokio::spawn(async move {
        let gone = sink.gone();
        let page = async move {
            if let Ok(_turn) = turns.made.acquire().await {
                let _ = timeout(Duration::from_millis(METRICS_PAGE_MS), make(sink)).await;
            }
        };
        tokio::select! {
            () = gone => {}
            () = page => {}
        }
        drop(place);
    });
    (CONTENT_TYPE, Body::new(parts)).into_response()
}

#[cfg(test)]
mod tests;
