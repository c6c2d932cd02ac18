//! `ledgermq wal inspect|verify DIR`: looks at a stopped store, changes nothing. `inspect` shows what it holds; `verify`
//! says whether it is whole, and ends with 65 if not.

mod report;

use super::exit::Exit;
use clap::{Arg, ArgMatches, Command};
use ledgermq_storage::inspect::{Inspection, inspect};
use ledgermq_storage::{LOCK_NAME, OpenError, RealDisk};
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Arguments of `wal`.
pub(super) fn grammar() -> Command {
    let directory = || {
        Arg::new("dir")
            .value_name("DIR")
            .required(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help("Data directory of a broker that is not running")
    };
    let format = || {
        Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .value_parser(["human", "json"])
            .default_value("human")
            .help("How the report looks")
    };
    Command::new("wal")
        .about("Looks at a stopped store, read-only")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("inspect")
                .about("Shows segments, frames, records and queues, and the first damage")
                .args([directory(), format()]),
        )
        .subcommand(
            Command::new("verify")
                .about("Reads everything; ends with 65 if anything is damaged")
                .args([directory(), format()]),
        )
}

/// Runs `wal`.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    // clap asks for one of the two, and for the directory.
    let Some((command, matches)) = matches.subcommand() else { return Exit::Usage };
    let Some(dir) = matches.get_one::<PathBuf>("dir") else { return Exit::Usage };
    let json = matches.get_one::<String>("format").is_some_and(|format| format == "json");
    let found = match look(dir) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("ledgermq: {}: {error}", dir.display());
            return exit_of(&error);
        }
    };
    let text = match (command, json) {
        ("verify", true) => report::verdict_json(&found),
        ("verify", false) => report::verdict(&found),
        (_, true) => report::page_json(&found),
        (_, false) => report::page(&found),
    };
    // A reader that has gone away (`… | head`) is no error.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    if found.damage.is_some() && command == "verify" { Exit::Data } else { Exit::Success }
}

fn look(dir: &Path) -> Result<Inspection, OpenError> {
    let opening = |source| OpenError::Io { what: "opening the data directory".to_owned(), source };
    let disk = RealDisk::open_read_only(dir).map_err(opening)?;
    // The lock file is not written to; a directory that never had a broker has none.
    let _lock = match File::open(dir.join(LOCK_NAME)) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { path: dir.display().to_string(), pid: None });
            }
            Err(TryLockError::Error(error)) => return Err(opening(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(opening(error)),
    };
    inspect(&disk)
}

fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Corrupt(_) | OpenError::Version { .. } => Exit::Data,
        OpenError::Locked { .. } => Exit::Unavailable,
        OpenError::Io { .. } | OpenError::Options(_) => Exit::Io,
    }
}
