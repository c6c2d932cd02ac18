//! Bindings: those of a vhost exchange by exchange, so that nobody holds all of them at once, and those of one exchange,
//! queue or pair.

use super::queues::{Place, places};
use crate::definitions::DestinationKind;
use crate::limits::HTTP_ROWS_PER_CHUNK;
use crate::management::Management;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::listing::{Chunks, Row, bare_rows, one, row, streamed};
use crate::management::properties_key::{is_key_of, properties_key};
use crate::management::shape::table_value;
use crate::server::Listed;
use crate::vhost::views::{Look, Seen};
use crate::vhost::{BindingObject, BindingPlace};
use serde_json::json;
use std::sync::Arc;

/// `GET /api/bindings`
pub(in crate::management) async fn all(call: Call) -> Answer {
    let vhosts = call.visible_vhosts();
    list(call, &vhosts).await
}

/// `GET /api/bindings/{vhost}`
pub(in crate::management) async fn in_vhost(call: Call) -> Answer {
    let vhost = Arc::from(call.vhost());
    list(call, &[vhost]).await
}

async fn list(call: Call, vhosts: &[Arc<str>]) -> Answer {
    let queues = places(&call.management, vhosts, Listed::Queues).await;
    let exchanges = places(&call.management, vhosts, Listed::Exchanges).await;
    told(&call, queues, exchanges).await
}

/// The implicit bindings of these queues, then those of these exchanges.
async fn told(call: &Call, mut queues: Vec<Place>, mut exchanges: Vec<Place>) -> Answer {
    queues.reverse();
    exchanges.reverse();
    let management = Arc::clone(&call.management);
    streamed(&call.query, Bindings { management, queues, exchanges, behind: None }).await
}

struct Bindings {
    management: Arc<Management>,
    /// Whose implicit bindings are not told yet, the next one last.
    queues: Vec<Place>,
    /// Whose bindings are not all told yet, the next one last.
    exchanges: Vec<Place>,
    /// How far that one's are told.
    behind: Option<BindingPlace>,
}

impl Chunks for Bindings {
    async fn next(&mut self) -> Option<Vec<Row>> {
        let start = self.queues.len().saturating_sub(HTTP_ROWS_PER_CHUNK);
        let chunk = self.queues.split_off(start);
        if !chunk.is_empty() {
            return Some(
                chunk
                    .iter()
                    .rev()
                    .map(|(vhost, queue)| binding_row(vhost, &BindingObject::of_default_exchange(queue)))
                    .collect(),
            );
        }
        let (vhost, exchange) = self.exchanges.pop()?;
        let (source, behind) = (Arc::clone(&exchange), self.behind.take());
        let look = Look::BindingsFrom { source, behind, only_lasting: false, count: HTTP_ROWS_PER_CHUNK };
        let (bindings, next) = seen(&self.management, &vhost, look).await;
        if next.is_some() {
            self.exchanges.push((Arc::clone(&vhost), exchange));
            self.behind = next;
        }
        Some(rows(&vhost, &bindings))
    }
}

async fn seen(
    management: &Management,
    vhost: &str,
    look: Look,
) -> (Vec<BindingObject>, Option<BindingPlace>) {
    match management.broker.look(vhost, look).await {
        Some(Seen::Bindings(bindings, next)) => (bindings, next),
        _ => (Vec::new(), None),
    }
}

fn rows(vhost: &str, bindings: &[BindingObject]) -> Vec<Row> {
    bindings.iter().map(|binding| binding_row(vhost, binding)).collect()
}

fn binding_row(vhost: &str, binding: &BindingObject) -> Row {
    row([
        ("source", json!(&*binding.source)),
        ("vhost", json!(vhost)),
        ("destination", json!(&*binding.destination)),
        ("destination_type", json!(binding.destination_kind.name())),
        ("routing_key", json!(&*binding.binding_key)),
        ("arguments", table_value(&binding.arguments)),
        ("properties_key", json!(properties_key(&binding.binding_key, &binding.arguments))),
    ])
}

/// `GET /api/exchanges/{vhost}/{exchange}/bindings/source`
pub(in crate::management) async fn from_exchange(call: Call) -> Answer {
    let (vhost, exchange): (Arc<str>, &str) = (call.vhost().into(), call.exchange("exchange"));
    let (queues, exchanges) = if exchange.is_empty() {
        (places(&call.management, &[vhost], Listed::Queues).await, Vec::new())
    } else {
        (Vec::new(), vec![(vhost, exchange.into())])
    };
    told(&call, queues, exchanges).await
}

/// `GET /api/exchanges/{vhost}/{exchange}/bindings/destination`
pub(in crate::management) async fn to_exchange(call: Call) -> Answer {
    let exchange = call.exchange("exchange");
    let bindings = bindings_to(&call, DestinationKind::Exchange, exchange).await;
    bare_rows(&call.query, rows(call.vhost(), &bindings)).await
}

/// `GET /api/queues/{vhost}/{queue}/bindings`
pub(in crate::management) async fn to_queue(call: Call) -> Answer {
    let queue = call.name("queue");
    let bindings = bindings_to(&call, DestinationKind::Queue, queue).await;
    bare_rows(&call.query, rows(call.vhost(), &bindings)).await
}

/// `GET /api/bindings/{vhost}/e/{source}/q/{destination}`
pub(in crate::management) async fn between_exchange_and_queue(call: Call) -> Answer {
    let bindings = between(&call, DestinationKind::Queue, call.name("destination")).await;
    bare_rows(&call.query, rows(call.vhost(), &bindings)).await
}

/// `GET /api/bindings/{vhost}/e/{source}/e/{destination}`
pub(in crate::management) async fn between_exchanges(call: Call) -> Answer {
    let bindings = between(&call, DestinationKind::Exchange, call.exchange("destination")).await;
    bare_rows(&call.query, rows(call.vhost(), &bindings)).await
}

/// `GET /api/bindings/{vhost}/e/{source}/q/{destination}/{props}`
pub(in crate::management) async fn of_queue(call: Call) -> Answer {
    chosen(&call, &between(&call, DestinationKind::Queue, call.name("destination")).await)
}

/// `GET /api/bindings/{vhost}/e/{source}/e/{destination}/{props}`
pub(in crate::management) async fn of_exchange(call: Call) -> Answer {
    chosen(&call, &between(&call, DestinationKind::Exchange, call.exchange("destination")).await)
}

fn chosen(call: &Call, bindings: &[BindingObject]) -> Answer {
    let is_it =
        |binding: &&BindingObject| is_key_of(call.name("props"), &binding.binding_key, &binding.arguments);
    let found = bindings.iter().find(is_it).ok_or(ApiError::NotFound)?;
    Ok(one(&call.query, binding_row(call.vhost(), found)))
}

async fn between(call: &Call, kind: DestinationKind, destination: &str) -> Vec<BindingObject> {
    let source = call.exchange("source");
    let mut bindings = bindings_to(call, kind, destination).await;
    bindings.retain(|binding| &*binding.source == source);
    bindings
}

/// Bindings to a queue or an exchange, the implicit one first. What is not there has none: RabbitMQ answers so, and tools
/// that take a binding away look first.
async fn bindings_to(call: &Call, kind: DestinationKind, name: &str) -> Vec<BindingObject> {
    let mut bindings = Vec::new();
    if kind == DestinationKind::Queue && is_queue(call, name).await {
        bindings.push(BindingObject::of_default_exchange(&name.into()));
    }
    let (made, _) = seen(&call.management, call.vhost(), Look::BindingsTo(kind, name.into())).await;
    bindings.extend(made);
    bindings
}

async fn is_queue(call: &Call, name: &str) -> bool {
    let look = Look::Counts { queues: vec![name.into()], exchanges: vec![], channels: Some(vec![]) };
    matches!(
        call.management.broker.look(call.vhost(), look).await,
        Some(Seen::Counts { queues, .. }) if queues.iter().any(Option::is_some)
    )
}
