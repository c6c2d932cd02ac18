//! `ledgermq completions SHELL [PROGRAM]`: a script with which a shell completes commands, options and column names.

use super::{ctl, exit::Exit, full_grammar, write_out};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

/// The programs that can be completed: this one, and `rabbitmqctl` where a link of that name leads here.
const PROGRAMS: [&str; 2] = ["ledgermq", "rabbitmqctl"];

/// Arguments of `completions`.
pub(super) fn grammar() -> Command {
    Command::new("completions")
        .about("Prints a script that completes commands for a shell")
        .after_help(
            "bash: ledgermq completions bash > ~/.local/share/bash-completion/completions/ledgermq\n\
             zsh:  ledgermq completions zsh > DIR/_ledgermq, with DIR in fpath\n\
             fish: ledgermq completions fish > ~/.config/fish/completions/ledgermq.fish",
        )
        .arg(Arg::new("shell").required(true).value_parser(value_parser!(Shell)).help("The shell"))
        .arg(
            Arg::new("program")
                .default_value("ledgermq")
                .value_parser(PROGRAMS)
                .help("The program that is completed"),
        )
}

/// Runs `completions`.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    let Some(shell) = matches.get_one::<Shell>("shell").copied() else { return Exit::Usage };
    let program = matches.get_one::<String>("program").map_or("ledgermq", String::as_str);
    let mut script = Vec::new();
    if program == "rabbitmqctl" {
        clap_complete::generate(shell, &mut ctl::grammar("rabbitmqctl"), program, &mut script);
    } else {
        clap_complete::generate(shell, &mut full_grammar(), program, &mut script);
    }
    write_out(&script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_of_every_command_of_ctl() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut full_grammar(), "ledgermq", &mut script);
            let script = String::from_utf8(script).unwrap();
            for (verb, _, _) in ctl::verbs() {
                assert!(script.contains(verb), "{shell}: {verb}");
            }
            // The others complete no arguments.
            if matches!(shell, Shell::Bash | Shell::Zsh) {
                assert!(script.contains("messages_unacknowledged"), "{shell}: columns");
            }
        }
    }
}
