//! `ledgermq man [DIR]`: the manual pages, `ledgermq(1)` and one for each command, made of the grammar they are run by.

use super::{ctl, exit::Exit, full_grammar, grammar, write_out};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;
use std::path::{Path, PathBuf};

/// Codes that programs end with, as `Exit` has them.
const EXIT_STATUS: [(&str, &str); 8] = [
    ("0", "Done; for serve: stopped by a signal."),
    (
        "1, 2",
        "Of doctor: something should be better; the broker would not start or keep its promise. 1 of move_messages: interrupted.",
    ),
    ("64", "Bad arguments or configuration."),
    ("65", "A corrupt store, or data that is not right."),
    ("67", "No such user."),
    ("69", "The broker does not answer, or cannot do it now."),
    ("70", "Refused."),
    ("74", "Reading or writing failed."),
];

/// Arguments of `man`.
pub(super) fn man_grammar() -> Command {
    Command::new("man")
        .about("Prints the manual page, or writes all pages to a directory")
        .after_help("To read it: ledgermq man | man -l -")
        .arg(
            Arg::new("dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Where the pages go: ledgermq.1, ledgermq-serve.1, ledgermq-ctl.1 and more"),
        )
}

/// Runs `man`.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    let written = match matches.get_one::<PathBuf>("dir") {
        None => return page(&[]).map_or(Exit::Software, |page| write_out(&page)),
        Some(dir) => write_all(dir),
    };
    match written {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("ledgermq man: {error}");
            Exit::Io
        }
    }
}

fn write_all(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for path in pages() {
        let name =
            ["ledgermq"].into_iter().chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
        std::fs::write(dir.join(format!("{name}.1")), page(&path)?)?;
    }
    Ok(())
}

/// The commands that have a page, each as the words that lead to it.
fn pages() -> Vec<Vec<String>> {
    let mut pages = vec![Vec::new()];
    for command in grammar().get_subcommands() {
        let name = command.get_name().to_owned();
        let below = command.get_subcommands().map(|below| vec![name.clone(), below.get_name().to_owned()]);
        pages.push(vec![name.clone()]);
        pages.extend(below);
    }
    pages
}

/// The page of the command these words lead to.
fn page(path: &[String]) -> io::Result<Vec<u8>> {
    let is_ctl = path == ["ctl"];
    let mut command = if is_ctl { full_grammar() } else { grammar() };
    let mut name = "ledgermq".to_owned();
    for word in path {
        // Only paths of the grammar are asked for.
        command = command.find_subcommand(word).cloned().ok_or(io::ErrorKind::NotFound)?;
        name = format!("{name} {word}");
    }
    let title = name.replace(' ', "-");
    let mut command = command.bin_name(name).display_name(title.clone()).version(env!("CARGO_PKG_VERSION"));
    command.build();
    let man = Man::new(command.clone())
        .title(title.to_uppercase())
        .section("1")
        .source(concat!("ledgermq ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut page)?;
    }
    if is_ctl {
        verbs().to_writer(&mut page)?;
    } else if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        notes(&text.to_string()).to_writer(&mut page)?;
    }
    if path.is_empty() {
        surroundings().to_writer(&mut page)?;
    }
    Ok(page)
}

fn verbs() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for (name, usage, help) in ctl::verbs() {
        roff.control("TP", []);
        roff.text([bold(name), roman(format!(" {usage}"))]);
        roff.text([roman(help)]);
    }
    roff
}

/// Text whose lines stay lines.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    for line in text.lines() {
        roff.text([roman(line)]);
        roff.control("br", []);
    }
    roff
}

fn surroundings() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([
        bold("LEDGERMQ_DATA_DIR"),
        roman(" and a variable for each key of the configuration, as ledgermq-serve(1) lists them, say what no flag says."),
    ]);
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        roff.control("TP", []);
        roff.text([bold(code)]);
        roff.text([roman(meaning)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &[&str]) -> String {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        String::from_utf8(page(&path).unwrap()).unwrap()
    }

    #[test]
    fn pages_are_made_of_the_grammar() {
        let main = text(&[]);
        assert!(main.contains(".TH LEDGERMQ 1"), "{main}");
        assert!(main.contains("ledgermq\\-serve(1)") && main.contains(".SH \"EXIT STATUS\""), "{main}");
        assert!(text(&["serve"]).contains("\\-\\-segment\\-bytes"));
        let ctl = text(&["ctl"]);
        for (verb, _, _) in ctl::verbs() {
            assert!(ctl.contains(verb), "{verb}");
        }
        assert!(ctl.contains("\\-\\-formatter"), "{ctl}");
    }

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path()).unwrap();
        for name in
            ["ledgermq", "ledgermq-ctl", "ledgermq-bench-throughput", "ledgermq-wal-verify", "ledgermq-man"]
        {
            assert!(dir.path().join(format!("{name}.1")).exists(), "{name}");
        }
    }
}
