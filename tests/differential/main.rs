//! The same conversations with RabbitMQ and with ours, answer by answer. Ours runs in memory, so that every step is run
//! to its end; RabbitMQ is a real one (3.10 as Debian has it), reached over TCP.
//!
//! `scripts/differential [--seed N] [--count N] [--theme NAME] [--only WORD] [--replay FILE] [--failures N] [--workers N]`
//! `    [--broker HOST:PORT [--management HOST:PORT] [--vhost V]]`
//!
//! First the conversations that were written down: `tests/differential/conversations`, one idea each, and the stories of
//! `tests/conformance` that need nothing of which only ours is capable. Then `--count` conversations by chance, that of
//! number N of `--seed` S having the seed S+N, so that a run may go on where another stopped. They are held by `--workers`
//! at the same time, each in a vhost of its own.
//!
//! Without `--broker` it starts a RabbitMQ of its own if one is installed. With `--broker`, the broker needs the users of
//! users.rs in `--vhost`: `--definitions` prints what to import. Without its management plugin there is but one worker, and
//! conversations with policies are left out. Differences that were agreed on are in accepted.rs; for any other it prints
//! the shortest conversation that shows it, and fails.

#![allow(
    clippy::format_push_string,
    clippy::maybe_infinite_iter,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::default_trait_access,
    reason = "plain text is made and few of these lines run often"
)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod accepted;
mod admin;
mod compare;
mod conversation;
mod generate;
mod management;
mod ours;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "this program needs less of it than others")]
mod process;
mod reference;
mod run;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod users;

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use conversation::Conversation;
use generate::Theme;
use management::Management;
use run::{Job, Run};

/// Where Debian installs RabbitMQ.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

struct Options {
    seed: u64,
    count: u64,
    theme: Option<Theme>,
    broker: Option<String>,
    management: Option<String>,
    vhost: String,
    only: Option<String>,
    replay: Option<String>,
    /// How many differences to show before giving up.
    failures: usize,
    workers: usize,
}

fn main() -> ExitCode {
    let page = include_str!("../../docs/differential.md");
    for reason in accepted::reasons() {
        assert!(page.contains(&format!("- {reason}\n")), "docs/differential.md does not say: {reason}");
    }
    let mut options = options();
    // Started broker and its directory are kept until the end.
    let mut own = None;
    if options.broker.is_none() {
        let Some(started) = start_rabbitmq(&options.vhost) else {
            println!("differential: no RabbitMQ at {RABBITMQ} and no --broker: nothing to compare with");
            return ExitCode::SUCCESS;
        };
        options.broker = Some(format!("127.0.0.1:{}", started.broker.port()));
        options.management = Some(started.management.clone());
        own = Some(started);
    }
    let run = Run {
        address: options.broker.clone().unwrap_or_default(),
        vhost: options.vhost.clone(),
        management: options.management.clone().map(|address| Management { address }),
        failures_max: options.failures,
        theme: options.theme,
    };
    println!("differential: seed {}, {} by chance, against {}", options.seed, options.count, run.address);
    let tally = run.hold_all(&jobs(&options), options.workers);
    drop(own);
    if tally.report() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is to be held.
fn jobs(options: &Options) -> Vec<Job> {
    if let Some(file) = &options.replay {
        let text = std::fs::read_to_string(file).expect("the file to replay");
        return Conversation::parse_all(file, &text).into_iter().map(Job::Written).collect();
    }
    let wanted = |conversation: &Conversation| {
        options.only.as_ref().is_none_or(|only| conversation.title.contains(only.as_str()))
    };
    let by_chance = (0..options.count).map(|number| Job::ByChance(options.seed.wrapping_add(number)));
    written().into_iter().filter(wanted).map(Job::Written).chain(by_chance).collect()
}

fn options() -> Options {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
    let mut options = Options {
        seed: u64::try_from(since_1970).unwrap() % 1_000_000_000,
        count: 200,
        theme: None,
        broker: None,
        management: None,
        vhost: "/".to_owned(),
        only: None,
        replay: None,
        failures: 1,
        workers: 8,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{flag} VALUE"));
        match flag.as_str() {
            "--seed" => options.seed = value().parse().expect("--seed N"),
            "--count" => options.count = value().parse().expect("--count N"),
            "--theme" => {
                let name = value();
                options.theme = Some(Theme::named(&name).unwrap_or_else(|| panic!("no theme {name}")));
            }
            "--broker" => options.broker = Some(value()),
            "--management" => options.management = Some(value()),
            "--vhost" => options.vhost = value(),
            "--only" => options.only = Some(value()),
            "--replay" => options.replay = Some(value()),
            "--failures" => options.failures = value().parse().expect("--failures N"),
            "--workers" => options.workers = value().parse().expect("--workers N"),
            "--definitions" => {
                println!("{}", users::definitions(&options.vhost));
                std::process::exit(0);
            }
            other => panic!("what is {other}?"),
        }
    }
    options
}

/// A RabbitMQ of our own and the directory it lives in.
struct Started {
    broker: process::Broker,
    management: String,
    _directory: tempfile::TempDir,
}

/// Starts it, if one is installed.
fn start_rabbitmq(vhost: &str) -> Option<Started> {
    let program = Path::new(RABBITMQ);
    if !program.exists() {
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let definitions = directory.path().join("definitions.json");
    std::fs::write(&definitions, users::definitions(vhost).to_string()).expect("definitions");
    let port = process::free_port();
    let config = format!(
        "load_definitions = {}\nmanagement.tcp.port = {port}\nmanagement.tcp.ip = 127.0.0.1\n\
         management_agent.disable_metrics_collector = true\n",
        definitions.display()
    );
    std::fs::write(directory.path().join("rabbitmq.conf"), config).expect("a configuration");
    std::fs::write(directory.path().join("plugins"), "[rabbitmq_management].\n").expect("a list of plugins");
    let program = process::Program::at(program);
    let broker = process::Broker::start(&program, directory.path(), process::free_port());
    Some(Started {
        broker: broker.expect("RabbitMQ starts"),
        management: format!("127.0.0.1:{port}"),
        _directory: directory,
    })
}

/// The conversations that were written down.
fn written() -> Vec<Conversation> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut all = Vec::new();
    for directory in ["differential/conversations", "conformance"] {
        let entries = std::fs::read_dir(tests.join(directory)).expect("conversations");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).expect("conversations");
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.extend(Conversation::parse_all(&name, &text));
        }
    }
    all
}
