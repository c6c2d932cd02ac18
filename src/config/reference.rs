//! docs/configuration.md: what stands there of each key is what the program knows of it.

use super::keys::KEYS;
use super::rabbitmq_conf::names_of;
use std::fmt::Write;

/// The text of docs/configuration.md.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for key in &KEYS {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n### `{}`\n\n{}.\n\n- allowed: {}\n- default: `{}`\n- flag `--{}`, variable `{}`\n",
            key.name,
            key.help,
            key.allowed,
            key.default_text(),
            key.flag(),
            key.variable(),
        );
        let theirs: Vec<_> = names_of(key.name).map(|name| format!("`{name}`")).collect();
        if !theirs.is_empty() {
            let _ = writeln!(text, "- in `rabbitmq.conf`: {}", theirs.join(", "));
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Configuration

`ledgermq serve` needs none. Every key below can be given as a flag, as an environment variable, or in a TOML file that
`--config FILE` or `LEDGERMQ_CONFIG` names; a flag beats a variable, a variable beats the file, the file beats the
default. Sizes are bytes, or have a unit: `64KiB`, `16MiB`, `2GiB`.

```toml
data_dir = \"/var/lib/ledgermq\"
listen = \"0.0.0.0:5672\"
disk_low_bytes = \"5GiB\"
loopback_users = [\"guest\"]
```

A file whose name ends in `.conf` is read as RabbitMQ's: `key.path = value`, with `conf.d/*.conf` beside a `rabbitmq.conf`, and so is each
of a directory. Keys that mean something here are taken: each key below says what it is called there, where `NAME` stands for any name or
number. Those that mean something only to Erlang, to a cluster or to a plugin are named in the diagnostics and passed over; any other is an
error. `advanced.config` is not read. Of RabbitMQ's image the variables `RABBITMQ_DEFAULT_USER`, `RABBITMQ_DEFAULT_PASS`, `RABBITMQ_DEFAULT_VHOST`, `RABBITMQ_NODE_PORT`,
`RABBITMQ_NODE_IP_ADDRESS`, `RABBITMQ_CONFIG_FILE` and `RABBITMQ_CONFIG_FILES` are understood, of OpenTelemetry's `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; ours beat them. `OTEL_TRACES_SAMPLER` and
`OTEL_TRACES_SAMPLER_ARG` count as they are.

An unknown key or a value that is not allowed stops the broker before it opens anything (exit code 64), with a sentence
that names the key, the value, where it stands, and what is allowed. Variables that Kubernetes makes for a service called
`ledgermq` (`LEDGERMQ_PORT…`, `LEDGERMQ_SERVICE_…`) are passed over.

This page is made from the program: a test compares them.

## Keys
";
