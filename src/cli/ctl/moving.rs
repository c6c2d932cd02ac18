//! `move_messages`: what the mover needs from the command line and from the broker here, and how its result is shown.

use super::arguments::Options;
use super::commands::{Command, Shape};
use super::{fail, password, say, socket};
use crate::cli::exit::Exit;
use crate::cli::mover;

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 1] = [Command {
    name: "move_messages",
    usage: "<amqp URI of the source>|- [--queue <name>]... [--all-vhosts] [--target <amqp URI>] [--prefetch <count>] \
            [--cacert <file>] [--follow]",
    help: "Moves what waits in another broker's queues into the queues of the same names here",
    least: 1,
    most: 1,
    shape: Shape::Plain,
}];

/// What stands for a URI that is read from standard input, where no list of processes shows its password.
const STANDARD: &str = "-";

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str) -> Option<String> {
    (name == "move_messages")
        .then(|| "Moving messages; what is under way stays at the source until it is on disk ...".to_owned())
}

/// Moves and shows what was moved.
pub(super) fn run(words: &[String], options: &Options, quiet: bool) -> Exit {
    let given = words.first().map_or(STANDARD, String::as_str);
    let source = match given {
        STANDARD => match password::read() {
            Ok(Some(source)) => source,
            Ok(None) => {
                return fail(
                    "the URI of the source is neither an argument nor on standard input",
                    Exit::Usage,
                );
            }
            Err(error) => return fail(&format!("the URI of the source cannot be read: {error}"), Exit::Io),
        },
        given => given.to_owned(),
    };
    let path = socket::path(&options.data_dir);
    let here = |request: &_| {
        socket::ask(&path, request, options.timeout).map_err(|error| {
            format!(
                "no broker answers at {}: {error}.\nIs it running, and is --data-dir its data directory? Without one, both \
                 --target and --queue are needed.",
                path.display()
            )
        })
    };
    let (rows, ended) = mover::run(&source, &options.vhost, &options.moving, &here, quiet);
    say(&options.formatter.rows(mover::COLUMNS, &rows, options.headings));
    match ended {
        Ok(exit) => exit,
        Err((message, exit)) => fail(&format!("{message}\nNothing is lost: run it again to go on."), exit),
    }
}
