//! What the API is, and the one who asks.

use crate::management::answer::{Answer, Reply};
use crate::management::call::Call;
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

/// What RabbitMQ once had to be told to do and this broker does. Tools ask for `stream_queue` and `quorum_queue` before
/// they declare such queues.
const FEATURE_FLAGS: &[(&str, &str)] = &[
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

/// `GET /api/feature-flags`
pub(in crate::management) async fn feature_flags(_: Call) -> Answer {
    let flags = FEATURE_FLAGS.iter().map(|(name, about)| {
        json!({
            "name": name,
            "desc": about,
            "doc_url": "",
            "state": "enabled",
            "stability": "required",
            "provided_by": "rabbit",
        })
    });
    Ok(Reply::json(&Value::Array(flags.collect())))
}

/// `GET /api/deprecated-features` and `/used`: nothing is on its way out.
pub(in crate::management) async fn deprecated_features(_: Call) -> Answer {
    Ok(Reply::json(&json!([])))
}

/// `GET /api/shovels`, `/api/federation-links`: there are none, and tools read an empty list as that.
pub(in crate::management) async fn none(_: Call) -> Answer {
    Ok(Reply::json(&json!([])))
}
