//! The feature flags that this broker says are enabled: one list for the management API and for `ctl`. Tools ask for
//! `stream_queue` and `quorum_queue` before they declare such queues.

/// A feature flag of RabbitMQ's; it is enabled, and nothing can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureFlag {
    /// RabbitMQ's name of it.
    pub name: &'static str,
    /// What it stands for.
    pub about: &'static str,
    /// `required` if RabbitMQ 4.1 cannot be told not to do it, else `stable`.
    pub stability: &'static str,
}

const fn required(name: &'static str, about: &'static str) -> FeatureFlag {
    FeatureFlag { name, about, stability: "required" }
}

const fn stable(name: &'static str, about: &'static str) -> FeatureFlag {
    FeatureFlag { name, about, stability: "stable" }
}

/// All there are, sorted within their stability.
pub const FEATURE_FLAGS: &[FeatureFlag] = &[
    // What RabbitMQ once had to be told to do, cannot be told not to do any more, and this broker does.
    required("classic_mirrored_queue_version", "Versions of classic queues, mirrored or not, may be chosen"),
    required("classic_queue_type_delivery_support", "Deliveries of classic queues go the way of the others"),
    required("direct_exchange_routing_v2", "Direct exchanges find queues without a walk over bindings"),
    required("drop_unroutable_metric", "Messages that no queue took are counted"),
    required("empty_basic_get_metric", "Gets of empty queues are counted"),
    required("feature_flags_v2", "Feature flags"),
    required("implicit_default_bindings", "Bindings of the default exchange are not stored"),
    required("listener_records_in_ets", "Listeners are known while the broker runs"),
    required("maintenance_mode_status", "Nodes may be drained"),
    required("message_containers", "Messages of all protocols in one form"),
    required("quorum_queue", "Queues of type quorum"),
    required("restart_streams", "Streams can be restarted"),
    required("stream_filtering", "Streams filter messages"),
    required("stream_queue", "Queues of type stream"),
    required(
        "stream_sac_coordinator_unblock_group",
        "Groups of single active consumers of streams are unblocked",
    ),
    required("stream_single_active_consumer", "Streams with a single active consumer"),
    required("tracking_records_in_ets", "Connections and channels are counted while the broker runs"),
    required("user_limits", "Limits of users"),
    required("virtual_host_metadata", "Vhosts have descriptions and tags"),
    // What RabbitMQ 4.1 can still be told not to do, and this broker does.
    stable("detailed_queues_endpoint", "GET /api/queues/detailed"),
    stable("message_containers_deaths_v2", "Dead letters tell of their deaths in the order of time"),
    stable("rabbitmq_4.0.0", "What RabbitMQ 4.0 does"),
    stable("rabbitmq_4.1.0", "What RabbitMQ 4.1 does"),
];

/// Whether there is a flag of this name.
pub fn is_feature_flag(name: &str) -> bool {
    FEATURE_FLAGS.iter().any(|flag| flag.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_sorted_and_known_by_name() {
        for stability in ["required", "stable"] {
            let names = FEATURE_FLAGS.iter().filter(|flag| flag.stability == stability).map(|flag| flag.name);
            assert!(names.is_sorted(), "{stability}");
        }
        assert!(is_feature_flag("rabbitmq_4.0.0") && is_feature_flag("empty_basic_get_metric"));
        assert!(!is_feature_flag("khepri_db"));
    }
}
