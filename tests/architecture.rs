//! The map as a test: which part of the broker may know which (floors), and what must stay out of where (absences).
//! Reads the sources as text. Comments and the test modules at the end of files may name what they like.
//! ARCHITECTURE.md states these rules in prose; change both in one commit.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be read ends it")]

use std::fs;
use std::path::{Path, PathBuf};

/// Where each module stands. The longest matching path counts; a file may import from its own floor and below.
const FLOORS: &[(&str, u8)] = &[
    ("limits", 0),
    ("clock", 0),
    ("budget", 0),
    ("fair_budget", 0),
    ("erlang_term", 0),
    ("diagnostics", 0),
    ("protocol", 1),
    ("message", 2),
    ("auth", 2),
    ("definitions", 2),
    ("config", 5),
    ("exchange", 3),
    ("queue", 3),
    ("vhost", 4),
    ("channel", 5),
    ("connection", 5),
    // What the command line and the broker say to each other: plain data between the two.
    ("cli::checks", 5),
    ("cli::control", 5),
    ("cli::feature_flags", 5),
    ("cli::figures", 5),
    ("cli::rows", 5),
    ("server", 6),
    ("management", 7),
    ("cli", 8),
    ("lib", 9),
    ("main", 9),
];

/// Who must not see whom although the floors would allow it, and what of it is allowed all the same.
const BLIND: &[(&str, &str, &[&str])] = &[
    ("exchange", "queue", &[]),
    ("queue", "exchange", &[]),
    ("channel", "connection", &[]),
    ("channel", "vhost", &["vhost::command"]),
    ("connection", "vhost", &["vhost::command"]),
];

/// A text that only the files under these paths (of the repository) may hold.
const ABSENCES: &[(&str, &[&str])] = &[
    ("tokio::", &["src/server/", "src/management/", "src/cli/", "src/main.rs"]),
    ("axum::", &["src/management/"]),
    (
        "rustls::",
        &[
            "src/server/tls.rs",
            "src/server/tls_client.rs",
            "src/server/tls_socket.rs",
            "src/cli/client/socket.rs",
        ],
    ),
    ("rustls_native_certs::", &["src/server/tls_client.rs"]),
    ("http_body_util::", &["src/server/fetch.rs"]),
    ("x509_parser::", &["src/server/certificate.rs"]),
    ("ppp::", &["src/server/proxy_header.rs"]),
    ("argon2::", &["src/auth/password.rs"]),
    ("jsonwebtoken::", &["src/auth/token_keys.rs"]),
    ("use ring::", &["src/auth/token_keys.rs"]),
    ("opentelemetry", &["src/server/telemetry/"]),
    ("prost::", &["src/server/telemetry/"]),
    ("hyper::", &["src/management/http.rs", "src/management/parts.rs", "src/server/fetch.rs"]),
    ("socket2::", &["src/server/"]),
    (
        "rustix::",
        &["src/server/data_dir.rs", "src/cli/bench/", "src/cli/client/", "src/cli/mover/", "storage/src/"],
    ),
    ("hdrhistogram::", &["src/cli/bench/"]),
    ("ratatui::", &["src/cli/top/"]),
    ("indicatif::", &["src/cli/mover/progress.rs"]),
    ("sled::", &["storage/src/index/sled_rows.rs"]),
    ("bincode::", &["storage/src/encoding.rs"]),
    ("amq_protocol::", &["src/protocol/"]),
    (
        "std::fs",
        &["storage/src/disk.rs", "storage/src/dir_lock.rs", "src/config.rs", "src/cli/", "src/server/"],
    ),
    // A tokio timer is set in tokio's own time; a sync is timed where the disk does it.
    ("Instant::now", &["src/clock.rs", "src/server/connection_task.rs", "storage/src/sync_times.rs"]),
    ("SystemTime::now", &["src/clock.rs"]),
    ("getrandom::", &["src/auth/", "src/server/", "src/cli/", "storage/src/options.rs"]),
    ("unsafe {", &[]),
    ("todo!(", &[]),
    ("unimplemented!(", &[]),
    ("#[allow(", &[]),
];

/// Floors 1 to 5 own their state: no locks in them.
const LOCKLESS: &[&str] = &[
    "src/protocol/",
    "src/auth/",
    "src/exchange/",
    "src/queue/",
    "src/vhost/",
    "src/channel/",
    "src/connection/",
];

struct Source {
    /// Path within the repository, with forward slashes.
    path: String,
    /// Its code without comments and without the tests at its end.
    lines: Vec<(usize, String)>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect(&root.join("storage/src"), &mut files);
    assert!(files.len() > 20, "the sources are where the test looks for them");
    files.iter().map(|file| source(root, file)).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn source(root: &Path, file: &Path) -> Source {
    let path = file.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    let is_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
    let text = if is_tests { String::new() } else { fs::read_to_string(file).unwrap() };
    let lines = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(at, line)| (at + 1, line.split("//").next().unwrap_or("").to_owned()))
        .collect();
    Source { path, lines }
}

/// `src/vhost/command.rs` is the module `vhost::command`.
fn module_of(path: &str) -> Option<String> {
    let module = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    Some(module.strip_suffix("/mod").unwrap_or(module).replace('/', "::"))
}

fn within(module: &str, of: &str) -> bool {
    module.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().filter(|(of, _)| within(module, of)).max_by_key(|(of, _)| of.len()).map(|(_, floor)| *floor)
}

/// Modules a file names by `crate::…`, with their line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in &source.lines {
        for start in line.match_indices("crate::").map(|(start, _)| start + "crate::".len()) {
            let rest = &line[start..];
            if let Some(group) = rest.strip_prefix('{') {
                found.extend(group.split(',').map(|name| (*at, leading_path(name.trim()))));
            } else {
                found.push((*at, leading_path(rest)));
            }
        }
    }
    found.retain(|(_, module)| floor_of(module).is_some());
    found
}

fn leading_path(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    text[..end].trim_end_matches(':').to_owned()
}

#[test]
fn every_module_has_a_floor_and_imports_from_no_higher_one() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(module) = module_of(&source.path) else { continue };
        let Some(floor) = floor_of(&module) else {
            faults.push(format!("{}: give the module a floor", source.path));
            continue;
        };
        for (at, import) in imports(&source) {
            if floor_of(&import).is_some_and(|below| below > floor) {
                faults.push(format!("{}:{at}: floor {floor} names {import} above it", source.path));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn neighbours_that_are_blind_to_each_other_stay_so() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(module) = module_of(&source.path) else { continue };
        for (from, to, except) in BLIND {
            if !within(&module, from) {
                continue;
            }
            for (at, import) in imports(&source) {
                if within(&import, to) && !except.iter().any(|path| within(&import, path)) {
                    faults.push(format!("{}:{at}: {from} must not see {import}", source.path));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_belongs_in_one_place_is_in_no_other() {
    let mut faults = Vec::new();
    for source in sources() {
        let mut check = |text: &str, allowed: bool| {
            for (at, line) in &source.lines {
                if !allowed && line.contains(text) {
                    faults.push(format!("{}:{at}: {text} does not belong here", source.path));
                }
            }
        };
        for (text, places) in ABSENCES {
            check(text, places.iter().any(|place| source.path.starts_with(place)));
        }
        let may_lock = !LOCKLESS.iter().any(|place| source.path.starts_with(place));
        for text in ["Mutex", "RwLock", "RefCell"] {
            check(text, may_lock);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect(&root.join("storage/src"), &mut files);
    collect(&root.join("tests"), &mut files);
    let silent: Vec<_> =
        files.iter().filter(|file| !fs::read_to_string(file).unwrap().starts_with("//! ")).collect();
    assert!(silent.is_empty(), "files without a `//!` at their top: {silent:?}");
}
