//! The command line: `ledgermq serve`, `ledgermq ctl COMMAND`, `ledgermq doctor`, `ledgermq wal inspect|verify`,
//! `ledgermq top`, `ledgermq bench WORKLOAD`, `ledgermq completions SHELL`, `ledgermq man`. Reads arguments, prints,
//! and turns outcomes into exit codes; decides nothing about messages.

pub mod checks;
pub mod control;
pub mod feature_flags;
pub mod figures;
pub mod rows;

mod addresses;
mod bench;
mod client;
mod completions;
mod ctl;
mod doctor;
mod exit;
mod man;
mod mover;
mod numbers;
mod serve;
mod top;
mod wal;

pub use exit::Exit;

use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Runs the program with its arguments, the program's own name first.
pub fn run(arguments: Vec<OsString>) -> Exit {
    match called(arguments.first()) {
        Some(Called::Ctl) => return ctl::run(arguments.into_iter().skip(1).collect()),
        Some(Called::Plugins) => return ctl::run_plugins(arguments.get(1..).unwrap_or_default()),
        Some(Called::Server) => {
            // RabbitMQ's start script takes no arguments that mean anything here but `-detached`, which is refused by name.
            let serve = ["ledgermq".into(), "serve".into()].into_iter();
            return run(serve.chain(arguments.into_iter().skip(1)).collect());
        }
        None => {}
    }
    // rabbitmqctl's grammar (options anywhere, its own words for errors) is not clap's: its arguments go by untouched.
    if arguments.get(1).is_some_and(|command| command == "ctl") {
        return ctl::run(arguments.into_iter().skip(2).collect());
    }
    match grammar().try_get_matches_from(arguments) {
        Ok(matches) => dispatch(&matches),
        Err(error) => {
            // A closed pipe is no reason for another exit code.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Success }
        }
    }
}

fn dispatch(matches: &ArgMatches) -> Exit {
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("wal", matches)) => wal::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("top", matches)) => top::run(matches),
        Some(("completions", matches)) => completions::run(matches),
        Some(("man", matches)) => man::run(matches),
        // clap asks for one of the commands above.
        Some(_) | None => Exit::Usage,
    }
}

/// Prints; a reader that has gone away (`… | head`) is no error.
fn write_out(bytes: &[u8]) -> Exit {
    let _ = std::io::stdout().lock().write_all(bytes);
    Exit::Success
}

/// The grammar with all commands of `ctl`, for shells and pages.
fn full_grammar() -> Command {
    with_ctl(ctl::grammar("ctl"))
}

/// The grammar that arguments are read by.
fn grammar() -> Command {
    with_ctl(
        Command::new("ctl")
            .about("Administers a running broker, with rabbitmqctl's commands")
            .override_usage("ledgermq ctl [OPTIONS] COMMAND [ARGUMENTS]")
            .after_help("`ledgermq ctl help` lists the commands."),
    )
}

fn with_ctl(ctl: Command) -> Command {
    Command::new("ledgermq")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A durable AMQP 0-9-1 message broker: a publisher confirm means the message is on disk")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::grammar())
        .subcommand(ctl)
        .subcommand(doctor::grammar())
        .subcommand(wal::grammar())
        .subcommand(top::grammar())
        .subcommand(bench::grammar())
        .subcommand(completions::grammar())
        .subcommand(man::man_grammar())
}

/// RabbitMQ's programs that a link to this one may be named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    Ctl,
    Plugins,
    Server,
}

/// Which one led here.
fn called(program: Option<&OsString>) -> Option<Called> {
    match Path::new(program?).file_name()?.to_str()? {
        "rabbitmqctl"
        | "rabbitmq-diagnostics"
        | "rabbitmq-queues"
        | "rabbitmq-streams"
        | "rabbitmq-upgrade" => Some(Called::Ctl),
        "rabbitmq-plugins" => Some(Called::Plugins),
        "rabbitmq-server" => Some(Called::Server),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
        full_grammar().debug_assert();
    }

    #[test]
    fn links_named_like_rabbitmqs_programs_are_recognised() {
        for (program, expected) in [
            ("rabbitmqctl", Some(Called::Ctl)),
            ("/usr/sbin/rabbitmqctl", Some(Called::Ctl)),
            ("rabbitmq-diagnostics", Some(Called::Ctl)),
            ("/usr/sbin/rabbitmq-plugins", Some(Called::Plugins)),
            ("rabbitmq-server", Some(Called::Server)),
            ("ledgermq", None),
            ("/opt/rabbitmqctl/ledgermq", None),
            ("", None),
        ] {
            assert_eq!(called(Some(&program.into())), expected, "{program:?}");
        }
        assert_eq!(called(None), None);
    }

    #[test]
    fn unknown_commands_are_bad_usage() {
        for arguments in
            [&["ledgermq", "frobnicate"][..], &["ledgermq", "serve", "--frobnicate"], &["ledgermq"]]
        {
            assert_eq!(run(arguments.iter().map(Into::into).collect()), Exit::Usage, "{arguments:?}");
        }
        assert_eq!(run(vec!["ledgermq".into(), "--version".into()]), Exit::Success);
    }
}
