//! `ledgermq ctl`: rabbitmqctl's commands against the running broker. Parses, asks over the control socket, prints as
//! rabbitmqctl prints, and ends with its exit codes.

mod arguments;
mod closing;
mod cluster;
mod commands;
mod definitions;
mod doors;
mod format;
mod global;
mod governing;
mod grammar;
mod health;
mod moving;
mod operations;
mod options;
mod password;
mod plugins;
mod refused;
pub(super) mod socket;
mod status;
mod upkeep;
mod usage;

use super::control::{ControlRequest, ControlResponse, RefusalReason};
use super::exit::Exit;
use crate::auth::{Hashing, PasswordHash, Salt};
use crate::clock::Clock;
pub(super) use grammar::{grammar, verbs};

use arguments::{Invocation, Options};
use commands::{Command, Shape};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Runs with the arguments behind `ctl`.
pub(super) fn run(arguments: Vec<OsString>) -> Exit {
    let arguments: Result<Vec<String>, OsString> = arguments.into_iter().map(OsString::into_string).collect();
    let Ok(arguments) = arguments else {
        eprintln!("Error: an argument is not UTF-8");
        return Exit::Usage;
    };
    let data_dir = std::env::var_os("LEDGERMQ_DATA_DIR").map(PathBuf::from);
    match arguments::parse(&arguments, data_dir, &hostname()) {
        Ok(Invocation::Run(command, words, options)) => execute(command, words, &options),
        Ok(Invocation::Help(text)) => {
            say(&text);
            Exit::Success
        }
        Err(message) => {
            eprintln!("{message}");
            Exit::Usage
        }
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Runs as `rabbitmq-plugins`.
pub(super) fn run_plugins(arguments: &[OsString]) -> Exit {
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (text, exit) = plugins::run(&words);
    if exit == Exit::Success {
        say(&text)
    } else {
        eprint!("{text}")
    }
    exit
}

fn execute(command: &Command, mut words: Vec<String>, options: &Options) -> Exit {
    let quiet = options.quiet || options.formatter.is_for_machines();
    let banner = command.banner(&words, options);
    if !quiet && !banner.is_empty() {
        say_line(&banner);
    }
    if command.shape == Shape::Password && words.len() == 1 {
        match password::read() {
            Ok(Some(password)) => words.push(password),
            Ok(None) => return fail("Password is not provided via argument or stdin", Exit::Software),
            Err(error) => return fail(&format!("the password cannot be read: {error}"), Exit::Io),
        }
    }
    if command.name == "report" {
        return report(options);
    }
    if command.name == "move_messages" {
        return moving::run(&words, options, quiet);
    }
    if command.name == "hash_password" {
        return hash_password(words);
    }
    let request = match definitions::request(command.name, &words) {
        Some(Ok(request)) => Some(request),
        Some(Err((message, exit))) => return fail(&message, exit),
        None => command.request(&words, options),
    };
    let Some(request) = request else {
        say_line(env!("CARGO_PKG_VERSION"));
        return Exit::Success;
    };
    match answer(&request, options) {
        Ok(response) => definitions::keep(command, &words, response)
            .unwrap_or_else(|response| show(command, &words, options, response, quiet)),
        Err(error) => {
            let path = socket::path(&options.data_dir);
            let message = format!(
                "no broker answers at {}: {error}.\nIs it running, and is --data-dir its data directory?",
                path.display()
            );
            fail(&message, Exit::Unavailable)
        }
    }
}

/// Everything that `report` shows; the first failure is its exit code, and does not end it.
fn report(options: &Options) -> Exit {
    let mut worst = Exit::Success;
    for command in operations::REPORT.iter().filter_map(|name| Command::find(name)) {
        let exit = execute(command, Vec::new(), options);
        say("\n");
        if worst == Exit::Success {
            worst = exit;
        }
    }
    worst
}

/// The hash as definitions hold it; the password comes from standard input if it is not there.
fn hash_password(words: Vec<String>) -> Exit {
    let given = words.into_iter().next().map_or_else(password::read, |given| Ok(Some(given)));
    let password = match given {
        Ok(Some(password)) => password,
        Ok(None) => return fail("Password is not provided via argument or stdin", Exit::Software),
        Err(error) => return fail(&format!("the password cannot be read: {error}"), Exit::Io),
    };
    let mut salt = Salt::default();
    if let Err(error) = getrandom::fill(&mut salt) {
        return fail(&format!("the operating system gives no random numbers: {error}"), Exit::Software);
    }
    match PasswordHash::new(&password, Hashing::Sha256, salt) {
        Ok(hash) => {
            say_line(&hash.export().0);
            Exit::Success
        }
        Err(error) => fail(&error.to_string(), Exit::Usage),
    }
}

/// How often a broker that starts or stops is looked at.
const LOOK: Duration = Duration::from_millis(50);

fn answer(request: &ControlRequest, options: &Options) -> io::Result<ControlResponse> {
    let path = socket::path(&options.data_dir);
    let clock = Clock::start();
    let in_time = || u128::from(clock.now_ms()) < options.timeout.as_millis();
    match request {
        ControlRequest::AwaitStartup => loop {
            match socket::ask(&path, request, options.timeout) {
                Err(_) if in_time() => thread::sleep(LOOK),
                answered => return answered,
            }
        },
        ControlRequest::Stop => {
            let response = socket::ask(&path, request, options.timeout)?;
            while socket::answers(&path) && in_time() {
                thread::sleep(LOOK);
            }
            Ok(response)
        }
        request => socket::ask(&path, request, options.timeout),
    }
}

/// Lists that rabbitmqctl has as a whole: where there is nothing it prints an empty line, which tools take for a list. Of the
/// other lists, which it gets row by row, it prints nothing then.
const TOLD_WHOLE: [&str; 9] = [
    "list_global_parameters",
    "list_operator_policies",
    "list_parameters",
    "list_permissions",
    "list_policies",
    "list_topic_permissions",
    "list_user_permissions",
    "list_user_topic_permissions",
    "list_vhost_limits",
];

fn show(
    command: &Command,
    words: &[String],
    options: &Options,
    response: ControlResponse,
    quiet: bool,
) -> Exit {
    match response {
        ControlResponse::Done => farewell(command, None, options, quiet),
        ControlResponse::Removed { message_count } => farewell(command, Some(message_count), options, quiet),
        ControlResponse::Text { text } => {
            say_line(&options.formatter.line(&text));
            Exit::Success
        }
        // Asked for by `top` alone.
        ControlResponse::Figures { .. } => Exit::Software,
        ControlResponse::Rows { rows } if health::knows(command.name) => {
            let row = rows.into_iter().next().unwrap_or_default();
            let Ok(status) = serde_json::from_value(serde_json::Value::Object(row)) else {
                return fail("the broker is of another release", Exit::Unavailable);
            };
            match health::outcome(command.name, words, &status, options.formatter) {
                Ok(text) => {
                    say(&text);
                    Exit::Success
                }
                Err((message, exit)) => fail(&message, exit),
            }
        }
        ControlResponse::Rows { rows } if upkeep::knows(command.name) => {
            match upkeep::outcome(command.name, rows, options) {
                Ok(text) => {
                    say(&text);
                    Exit::Success
                }
                Err((text, exit)) => {
                    eprint!("{text}");
                    exit
                }
            }
        }
        ControlResponse::Rows { rows } if rows.is_empty() && TOLD_WHOLE.contains(&command.name) => {
            say_line(&options.formatter.line(""));
            Exit::Success
        }
        ControlResponse::Rows { rows } => {
            match command.columns(words) {
                Some(columns) => say(&options.formatter.rows(&columns, &rows, options.headings)),
                None => rows.iter().for_each(|row| say(&status::show(row, options.formatter))),
            }
            Exit::Success
        }
        ControlResponse::Refused { reason, message } => fail(&message, exit_of(command, reason)),
    }
}

fn farewell(command: &Command, message_count: Option<u64>, options: &Options, quiet: bool) -> Exit {
    let text = command.farewell(message_count, options);
    if !quiet && !text.is_empty() {
        say_line(&text);
    }
    Exit::Success
}

/// rabbitmqctl's codes; its two commands on queues disagree.
fn exit_of(command: &Command, reason: RefusalReason) -> Exit {
    match reason {
        RefusalReason::Usage => Exit::Usage,
        RefusalReason::NoSuchVhost | RefusalReason::AccessRefused => Exit::Data,
        RefusalReason::NoSuchUser => Exit::NoUser,
        RefusalReason::NoSuchQueue | RefusalReason::Conflict if command.name == "delete_queue" => Exit::Usage,
        RefusalReason::NoSuchQueue | RefusalReason::Unavailable | RefusalReason::Invalid => Exit::Unavailable,
        RefusalReason::Conflict => Exit::Software,
    }
}

fn fail(message: &str, exit: Exit) -> Exit {
    eprintln!("Error:\n{message}");
    exit
}

fn say_line(text: &str) {
    say(&format!("{text}\n"));
}

/// Prints; a reader that has gone away (`… | head`) is no error.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    /// A broker that answers one request with this line, and gives back what it was asked.
    fn with_broker(answer: &'static str, arguments: &[&str]) -> (Exit, String) {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket::path(directory.path())).unwrap();
        let broker = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            line
        });
        let mut all: Vec<OsString> = vec!["--data-dir".into(), directory.path().into()];
        all.extend(arguments.iter().map(Into::into));
        let exit = run(all);
        (exit, broker.join().unwrap())
    }

    #[test]
    fn the_broker_is_asked_in_json() {
        let (exit, asked) = with_broker(
            "{\"answer\":\"done\"}\n",
            &["set_permissions", "-p", "v", "alert_user", ".*", "^w", ""],
        );
        assert_eq!(exit, Exit::Success);
        assert_eq!(
            asked,
            "{\"command\":\"set_permissions\",\"vhost\":\"v\",\"user\":\"alert_user\",\
             \"configure\":\".*\",\"write\":\"^w\",\"read\":\"\"}\n"
        );
    }

    #[test]
    fn answers_become_exit_codes() {
        for (command, reason, expected) in [
            ("delete_user", "no_such_user", Exit::NoUser),
            ("delete_vhost", "no_such_vhost", Exit::Data),
            ("delete_queue", "no_such_queue", Exit::Usage),
            ("delete_queue", "conflict", Exit::Usage),
            ("purge_queue", "no_such_queue", Exit::Unavailable),
            ("add_vhost", "conflict", Exit::Software),
            ("add_vhost", "unavailable", Exit::Unavailable),
            ("add_vhost", "usage", Exit::Usage),
            ("add_vhost", "access_refused", Exit::Data),
        ] {
            let line = format!("{{\"answer\":\"refused\",\"reason\":\"{reason}\",\"message\":\"m\"}}\n");
            let (exit, _) = with_broker(line.leak(), &[command, "x"]);
            assert_eq!(exit, expected, "{command} {reason}");
        }
        let (exit, _) = with_broker("{\"answer\":\"rows\",\"rows\":[{\"name\":\"q\"}]}\n", &["list_queues"]);
        assert_eq!(exit, Exit::Success);
        let (exit, _) = with_broker("what?\n", &["list_queues"]);
        assert_eq!(exit, Exit::Unavailable);
        let (exit, _) = with_broker("", &["list_queues"]);
        assert_eq!(exit, Exit::Unavailable);
    }

    #[test]
    fn without_a_broker_it_is_unavailable() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["--data-dir".into(), directory.path().into(), "status".into()];
        assert_eq!(run(arguments.to_vec()), Exit::Unavailable);
    }
}
