//! The HTTP side: health checks, metrics, and the place of the management API. One file per resource as it grows.
//! Reads the broker through [`Broker`]'s public face and changes nothing.

mod health;
mod metrics;

use crate::server::Broker;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;
use tracing::error;

/// Serves HTTP on `listener` until the task is dropped.
pub fn serve(broker: Arc<Broker>, listener: TcpListener) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if let Err(error) = axum::serve(listener, routes(broker)).await {
            error!(%error, "the HTTP side ended");
        }
    })
}

/// Every route there is.
fn routes(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/", get(front_page))
        .route("/metrics", get(metrics::metrics))
        .route("/api/health/checks/is-in-service", get(health::is_in_service))
        .route("/api/health/checks/alarms", get(health::alarms))
        .route("/api/health/checks/local-alarms", get(health::alarms))
        .with_state(broker)
}

async fn front_page() -> impl IntoResponse {
    concat!(
        "LedgerMQ ",
        env!("CARGO_PKG_VERSION"),
        ", a durable AMQP 0-9-1 broker\n\n",
        "/metrics                              counters, for Prometheus\n",
        "/api/health/checks/is-in-service      200 while clients are accepted\n",
        "/api/health/checks/alarms             200 while no alarm is on\n\n",
        "Operators use: ledgermq ctl\n",
    )
}
