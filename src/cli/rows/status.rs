//! The broker as a whole: what `status` and the health checks are made of.

use crate::cli::control::Row;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// State of the broker, the one row of `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Product name.
    pub product: String,
    /// Its version.
    pub version: String,
    /// The version of RabbitMQ that it is compatible with.
    #[serde(default)]
    pub rabbitmq_version: String,
    /// Name of the installation.
    #[serde(default)]
    pub cluster_name: String,
    /// Process id.
    pub pid: u32,
    /// Time since the start, seconds.
    pub uptime_s: u64,
    /// Directory of the store.
    pub data_dir: String,
    /// `address:port` and what is spoken there, e.g. `amqp`.
    pub listeners: Vec<(String, String)>,
    /// Alarms that are on, e.g. `low on disk`.
    pub alarms: Vec<String>,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    /// Resident memory above which publishers are blocked.
    #[serde(default)]
    pub memory_high_bytes: u64,
    /// Memory that message bodies take.
    pub body_memory_bytes: u64,
    /// Space left where the data directory is.
    pub disk_free_bytes: u64,
    /// Below this, publishers are blocked.
    pub disk_low_bytes: u64,
    /// Open files and sockets; 0 if the system does not say.
    #[serde(default)]
    pub open_files: u64,
    /// How many there may be.
    #[serde(default)]
    pub files_max: u64,
    /// Open connections.
    pub connection_count: u64,
    /// Queues of all vhosts.
    pub queue_count: u64,
    /// Vhosts.
    pub vhost_count: u64,
    /// Messages of all queues, ready and unacknowledged.
    pub message_count: u64,
}

impl StatusReport {
    /// What tools may take the broker for: that of RabbitMQ, or its own if it is older than this field.
    pub fn compatible_version(&self) -> &str {
        if self.rabbitmq_version.is_empty() { &self.version } else { &self.rabbitmq_version }
    }

    /// The row of `status`.
    pub fn row(&self) -> Row {
        match serde_json::to_value(self) {
            Ok(Value::Object(row)) => row,
            Ok(_) | Err(_) => Row::new(),
        }
    }
}
