//! The topic exchange against the definition: patterns bound and taken back in any order, keys routed between.

use super::script::Script;
use ledgermq::exchange::{BoundTo, Chance, ExchangeKind, Label, Routes};
use ledgermq::protocol::properties::Properties;
use ledgermq::protocol::table::Table;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Words of patterns and keys; in a key, stars and hashes are letters.
const WORDS: [&str; 16] =
    ["a", "b", "*", "#", "", "ab", "é", "a*", "c", "##", "**", "x", "*a", "A", "#.", "..*"];

pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut routes: Routes<u8> = Routes::new(ExchangeKind::Topic);
    let mut bound: BTreeSet<(u8, String)> = BTreeSet::new();
    let (arguments, chance) = (Table::default(), Chance::new(1));
    while !script.is_empty() {
        let what = script.byte();
        let destination = what & 0x07;
        if what >> 6 == 3 {
            routes.remove_destination(destination);
            bound.retain(|(known, _)| *known != destination);
            continue;
        }
        let key: Arc<str> = key(&mut script, what >> 3 & 0x07).into();
        match what >> 6 {
            0 => {
                let to = BoundTo { destination, name: "q", queue_type: None };
                let is_new = routes.bind(&key, &arguments, to).expect("any key will do");
                assert_eq!(is_new, bound.insert((destination, key.to_string())));
            }
            1 => {
                let was_there = routes.unbind(&key, &arguments, destination);
                assert_eq!(was_there, bound.remove(&(destination, key.to_string())));
            }
            _ => {
                let label = Label {
                    routing_key: &key,
                    more_keys: &[],
                    properties: Properties::new(&[0, 0]),
                    chance: &chance,
                };
                let mut found = BTreeSet::new();
                routes.route(&label, &mut |destination| {
                    found.insert(destination);
                });
                let expected = bound.iter().filter(|(_, pattern)| matches(pattern, &key));
                let expected: BTreeSet<u8> = expected.map(|(destination, _)| *destination).collect();
                assert_eq!(found, expected, "{key:?} among {bound:?}");
            }
        }
    }
}

fn key(script: &mut Script<'_>, word_count: u8) -> String {
    let words: Vec<&str> = (0..word_count).map(|_| script.pick(&WORDS)).collect();
    words.join(".")
}

fn words(key: &str) -> Vec<&str> {
    if key.is_empty() { Vec::new() } else { key.split('.').collect() }
}

/// The definition: how much of the key each beginning of the pattern can stand for.
fn matches(pattern: &str, key: &str) -> bool {
    let key = words(key);
    let mut reached = vec![false; key.len() + 1];
    reached[0] = true;
    for word in words(pattern) {
        let mut next = vec![false; key.len() + 1];
        match word {
            "#" => {
                let first = reached.iter().position(|reached| *reached).unwrap_or(next.len());
                next[first..].fill(true);
            }
            word => (0..key.len()).for_each(|at| {
                next[at + 1] = reached[at] && (word == "*" || word == key[at]);
            }),
        }
        reached = next;
    }
    reached[key.len()]
}
