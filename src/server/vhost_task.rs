//! The driver of one vhost: a task that owns the [`Vhost`], feeds it what its inbox holds in batches, and distributes what
//! comes out: one vector of notices for each connection, reads to the blocking pool. No broker rules here.
//!
//! It stops taking from its inbox while the log has no room: then permits run out, connections stop reading, TCP pushes
//! back. It never waits for a connection.

use super::confirm_times::ConfirmProbe;
use super::events::EventBus;
use super::mail::{ConnectionInbox, ConnectionMail, VhostInbox, VhostMail};
use super::wal_log::WalLog;
use super::{reads, stream_reads};
use crate::clock::Clock;
use crate::vhost::command::{Addressed, ConnectionId};
use crate::vhost::input::{AdminId, AdminReply, Effect, Effects, Input, LogProgress};
use crate::vhost::{Now, Vhost};
use foldhash::HashMap;
use ledgermq_storage::{DurationCounter, Progress, Reader, Wal};
use std::collections::HashMap as StdHashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::error;

/// Mail taken at once.
const MAIL_BATCH: usize = 256;

/// Notices of all connections for which memory is kept between batches.
const NOTICES_KEPT: usize = 1024;

/// What a vhost task is made of.
pub(super) struct VhostParts {
    pub(super) vhost: Vhost,
    pub(super) wal: Wal,
    pub(super) log: WalLog,
    pub(super) reader: Reader,
    pub(super) clock: Clock,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) name: Arc<str>,
    pub(super) events: EventBus,
    pub(super) confirm_times: Arc<DurationCounter>,
}

/// See the file's head.
pub(super) struct VhostTask {
    parts: VhostParts,
    inbox: VhostInbox,
    incoming: mpsc::UnboundedReceiver<VhostMail>,
    connections: HashMap<ConnectionId, Attached>,
    /// Connections with notices in `Attached::notices`.
    touched: Vec<ConnectionId>,
    effects: Effects,
    questions: StdHashMap<AdminId, oneshot::Sender<AdminReply>>,
    next_question: u64,
    probe: ConfirmProbe,
    shutdown: Option<oneshot::Sender<()>>,
}

struct Attached {
    inbox: Arc<ConnectionInbox>,
    /// Collected while effects are distributed, empty otherwise.
    notices: Vec<Addressed>,
    /// Length of the last batch of notices.
    last_count: usize,
    /// Permits of commands processed in this batch.
    permits: usize,
}

/// What ended a wait.
enum Wake {
    Mail,
    Progress,
    Deadline,
}

/// Starts the task of a vhost and says where it is reached.
pub(super) fn start(parts: VhostParts) -> VhostInbox {
    let (inbox, incoming) = VhostInbox::new();
    let task = VhostTask {
        parts,
        inbox: inbox.clone(),
        incoming,
        connections: HashMap::default(),
        touched: Vec::new(),
        effects: Effects::default(),
        questions: StdHashMap::new(),
        next_question: 0,
        probe: ConfirmProbe::default(),
        shutdown: None,
    };
    tokio::spawn(task.run());
    inbox
}

impl VhostTask {
    async fn run(mut self) {
        let mut mail = Vec::with_capacity(MAIL_BATCH);
        let mut applied = LogProgress::default();
        self.parts.progress.mark_changed();
        while self.shutdown.is_none() {
            let has_room = self.parts.wal.has_room();
            let woken = self.wait(&mut mail, has_room).await;
            let began_ns = self.parts.clock.now_ns();
            let now = self.at(began_ns);
            match woken {
                Wake::Mail | Wake::Progress => {}
                Wake::Deadline => self.apply(Input::Tick, now),
            }
            // Durable first: it makes room for what the mail asks.
            let progress = log_progress(*self.parts.progress.borrow_and_update());
            if progress != applied {
                applied = progress;
                self.apply(Input::Progress(progress), now);
            }
            for mail in mail.drain(..) {
                self.take(mail, now);
            }
            self.distribute();
            if self.probe.is_over(applied.durable) {
                self.probe.end(self.parts.clock.now_ns(), &self.parts.confirm_times);
            }
            self.probe.begin(self.parts.log.take_first_publish(), began_ns);
        }
        // Who still waits to be let go would wait for ever.
        for attached in self.connections.values() {
            attached.inbox.send(ConnectionMail::Detached);
        }
        if let Some(answer) = self.shutdown.take() {
            let _ = answer.send(());
        }
    }

    /// Waits for progress, and, unless the log has no room, for mail or the vhost's deadline.
    async fn wait(&mut self, mail: &mut Vec<VhostMail>, has_room: bool) -> Wake {
        let now_ms = self.parts.clock.now_ms();
        let wait_ms = self.parts.vhost.next_deadline().map(|at_ms| at_ms.saturating_sub(now_ms));
        let incoming = &mut self.incoming;
        let mut progress = pin!(self.parts.progress.changed());
        let mut deadline = pin!(wait_ms.map(|ms| sleep(Duration::from_millis(ms))));
        poll_fn(|cx| {
            if has_room && incoming.poll_recv_many(cx, mail, MAIL_BATCH).is_ready() {
                return Poll::Ready(Wake::Mail);
            }
            if progress.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Progress);
            }
            match deadline.as_mut().as_pin_mut() {
                // What falls due may write to the log as well.
                Some(_) if !has_room => Poll::Pending,
                Some(deadline) => deadline.poll(cx).map(|()| Wake::Deadline),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn take(&mut self, mail: VhostMail, now: Now) {
        match mail {
            VhostMail::Attach(inbox, identity) => {
                let id = inbox.id;
                self.connections
                    .insert(id, Attached { inbox, notices: Vec::new(), last_count: 0, permits: 0 });
                self.apply(Input::Attach(id), now);
                self.apply(Input::Identify(id, identity), now);
            }
            VhostMail::Detach(id) => self.apply(Input::Detach(id), now),
            VhostMail::Commands { connection, commands, permits } => {
                self.apply(Input::Commands(commands), now);
                if let Some(attached) = self.connections.get_mut(&connection) {
                    attached.permits += permits;
                    self.touched.push(connection);
                }
            }
            VhostMail::Drained(id, bytes) => self.apply(Input::Drained(id, bytes), now),
            VhostMail::Read(input) => self.apply(input, now),
            VhostMail::Event(event) => self.apply(Input::Event(event), now),
            VhostMail::Admin(operator, command, answer) => {
                let id = AdminId(self.next_question);
                self.next_question += 1;
                self.questions.insert(id, answer);
                self.apply(Input::Admin(id, operator, command), now);
            }
            VhostMail::Shutdown(answer) => {
                self.apply(Input::Shutdown, now);
                self.shutdown = Some(answer);
            }
        }
    }

    fn at(&self, now_ns: u64) -> Now {
        Now { monotonic_ms: now_ns / 1_000_000, unix_ms: self.parts.clock.unix_ms() }
    }

    fn apply(&mut self, input: Input, now: Now) {
        self.parts.vhost.apply(input, now, &mut self.parts.log, &mut self.effects);
    }

    /// Hands out everything the last batch produced.
    fn distribute(&mut self) {
        let mut effects = std::mem::take(&mut self.effects.effects);
        // A change is told of before its reply: its span looks for that of the request, which ends with the reply.
        for event in effects.extract_if(.., |effect| matches!(effect, Effect::Event(_))) {
            self.carry_out(event);
        }
        self.collect_notices();
        for id in self.touched.drain(..) {
            let Some(attached) = self.connections.get_mut(&id) else { continue };
            if !attached.notices.is_empty() {
                attached.last_count = attached.notices.len();
                attached.inbox.send(ConnectionMail::Notices(std::mem::take(&mut attached.notices)));
            }
            let permits = std::mem::take(&mut attached.permits);
            if permits > 0 {
                attached.inbox.give_permits(permits);
            }
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    /// Sorts the notices by connection, keeping the order of each; neighbours for the same one are looked up once.
    fn collect_notices(&mut self) {
        let mut collected = std::mem::take(&mut self.effects.notices);
        let mut notices = collected.drain(..).peekable();
        while let Some(notice) = notices.next() {
            let id = notice.channel.connection;
            let Some(attached) = self.connections.get_mut(&id) else { continue };
            if attached.notices.is_empty() {
                self.touched.push(id);
                // A batch is mostly as long as the last one.
                attached.notices.reserve(attached.last_count);
            }
            attached.notices.push(notice);
            while let Some(next) = notices.next_if(|next| next.channel.connection == id) {
                attached.notices.push(next);
            }
        }
        drop(notices);
        // Its memory is used again, unless this was an exceptional batch.
        collected.shrink_to(NOTICES_KEPT);
        self.effects.notices = collected;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::ReadBodies { queue, wanted } => {
                let (reader, inbox) = (self.parts.reader.clone(), self.inbox.clone());
                tokio::spawn(async move {
                    let bodies = reads::bodies(reader, queue, wanted).await;
                    inbox.send(VhostMail::Read(Input::Bodies { queue, bodies }));
                });
            }
            Effect::ReadEntries { queue, run } => {
                let (reader, inbox) = (self.parts.reader.clone(), self.inbox.clone());
                tokio::spawn(async move {
                    let entries = reads::entries(reader, queue, run).await;
                    inbox.send(VhostMail::Read(Input::Entries { queue, run, entries }));
                });
            }
            Effect::ReadStream { queue, read } => {
                let (reader, inbox) = (self.parts.reader.clone(), self.inbox.clone());
                tokio::spawn(async move {
                    inbox.send(VhostMail::Read(stream_reads::answer(reader, queue, read).await));
                });
            }
            Effect::Detached(id) => {
                if let Some(attached) = self.connections.remove(&id) {
                    attached.inbox.send(ConnectionMail::Detached);
                }
            }
            Effect::Event(event) => self.parts.events.send(event),
            Effect::Answer(id, reply) => {
                if let Some(question) = self.questions.remove(&id) {
                    let _ = question.send(reply);
                }
            }
            Effect::Damaged { queue, first, last, count, problem } => {
                error!(vhost = %self.parts.name, %queue, %first, %last, count, %problem, "messages cannot be read and were set aside");
            }
        }
    }
}

fn log_progress(progress: Progress) -> LogProgress {
    LogProgress { durable: progress.durable, written: progress.written, sealed_below: progress.sealed_below }
}
