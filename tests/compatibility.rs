//! docs/compatibility.md as a test: its lists of methods, arguments, exchange types, policy keys and capabilities name
//! everything the code knows, each with a verdict, and claim nothing that the code does not know.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: what cannot be read ends it")]

mod support;

use ledgermq::exchange::{EXCHANGE_ARGUMENTS, ExchangeKind};
use ledgermq::protocol::client_method::ClientMethod;
use ledgermq::protocol::sasl;
use ledgermq::protocol::server_properties::CAPABILITIES;
use ledgermq::queue::QUEUE_ARGUMENTS;
use ledgermq::vhost::{CONSUMER_ARGUMENTS, POLICY_KEYS};
use std::collections::{BTreeMap, BTreeSet};
use support::wire;

/// A row of a list: the verdict, and what is said beside it.
type Row = (String, String);

/// The rows under a heading, by name.
fn listed(heading: &str) -> BTreeMap<String, Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) =
        page.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n#").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [names, verdict, rest @ ..] = &cells[..] else { panic!("{heading}: {line}") };
        for name in names.split(", ") {
            let name = name.trim_matches('`').to_owned();
            let row = ((*verdict).to_owned(), rest.join(" "));
            assert!(rows.insert(name.clone(), row).is_none(), "{heading}: {name} is there twice");
        }
    }
    rows
}

#[track_caller]
fn check(heading: &str, known: impl IntoIterator<Item = String>) {
    let known: BTreeSet<_> = known.into_iter().collect();
    let rows = listed(heading);
    for (name, (verdict, remark)) in &rows {
        match verdict.as_str() {
            "supported" => {}
            "differs" | "no effect" | "not" => {
                assert!(!remark.is_empty(), "{heading}: why is {name} \"{verdict}\"?");
            }
            other => panic!("{heading}: {name} is {other:?}"),
        }
        assert!(known.contains(name) || verdict == "not", "{heading}: the code does not know {name}");
    }
    let missing: Vec<_> = known.iter().filter(|name| !rows.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{heading}: the page does not name {missing:?}");
    let denied: Vec<_> = known.iter().filter(|name| rows[*name].0 == "not").collect();
    assert!(denied.is_empty(), "{heading}: the page denies {denied:?}");
}

/// Whether the broker reads this method from a client.
fn is_read(class: u16, method: u16) -> bool {
    let payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
    match ClientMethod::decode(&payload) {
        Ok(_) => true,
        Err(error) => error.explanation != "unimplemented method",
    }
}

#[test]
fn every_method_is_named() {
    let named: BTreeSet<_> = wire::METHODS.iter().map(|(_, class, method, _)| (*class, *method)).collect();
    let read = (0..=100).flat_map(|class| (0..=130).map(move |method| (class, method)));
    let unnamed: Vec<_> = read.filter(|(class, method)| is_read(*class, *method)).collect();
    let unnamed: Vec<_> = unnamed.iter().filter(|method| !named.contains(method)).collect();
    assert!(unnamed.is_empty(), "methods without a name in tests/support/wire.rs: {unnamed:?}");
    check("Methods", wire::client_methods().map(ToOwned::to_owned));
}

#[test]
fn every_argument_of_queues_is_named() {
    check("Arguments of queue.declare", QUEUE_ARGUMENTS.iter().map(|argument| argument.name.to_owned()));
}

#[test]
fn every_argument_of_consumers_is_named() {
    check("Arguments of basic.consume", CONSUMER_ARGUMENTS.map(ToOwned::to_owned));
}

#[test]
fn every_argument_of_exchanges_is_named() {
    check("Arguments of exchange.declare", EXCHANGE_ARGUMENTS.map(ToOwned::to_owned));
}

#[test]
fn every_type_of_exchange_is_named() {
    check("Types of exchanges", ExchangeKind::all().map(|kind| kind.name().to_owned()));
}

#[test]
fn every_key_of_policies_is_named() {
    check("Keys of policies", POLICY_KEYS.iter().map(|key| key.name.to_owned()));
    let rows = listed("Keys of policies");
    for key in &POLICY_KEYS {
        let says = rows[key.name].1.contains("operators");
        assert_eq!(says, key.for_operators, "{} may be set by operators, or may not", key.name);
    }
}

#[test]
fn every_capability_is_named() {
    check("Capabilities", CAPABILITIES.map(ToOwned::to_owned));
}

#[test]
fn every_mechanism_is_named() {
    check("SASL mechanisms", sasl::MECHANISMS.map(ToOwned::to_owned));
}

/// Names that clients of AMQP never see; the others are of the HTTP API.
const OURS: [&str; 4] = ["x-delays-for", "x-body-bytes-max", "x-reason", "x-rule"];

/// The names that stand as strings in the code outside of its tests: `x-…`, `CC`, `BCC`.
fn names_in_code() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/src").into()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir::<std::path::PathBuf>(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            let words = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
            let is_word = |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let found = words.filter(|word| {
                matches!(*word, "CC" | "BCC") || word.len() > 3 && word.starts_with("x-") && is_word(word)
            });
            names.extend(found.map(ToOwned::to_owned));
        }
    }
    names
}

#[test]
fn every_name_of_an_extension_is_listed() {
    let mut listed_names = BTreeSet::new();
    for heading in [
        "Types of exchanges",
        "Arguments of bindings",
        "Headers of messages",
        "Arguments of exchange.declare",
        "Arguments of queue.declare",
        "Arguments of basic.consume",
    ] {
        listed_names.extend(listed(heading).into_keys());
    }
    let names = names_in_code();
    assert!(names.len() > 40, "the sources were read: {names:?}");
    let missing: Vec<_> =
        names.iter().filter(|name| !listed_names.contains(*name) && !OURS.contains(&&***name)).collect();
    assert!(missing.is_empty(), "the page does not name {missing:?}");
}

#[test]
fn every_header_is_known_to_the_code() {
    let mut known = names_in_code();
    known.insert("timestamp_in_ms".to_owned());
    for (name, (verdict, remark)) in listed("Headers of messages") {
        assert!(!remark.is_empty(), "what is {name} for?");
        assert_eq!(known.contains(&name), verdict != "not", "{name} is {verdict:?}");
    }
}
