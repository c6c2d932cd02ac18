//! What the API is, and the one who asks.

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

/// What RabbitMQ once had to be told to do, cannot be told not to do any more, and this broker does. Tools ask for
/// `stream_queue` and `quorum_queue` before they declare such queues.
const REQUIRED_FLAGS: &[(&str, &str)] = &[
    ("classic_queue_type_delivery_support", "Deliveries of classic queues go the way of the others"),
    ("direct_exchange_routing_v2", "Direct exchanges find queues without a walk over bindings"),
    ("feature_flags_v2", "Feature flags"),
    ("implicit_default_bindings", "Bindings of the default exchange are not stored"),
    ("listener_records_in_ets", "Listeners are known while the broker runs"),
    ("maintenance_mode_status", "Nodes may be drained"),
    ("message_containers", "Messages of all protocols in one form"),
    ("quorum_queue", "Queues of type quorum"),
    ("restart_streams", "Streams can be restarted"),
    ("stream_filtering", "Streams filter messages"),
    ("stream_queue", "Queues of type stream"),
    ("stream_sac_coordinator_unblock_group", "Groups of single active consumers of streams are unblocked"),
    ("stream_single_active_consumer", "Streams with a single active consumer"),
    ("tracking_records_in_ets", "Connections and channels are counted while the broker runs"),
    ("user_limits", "Limits of users"),
    ("virtual_host_metadata", "Vhosts have descriptions and tags"),
];

/// What RabbitMQ 4.1 can still be told not to do, and this broker does.
const STABLE_FLAGS: &[(&str, &str)] = &[
    ("detailed_queues_endpoint", "GET /api/queues/detailed"),
    ("message_containers_deaths_v2", "Dead letters tell of their deaths in the order of time"),
    ("rabbitmq_4.0.0", "What RabbitMQ 4.0 does"),
    ("rabbitmq_4.1.0", "What RabbitMQ 4.1 does"),
];

/// `GET /api/feature-flags`
pub(in crate::management) async fn feature_flags(_: Call) -> Answer {
    let required = REQUIRED_FLAGS.iter().map(|flag| ("required", flag));
    let flags = required.chain(STABLE_FLAGS.iter().map(|flag| ("stable", flag)));
    let flags = flags.map(|(stability, (name, about))| {
        json!({
            "name": name,
            "desc": about,
            "doc_url": "",
            "state": "enabled",
            "stability": stability,
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
