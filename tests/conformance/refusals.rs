//! docs/errors.md as a test: what a story or the code refuses is on the page, and each row of the page is shown by the
//! stories it names. In texts of the page `…` stands for anything; a text of the code is read with `…` for what it fills in.

use super::all_stories;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A row: a refusal, and who shows it.
#[derive(Debug)]
struct Row {
    code: u16,
    ends: String,
    text: String,
    shown_by: Vec<String>,
}

/// A refusal that a client of a story is told.
#[derive(Debug)]
struct Refusal {
    story: String,
    code: u16,
    ends: &'static str,
    text: String,
}

/// Texts in the code of refusals that no client is told by themselves: what a broken promise says, lines for the log, and
/// pieces of sentences.
const FOR_NOBODY: [&str; 23] = [
    "a name of {} bytes is longer than a short string",
    "a field name is a short string",
    "all octets = ",
    "first 16 octets = ",
    "handled before",
    "only methods of the exchange class come here",
    "only methods of the queue class come here",
    "a run was pushed if there was none",
    "a settle was pushed if there was none",
    "an offset is a seq",
    "a vector takes all that is written to it",
    "the new token is somebody else's",
    "the virtual host is stopping",
    "{} closed with {error}",
    "{} new secret refused: {why}",
    "{} took too long in state {}",
    "{} missed heartbeats",
    "{} sent no frame: {error}",
    "{} opened with {what}",
    "another version of AMQP",
    "no AMQP",
    "no login: {:?}",
    "{} login refused: {why}",
];

/// Folders whose files may refuse something.
const FOLDERS: [&str; 6] =
    ["src/channel", "src/connection", "src/exchange", "src/protocol", "src/queue", "src/vhost"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page() -> String {
    std::fs::read_to_string(repository("docs/errors.md")).expect("the page")
}

/// The cells of the tables whose header begins with these names.
fn table(page: &str, header: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with(header) {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            rows.push(line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

fn rows() -> Vec<Row> {
    let ticked = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = table(&page(), "| code | ends | text |").into_iter().map(|cells| {
        let [code, ends, text, why, shown_by] = &cells[..] else { panic!("five cells, not {cells:?}") };
        assert!(!why.is_empty(), "{text}: why?");
        Row {
            code: code.parse().expect("a code"),
            ends: ends.clone(),
            text: text.trim_matches('`').to_owned(),
            shown_by: ticked(shown_by),
        }
    });
    rows.collect()
}

/// Every refusal that clients of stories are told.
fn told() -> Vec<Refusal> {
    let mut told = Vec::new();
    for (_, story, text) in all_stories() {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((_, said)) = line.split_once(" < ") else { continue };
            let ends = match said.split_once(' ') {
                Some(("channel.close", _)) => "channel",
                Some(("connection.close", _)) => "connection",
                _ => continue,
            };
            let (_, rest) = said.split_once("reply-code=").expect("a code");
            let (code, rest) = rest.split_once(" reply-text=\"").expect("a text");
            let (_, text) = unescaped(rest)
                .split_once(" - ")
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .expect("NAME - text");
            told.push(Refusal { story: story.clone(), code: code.parse().expect("a number"), ends, text });
        }
    }
    told
}

/// What stands before the quote that ends a string.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => out.extend(letters.next()),
            other => out.push(other),
        }
    }
    out
}

/// Whether `text` is what `pattern` says, `…` standing for anything; `from_start` and all of it, or a part.
fn fits(pattern: &str, text: &str, is_whole: bool) -> bool {
    let pieces: Vec<_> = pattern.split('…').collect();
    let (first, rest) = pieces.split_first().expect("split gives one piece");
    let Some(at) = text.find(first) else { return false };
    if is_whole && at > 0 {
        return false;
    }
    let mut behind = &text[at + first.len()..];
    for (number, piece) in rest.iter().enumerate() {
        let is_last = number + 1 == rest.len();
        if is_whole && is_last {
            return behind.ends_with(piece);
        }
        let Some(at) = behind.find(piece) else { return false };
        behind = &behind[at + piece.len()..];
    }
    !is_whole || behind.is_empty()
}

#[test]
fn each_refusal_of_a_story_is_on_the_page() {
    let rows = rows();
    for Refusal { story, code, ends, text } in told() {
        let found =
            rows.iter().any(|row| row.code == code && row.ends == ends && fits(&row.text, &text, true));
        assert!(found, "{story}: docs/errors.md has no row for {code} of a {ends}: {text}");
    }
}

#[test]
fn each_row_of_the_page_is_shown() {
    let told = told();
    let mut texts = BTreeSet::new();
    for Row { code, ends, text, shown_by } in rows() {
        assert!(texts.insert((code, ends.clone(), text.clone())), "{code} {text} is there twice");
        assert!(!shown_by.is_empty(), "{code} {text}: shown by whom?");
        for witness in shown_by {
            if witness.contains('/') {
                let source = std::fs::read_to_string(repository(&witness)).expect("the test");
                let longest = text.split('…').max_by_key(|piece| piece.len()).expect("a piece");
                assert!(source.contains(longest.trim()), "{witness} does not say {longest:?}");
                continue;
            }
            let shows = |refusal: &&Refusal| {
                refusal.story == witness
                    && refusal.code == code
                    && refusal.ends == ends
                    && fits(&text, &refusal.text, true)
            };
            assert!(
                told.iter().any(|refusal| shows(&refusal)),
                "story {witness} does not show {code} {text}"
            );
        }
    }
}

#[test]
fn stories_named_on_the_page_exist() {
    let names: BTreeSet<_> = all_stories().map(|(_, name, _)| name).collect();
    for cells in table(&page(), "| what | to whom |") {
        let witnesses: Vec<_> = cells.last().expect("a cell").split('`').skip(1).step_by(2).collect();
        assert!(!witnesses.is_empty(), "{cells:?}");
        for witness in witnesses {
            assert!(names.contains(witness), "no story {witness}");
        }
    }
}

/// The codes as `src/protocol/reply.rs` lists them: number and name, and what they end.
fn codes() -> BTreeSet<(u16, String, String)> {
    let source = std::fs::read_to_string(repository("src/protocol/reply.rs")).expect("a source");
    let mut codes = BTreeSet::new();
    for (name, ends) in [("ChannelCode", "channel"), ("ConnectionCode", "connection")] {
        let (_, body) = source.split_once(&format!("    {name} {{\n")).expect("the codes");
        let (body, _) = body.split_once("\n    }\n").expect("their end");
        for line in body.lines() {
            let Some((_, code)) = line.split_once(" = ") else { continue };
            let (number, name) = code.trim_end_matches(';').split_once(", ").expect("a number and a name");
            codes.insert((
                number.parse().expect("a number"),
                name.trim_matches('"').to_owned(),
                ends.to_owned(),
            ));
        }
    }
    codes
}

#[test]
fn the_page_lists_the_codes_of_the_code() {
    let listed: BTreeMap<_, _> = table(&page(), "| code | name | ends |")
        .into_iter()
        .map(|cells| {
            let number = cells[0].parse::<u16>().expect("a code");
            ((number, cells[1].clone(), cells[2].clone()), cells.get(3).cloned().unwrap_or_default())
        })
        .collect();
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), codes());
    let rows = rows();
    for ((number, name, ends), remark) in listed {
        let is_used = rows.iter().any(|row| row.code == number && row.ends == ends);
        assert_eq!(is_used, !remark.starts_with("never sent"), "{number} {name}: {remark}");
    }
}

/// The sentences of a source, `…` for what they fill in: string literals with a space or a `=`, outside of comments,
/// attributes and tests.
fn sentences(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().expect("split gives one piece");
    let lines = source.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.contains("reason = \"")
    });
    let mut letters = lines.flat_map(|line| line.chars().chain(['\n'])).peekable();
    let mut sentences = Vec::new();
    while let Some(letter) = letters.next() {
        // A quote that is a letter, `'"'`, begins no string.
        if letter == '\'' && letters.peek() == Some(&'"') {
            letters.next();
        }
        if letter != '"' {
            continue;
        }
        let mut sentence = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => break,
                '\\' => match letters.next() {
                    Some('\n') => while letters.next_if(|next| next.is_whitespace()).is_some() {},
                    Some(escaped) => sentence.push(escaped),
                    None => {}
                },
                other => sentence.push(other),
            }
        }
        if sentence.contains([' ', '=']) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// `no {what}` as `no …`.
fn with_gaps(sentence: &str) -> String {
    let mut out = String::new();
    let mut letters = sentence.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.next_if_eq(&letter).is_some() => out.push(letter),
            '{' => {
                letters.by_ref().find(|next| *next == '}');
                out.push('…');
            }
            other => out.push(other),
        }
    }
    out
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn whatever_the_code_says_to_clients_is_on_the_page() {
    let mut files = vec![repository("src/server/admission.rs")];
    FOLDERS.iter().for_each(|folder| sources(&repository(folder), &mut files));
    let rows = rows();
    let mut count = 0;
    let mut missing = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).expect("a source");
        let refuses = ["ChannelError", "ConnectionError", "WireError", "precondition(", "Problem::"];
        if !refuses.iter().any(|word| source.contains(word)) {
            continue;
        }
        for sentence in sentences(&source).into_iter().filter(|sentence| !FOR_NOBODY.contains(&&**sentence)) {
            let pattern = with_gaps(&sentence);
            // What only puts together other words says nothing by itself.
            if pattern.split('…').all(|piece| piece.chars().filter(|c| c.is_alphanumeric()).count() < 2) {
                continue;
            }
            count += 1;
            if !rows.iter().any(|row| fits(&pattern, &row.text, false)) {
                missing.push(format!("{}: {sentence:?}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/errors.md:\n{}", missing.join("\n"));
    assert!(count > 80, "the sources were read: {count}");
}

#[test]
fn patterns_leave_gaps() {
    for (pattern, text, is_whole, expected) in [
        ("no …", "no queue 'q'", true, true),
        ("no … in …", "no queue 'q' in vhost '/'", true, true),
        ("… in use", "queue 'q' in use", true, true),
        ("… in use", "queue 'q' in used", true, false),
        ("in use", "queue 'q' in use", true, false),
        ("in use", "queue 'q' in use", false, true),
        ("tag …", "tag ", true, true),
    ] {
        assert_eq!(fits(pattern, text, is_whole), expected, "{pattern} {text}");
    }
    assert_eq!(with_gaps("{{value_negative,{number}}}"), "{value_negative,…}");
}
