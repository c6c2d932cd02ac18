//! What the API says of its age. Tools decide by `rabbitmq_version` what they may ask; ours stands in `product_version`.

/// The RabbitMQ whose API this is.
pub(super) const COMPATIBLE: &str = "4.1.0";
/// RabbitMQ names the version of Erlang it runs on, and tools show it; there is none here.
pub(super) const ERLANG: &str = "0.0.0";
