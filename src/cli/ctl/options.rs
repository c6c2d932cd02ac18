//! The options of `ctl` that have a meaning: for the help, for completions and for the manual page. `arguments.rs` reads them.

use crate::cli::checks::Unit;
use std::fmt::Write;

/// An option.
#[derive(Debug)]
pub(super) struct CtlOption {
    /// Behind two hyphens.
    pub(super) long: &'static str,
    /// Behind one.
    pub(super) short: Option<char>,
    /// What its value is, if it has one.
    pub(super) value: Option<&'static str>,
    /// The values there are, if they can be listed.
    pub(super) choices: &'static [&'static str],
    /// One sentence.
    pub(super) help: &'static str,
}

const fn flag(long: &'static str, short: Option<char>, help: &'static str) -> CtlOption {
    CtlOption { long, short, value: None, choices: &[], help }
}

const fn valued(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
) -> CtlOption {
    CtlOption { long, short, value: Some(value), choices: &[], help }
}

const fn choice(
    long: &'static str,
    value: &'static str,
    choices: &'static [&'static str],
    help: &'static str,
) -> CtlOption {
    CtlOption { long, short: None, value: Some(value), choices, help }
}

/// All of them, in the order of the help.
pub(super) static OPTIONS: [CtlOption; 28] = [
    valued("data-dir", None, "dir", "Data directory of the broker [env: LEDGERMQ_DATA_DIR]"),
    valued("node", Some('n'), "dir", "The same, or a node name of this machine, which is passed over"),
    valued("vhost", Some('p'), "vhost", "Vhost of the command, default /"),
    choice("formatter", "name", &["table", "json", "csv", "pretty_table"], "How rows look, default table"),
    flag("no-table-headers", None, "No column names"),
    flag("quiet", Some('q'), "Nothing but the result"),
    flag("silent", Some('s'), "The same, and no column names"),
    valued("timeout", Some('t'), "seconds", "How long to wait for the broker"),
    flag("if-empty", Some('e'), "Of delete_queue: only while it has no ready messages"),
    flag("if-unused", Some('u'), "Of delete_queue: only while it has no consumers"),
    valued("limit", None, "number", "Connections to close at most, default all"),
    valued("per-connection-delay", None, "ms", "Pause after each connection that is closed"),
    valued("priority", None, "number", "Of a policy, default 0; the highest one that matches governs"),
    choice(
        "apply-to",
        "objects",
        &["all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams"],
        "Of a policy: what it is for, default all",
    ),
    valued("user", None, "username", "Of user limits, default guest"),
    flag("global", None, "Of limits: those of all vhosts or users"),
    valued("description", None, "text", "Of a vhost: for people"),
    valued("tags", None, "tag,...", "Of a vhost: for people"),
    choice(
        "default-queue-type",
        "type",
        &["classic", "quorum", "stream"],
        "Of a vhost: of queues that name none",
    ),
    valued("within", None, "number", "Of certificates: how soon they must not be over, default 4"),
    choice("unit", "unit", Unit::NAMES, "Of the same, default weeks"),
    flag("by-source", None, "Of logins: by who tried, which is not counted"),
    valued(
        "queue",
        None,
        "name",
        "Of move_messages: this queue, and others named so; default all that are here",
    ),
    flag("all-vhosts", None, "Of move_messages: every vhost here, from the one of the same name"),
    valued("target", None, "uri", "Of move_messages: where to, default the broker here as the source's user"),
    valued("prefetch", None, "count", "Of move_messages: messages under way at a time, default 500"),
    valued("cacert", None, "file", "Of move_messages: who may sign the certificate of an amqps:// broker"),
    flag("follow", None, "Of move_messages: goes on until it is interrupted"),
];

/// The options as the help lists them.
pub(super) fn listed() -> String {
    let mut text = "\nOptions, accepted anywhere:\n\n".to_owned();
    for option in &OPTIONS {
        let short = option.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let value = option.value.map(|value| format!(" <{value}>")).unwrap_or_default();
        let choices = if option.choices.is_empty() {
            String::new()
        } else {
            format!(": {}", option.choices.join(", "))
        };
        let shown = format!("{short}--{}{value}", option.long);
        // Writing to a string does not fail.
        let _ = writeln!(text, "   {shown:<28} {}{choices}", option.help);
    }
    text + "   --                           What follows is no option\n"
}
