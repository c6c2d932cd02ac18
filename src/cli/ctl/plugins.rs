//! `rabbitmq-plugins`, as far as scripts need it: what plugins bring is built in, so enabling one that is there is done
//! already, and enabling one that is not fails instead of leaving somebody to wonder.

use crate::cli::exit::Exit;

/// Plugins of RabbitMQ whose work this broker does by itself.
const BUILT_IN: [&str; 13] = [
    "rabbitmq_auth_backend_cache",
    "rabbitmq_auth_backend_ldap",
    "rabbitmq_auth_backend_oauth2",
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_web_dispatch",
];

/// Options of rabbitmq-plugins whose value is the next word, unless it is attached by `=`.
const VALUED: [&str; 8] = [
    "-n",
    "--node",
    "-t",
    "--timeout",
    "--formatter",
    "--enabled-plugins-file",
    "--plugins-dir",
    "--rabbitmq-home",
];

/// Command and plugins; what options say is of no importance, but for one.
fn words(arguments: &[String]) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if VALUED.contains(&word) {
            rest.next();
        } else if !word.starts_with('-') {
            words.push(word);
        }
    }
    words
}

/// What to print and how to end.
pub(super) fn run(arguments: &[String]) -> (String, Exit) {
    let minimal = arguments.iter().any(|word| word == "-m" || word == "--minimal");
    let words = words(arguments);
    let (command, asked) = words.split_first().map_or(("", &[][..]), |(command, asked)| (*command, asked));
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
            ("-n rabbit@localhost enable rabbitmq_management", Exit::Success),
            ("enable --node rabbit@localhost -t 5 rabbitmq_management", Exit::Success),
            ("--node=rabbit@localhost enable rabbitmq_mqtt", Exit::Data),
            ("enable rabbitmq_auth_mechanism_ssl rabbitmq_auth_backend_ldap", Exit::Success),
            ("enable rabbitmq_auth_backend_oauth2 rabbitmq_auth_backend_cache", Exit::Success),
            // There are no files of traces; the firehose is there without it.
            ("enable rabbitmq_tracing", Exit::Data),
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
