//! Holds many conversations at the same time, each worker in a vhost of its own, and shows what differs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::compare::{Difference, Verdict, compare, transcript};
use crate::conversation::{Conversation, Heard, Step};
use crate::generate::{self, Theme};
use crate::management::Management;
use crate::ours::Ours;
use crate::reference::{Pace, Reference};
use crate::tally::Tally;

/// Names of vhosts.
const VHOSTS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// At most this many conversations at the same time: each wants two of those names.
const WORKERS_MAX: usize = 24;

/// How often a difference is looked at again before it counts. What ours says is what it is; if RabbitMQ, in a fresh vhost,
/// says the same only now and then, it is one of the things that RabbitMQ says, and time was short at the other looks.
const CAREFUL_LOOKS: usize = 3;

/// A conversation to hold.
pub(crate) enum Job {
    Written(Conversation),
    /// The one of this seed.
    ByChance(u64),
}

/// A RabbitMQ to compare with, and how to do it.
pub(crate) struct Run {
    pub(crate) address: String,
    /// Where to hold conversations if there is no management to make others.
    pub(crate) vhost: String,
    pub(crate) management: Option<Management>,
    /// How many differences to show before giving up.
    pub(crate) failures_max: usize,
    /// What all conversations by chance are to be about.
    pub(crate) theme: Option<Theme>,
}

/// What the workers share.
struct Shared<'a> {
    run: &'a Run,
    jobs: &'a [Job],
    next: AtomicUsize,
    tally: Mutex<Tally>,
}

impl Run {
    /// Holds all of them.
    pub(crate) fn hold_all(&self, jobs: &[Job], workers: usize) -> Tally {
        let workers = if self.management.is_some() { workers.min(WORKERS_MAX) } else { 1 };
        let shared =
            Shared { run: self, jobs, next: AtomicUsize::new(0), tally: Mutex::new(Tally::default()) };
        thread::scope(|scope| {
            for number in 0..workers {
                let shared = &shared;
                scope.spawn(move || Worker::new(shared, number).work());
            }
        });
        shared.tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared<'_> {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<&Job> {
        if self.tally().failures >= self.run.failures_max {
            return None;
        }
        self.jobs.get(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

struct Worker<'a> {
    shared: &'a Shared<'a>,
    reference: Reference,
    number: usize,
    /// How many vhosts it has used up.
    vhosts: usize,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared<'a>, number: usize) -> Self {
        let Run { address, vhost, management, .. } = shared.run;
        let mut worker = Self {
            shared,
            reference: Reference::new(address.clone(), vhost.clone(), management.clone()),
            number,
            vhosts: 0,
        };
        if let Some(management) = management {
            worker.reference.vhost = worker.vhost();
            // An earlier run may have been stopped.
            management.delete_vhost(&worker.reference.vhost);
            management.make_vhost(&worker.reference.vhost);
        }
        worker
    }

    fn work(mut self) {
        while let Some(job) = self.shared.next() {
            match job {
                Job::Written(conversation) => {
                    if let Ok(ours) = catch_unwind(|| Ours::hold(conversation)) {
                        self.hold(conversation, &ours);
                    } else {
                        self.lost(&format!("ours panicked:\n{conversation}"));
                    }
                }
                Job::ByChance(seed) => {
                    let theme = self.shared.run.theme;
                    match catch_unwind(|| generate::conversation(*seed, theme, false)) {
                        Ok((conversation, ours)) => self.hold(&conversation, &ours),
                        Err(_) => {
                            // The same again, step by step.
                            let _panics = catch_unwind(|| generate::conversation(*seed, theme, true));
                            self.lost(&format!("ours panicked at --seed {seed} --count 1"));
                        }
                    }
                }
            }
        }
        if let Some(management) = &self.shared.run.management {
            management.delete_vhost(&self.reference.vhost);
        }
    }

    /// Holds a conversation with RabbitMQ, too, and compares; a difference is looked at again with care.
    fn hold(&mut self, conversation: &Conversation, ours: &Heard) {
        let wants_operator =
            conversation.steps.iter().any(|step| matches!(step, Step::Policy(_) | Step::NoPolicy { .. }));
        if wants_operator && self.shared.run.management.is_none() {
            return;
        }
        self.shared.tally().count(conversation, ours);
        let first = self.look(conversation, ours, Pace::Fast);
        let mut looked = first;
        for _ in 0..CAREFUL_LOOKS {
            if matches!(looked, Some((Verdict::Same | Verdict::Accepted(_), _))) {
                break;
            }
            self.shared.tally().second_looks += 1;
            self.clear();
            looked = self.look(conversation, ours, Pace::Careful);
        }
        match looked {
            Some((Verdict::Same, _)) => {}
            Some((Verdict::Accepted(reason), _)) => {
                *self.shared.tally().accepted.entry(reason).or_default() += 1;
            }
            Some((Verdict::Different(difference), theirs)) => {
                if self.is_new(&difference) {
                    self.show(conversation, ours, &theirs, &difference);
                }
            }
            None => self.lost(&format!("RabbitMQ was lost in\n{conversation}")),
        }
    }

    /// `None` if RabbitMQ could not be talked to; then in another vhost.
    fn look(&mut self, conversation: &Conversation, ours: &Heard, pace: Pace) -> Option<(Verdict, Heard)> {
        let reference = &mut self.reference;
        let theirs = catch_unwind(AssertUnwindSafe(|| reference.hold(conversation, ours, pace)));
        if theirs.is_err() {
            self.clear();
        }
        theirs.ok().map(|theirs| (compare(conversation, ours, &theirs), theirs))
    }

    /// Goes where nothing is left of other conversations.
    fn clear(&mut self) {
        self.vhosts += 1;
        let vhost = self.vhost();
        self.reference.move_to(vhost);
    }

    /// One letter, as long as the name of our vhost: texts are cut at the same place.
    fn vhost(&self) -> String {
        let of_each = VHOSTS.len() / WORKERS_MAX;
        let at = self.number * of_each + self.vhosts % of_each;
        VHOSTS.chars().nth(at).expect("a letter for each").to_string()
    }

    fn is_new(&self, difference: &Difference) -> bool {
        let mut tally = self.shared.tally();
        let count = tally.shown.entry(difference.kind()).or_default();
        *count += 1;
        let is_new = *count == 1;
        tally.failures += usize::from(is_new);
        is_new
    }

    fn lost(&self, what: &str) {
        self.shared.tally().failures += 1;
        println!("\n{what}");
    }

    /// Shows a difference in the shortest conversation that is found to have it.
    fn show(&mut self, conversation: &Conversation, ours: &Heard, theirs: &Heard, difference: &Difference) {
        let whole = transcript(conversation, difference.step, ours, theirs);
        let mut shortest = conversation.clone();
        shortest.steps.truncate(difference.step + 1);
        loop {
            let before = shortest.steps.len();
            for width in [8, 4, 2, 1] {
                self.shorten(&mut shortest, difference, width);
            }
            if shortest.steps.len() == before {
                break;
            }
        }
        println!("\n{whole}\n{difference}In short, for --replay:\n{shortest}");
    }

    /// Leaves out each stretch of this many steps without which the difference stays.
    fn shorten(&mut self, conversation: &mut Conversation, difference: &Difference, width: usize) {
        let mut from = conversation.steps.len();
        while from > 0 {
            from = from.saturating_sub(width);
            let mut shorter = conversation.clone();
            shorter.steps.drain(from..(from + width).min(conversation.steps.len()));
            if self.differs_alike(&shorter, difference) {
                *conversation = shorter;
            }
        }
    }

    /// Whether this conversation, a part of another, shows the same difference.
    fn differs_alike(&mut self, part: &Conversation, difference: &Difference) -> bool {
        // A part may make no sense, such as a client that says something before it connects.
        let Ok(ours) = catch_unwind(|| Ours::hold(part)) else { return false };
        let looked = self.look(part, &ours, Pace::Fast);
        matches!(looked, Some((Verdict::Different(found), _)) if found.kind() == difference.kind())
    }
}
