//! Reads a password that is not among the arguments, where everybody on the machine could see it.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

/// One line of standard input; `None` if there is none. At a terminal it asks, and does not show what is typed.
pub(super) fn read() -> io::Result<Option<String>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return read_line(stdin.lock());
    }
    eprint!("Password: ");
    io::stderr().flush()?;
    echo("-echo");
    let password = read_line(stdin.lock());
    echo("echo");
    eprintln!();
    password
}

fn read_line(mut input: impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let password = line.trim_end_matches(['\n', '\r']);
    Ok((!password.is_empty()).then(|| password.to_owned()))
}

/// Without `stty` the password is seen, but can still be given.
fn echo(mode: &str) {
    let _ = Command::new("stty").arg(mode).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        for (input, expected) in [
            ("secret\nmore\n", Some("secret")),
            ("secret", Some("secret")),
            ("with space \r\n", Some("with space ")),
            ("\n", None),
            ("", None),
        ] {
            assert_eq!(read_line(input.as_bytes()).unwrap().as_deref(), expected, "{input:?}");
        }
    }
}
