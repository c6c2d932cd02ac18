//! What the API says of its age. Tools decide by `rabbitmq_version` what they may ask; ours stands in `product_version`.

pub(super) use crate::server::definitions_file::COMPATIBLE_VERSION as COMPATIBLE;
/// RabbitMQ names the version of Erlang it runs on, and tools show it; there is none here.
pub(super) const ERLANG: &str = "0.0.0";
