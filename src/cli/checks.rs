//! What the health checks of the management API and of `ctl` are asked with: names of protocols, units of time.

/// The protocol of a listener that a check asks for by this name, in letters of any size; one that has no other name is
/// itself.
/// Source: `normalize_protocol` of RabbitMQ's command line and of its management API.
pub fn protocol_named(asked: &str) -> String {
    let asked = asked.to_ascii_lowercase();
    let known = match asked.as_str() {
        "amqp091" | "amqp0.9.1" | "amqp0-9-1" | "amqp0_9_1" => "amqp",
        "amqps" | "amqp/tls" => "amqp/ssl",
        "management" | "management_ui" | "http_api" | "ui" | "http1" | "http1.1" => "http",
        "prometheus" => "http/prometheus",
        _ => return asked,
    };
    known.to_owned()
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 24 hours.
    Days,
    /// Seven days.
    Weeks,
    /// A twelfth of a year.
    Months,
    /// 365 days.
    Years,
}

impl Unit {
    /// All names there are, for the help.
    pub const NAMES: &[&str] = &["days", "weeks", "months", "years"];

    /// The unit of this name, in letters of any size.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "days" => Self::Days,
            "weeks" => Self::Weeks,
            "months" => Self::Months,
            "years" => Self::Years,
            _ => return None,
        })
    }

    /// Its length, as RabbitMQ counts: a month is a twelfth of a year.
    pub fn seconds(self) -> u64 {
        match self {
            Self::Days => 86_400,
            Self::Weeks => 7 * 86_400,
            Self::Months => 365 * 86_400 / 12,
            Self::Years => 365 * 86_400,
        }
    }

    /// One of it, as a word.
    pub fn one(self) -> &'static str {
        match self {
            Self::Days => "day",
            Self::Weeks => "week",
            Self::Months => "month",
            Self::Years => "year",
        }
    }
}
