//! rabbitmqctl's grammar: options stand anywhere, before or after the command; `--` ends them. A password never
//! appears in what is said about wrong arguments.

use super::commands::Command;
use super::format::Formatter;
use super::refused;
use super::upkeep::Period;
use super::usage::{check, overview, unknown, usage_of};
use crate::cli::checks::Unit;
use crate::cli::mover;
use crate::config::DATA_DIR;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What the options say.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own, given or not")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Data directory of the broker.
    pub(super) data_dir: PathBuf,
    /// Vhost of the command.
    pub(super) vhost: String,
    /// Look of rows.
    pub(super) formatter: Formatter,
    /// No words around the result.
    pub(super) quiet: bool,
    /// Column names above rows.
    pub(super) headings: bool,
    /// How long to wait for an answer.
    pub(super) timeout: Duration,
    /// Delete only while it has no messages.
    pub(super) if_empty: bool,
    /// Delete only while it has no consumers.
    pub(super) if_unused: bool,
    /// Of several policies, the highest governs.
    pub(super) priority: i64,
    /// What a policy is for.
    pub(super) apply_to: String,
    /// User of the command.
    pub(super) user: String,
    /// Of all vhosts or users.
    pub(super) global: bool,
    /// At most so many connections are closed; 0 = all.
    pub(super) limit: u64,
    /// Pause after each connection that is closed, ms.
    pub(super) per_connection_delay_ms: u64,
    /// Of a vhost, for people.
    pub(super) description: Option<String>,
    /// Of a vhost, separated by commas.
    pub(super) tags: Option<String>,
    /// Of a vhost.
    pub(super) default_queue_type: Option<String>,
    /// How soon certificates must not be over.
    pub(super) within: Period,
    /// Logins by who tried, not by door.
    pub(super) by_source: bool,
    /// Of `move_messages`.
    pub(super) moving: mover::Options,
}

/// What was asked.
#[derive(Debug)]
pub(super) enum Invocation {
    /// Run a command.
    Run(&'static Command, Vec<String>, Box<Options>),
    /// Print this help.
    Help(String),
}

/// Wait for an answer; `await_startup` waits longer.
const TIMEOUT: Duration = Duration::from_secs(60);
const STARTUP_TIMEOUT: Duration = Duration::from_secs(300);

/// Reads the arguments. `data_dir` is what the environment says; `hostname` is this machine's.
///
/// # Errors
/// What to print to standard error; the exit code is 64.
pub(super) fn parse(
    arguments: &[String],
    data_dir: Option<PathBuf>,
    hostname: &str,
) -> Result<Invocation, String> {
    let mut options = Options {
        data_dir: data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR)),
        vhost: "/".to_owned(),
        formatter: Formatter::Table,
        quiet: false,
        headings: true,
        timeout: TIMEOUT,
        if_empty: false,
        if_unused: false,
        priority: 0,
        apply_to: "all".to_owned(),
        user: "guest".to_owned(),
        global: false,
        limit: 0,
        per_connection_delay_ms: 0,
        description: None,
        tags: None,
        default_queue_type: None,
        within: Period::DEFAULT,
        by_source: false,
        moving: mover::Options::default(),
    };
    let mut timeout = None;
    let mut words = Vec::new();
    let mut help = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            words.extend(rest.by_ref().cloned());
            break;
        }
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let mut value = || {
            attached
                .clone()
                .or_else(|| rest.next().cloned())
                .ok_or_else(|| format!("Error: {name} needs a value"))
        };
        match name {
            "-q" | "--quiet" => options.quiet = true,
            "-s" | "--silent" => (options.quiet, options.headings) = (true, false),
            "--no-table-headers" => options.headings = false,
            "-p" | "--vhost" => options.vhost = value()?,
            "-t" | "--timeout" => timeout = Some(parse_timeout(&value()?)?),
            "--formatter" => options.formatter = parse_formatter(&value()?)?,
            "--data-dir" => options.data_dir = PathBuf::from(value()?),
            "-n" | "--node" => choose_node(&value()?, hostname, &mut options)?,
            "-e" | "--if-empty" => options.if_empty = true,
            "-u" | "--if-unused" => options.if_unused = true,
            "--priority" => options.priority = parse_number(name, &value()?)?,
            "--limit" => options.limit = parse_number(name, &value()?)?,
            "--per-connection-delay" => options.per_connection_delay_ms = parse_number(name, &value()?)?,
            "--apply-to" => options.apply_to = value()?,
            "--user" => options.user = value()?,
            "--global" => options.global = true,
            "--description" => options.description = Some(value()?),
            "--tags" => options.tags = Some(value()?),
            "--default-queue-type" => options.default_queue_type = Some(value()?),
            "--queue" => options.moving.queues.push(value()?),
            "--all-vhosts" => options.moving.all_vhosts = true,
            "--target" => options.moving.target = Some(value()?),
            "--prefetch" => options.moving.prefetch = parse_number::<NonZeroU16>(name, &value()?)?.get(),
            "--cacert" => options.moving.authorities = Some(PathBuf::from(value()?)),
            "--follow" => options.moving.follow = true,
            "--within" => options.within.count = parse_number(name, &value()?)?,
            "--unit" => options.within.unit = parse_unit(&value()?)?,
            "--by-source" => options.by_source = true,
            // Of `wait`: the broker is found by its data directory.
            "--pid" | "-P" => drop(value()?),
            "-?" | "--help" => help = true,
            // Every queue is local and online, and there are no node names to be long or short.
            "-l" | "--longnames" | "--online" | "--offline" | "--local" => {}
            option if option.starts_with('-') && option.len() > 1 => {
                return Err(format!(
                    "Error (argument validation): Invalid options for this command:\n{option} : "
                ));
            }
            _ => words.push(argument.clone()),
        }
    }
    let mut words = words.into_iter();
    let Some(name) = words.next() else { return Err(overview()) };
    let words: Vec<String> = words.collect();
    if name == "help" || help {
        let about = if name == "help" { words.first() } else { Some(&name) };
        return about.map_or_else(|| Ok(overview()), |name| usage_of(name)).map(Invocation::Help);
    }
    if let Some(reason) = refused::reason(&name) {
        return Err(format!("Error:\n{name} is not carried out: {reason}"));
    }
    let command = Command::find(&name).ok_or_else(|| unknown(&name))?;
    check(command, &words)?;
    let patience = if ["await_startup", "wait"].contains(&command.name) { STARTUP_TIMEOUT } else { TIMEOUT };
    options.timeout = timeout.unwrap_or(patience);
    Ok(Invocation::Run(command, words, Box::new(options)))
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds.into())),
        Ok(_) | Err(_) => {
            Err(format!("Error: --timeout {text} is not a number of seconds from 1 to {}", u32::MAX))
        }
    }
}

fn parse_number<N: FromStr>(option: &str, text: &str) -> Result<N, String> {
    let wrong =
        |_| format!("Error (argument validation): Invalid options for this command:\n{option} : {text}");
    text.parse().map_err(wrong)
}

fn parse_unit(name: &str) -> Result<Unit, String> {
    Unit::from_name(name).ok_or_else(|| {
        let names = Unit::NAMES.join(", ");
        format!("Error (argument validation): unit '{name}' is not supported. Please use one of: {names}")
    })
}

fn parse_formatter(name: &str) -> Result<Formatter, String> {
    Formatter::from_name(name).ok_or_else(|| {
        format!("Error: --formatter {name} is unknown; allowed: table, json, csv, pretty_table")
    })
}

/// A node is a broker's data directory; `name@host` is taken if the host is this machine.
fn choose_node(node: &str, hostname: &str, options: &mut Options) -> Result<(), String> {
    if node.contains('/') {
        options.data_dir = PathBuf::from(node);
        return Ok(());
    }
    let short = hostname.split('.').next().unwrap_or_default();
    match node.split_once('@') {
        None => return Ok(()),
        Some((_, host)) if ["localhost", hostname, short].contains(&host) => return Ok(()),
        Some(_) => {}
    }
    Err(format!(
        "Error: --node {node} is another machine; a broker is reached only from its own, by --data-dir"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    fn run(line: &str) -> Result<(&'static str, Vec<String>, Options), String> {
        let arguments: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        match parse(&arguments, None, "vm.example.org")? {
            Invocation::Run(command, words, options) => Ok((command.name, words, *options)),
            Invocation::Help(text) => Err(format!("help: {text}")),
        }
    }

    fn check(line: &str, name: &str, words: &[&str], change: impl FnOnce(&mut Options)) {
        let (found, found_words, options) = run(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut expected = run("list_users").unwrap().2;
        change(&mut expected);
        assert_eq!((found, found_words), (name, words.iter().map(ToString::to_string).collect()), "{line}");
        assert_eq!(options, expected, "{line}");
    }

    #[test]
    fn options_stand_anywhere() {
        check("list_queues", "list_queues", &[], |_| {});
        check("-q list_queues", "list_queues", &[], |options| options.quiet = true);
        check("list_queues -p other name messages", "list_queues", &["name", "messages"], |options| {
            options.vhost = "other".into();
        });
        check("--vhost=a=b list_queues", "list_queues", &[], |options| options.vhost = "a=b".into());
        check("list_queues --formatter json -s", "list_queues", &[], |options| {
            options.formatter = Formatter::Json;
            (options.quiet, options.headings) = (true, false);
        });
        check("list_queues --online --longnames -t 5", "list_queues", &[], |options| {
            options.timeout = Duration::from_secs(5);
        });
        check("--data-dir /x status", "status", &[], |options| options.data_dir = "/x".into());
        check("-n /x status", "status", &[], |options| options.data_dir = "/x".into());
        check("-n rabbit@localhost status", "status", &[], |_| {});
        check("-n rabbit@vm status", "status", &[], |_| {});
        check("delete_queue q -u --if-empty", "delete_queue", &["q"], |options| {
            (options.if_unused, options.if_empty) = (true, true);
        });
        check("await_startup", "await_startup", &[], |options| options.timeout = STARTUP_TIMEOUT);
        check("add_user u -- -secret", "add_user", &["u", "-secret"], |_| {});
        check("set_permissions -p v u .* .* .*", "set_permissions", &["u", ".*", ".*", ".*"], |options| {
            options.vhost = "v".into();
        });
        check("set_user_tags u", "set_user_tags", &["u"], |_| {});
        check(
            "set_policy --priority -5 p ^q {} --apply-to queues",
            "set_policy",
            &["p", "^q", "{}"],
            |options| {
                (options.priority, options.apply_to) = (-5, "queues".into());
            },
        );
        check(
            "move_messages amqp://old --queue a --queue b --prefetch 9 --follow",
            "move_messages",
            &["amqp://old"],
            |options| {
                options.moving.queues = vec!["a".into(), "b".into()];
                (options.moving.prefetch, options.moving.follow) = (9, true);
            },
        );
        check(
            "check_certificate_expiration --within 3 --unit Months",
            "check_certificate_expiration",
            &[],
            |options| options.within = Period { count: 3, unit: Unit::Months },
        );
        check("list_user_limits --user u --global", "list_user_limits", &[], |options| {
            (options.user, options.global) = ("u".into(), true);
        });
    }

    #[test]
    fn wrong_arguments_are_refused_in_rabbitmqs_words() {
        for (line, expected) in [
            ("add_user", "Error (argument validation): not enough arguments.\nArguments given:\n\tadd_user "),
            ("delete_user", "Error (argument validation): not enough arguments."),
            (
                "delete_user a b",
                "Error (argument validation): too many arguments.\nArguments given:\n\tdelete_user a b",
            ),
            ("set_permissions u a b", "Error (argument validation): not enough arguments."),
            ("list_queues foo name", "Error (argument validation): Info key(s) foo are not supported\n"),
            (
                "list_queues name mesages foo",
                "Error (argument validation): Info key(s) mesages,foo are not supported. Did you mean 'messages'?\n",
            ),
            ("list_users --bogus", "Error (argument validation): Invalid options for this command:\n--bogus"),
            ("list_users -p", "Error: -p needs a value"),
            (
                "set_policy --priority x p ^q {}",
                "Error (argument validation): Invalid options for this command:\n--priority : x",
            ),
            (
                "close_all_connections --limit -1 why",
                "Error (argument validation): Invalid options for this command:\n--limit : -1",
            ),
            (
                "set_policy p ^q",
                "Error (argument validation): not enough arguments.\nArguments given:\n\tset_policy p ^q\n\nUsage",
            ),
            ("move_messages --prefetch 0 amqp://old", "Error (argument validation): Invalid options"),
            (
                "check_certificate_expiration --within 1 --unit fortnights",
                "Error (argument validation): unit 'fortnights' is not supported. Please use one of: days, weeks, months, years",
            ),
            ("check_certificate_expiration --within soon", "Error (argument validation): Invalid options"),
            ("list_users -t 0", "Error: --timeout 0 is not a number of seconds"),
            ("list_users --formatter erlang", "Error: --formatter erlang is unknown; allowed: table, json"),
            ("-n rabbit@elsewhere status", "Error: --node rabbit@elsewhere is another machine"),
            ("list_queue", "\nCommand 'list_queue' not found. Did you mean 'list_queues'?"),
            ("frobnicate", "\nCommand 'frobnicate' not found. \n"),
            ("", "Usage\n\nledgermq ctl"),
        ] {
            let error = run(line).expect_err(line);
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }

    /// What `rabbitmqctl help` of 3.10.8 lists.
    #[test]
    fn every_column_of_rabbitmqs_may_be_asked_for() {
        for line in [
            "list_queues arguments auto_delete consumer_capacity consumer_utilisation consumers disk_reads disk_writes \
             durable exclusive exclusive_consumer_pid exclusive_consumer_tag head_message_timestamp leader members memory \
             message_bytes message_bytes_persistent message_bytes_ram message_bytes_ready message_bytes_unacknowledged \
             messages messages_persistent messages_ram messages_ready messages_ready_ram messages_unacknowledged \
             messages_unacknowledged_ram name online owner_pid pid policy slave_pids state synchronised_slave_pids type",
            "list_connections auth_mechanism channel_max channels client_properties connected_at frame_max host name \
             peer_cert_issuer peer_cert_subject peer_cert_validity peer_host peer_port pid port protocol recv_cnt recv_oct \
             send_cnt send_oct send_pend ssl ssl_cipher ssl_hash ssl_key_exchange ssl_protocol state timeout user vhost",
            "list_channels acks_uncommitted confirm connection consumer_count global_prefetch_count \
             messages_unacknowledged messages_uncommitted messages_unconfirmed name number pid prefetch_count \
             transactional user vhost",
            "list_consumers ack_required active activity_status arguments channel_pid consumer_tag prefetch_count queue_name",
            "list_exchanges arguments auto_delete durable internal name policy type",
            "list_bindings arguments destination_kind destination_name routing_key source_kind source_name",
            "list_vhosts cluster_state default_queue_type description name tags tracing",
        ] {
            run(line).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn every_option_that_is_told_of_is_read() {
        for option in &options::OPTIONS {
            let value = match (option.value, option.choices) {
                (None, _) => "",
                (Some(_), [first, ..]) => first,
                (Some(_), []) => "7",
            };
            let long = format!("list_users --{} {value}", option.long);
            let read = run(&long).unwrap_or_else(|error| panic!("{long}: {error}"));
            if let Some(short) = option.short {
                assert_eq!(run(&format!("list_users -{short} {value}")).unwrap(), read, "{long}");
            }
        }
        assert!(run("help").unwrap_err().contains("\n   -p, --vhost <vhost> "));
    }

    #[test]
    fn passwords_are_not_repeated() {
        for line in ["add_user u canary x", "change_password u canary canary", "authenticate_user u canary x"]
        {
            assert!(!run(line).unwrap_err().contains("canary"), "{line}");
        }
    }

    #[test]
    fn there_is_help() {
        for line in ["help", "list_queues --help", "help list_queues"] {
            assert!(run(line).unwrap_err().starts_with("help: Usage"), "{line}");
        }
        assert!(run("help list_queues").unwrap_err().contains("messages_ready"));
        assert!(run("help nothing").unwrap_err().contains("not found"));
    }

    #[test]
    fn every_command_becomes_a_request() {
        let options = run("list_users").unwrap().2;
        // These ask the broker nothing, or much in turn.
        let others = [
            "version",
            "report",
            "hash_password",
            "export_definitions",
            "import_definitions",
            "move_messages",
        ];
        for command in Command::all().filter(|command| !others.contains(&command.name)) {
            assert!(command.request(&[], &options).is_some(), "{}", command.name);
        }
    }
}
