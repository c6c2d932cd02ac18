//! docs/security.md as a test: every test it names is there, and every row of attacks has an answer and a test.

use std::fs;
use std::path::Path;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md")).unwrap()
}

/// The texts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_tests_that_the_page_names_are_there() {
    let page = page();
    let mut named = 0;
    for text in quoted(&page).filter(|text| text.starts_with("tests/") || text.contains("src/")) {
        let (path, function) = text.split_once("::").map_or((text, None), |(path, name)| (path, Some(name)));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        assert!(file.exists(), "{text}: no such file");
        let Some(function) = function else { continue };
        let source = fs::read_to_string(&file).unwrap();
        let is_there =
            ["fn ", "def "].iter().any(|keyword| source.contains(&format!("{keyword}{function}(")));
        assert!(is_there, "{text}: no such test");
        named += 1;
    }
    assert!(named > 80, "only {named} tests are named");
}

/// The rows of the tables that begin with the number of an attack: number, attack, answer, tests.
#[test]
fn every_attack_has_an_answer_and_a_test() {
    let page = page();
    let mut numbers = Vec::new();
    let (attacks, _figures) = page.split_once("\n## Figures\n").unwrap();
    for line in attacks.lines().filter(|line| line.starts_with("| S")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, attack, answer, tests] = cells[..] else { panic!("four cells: {line}") };
        assert!(!attack.is_empty() && !answer.is_empty(), "{line}");
        assert!(quoted(tests).any(|text| text.contains("::")), "no test: {line}");
        numbers.push(number[1..].parse::<u32>().unwrap());
    }
    let expected: Vec<u32> = (1..=43).collect();
    assert_eq!(numbers, expected);
}
