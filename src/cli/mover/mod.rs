//! `ledgermq ctl move_messages`: takes what waits in another AMQP 0-9-1 broker's queues, such as a RabbitMQ's, into the queues of the
//! same names here; or back. Which queues there are is asked of the broker here, since AMQP does not tell. Begin with `drain.rs`
//! (one queue) and `pass.rs` (how its messages go).

mod confirmed;
mod drain;
mod error;
mod interrupt;
mod pass;
mod places;
mod progress;
mod relay;

use super::client::connection::{ANSWERS_BUFFER_BYTES, Connection, DELIVERIES_BUFFER_BYTES, wait_for};
use super::client::error::ClientError;
use super::client::signal::Signal;
use super::client::target::Target;
use super::control::Row;
use super::exit::Exit;
use crate::clock::Clock;
use drain::{Ends, Outcome, Terms, drain};
use error::{End, MoveError};
pub(super) use places::Here;
use places::{Place, Places};
use progress::Progress;
use rustix::event::{PollFd, PollFlags};
use serde_json::json;
use std::path::PathBuf;

/// Messages under way at a time, unless told otherwise: these may come twice when something dies.
const PREFETCH: u16 = 500;
/// Pause between two looks at all queues when nothing came, ns.
const FOLLOW_NS: u64 = 1_000_000_000;
/// Columns of the result.
pub(super) const COLUMNS: &[&str] = &["vhost", "name", "moved", "redelivered", "remaining", "trouble"];

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Queues by name; none: all that are here.
    pub(super) queues: Vec<String>,
    /// Those of every vhost here, from and to the vhost of the same name.
    pub(super) all_vhosts: bool,
    /// The broker that messages go to; none: the one whose control socket is used.
    pub(super) target: Option<String>,
    /// The largest number of messages under way.
    pub(super) prefetch: u16,
    /// Who may sign the certificate of an `amqps://` broker, if not those that the system trusts.
    pub(super) authorities: Option<PathBuf>,
    /// Goes on until it is interrupted.
    pub(super) follow: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            all_vhosts: false,
            target: None,
            prefetch: PREFETCH,
            authorities: None,
            follow: false,
        }
    }
}

/// Moves. Returns the rows of the result and the exit code.
///
/// # Errors
/// The sentence for the operator and the exit code, when it ended before all queues were looked at; the rows until then go with it.
pub(super) fn run(
    source: &str,
    vhost: &str,
    options: &Options,
    here: &Here<'_>,
    quiet: bool,
) -> (Vec<Row>, Result<Exit, (String, Exit)>) {
    let mut done = Vec::new();
    let ended = move_all(source, vhost, options, here, quiet, &mut done);
    let rows = done.iter().filter(|queue| queue.is_told()).map(Done::row).collect();
    (rows, ended.map_err(|error| (error.to_string(), error.exit())))
}

/// A queue and what became of it.
struct Done {
    place: Place,
    outcome: Outcome,
}

impl Done {
    /// Queues that had nothing are not worth a line.
    fn is_told(&self) -> bool {
        self.outcome.moved > 0 || self.outcome.remaining > 0 || self.outcome.trouble.is_some()
    }

    fn row(&self) -> Row {
        let Outcome { moved, redelivered, remaining, trouble, .. } = &self.outcome;
        super::rows::named([
            ("vhost", json!(self.place.vhost)),
            ("name", json!(self.place.queue)),
            ("moved", json!(moved)),
            ("redelivered", json!(redelivered)),
            ("remaining", json!(remaining)),
            ("trouble", json!(trouble.as_deref().unwrap_or_default())),
        ])
    }
}

fn move_all(
    source: &str,
    vhost: &str,
    options: &Options,
    here: &Here<'_>,
    quiet: bool,
    done: &mut Vec<Done>,
) -> Result<Exit, MoveError> {
    let places = Places::new(source, vhost, options, here)?;
    let interrupt = interrupt::watch().map_err(|error| {
        MoveError::Other(format!("signals cannot be waited for: {error}"), Exit::Software)
    })?;
    let clock = Clock::start();
    let terms = Terms { prefetch: options.prefetch, interrupt: &interrupt, clock };
    let mut progress = Progress::new(quiet);
    loop {
        let before: u64 = done.iter().map(|queue| queue.outcome.moved).sum();
        for vhost in places.vhosts(here)? {
            let queues = places.queues_of(&vhost, here)?;
            move_vhost(&places, &vhost, queues, &terms, &mut progress, done)?;
        }
        if interrupt.is_raised() {
            // Following ends in no other way.
            return Ok(if options.follow { Exit::Success } else { Exit::Doubtful });
        }
        if !options.follow {
            break;
        }
        if done.iter().map(|queue| queue.outcome.moved).sum::<u64>() == before {
            pause(&interrupt)?;
        }
    }
    let all_well = done.iter().all(|queue| queue.outcome.trouble.is_none());
    Ok(if all_well { Exit::Success } else { Exit::Data })
}

fn pause(interrupt: &Signal) -> Result<(), MoveError> {
    let signal = interrupt.descriptor();
    wait_for(&mut [PollFd::new(&signal, PollFlags::IN)], Some(FOLLOW_NS))
        .map_err(|error| MoveError::Other(error.to_string(), Exit::Io))
}

/// Moves these queues, on two connections that end with it.
fn move_vhost(
    places: &Places,
    vhost: &str,
    queues: Vec<(Place, Option<&'static str>)>,
    terms: &Terms<'_>,
    progress: &mut Progress,
    done: &mut Vec<Done>,
) -> Result<(), MoveError> {
    if queues.is_empty() {
        return Ok(());
    }
    let (source, target) = places.ends(vhost);
    let mut ends = Ends {
        source: connect(&source, End::Source, terms.clock, DELIVERIES_BUFFER_BYTES)?,
        target: connect(&target, End::Target, terms.clock, ANSWERS_BUFFER_BYTES)?,
    };
    for (place, reason) in queues {
        if terms.interrupt.is_raised() {
            break;
        }
        let outcome = match reason {
            Some(reason) => Ok(Outcome { trouble: Some(reason.to_owned()), ..Outcome::default() }),
            None => drain(&mut ends, &place.queue, terms, progress),
        };
        let mut outcome = outcome?;
        if places.all_queues && outcome.is_missing {
            // One that is only here has nothing to be moved.
            outcome = Outcome::default();
        }
        if outcome.moved > 0 || outcome.trouble.is_some() {
            progress.end(&place.queue, outcome.moved, outcome.trouble.as_deref());
        }
        record(done, place, outcome);
    }
    // They close in good order; one that has just gone has nothing left to lose.
    let _ = (ends.source.close(), ends.target.close());
    Ok(())
}

fn connect(target: &Target, end: End, clock: Clock, buffer_bytes: usize) -> Result<Connection, MoveError> {
    Connection::open(target, clock, buffer_bytes).map_err(|error| match error {
        ClientError::Usage(text) => MoveError::Other(format!("{end}: {text}"), Exit::Usage),
        error => MoveError::Connection(end, error),
    })
}

/// A queue that is looked at again adds to its figures.
fn record(done: &mut Vec<Done>, place: Place, outcome: Outcome) {
    match done.iter_mut().find(|queue| queue.place == place) {
        Some(queue) => {
            queue.outcome = Outcome {
                moved: queue.outcome.moved + outcome.moved,
                redelivered: queue.outcome.redelivered + outcome.redelivered,
                ..outcome
            };
        }
        None => done.push(Done { place, outcome }),
    }
}
