//! The same conversations with RabbitMQ and with ours, answer by answer. Ours runs in memory, so that every step is run
//! to its end; RabbitMQ is a real one (3.10 as Debian has it), reached over TCP.
//!
//! `scripts/differential [--seed N] [--count N] [--broker HOST:PORT] [--vhost V] [--only WORD] [--replay FILE]`
//!
//! First the conversations that were written down: `tests/differential/conversations`, one idea each, and the stories of
//! `tests/conformance` that need nothing of which only ours is capable. Then `--count` conversations by chance. Without
//! `--broker` it starts a RabbitMQ of its own if one is installed. With `--broker`, the broker needs the users of
//! users.rs in `--vhost`: `--definitions` prints what to import. Differences that were agreed on are in accepted.rs; for
//! any other it prints the shortest conversation that shows it, and fails.

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
mod compare;
mod conversation;
mod generate;
mod ours;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "this program needs less of it than others")]
mod process;
mod reference;
#[path = "../support/mod.rs"]
mod support;
mod users;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use compare::{Difference, Verdict, compare, transcript};
use conversation::{Conversation, Heard};
use ours::Ours;
use reference::{Pace, Reference};

/// Where Debian installs RabbitMQ.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

struct Options {
    seed: u64,
    count: u64,
    broker: Option<String>,
    vhost: String,
    only: Option<String>,
    replay: Option<String>,
    /// How many differences to show before giving up.
    failures: usize,
}

fn main() -> ExitCode {
    let options = options();
    // Started broker and its directory are kept until the end.
    let mut own = None;
    let address = match &options.broker {
        Some(address) => address.clone(),
        None => match start_rabbitmq(&options.vhost) {
            Some(started) => {
                let address = format!("127.0.0.1:{}", started.0.port());
                own = Some(started);
                address
            }
            None => {
                println!("differential: no RabbitMQ at {RABBITMQ} and no --broker: nothing to compare with");
                return ExitCode::SUCCESS;
            }
        },
    };
    let mut run = Run::new(Reference { address, vhost: options.vhost.clone() }, options.failures);
    println!(
        "differential: seed {}, {} by chance, against {}",
        options.seed, options.count, run.reference.address
    );
    let wanted = |title: &str| options.only.as_ref().is_none_or(|only| title.contains(only.as_str()));
    match &options.replay {
        Some(file) => {
            let text = std::fs::read_to_string(file).expect("the file to replay");
            Conversation::parse_all(file, &text).iter().for_each(|conversation| run.hold(conversation));
        }
        None => {
            written().iter().filter(|conversation| wanted(&conversation.title)).for_each(|c| run.hold(c));
            for number in 0..options.count {
                let seed = options.seed.wrapping_add(number);
                match std::panic::catch_unwind(|| generate::conversation(seed, false)) {
                    Ok(conversation) => run.hold(&conversation),
                    Err(_) => run.panicked(seed),
                }
            }
        }
    }
    drop(own);
    run.report()
}

fn options() -> Options {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
    let mut options = Options {
        seed: u64::try_from(since_1970).unwrap() % 1_000_000_000,
        count: 200,
        broker: None,
        vhost: "/".to_owned(),
        only: None,
        replay: None,
        failures: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{flag} VALUE"));
        match flag.as_str() {
            "--seed" => options.seed = value().parse().expect("--seed N"),
            "--count" => options.count = value().parse().expect("--count N"),
            "--broker" => options.broker = Some(value()),
            "--vhost" => options.vhost = value(),
            "--only" => options.only = Some(value()),
            "--replay" => options.replay = Some(value()),
            "--failures" => options.failures = value().parse().expect("--failures N"),
            "--definitions" => {
                println!("{}", users::definitions(&options.vhost));
                std::process::exit(0);
            }
            other => panic!("what is {other}?"),
        }
    }
    options
}

/// A RabbitMQ of our own, if one is installed, and the directory it lives in.
fn start_rabbitmq(vhost: &str) -> Option<(process::Broker, tempfile::TempDir)> {
    let program = Path::new(RABBITMQ);
    if !program.exists() {
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let definitions = directory.path().join("definitions.json");
    std::fs::write(&definitions, users::definitions(vhost)).expect("definitions");
    let config = format!("load_definitions = {}\n", definitions.display());
    std::fs::write(directory.path().join("rabbitmq.conf"), config).expect("a configuration");
    let program = process::Program::at(program);
    let broker = process::Broker::start(&program, directory.path(), process::free_port());
    Some((broker.expect("RabbitMQ starts"), directory))
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

/// All that was compared.
struct Run {
    reference: Reference,
    failures_max: usize,
    failures: usize,
    conversations: usize,
    steps: usize,
    lines: usize,
    second_looks: usize,
    accepted: BTreeMap<&'static str, usize>,
    /// Differences that were shown, without their numbers and names, and how often each was met.
    shown: BTreeMap<String, usize>,
    began: Instant,
}

impl Run {
    fn new(reference: Reference, failures_max: usize) -> Self {
        Self {
            reference,
            failures_max,
            failures: 0,
            conversations: 0,
            steps: 0,
            lines: 0,
            second_looks: 0,
            accepted: BTreeMap::new(),
            shown: BTreeMap::new(),
            began: Instant::now(),
        }
    }

    /// Holds a conversation with both and compares; a difference is looked at again with care.
    fn hold(&mut self, conversation: &Conversation) {
        if self.failures >= self.failures_max {
            return;
        }
        let ours = Ours::hold(conversation);
        self.conversations += 1;
        self.steps += conversation.steps.len();
        self.lines += ours.lines.values().map(Vec::len).sum::<usize>();
        let (mut verdict, mut theirs) = self.look(conversation, &ours, Pace::Fast);
        if let Verdict::Different(_) = verdict {
            self.second_looks += 1;
            (verdict, theirs) = self.look(conversation, &ours, Pace::Careful);
        }
        match verdict {
            Verdict::Same => {}
            Verdict::Accepted(rule) => *self.accepted.entry(rule.reason).or_default() += 1,
            Verdict::Different(difference) => {
                let count = self.shown.entry(difference.kind()).or_default();
                *count += 1;
                if *count == 1 {
                    self.failures += 1;
                    self.show(conversation, &ours, &theirs, &difference);
                }
            }
        }
    }

    /// Ours did not live through a conversation.
    fn panicked(&mut self, seed: u64) {
        println!("\nours panicked at --seed {seed} --count 1:");
        let _the_same_again = std::panic::catch_unwind(|| generate::conversation(seed, true));
        self.failures += 1;
    }

    fn look(&self, conversation: &Conversation, ours: &Heard, pace: Pace) -> (Verdict, Heard) {
        let confirms = ours.confirms.values().map(BTreeMap::len).sum();
        let theirs = self.reference.hold(conversation, confirms, pace);
        (compare(conversation, ours, &theirs), theirs)
    }

    /// Shows a difference in the shortest conversation that is found to have it.
    fn show(&self, conversation: &Conversation, ours: &Heard, theirs: &Heard, difference: &Difference) {
        println!("\n{}", transcript(conversation, difference.step, ours, theirs));
        println!("{difference}");
        let mut shortest = conversation.clone();
        shortest.steps.truncate(difference.step + 1);
        for width in [8, 4, 2, 1] {
            let mut from = shortest.steps.len();
            while from > 0 {
                from = from.saturating_sub(width);
                let mut shorter = shortest.clone();
                shorter.steps.drain(from..(from + width).min(shortest.steps.len()));
                if self.differs_alike(&shorter, difference) {
                    shortest = shorter;
                }
            }
        }
        println!("In short, for --replay:\n{shortest}");
    }

    /// Whether this conversation, a part of another, shows the same difference.
    fn differs_alike(&self, part: &Conversation, difference: &Difference) -> bool {
        // A part may make no sense, such as a client that says something before it connects.
        let Ok(ours) = std::panic::catch_unwind(|| Ours::hold(part)) else { return false };
        let (verdict, _) = self.look(part, &ours, Pace::Fast);
        matches!(verdict, Verdict::Different(found) if found.kind() == difference.kind())
    }

    fn report(&self) -> ExitCode {
        let Self { conversations, steps, lines, second_looks, failures, .. } = self;
        println!(
            "differential: {conversations} conversations, {steps} steps, {lines} answers of ours, \
             {second_looks} looked at twice, {failures} different, {} s",
            self.began.elapsed().as_secs()
        );
        for (kind, count) in &self.shown {
            println!("  different, {count} times: {kind}");
        }
        for (reason, count) in &self.accepted {
            println!("  agreed on, {count} times: {reason}");
        }
        if *failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
