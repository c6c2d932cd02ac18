//! What is said of commands: how they are used, which there are, and what is wrong with the arguments of one. A password never
//! appears in it.

use super::commands::{Command, Shape};
use super::options;
use crate::config::nearest;
use std::fmt::Write;

/// What is wrong with the arguments of a command.
pub(super) fn check(command: &Command, words: &[String]) -> Result<(), String> {
    let problem = if words.len() < command.least {
        "not enough arguments.".to_owned()
    } else if words.len() > command.most {
        "too many arguments.".to_owned()
    } else if let Shape::Columns { all, empty, .. } = command.shape {
        let is_known = |column: &&str| all.contains(column) || empty.contains(column);
        let unknown: Vec<_> = words.iter().map(String::as_str).filter(|column| !is_known(column)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let hint = unknown
            .first()
            .and_then(|first| nearest(first, all.iter().chain(empty).copied()))
            .map(|known| format!(". Did you mean '{known}'?"))
            .unwrap_or_default();
        format!("Info key(s) {} are not supported{hint}", unknown.join(","))
    } else {
        return Ok(());
    };
    let shown: Vec<&str> = match command.shape {
        Shape::Password => {
            words.iter().take(1).map(String::as_str).chain(words.get(1).map(|_| "...")).collect()
        }
        Shape::Plain | Shape::Columns { .. } | Shape::Listing(_) => {
            words.iter().map(String::as_str).collect()
        }
    };
    Err(format!(
        "Error (argument validation): {problem}\nArguments given:\n\t{} {}\n\n{}",
        command.name,
        shown.join(" "),
        usage(command)
    ))
}

/// That there is no such command, and which may have been meant.
pub(super) fn unknown(name: &str) -> String {
    let hint = nearest(name, Command::all().map(|command| command.name))
        .map(|known| format!("Did you mean '{known}'?\n"))
        .unwrap_or_default();
    format!("\nCommand '{name}' not found. {hint}\n{}", overview())
}

fn usage(command: &Command) -> String {
    format!("Usage\n\nledgermq ctl [--data-dir <dir>] [--quiet] {} {}", command.name, command.usage)
}

/// The help of one command.
pub(super) fn usage_of(name: &str) -> Result<String, String> {
    let command = Command::find(name).ok_or_else(|| unknown(name))?;
    let mut text = format!("{}\n\n{}\n", usage(command), command.help);
    if let Shape::Columns { all, empty, .. } = command.shape {
        // Writing to a string does not fail.
        let _ = write!(text, "\n<column>\n\tmust be one of {}\n", all.join(", "));
        if !empty.is_empty() {
            let _ = writeln!(text, "\tor of RabbitMQ's that are empty here: {}", empty.join(", "));
        }
    }
    Ok(text)
}

/// The help.
pub(super) fn overview() -> String {
    let mut text =
        "Usage\n\nledgermq ctl [OPTIONS] <command> [<arguments>]\n\nAvailable commands:\n\n".to_owned();
    for command in Command::all() {
        let _ = writeln!(text, "   {:<24}{}", command.name, command.help);
    }
    text + &options::listed()
}
