//! The commands: their names, arguments, help, what is printed before they run, and the request they become.
//! Names, order of arguments and texts are those of rabbitmqctl 3.10.

use super::arguments::Options;
use super::{closing, definitions, global, governing, health, moving, operations, upkeep};
use crate::auth::Secret;
use crate::cli::control::ControlRequest;
use crate::cli::rows;

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// Its arguments, as shown in the usage.
    pub(super) usage: &'static str,
    /// What it does.
    pub(super) help: &'static str,
    /// Fewest arguments.
    pub(super) least: usize,
    /// Most arguments.
    pub(super) most: usize,
    /// What the arguments are.
    pub(super) shape: Shape,
}

/// What kind of arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As they are.
    Plain,
    /// A user and a password, which is read from standard input if it is not there.
    Password,
    /// Columns out of these; none means the default ones.
    Columns {
        /// All there are.
        all: &'static [&'static str],
        /// Those of RabbitMQ's that have no value here; scripts may ask for them all the same.
        empty: &'static [&'static str],
        /// Those shown when none is asked for.
        default: &'static [&'static str],
    },
    /// No columns to choose, but a listing of these.
    Listing(&'static [&'static str]),
}

pub(super) const fn plain(
    name: &'static str,
    usage: &'static str,
    count: usize,
    help: &'static str,
) -> Command {
    Command { name, usage, help, least: count, most: count, shape: Shape::Plain }
}

const fn password(name: &'static str, help: &'static str) -> Command {
    Command { name, usage: "<username> <password>", help, least: 1, most: 2, shape: Shape::Password }
}

const fn listing(
    name: &'static str,
    all: &'static [&'static str],
    default: &'static [&'static str],
    help: &'static str,
) -> Command {
    let shape = Shape::Columns { all, empty: &[], default };
    Command { name, usage: "[<column>, ...]", help, least: 0, most: usize::MAX, shape }
}

pub(super) const fn fixed(
    name: &'static str,
    usage: &'static str,
    count: usize,
    columns: &'static [&'static str],
    help: &'static str,
) -> Command {
    Command { name, usage, help, least: count, most: count, shape: Shape::Listing(columns) }
}

/// Commands, in the order of the help; those of [`closing`] and [`governing`] follow.
static COMMANDS: [Command; 34] = [
    plain("status", "", 0, "Shows the state of the broker"),
    plain("stop", "", 0, "Stops the broker"),
    plain("await_startup", "", 0, "Waits until the broker accepts clients"),
    password("add_user", "Creates a user without permissions"),
    password("change_password", "Changes a user's password"),
    plain(
        "clear_password",
        "<username>",
        1,
        "Takes a user's password away: it can no longer log in with one",
    ),
    password("authenticate_user", "Checks a user's password"),
    plain("delete_user", "<username>", 1, "Deletes a user with all permissions"),
    fixed("list_users", "", 0, &["user", "tags"], "Lists users and their tags"),
    Command {
        name: "set_user_tags",
        usage: "<username> <tag> [...]",
        help: "Replaces a user's tags",
        least: 1,
        most: usize::MAX,
        shape: Shape::Plain,
    },
    plain(
        "add_vhost",
        "<vhost> [--description <description>] [--tags <tag,...>] [--default-queue-type <type>]",
        1,
        "Creates a vhost",
    ),
    plain("delete_vhost", "<vhost>", 1, "Deletes a vhost with all it holds"),
    listing("list_vhosts", rows::VHOST_COLUMNS, &["name"], "Lists vhosts"),
    plain(
        "set_permissions",
        "[--vhost <vhost>] <username> <conf> <write> <read>",
        4,
        "Sets what a user may configure, write and read in a vhost",
    ),
    plain("clear_permissions", "[--vhost <vhost>] <username>", 1, "Takes all rights in a vhost from a user"),
    fixed(
        "list_permissions",
        "[--vhost <vhost>]",
        0,
        &["user", "configure", "write", "read"],
        "Lists the permissions in a vhost",
    ),
    fixed(
        "list_user_permissions",
        "<username>",
        1,
        &["vhost", "configure", "write", "read"],
        "Lists the permissions of a user",
    ),
    plain(
        "set_topic_permissions",
        "[--vhost <vhost>] <username> <exchange> <write> <read>",
        4,
        "Sets which keys a user may publish and bind with at a topic exchange",
    ),
    Command {
        name: "clear_topic_permissions",
        usage: "[--vhost <vhost>] <username> [<exchange>]",
        help: "Lets a user use any key at a topic exchange, or at all of a vhost",
        least: 1,
        most: 2,
        shape: Shape::Plain,
    },
    fixed(
        "list_topic_permissions",
        "[--vhost <vhost>]",
        0,
        &["user", "exchange", "write", "read"],
        "Lists the topic permissions in a vhost",
    ),
    fixed(
        "list_user_topic_permissions",
        "<username>",
        1,
        &["vhost", "exchange", "write", "read"],
        "Lists the topic permissions of a user",
    ),
    Command {
        name: "list_queues",
        usage: "[<column>, ...]",
        help: "Lists the queues of a vhost",
        least: 0,
        most: usize::MAX,
        shape: Shape::Columns {
            all: rows::QUEUE_COLUMNS,
            empty: rows::EMPTY_QUEUE_COLUMNS,
            default: &["name", "messages"],
        },
    },
    listing("list_exchanges", rows::EXCHANGE_COLUMNS, &["name", "type"], "Lists the exchanges of a vhost"),
    listing(
        "list_bindings",
        rows::BINDING_COLUMNS,
        &["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"],
        "Lists the bindings of a vhost",
    ),
    listing(
        "list_connections",
        rows::CONNECTION_COLUMNS,
        &["user", "peer_host", "peer_port", "state"],
        "Lists connections",
    ),
    listing(
        "list_channels",
        rows::CHANNEL_COLUMNS,
        &["pid", "user", "consumer_count", "messages_unacknowledged"],
        "Lists channels",
    ),
    listing(
        "list_consumers",
        rows::CONSUMER_COLUMNS,
        &[
            "queue_name",
            "channel_pid",
            "consumer_tag",
            "ack_required",
            "prefetch_count",
            "active",
            "arguments",
        ],
        "Lists the consumers of a vhost",
    ),
    plain(
        "trace_on",
        "[--vhost <vhost>]",
        0,
        "Copies all messages of a vhost to its exchange amq.rabbitmq.trace",
    ),
    plain("trace_off", "[--vhost <vhost>]", 0, "Ends the copying of all messages of a vhost"),
    plain("purge_queue", "[--vhost <vhost>] <queue>", 1, "Removes the ready messages of a queue"),
    plain("delete_queue", "[--vhost <vhost>] <queue> [--if-empty|-e] [--if-unused|-u]", 1, "Deletes a queue"),
    Command {
        name: "set_vm_memory_high_watermark",
        usage: "<fraction> | absolute <limit>",
        help: "Sets the memory above which publishers are blocked, until the next start",
        least: 1,
        most: 2,
        shape: Shape::Plain,
    },
    Command {
        name: "set_disk_free_limit",
        usage: "<limit> | mem_relative <fraction>",
        help: "Sets the free disk space below which publishers are blocked, until the next start",
        least: 1,
        most: 2,
        shape: Shape::Plain,
    },
    plain("version", "", 0, "Shows the version of this program"),
];

impl Command {
    /// All commands, in the order of the help.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        COMMANDS
            .iter()
            .chain(&closing::COMMANDS)
            .chain(&governing::COMMANDS)
            .chain(&global::COMMANDS)
            .chain(&health::COMMANDS)
            .chain(&upkeep::COMMANDS)
            .chain(&operations::COMMANDS)
            .chain(&definitions::COMMANDS)
            .chain(&moving::COMMANDS)
    }

    /// The command of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        Self::all().find(|command| command.name == name)
    }

    /// The columns of its listing, if it is one: those asked for, or the default ones.
    pub(super) fn columns<'a>(&self, arguments: &'a [String]) -> Option<Vec<&'a str>> {
        match self.shape {
            Shape::Plain | Shape::Password => None,
            Shape::Listing(columns) => Some(columns.to_vec()),
            Shape::Columns { default, .. } if arguments.is_empty() => Some(default.to_vec()),
            Shape::Columns { .. } => Some(arguments.iter().map(String::as_str).collect()),
        }
    }

    /// What is printed before it runs; empty = nothing.
    pub(super) fn banner(&self, arguments: &[String], options: &Options) -> String {
        let vhost = &options.vhost;
        let first = arguments.first().map_or("", String::as_str);
        let second = || arguments.get(1).map_or("", String::as_str);
        match self.name {
            "add_user" => format!("Adding user \"{first}\" ..."),
            "change_password" => format!("Changing password for user \"{first}\" ..."),
            "clear_password" => format!("Clearing password for user \"{first}\" ..."),
            "authenticate_user" => format!("Authenticating user \"{first}\" ..."),
            "delete_user" => format!("Deleting user \"{first}\" ..."),
            "list_users" => "Listing users ...".to_owned(),
            "set_user_tags" => {
                let tags = arguments.get(1..).unwrap_or_default().join(", ");
                format!("Setting tags for user \"{first}\" to [{tags}] ...")
            }
            "add_vhost" => format!("Adding vhost \"{first}\" ..."),
            "delete_vhost" => format!("Deleting vhost \"{first}\" ..."),
            "list_vhosts" => "Listing vhosts ...".to_owned(),
            "set_permissions" => format!("Setting permissions for user \"{first}\" in vhost \"{vhost}\" ..."),
            "clear_permissions" => {
                format!("Clearing permissions for user \"{first}\" in vhost \"{vhost}\" ...")
            }
            "list_permissions" => format!("Listing permissions for vhost \"{vhost}\" ..."),
            "list_user_permissions" => format!("Listing permissions for user \"{first}\" ..."),
            "set_topic_permissions" => {
                let exchange = second();
                format!(
                    "Setting topic permissions on \"{exchange}\" for user \"{first}\" in vhost \"{vhost}\" ..."
                )
            }
            "clear_topic_permissions" => match second() {
                "" => format!("Clearing topic permissions for user \"{first}\" in vhost \"{vhost}\" ..."),
                exchange => format!(
                    "Clearing topic permissions on \"{exchange}\" for user \"{first}\" in vhost \"{vhost}\" ..."
                ),
            },
            "list_topic_permissions" => format!("Listing topic permissions for vhost \"{vhost}\" ..."),
            "list_user_topic_permissions" => format!("Listing topic permissions for user \"{first}\" ..."),
            "list_queues" => {
                format!(
                    "Timeout: {:.1} seconds ...\nListing queues for vhost {vhost} ...",
                    options.timeout.as_secs_f64()
                )
            }
            "list_exchanges" => format!("Listing exchanges for vhost {vhost} ..."),
            "list_bindings" => format!("Listing bindings for vhost {vhost}..."),
            "list_connections" => "Listing connections ...".to_owned(),
            "list_channels" => "Listing channels ...".to_owned(),
            "list_consumers" => format!("Listing consumers in vhost {vhost} ..."),
            "trace_on" => format!("Starting tracing for vhost \"{vhost}\" ..."),
            "trace_off" => format!("Stopping tracing for vhost \"{vhost}\" ..."),
            "set_vm_memory_high_watermark" => match arguments {
                [_, limit] => format!("Setting memory threshold to {limit} bytes ..."),
                _ => format!("Setting memory threshold to {first} ..."),
            },
            "set_disk_free_limit" => match arguments {
                [_, part] => format!("Setting disk free limit to {part} times the total RAM ..."),
                _ => format!("Setting disk free limit to {first} bytes ..."),
            },
            "purge_queue" => format!("Purging queue '{first}' in vhost '{vhost}' ..."),
            "delete_queue" => {
                let conditions = match (options.if_empty, options.if_unused) {
                    (false, false) => "",
                    (true, false) => "if queue is empty ",
                    (false, true) => "if queue is unused ",
                    (true, true) => "if queue is empty and if queue is unused ",
                };
                format!("Deleting queue '{first}' on vhost '{vhost}' {conditions}...")
            }
            "stop" => format!("Stopping the broker at {} ...", options.data_dir.display()),
            name => closing::banner(name, arguments, options)
                .or_else(|| governing::banner(name, arguments, options))
                .or_else(|| global::banner(name, arguments))
                .or_else(|| health::banner(name, arguments, options))
                .or_else(|| upkeep::banner(name, arguments))
                .or_else(|| operations::banner(name, arguments))
                .or_else(|| definitions::banner(name, arguments))
                .or_else(|| moving::banner(name))
                .unwrap_or_default(),
        }
    }

    /// What is printed after it was done; empty = nothing.
    pub(super) fn farewell(&self, message_count: Option<u64>, options: &Options) -> String {
        match (self.name, message_count) {
            ("add_user", _) => "Done. Don't forget to grant the user permissions to some virtual hosts! \
                 See 'rabbitmqctl help set_permissions' to learn more."
                .to_owned(),
            ("authenticate_user", _) => "Success".to_owned(),
            ("trace_on", _) => format!("Trace enabled for vhost {}", options.vhost),
            ("trace_off", _) => format!("Trace disabled for vhost {}", options.vhost),
            ("delete_queue", Some(count)) => {
                format!("Queue was successfully deleted with {count} ready messages")
            }
            _ => String::new(),
        }
    }

    /// The request it becomes; `None` for those that ask the broker nothing.
    pub(super) fn request(&self, arguments: &[String], options: &Options) -> Option<ControlRequest> {
        let vhost = options.vhost.clone();
        let argument = |position: usize| arguments.get(position).cloned().unwrap_or_default();
        let secret = || Secret::new(argument(1));
        Some(match self.name {
            "status" => ControlRequest::Status,
            "stop" => ControlRequest::Stop,
            "await_startup" => ControlRequest::AwaitStartup,
            "add_user" => ControlRequest::AddUser { user: argument(0), password: secret() },
            "change_password" => ControlRequest::ChangePassword { user: argument(0), password: secret() },
            "clear_password" => ControlRequest::ClearPassword { user: argument(0) },
            "authenticate_user" => ControlRequest::AuthenticateUser { user: argument(0), password: secret() },
            "delete_user" => ControlRequest::DeleteUser { user: argument(0) },
            "list_users" => ControlRequest::ListUsers,
            "set_user_tags" => ControlRequest::SetUserTags {
                user: argument(0),
                tags: arguments.get(1..).unwrap_or_default().to_vec(),
            },
            "add_vhost" => {
                ControlRequest::AddVhost { vhost: argument(0), metadata: governing::metadata(options) }
            }
            "delete_vhost" => ControlRequest::DeleteVhost { vhost: argument(0) },
            "list_vhosts" => ControlRequest::ListVhosts,
            "set_permissions" => ControlRequest::SetPermissions {
                vhost,
                user: argument(0),
                configure: argument(1),
                write: argument(2),
                read: argument(3),
            },
            "clear_permissions" => ControlRequest::ClearPermissions { vhost, user: argument(0) },
            "list_permissions" => ControlRequest::ListPermissions { vhost },
            "list_user_permissions" => ControlRequest::ListUserPermissions { user: argument(0) },
            "trace_on" => ControlRequest::Trace { vhost, on: true },
            "trace_off" => ControlRequest::Trace { vhost, on: false },
            "set_topic_permissions" => ControlRequest::SetTopicPermissions {
                vhost,
                user: argument(0),
                exchange: argument(1),
                write: argument(2),
                read: argument(3),
            },
            "clear_topic_permissions" => ControlRequest::ClearTopicPermissions {
                vhost,
                user: argument(0),
                exchange: arguments.get(1).cloned(),
            },
            "list_topic_permissions" => ControlRequest::ListTopicPermissions { vhost },
            "list_user_topic_permissions" => ControlRequest::ListUserTopicPermissions { user: argument(0) },
            "list_queues" => ControlRequest::ListQueues { vhost },
            "list_exchanges" => ControlRequest::ListExchanges { vhost },
            "list_bindings" => ControlRequest::ListBindings { vhost },
            "list_connections" => ControlRequest::ListConnections,
            "list_channels" => ControlRequest::ListChannels,
            "list_consumers" => ControlRequest::ListConsumers { vhost },
            "set_vm_memory_high_watermark" => {
                ControlRequest::SetVmMemoryHighWatermark { limit: arguments.to_vec() }
            }
            "set_disk_free_limit" => ControlRequest::SetDiskFreeLimit { limit: arguments.to_vec() },
            "purge_queue" => ControlRequest::PurgeQueue { vhost, queue: argument(0) },
            "delete_queue" => ControlRequest::DeleteQueue {
                vhost,
                queue: argument(0),
                if_unused: options.if_unused,
                if_empty: options.if_empty,
            },
            name => {
                return closing::request(name, arguments, options)
                    .or_else(|| governing::request(name, arguments, options))
                    .or_else(|| global::request(name, arguments))
                    .or_else(|| health::request(name))
                    .or_else(|| upkeep::request(name, arguments, options))
                    .or_else(|| operations::request(name, arguments));
            }
        })
    }
}
