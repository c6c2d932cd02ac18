//! Which diagnostics are written, and how to change that while the broker runs. The command line starts them, an operator
//! changes them over the control socket: the one thing both must reach, so it is the process's.

use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Puts another filter in place.
type Change = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

static CHANGE: OnceLock<Change> = OnceLock::new();

/// Diagnostics were started; this is how their filter is changed.
pub fn started(change: Change) {
    // They are started once; a second time, in tests, changes nothing.
    let _ = CHANGE.set(change);
}

/// RabbitMQ's words for levels, and what they are here.
const LEVELS: [(&str, &str); 6] = [
    ("debug", "debug"),
    ("info", "info"),
    ("warning", "warn"),
    ("error", "error"),
    ("critical", "error"),
    ("none", "off"),
];

/// Writes what this level or these directives let through.
///
/// # Errors
/// A sentence for a person.
pub fn set_level(level: &str) -> Result<(), String> {
    let known = LEVELS.iter().find(|(name, _)| *name == level).map_or(level, |(_, ours)| ours);
    let is_plain = known.chars().all(char::is_alphanumeric);
    if is_plain && !["off", "error", "warn", "info", "debug", "trace"].contains(&known) {
        let names = LEVELS.map(|(name, _)| name).join(", ");
        return Err(format!("level {level} is not supported. Try one of {names}"));
    }
    let filter = EnvFilter::try_new(known).map_err(|error| format!("{level} is no filter: {error}"))?;
    match CHANGE.get() {
        Some(change) => change(filter),
        None => Err("diagnostics were not started".to_owned()),
    }
}
