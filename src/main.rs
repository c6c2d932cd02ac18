//! The `ledgermq` binary: hands over to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ledgermq::cli::run(std::env::args_os().collect()).into()
}
