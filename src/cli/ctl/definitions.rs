//! `export_definitions` and `import_definitions`: files in RabbitMQ's form, which both brokers write and read. The file is
//! read and written here, with the rights of who runs the command; the broker sees only what is in it.

use super::commands::{Command, Shape};
use crate::auth::Secret;
use crate::cli::control::{ControlRequest, ControlResponse};
use crate::cli::exit::Exit;
use serde_json::Value;
use std::fs;
use std::io::{self, Read};

/// Commands, in the order of the help.
pub(super) static COMMANDS: [Command; 2] = [
    Command {
        name: "export_definitions",
        usage: "[<file>|-]",
        help: "Writes users, vhosts, policies, queues, exchanges and bindings to a file",
        least: 0,
        most: 1,
        shape: Shape::Plain,
    },
    Command {
        name: "import_definitions",
        usage: "[<file>]",
        help: "Brings in what a definitions file says; takes nothing away",
        least: 0,
        most: 1,
        shape: Shape::Plain,
    },
];

/// What stands for standard input or output.
const STANDARD: &str = "-";

/// What is printed before it runs; `None` if it is none of these.
pub(super) fn banner(name: &str, arguments: &[String]) -> Option<String> {
    let file = file(arguments);
    Some(match name {
        // It would stand in the file.
        "export_definitions" if file == STANDARD => String::new(),
        "export_definitions" => format!("Exporting definitions in JSON to a file at \"{file}\" ..."),
        "import_definitions" if file == STANDARD => {
            "Importing definitions in JSON from standard input ...".to_owned()
        }
        "import_definitions" => format!("Importing definitions in JSON from a file at \"{file}\" ..."),
        _ => return None,
    })
}

/// The request it becomes. Of an import it is known only once the file is read.
///
/// # Errors
/// The sentence for the operator, and the exit code.
pub(super) fn request(name: &str, arguments: &[String]) -> Option<Result<ControlRequest, (String, Exit)>> {
    match name {
        "export_definitions" => Some(Ok(ControlRequest::ExportDefinitions)),
        "import_definitions" => Some(read(file(arguments))),
        _ => None,
    }
}

fn file(arguments: &[String]) -> &str {
    arguments.first().map_or(STANDARD, String::as_str)
}

fn read(file: &str) -> Result<ControlRequest, (String, Exit)> {
    let mut text = Vec::new();
    let read = match file {
        STANDARD => io::stdin().read_to_end(&mut text).map(drop),
        file => fs::read(file).map(|bytes| text = bytes),
    };
    read.map_err(|error| (format!("{file} cannot be read: {error}"), Exit::Io))?;
    // Without line ends: a request is one line.
    let definitions: Value = serde_json::from_slice(&text)
        .map_err(|error| (format!("{file} is not JSON: {error}"), Exit::Data))?;
    Ok(ControlRequest::ImportDefinitions { definitions: Secret::new(definitions.to_string()) })
}

/// Shows or keeps what the broker answered an export; gives back what else it answered.
pub(super) fn keep(
    command: &Command,
    arguments: &[String],
    response: ControlResponse,
) -> Result<Exit, ControlResponse> {
    match response {
        ControlResponse::Text { text } if command.name == "export_definitions" => {
            let file = file(arguments);
            // For people: a line for each field.
            let text = match serde_json::from_str::<Value>(&text) {
                Ok(definitions) => format!("{definitions:#}"),
                Err(_) => text,
            };
            if file == STANDARD {
                super::say_line(&text);
                return Ok(Exit::Success);
            }
            Ok(match fs::write(file, text) {
                Ok(()) => Exit::Success,
                Err(error) => super::fail(&format!("{file} cannot be written: {error}"), Exit::Io),
            })
        }
        response => Err(response),
    }
}
