//! The stories as a course: every method that the code knows occurs in one, and README.md beside them leads through all of
//! them, with the sentence each begins with.

use super::all_stories;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What no story can show, and why.
const UNTOLD: [(&str, &str); 1] =
    [("connection.secure", "the mechanisms that are offered say all they have to say in start-ok")];

/// What the broker sends with a message, or about one, is written by hand in `src/protocol/publish_codec.rs`.
const ABOUT_MESSAGES: [&str; 5] =
    ["basic.deliver", "basic.get-ok", "basic.return", "basic.ack", "basic.nack"];

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Methods by the variants of an enum of the code: `ConnectionTuneOk` is `connection.tune-ok`.
fn methods_of(file: &str, name: &str) -> BTreeSet<String> {
    let source = std::fs::read_to_string(repository(file)).expect("a source");
    let (_, body) = source.split_once(&format!("pub enum {name}<'a> {{\n")).expect("the enum");
    let (body, _) = body.split_once("\n}\n").expect("its end");
    let variants = body.lines().filter_map(|line| {
        let variant =
            line.strip_prefix("    ").filter(|rest| rest.starts_with(|c: char| c.is_uppercase()))?;
        variant.split([' ', ',']).next()
    });
    variants.map(method_name).collect()
}

fn method_name(variant: &str) -> String {
    let mut name = String::new();
    let mut words = 0;
    for letter in variant.chars() {
        if letter.is_uppercase() {
            words += 1;
            name.push_str(match words {
                1 => "",
                2 => ".",
                _ => "-",
            });
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The methods behind an arrow of a story: `>` what clients say, `<` what they are told.
fn told(arrow: &str) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for (_, name, story) in all_stories() {
        for line in story.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace().skip_while(|word| *word != ">" && *word != "<");
            if words.next() == Some(arrow)
                && let Some(method) = words.next()
                && method.contains('.')
            {
                told.entry(method.to_owned()).or_insert_with(|| name.clone());
            }
        }
    }
    told
}

#[test]
fn every_method_is_in_a_story() {
    let of_clients = methods_of("src/protocol/client_method.rs", "ClientMethod");
    let mut of_the_broker = methods_of("src/protocol/server_method.rs", "ServerMethod");
    of_the_broker.extend(ABOUT_MESSAGES.map(str::to_owned));
    assert!(of_clients.len() > 30 && of_the_broker.len() > 30, "{of_clients:?} {of_the_broker:?}");
    let untold = |method: &&String| UNTOLD.iter().any(|(name, _)| name == method);
    let (said, heard) = (told(">"), told("<"));
    let missing: Vec<_> = of_clients.iter().filter(|method| !said.contains_key(*method)).collect();
    assert!(missing.is_empty(), "no client says {missing:?} in any story");
    let missing: Vec<_> =
        of_the_broker.iter().filter(|method| !heard.contains_key(*method) && !untold(method)).collect();
    assert!(missing.is_empty(), "nobody is told {missing:?} in any story");
    let unknown: Vec<_> = heard.iter().filter(|(method, _)| !of_the_broker.contains(*method)).collect();
    assert!(unknown.is_empty(), "stories tell what the code does not list: {unknown:?}");
}

/// The sentence a story begins with.
fn opening(story: &str) -> String {
    let lines = story.lines().take_while(|line| line.starts_with('#'));
    let text: Vec<_> = lines.map(|line| line.trim_start_matches('#').trim()).collect();
    let text = text.join(" ");
    text.find(". ").map_or(text.clone(), |end| text[..=end].to_owned())
}

#[test]
fn the_index_leads_through_all_stories() {
    let index = std::fs::read_to_string(repository("tests/conformance/README.md")).expect("the index");
    let mut listed = BTreeMap::new();
    for line in index.lines() {
        let Some((name, rest)) = line.strip_prefix("- [").and_then(|line| line.split_once("](")) else {
            continue;
        };
        let (link, sentence) =
            rest.split_once("): ").unwrap_or_else(|| panic!("- [name](file): sentence, not {line}"));
        assert_eq!(link, format!("{name}.txt"));
        assert!(listed.insert(name.to_owned(), sentence.to_owned()).is_none(), "{name} is listed twice");
    }
    for (_, name, story) in all_stories() {
        let sentence = listed.remove(&name).unwrap_or_else(|| panic!("{name} is not in the index"));
        assert_eq!(sentence, opening(&story), "{name}: the index says what the story says");
    }
    assert!(listed.is_empty(), "no such stories: {:?}", listed.keys());
}
