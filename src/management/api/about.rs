//! What the API is, and the one who asks.

use crate::cli::feature_flags::FEATURE_FLAGS;
use crate::limits::HTTP_ROWS_PER_CHUNK;
use crate::management::answer::{Answer, Reply};
use crate::management::call::Call;
use crate::server::{Broker, Listed};
use crate::vhost::views::{Look, Seen};
use serde_json::{Value, json};

/// `GET /api/whoami`
pub(in crate::management) async fn who_am_i(call: Call) -> Answer {
    let tags = call.caller.accounts().tags(&call.caller.user);
    Ok(Reply::json(&json!({"name": &*call.caller.user, "tags": tags})))
}

/// `GET /api/auth`
pub(in crate::management) async fn auth(_: Call) -> Answer {
    Ok(Reply::json(
        &json!({"oauth_enabled": false, "enable_uaa": false, "uaa_client_id": "", "uaa_location": ""}),
    ))
}

/// `GET /api/extensions`: parts of the page that plugins bring. There are none.
pub(in crate::management) async fn extensions(_: Call) -> Answer {
    Ok(Reply::json(&json!([])))
}

/// `GET /api/feature-flags`
pub(in crate::management) async fn feature_flags(_: Call) -> Answer {
    let flags = FEATURE_FLAGS.iter().map(|flag| {
        json!({
            "name": flag.name,
            "desc": flag.about,
            "doc_url": "",
            "state": "enabled",
            "stability": flag.stability,
            "provided_by": "rabbit",
        })
    });
    Ok(Reply::json(&Value::Array(flags.collect())))
}

/// What RabbitMQ 4.1 still permits and a later one will not, as far as this broker does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deprecated {
    /// A prefetch that all consumers of a channel share.
    GlobalQos,
    /// Queues that belong to no connection and do not survive a restart.
    TransientQueues,
}

impl Deprecated {
    const ALL: [Self; 2] = [Self::GlobalQos, Self::TransientQueues];

    fn row(self) -> Value {
        let (name, about) = match self {
            Self::GlobalQos => ("global_qos", "A prefetch that all consumers of a channel share"),
            Self::TransientQueues => (
                "transient_nonexcl_queues",
                "Queues that belong to no connection and do not survive a restart",
            ),
        };
        json!({
            "name": name,
            "desc": about,
            "deprecation_phase": "permitted_by_default",
            "doc_url": "",
            "provided_by": "rabbit",
            "state": "permitted",
        })
    }

    /// Whether anybody does it at this moment. Vhosts are asked for a little at a time, until one does.
    async fn is_used(self, broker: &Broker) -> bool {
        for vhost in broker.vhost_names() {
            let is_used = match self {
                Self::GlobalQos => match broker.look(&vhost, Look::Channels).await {
                    Some(Seen::Channels(channels)) => {
                        channels.iter().any(|channel| channel.global_prefetch_count > 0)
                    }
                    _ => false,
                },
                Self::TransientQueues => has_transient_queue(broker, &vhost).await,
            };
            if is_used {
                return true;
            }
        }
        false
    }
}

async fn has_transient_queue(broker: &Broker, vhost: &str) -> bool {
    let names = broker.names(vhost, Listed::Queues).await.unwrap_or_default();
    for names in names.chunks(HTTP_ROWS_PER_CHUNK) {
        if let Some(Seen::Queues(queues)) = broker.look(vhost, Look::Queues(names.to_vec())).await
            && queues.iter().flatten().any(|queue| !queue.durable && !queue.exclusive)
        {
            return true;
        }
    }
    false
}

/// `GET /api/deprecated-features`
pub(in crate::management) async fn deprecated_features(_: Call) -> Answer {
    Ok(Reply::json(&Deprecated::ALL.map(Deprecated::row)))
}

/// `GET /api/deprecated-features/used`: what clients do that a later RabbitMQ will refuse.
pub(in crate::management) async fn deprecated_features_used(call: Call) -> Answer {
    let mut used = Vec::new();
    for feature in Deprecated::ALL {
        if feature.is_used(&call.management.broker).await {
            used.push(feature.row());
        }
    }
    Ok(Reply::json(&used))
}

/// `GET /api/shovels`, `/api/federation-links`, `/api/stream/…`: there are none, and tools read an empty list as that.
pub(in crate::management) async fn none(_: Call) -> Answer {
    Ok(Reply::json(&json!([])))
}
