//! The commands that close connections. Names, order of arguments and texts are those of rabbitmqctl 3.10.

use super::arguments::Options;
use super::commands::{Command, plain};
use crate::cli::control::ControlRequest;

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 3] = [
    plain(
        "close_connection",
        "<connection pid> <explanation>",
        2,
        "Closes a connection; its pid is in list_connections, its client hears the explanation",
    ),
    plain(
        "close_all_connections",
        "[--vhost <vhost> --limit <limit>] [--global] [--per-connection-delay <delay>] <explanation>",
        1,
        "Closes all connections of a vhost, or of the broker",
    ),
    plain("close_all_user_connections", "<username> <explanation>", 2, "Closes all connections of a user"),
];

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str, arguments: &[String], options: &Options) -> Option<String> {
    let argument = |position: usize| arguments.get(position).map_or("", String::as_str);
    let (first, vhost) = (argument(0), &options.vhost);
    Some(match name {
        "close_connection" => format!("Closing connection {first}, reason: {}...", argument(1)),
        "close_all_connections" if options.global => {
            format!(
                "Closing all connections to node ledgermq@localhost (across all vhosts), reason: {first}..."
            )
        }
        "close_all_connections" => match options.limit {
            0 => format!("Closing all connections in vhost {vhost}, reason: {first}..."),
            limit => format!("Closing {limit} connections in vhost {vhost}, reason: {first}..."),
        },
        "close_all_user_connections" => {
            format!("Closing connections of user {first}, reason: {}...", argument(1))
        }
        _ => return None,
    })
}

/// The request it becomes; `None` if it is none of these.
pub(super) fn request(name: &str, arguments: &[String], options: &Options) -> Option<ControlRequest> {
    let argument = |position: usize| arguments.get(position).cloned().unwrap_or_default();
    Some(match name {
        "close_connection" => ControlRequest::CloseConnection { pid: argument(0), explanation: argument(1) },
        "close_all_connections" => ControlRequest::CloseConnections {
            vhost: (!options.global).then(|| options.vhost.clone()),
            limit: options.limit,
            delay_ms: options.per_connection_delay_ms,
            explanation: argument(0),
        },
        "close_all_user_connections" => {
            ControlRequest::CloseUserConnections { user: argument(0), explanation: argument(1) }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::arguments::{Invocation, parse};
    use super::*;

    fn check(line: &[&str], expected_banner: &str, expected: ControlRequest) {
        let line: Vec<String> = line.iter().map(ToString::to_string).collect();
        let Ok(Invocation::Run(command, words, options)) = parse(&line, None, "vm") else {
            panic!("{line:?} does not run")
        };
        assert_eq!(command.banner(&words, &options), expected_banner);
        assert_eq!(command.request(&words, &options), Some(expected));
    }

    #[test]
    fn words_and_requests_are_rabbitmqctls() {
        check(
            &["close_connection", "7", "go away"],
            "Closing connection 7, reason: go away...",
            ControlRequest::CloseConnection { pid: "7".into(), explanation: "go away".into() },
        );
        let all = |vhost: Option<&str>, limit, delay_ms| ControlRequest::CloseConnections {
            vhost: vhost.map(Into::into),
            limit,
            delay_ms,
            explanation: "why".into(),
        };
        check(
            &["close_all_connections", "why"],
            "Closing all connections in vhost /, reason: why...",
            all(Some("/"), 0, 0),
        );
        check(
            &["close_all_connections", "-p", "v", "--limit", "2", "--per-connection-delay=50", "why"],
            "Closing 2 connections in vhost v, reason: why...",
            all(Some("v"), 2, 50),
        );
        check(
            &["close_all_connections", "--global", "why"],
            "Closing all connections to node ledgermq@localhost (across all vhosts), reason: why...",
            all(None, 0, 0),
        );
        check(
            &["close_all_user_connections", "eve", "why"],
            "Closing connections of user eve, reason: why...",
            ControlRequest::CloseUserConnections { user: "eve".into(), explanation: "why".into() },
        );
    }
}
