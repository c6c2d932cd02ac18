//! `rabbitmq-plugins`, as far as scripts need it: what plugins bring is built in, so enabling one that is there is done
//! already, and enabling one that is not fails instead of leaving somebody to wonder.

use crate::cli::exit::Exit;

/// Plugins of RabbitMQ whose work this broker does by itself.
const BUILT_IN: [&str; 10] = [
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_tracing",
    "rabbitmq_web_dispatch",
];

/// What to print and how to end.
pub(super) fn run(arguments: &[String]) -> (String, Exit) {
    let is_option = |word: &&String| word.starts_with('-');
    let minimal = arguments.iter().any(|word| word == "-m" || word == "--minimal");
    let mut words = arguments.iter().filter(|word| !is_option(word));
    let command = words.next().map_or("", String::as_str);
    let asked: Vec<&str> = words.map(String::as_str).collect();
    let missing: Vec<_> = asked.iter().filter(|name| !BUILT_IN.contains(*name)).copied().collect();
    match command {
        "list" if minimal => (BUILT_IN.join("\n") + "\n", Exit::Success),
        "list" => {
            let line = |name: &str| format!("[E*] {name} {}\n", env!("CARGO_PKG_VERSION"));
            (BUILT_IN.map(line).concat(), Exit::Success)
        }
        "enable" | "set" | "is_enabled" if missing.is_empty() => {
            (format!("Built in and always enabled: {}\n", asked.join(", ")), Exit::Success)
        }
        "enable" | "set" => (format!("Not supported: {}\n", missing.join(", ")), Exit::Data),
        "is_enabled" => (format!("Not there: {}\n", missing.join(", ")), Exit::Unavailable),
        "disable" => {
            ("Nothing can be disabled: these are parts of the broker\n".to_owned(), Exit::Unavailable)
        }
        _ => (
            "Usage: rabbitmq-plugins list [-m] | enable <plugin> ... | is_enabled <plugin> ...\n".to_owned(),
            Exit::Usage,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_enabled_and_nothing_else() {
        for (arguments, expected) in [
            ("enable --offline rabbitmq_management rabbitmq_prometheus", Exit::Success),
            ("enable rabbitmq_mqtt", Exit::Data),
            ("is_enabled rabbitmq_prometheus", Exit::Success),
            ("is_enabled rabbitmq_stomp", Exit::Unavailable),
            ("disable rabbitmq_management", Exit::Unavailable),
            ("list -E -m", Exit::Success),
            ("frobnicate", Exit::Usage),
        ] {
            let words: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
            assert_eq!(run(&words).1, expected, "{arguments}");
        }
        assert!(run(&["list".to_owned(), "-m".to_owned()]).0.contains("\nrabbitmq_prometheus\n"));
    }
}
