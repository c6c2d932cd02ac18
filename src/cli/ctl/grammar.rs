//! The commands and options of `ctl` as a clap grammar. Arguments are not read by it (rabbitmqctl's grammar is not clap's): completions
//! of shells and the manual page are made of it, so that they know every command there is.

use super::commands::{Command, Shape};
use super::options::OPTIONS;
use clap::{Arg, ArgAction};

/// `ctl` with all its commands, and the options with each of them.
pub(in crate::cli) fn grammar(name: &'static str) -> clap::Command {
    let commands = Command::all().map(|command| {
        clap::Command::new(command.name).about(command.help).args(arguments(command)).args(options())
    });
    clap::Command::new(name)
        .about("Administers a running broker, with rabbitmqctl's commands")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(options())
        .subcommands(commands)
}

/// Name, arguments and help of every command.
pub(in crate::cli) fn verbs() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    Command::all().map(|command| (command.name, command.usage, command.help))
}

fn options() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().map(|option| {
        let mut arg = Arg::new(option.long).long(option.long).help(option.help);
        if let Some(short) = option.short {
            arg = arg.short(short);
        }
        match option.value {
            None => arg.action(ArgAction::SetTrue),
            Some(value) if option.choices.is_empty() => arg.value_name(value),
            Some(value) => arg.value_name(value).value_parser(option.choices.to_vec()),
        }
    })
}

fn arguments(command: &Command) -> Option<Arg> {
    let arg = Arg::new("arguments").num_args(0..);
    match command.shape {
        Shape::Columns { all, .. } => Some(arg.value_name("column").value_parser(all.to_vec())),
        Shape::Plain | Shape::Password if command.most > 0 => Some(arg),
        Shape::Plain | Shape::Password | Shape::Listing(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound_and_whole() {
        let grammar = grammar("ctl");
        assert_eq!(grammar.get_subcommands().count(), Command::all().count());
        grammar.debug_assert();
    }
}
