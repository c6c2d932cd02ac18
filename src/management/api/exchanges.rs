//! Exchanges, as lists and one by one.

use super::queues::{Place, by_vhost, places};
use crate::management::Management;
use crate::management::answer::{Answer, ApiError};
use crate::management::call::Call;
use crate::management::history::Object;
use crate::management::listing::{Row, Source, Wanted, one, paged, row};
use crate::management::rates::Spans;
use crate::management::shape::table_value;
use crate::server::Listed;
use crate::vhost::counts::MessageCounts;
use crate::vhost::report::ExchangeReport;
use crate::vhost::views::{Look, Seen};
use serde_json::json;
use std::sync::Arc;

/// `GET /api/exchanges`
pub(in crate::management) async fn all(call: Call) -> Answer {
    let vhosts = call.visible_vhosts();
    list(call, &vhosts).await
}

/// `GET /api/exchanges/{vhost}`
pub(in crate::management) async fn in_vhost(call: Call) -> Answer {
    let vhost = Arc::from(call.vhost());
    list(call, &[vhost]).await
}

async fn list(call: Call, vhosts: &[Arc<str>]) -> Answer {
    let keys = places(&call.management, vhosts, Listed::Exchanges).await;
    let source = Exchanges::new(&call)?;
    paged(&call.query, source, keys).await
}

/// `GET /api/exchanges/{vhost}/{exchange}`
pub(in crate::management) async fn exchange(call: Call) -> Answer {
    let source = Exchanges::new(&call)?;
    let key = (Arc::from(call.vhost()), Arc::from(call.exchange("exchange")));
    let found = source.rows(&[key], &Wanted::ALL).await.into_iter().next().flatten();
    let mut found = found.ok_or(ApiError::NotFound)?;
    // RabbitMQ tells these apart only with `rates_mode = detailed`.
    found.insert("incoming".into(), json!([]));
    found.insert("outgoing".into(), json!([]));
    Ok(one(&call.query, found))
}

struct Exchanges {
    management: Arc<Management>,
    spans: Spans,
    without_stats: bool,
}

impl Exchanges {
    fn new(call: &Call) -> Result<Self, ApiError> {
        Ok(Self {
            management: Arc::clone(&call.management),
            spans: Spans::asked(&call.query, call.management.broker.unix_ms())?,
            without_stats: call.query.is_true("disable_stats"),
        })
    }

    fn row_of(&self, vhost: &Arc<str>, exchange: &ExchangeReport, wanted: &Wanted) -> Row {
        let mut fields = row([
            ("name", json!(exchange.name)),
            ("vhost", json!(&**vhost)),
            ("type", json!(exchange.kind)),
            ("durable", json!(exchange.durable)),
            ("auto_delete", json!(exchange.auto_delete)),
            ("internal", json!(exchange.internal)),
            ("arguments", table_value(&exchange.arguments)),
        ]);
        if !exchange.policy.is_empty() {
            fields.insert("policy".into(), json!(exchange.policy));
        }
        if exchange.kind == "x-delayed-message" {
            fields.insert("messages_delayed".into(), json!(exchange.messages_delayed));
        }
        if !self.without_stats && wanted.has(&["message_stats"]) {
            let object = Object::Exchange(Arc::clone(vhost), exchange.name.as_str().into());
            let stats = self.management.series(object, wanted, |series| {
                self.spans.wanted_message_stats(&exchange.counts, MessageCounts::EXCHANGE, series, wanted)
            });
            fields.insert("message_stats".into(), stats);
        }
        fields
    }
}

impl Source for Exchanges {
    type Key = Place;

    fn name<'a>(&'a self, (_, name): &'a Place) -> &'a str {
        name
    }

    async fn rows(&self, keys: &[Place], wanted: &Wanted) -> Vec<Option<Row>> {
        let mut all = Vec::with_capacity(keys.len());
        for (vhost, names) in by_vhost(keys) {
            let count = names.len();
            match self.management.broker.look(vhost, Look::Exchanges(names)).await {
                Some(Seen::Exchanges(exchanges)) => all.extend(
                    exchanges
                        .iter()
                        .map(|one| one.as_ref().map(|exchange| self.row_of(vhost, exchange, wanted))),
                ),
                _ => all.resize(all.len() + count, None),
            }
        }
        all
    }
}
