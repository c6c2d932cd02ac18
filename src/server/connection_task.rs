//! The driver of one connection: a task that moves bytes between the socket and the connection's machine, commands to
//! its vhost and notices back. Each wake takes everything there is (mail, bytes, time), sends all commands as one batch
//! and makes one vectored write. No broker rules here.
//!
//! What holds it back: a vhost that is behind (permits), a client that does not read (unwritten bytes), the machine
//! itself. What it never does: wait for the vhost, or make the vhost wait.

use super::broker::Broker;
use super::events;
use super::login_counts::Door;
use super::mail::{ConnectionInbox, ConnectionMail, VhostInbox, VhostMail};
use super::outbox::Outbox;
use super::read_buffer::{Brought, ReadBuffer};
use super::socket::Socket;
use super::telemetry::ConnectionSpan;
use super::tokens::LoggedIn;
use super::turn::Turn;
use crate::auth::Token;
use crate::cli::rows;
use crate::connection::{
    Connection, ConnectionEffects, ConnectionReport, Login, Peer, Request, TlsSession, Traffic,
};
use crate::limits::UNWRITTEN_BYTES_MAX;
use crate::protocol::outbound::Outbound;
use crate::vhost::command::Envelope;
use crate::vhost::input::Identity;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Sleep, sleep};
use tracing::{debug, info, warn};

/// Mail taken at once.
const MAIL_BATCH: usize = 64;
/// Time for the last bytes to leave when a connection closes, ms.
const LAST_WRITE_MS: u64 = 5_000;
/// A connection that had nothing to do for this long gives its buffers back, ms.
const QUIET_MS: u64 = 2_000;

/// See the file's head.
pub(super) struct ConnectionTask<S> {
    broker: Arc<Broker>,
    stream: S,
    peer: Peer,
    /// Whether the peer is on this machine and speaks for itself.
    is_local: bool,
    machine: Connection,
    effects: ConnectionEffects,
    inbox: Arc<ConnectionInbox>,
    incoming: UnboundedReceiver<ConnectionMail>,
    mail: Vec<ConnectionMail>,
    /// Commands of the last batch.
    last_count: usize,
    vhost: Option<VhostInbox>,
    unread: ReadBuffer,
    outbox: Outbox,
    connected_unix_ms: u64,
    alarm: Alarm,
    /// The token of the login, if it was one.
    token: Option<Arc<Token>>,
    /// To be served, until it is through the handshake.
    turn: Turn,
    /// A login that is being checked.
    checking: Option<Checking>,
    refusal: Option<Refusal>,
    end: End,
    /// If connections are traced.
    span: Option<Box<ConnectionSpan>>,
}

/// Dropped with the connection: nobody is checked who is gone.
type Checking = Pin<Box<dyn Future<Output = (Login, Result<LoggedIn, String>)> + Send>>;

/// How a client came in.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The addresses of both ends; those that a proxy told, if there was one.
    pub(super) peer: Peer,
    /// Whether the client is on this machine, and no proxy says so.
    pub(super) is_local: bool,
    /// What TLS says of it.
    pub(super) tls: Option<TlsSession>,
}

/// A login that was refused and is to hear so later.
struct Refusal {
    /// When, ms of the broker's clock.
    at_ms: u64,
    /// For the log.
    why: String,
}

/// When the task wants to be woken though nothing happens.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// What `sleep` is set to, ms of the broker's clock.
    at_ms: u64,
    /// When something last happened.
    active_ms: u64,
    /// Buffers were used since they were given back.
    holds_buffers: bool,
}

/// How far the end of the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Not in sight.
    No,
    /// Write what is left, then close.
    AfterWriting,
    /// The socket is no use any more.
    Now,
}

impl<S: Socket> ConnectionTask<S> {
    /// The task of a connection that was just accepted.
    pub(super) fn new(broker: Arc<Broker>, stream: S, arrival: Arrival) -> Self {
        let Arrival { peer, is_local, tls } = arrival;
        let (inbox, incoming) = broker.connections.register();
        broker.connections.introduce(inbox.id, peer);
        let now_ms = broker.clock.now_ms();
        let mut machine = Connection::new(
            inbox.id,
            broker.connection_config(),
            broker.directory.accounts(),
            peer,
            super::random_u64(),
            now_ms,
        );
        let span = broker.telemetry.connection(peer, tls.is_some());
        if let Some(tls) = tls {
            machine.secured(Arc::new(tls));
        }
        let sleep = Box::pin(sleep(Duration::ZERO));
        Self {
            stream,
            peer,
            is_local,
            machine,
            effects: ConnectionEffects::default(),
            inbox,
            incoming,
            mail: Vec::new(),
            last_count: 0,
            vhost: None,
            unread: ReadBuffer::default(),
            outbox: Outbox::default(),
            connected_unix_ms: broker.clock.unix_ms(),
            alarm: Alarm { sleep, at_ms: now_ms, active_ms: now_ms, holds_buffers: false },
            token: None,
            turn: Turn::new(Arc::clone(&broker.handshake_turns)),
            checking: None,
            refusal: None,
            end: End::No,
            span,
            broker,
        }
    }

    /// Runs until the connection is over. Whatever ends it, the vhost is told.
    pub(super) async fn run(mut self) {
        let now_ms = self.broker.clock.now_ms();
        if let Some(text) = self.broker.alarms.text() {
            self.machine.alarm(Some(&text), now_ms, &mut self.effects);
        }
        while self.end == End::No {
            poll_fn(|cx| self.poll_work(cx)).await;
            self.carry_out();
            self.turn.end();
        }
        self.turn.cancel();
        if self.end == End::AfterWriting {
            let last = Duration::from_millis(LAST_WRITE_MS);
            let _ =
                tokio::time::timeout(last, self.outbox.drain(&mut self.stream, &mut self.effects.outbound))
                    .await;
        }
        if let Some(span) = self.span.take() {
            span.ends(&ConnectionReport { traffic: self.inbox.carried.traffic(), ..self.machine.report() });
        }
        self.machine.socket_closed(&mut self.effects);
        self.carry_out();
        self.broker.connections.unregister(self.inbox.id);
    }

    /// Ready once anything was done.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now_ms = self.broker.clock.now_ms();
        let mut worked = self.poll_mail(cx, now_ms).is_ready();
        let has_to_write = !self.effects.outbound.is_empty() || self.stream.holds_bytes();
        if has_to_write && self.stream.poll_write_ready(cx).is_ready() {
            worked = true;
        }
        if let Some(checking) = &mut self.checking
            && let Poll::Ready((login, result)) = checking.as_mut().poll(cx)
        {
            self.checking = None;
            self.logged_in(&login, result, now_ms);
            worked = true;
        }
        if self.may_read() {
            worked |= self.poll_turn(cx).is_ready() && self.poll_socket(cx, now_ms).is_ready();
        } else {
            self.turn.cancel();
        }
        if worked {
            self.alarm.active_ms = now_ms;
            self.alarm.holds_buffers = true;
        }
        worked |= self.poll_time(cx, now_ms).is_ready();
        if worked {
            return Poll::Ready(());
        }
        self.turn.end();
        Poll::Pending
    }

    /// Ready once the socket may be read: at any time, but in the handshake when there are bytes and it is our turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.machine.is_shaking_hands() {
            self.turn.cancel();
            return Poll::Ready(());
        }
        // An error is met again by who reads.
        if self.stream.poll_read_ready(cx).is_pending() {
            self.turn.cancel();
            return Poll::Pending;
        }
        self.turn.poll(cx)
    }

    fn may_read(&self) -> bool {
        self.end == End::No
            && self.machine.wants_input()
            && self.inbox.has_room()
            && self.effects.outbound.len() < UNWRITTEN_BYTES_MAX
    }

    fn poll_mail(&mut self, cx: &mut Context<'_>, now_ms: u64) -> Poll<()> {
        let mut mail = std::mem::take(&mut self.mail);
        let polled = self.incoming.poll_recv_many(cx, &mut mail, MAIL_BATCH);
        for mail in mail.drain(..) {
            self.take(mail, now_ms);
        }
        self.mail = mail;
        polled.map(drop)
    }

    fn take(&mut self, mail: ConnectionMail, now_ms: u64) {
        let (machine, effects) = (&mut self.machine, &mut self.effects);
        match mail {
            ConnectionMail::Notices(notices) => machine.notices(notices.into_iter(), now_ms, effects),
            ConnectionMail::Room => {}
            ConnectionMail::Detached => machine.detached(now_ms, effects),
            ConnectionMail::Alarm(text) => {
                machine.alarm(text.as_deref(), now_ms, effects);
                self.unread.again(|bytes| machine.receive(bytes, now_ms, effects));
            }
            ConnectionMail::Accounts(accounts) => machine.accounts_changed(accounts, now_ms, effects),
            ConnectionMail::Force(text) => machine.force_close(&text, now_ms, effects),
            ConnectionMail::Close(reason) => machine.shutdown(&reason, now_ms, effects),
            ConnectionMail::Drop => self.end = End::Now,
            ConnectionMail::Report(answer) => {
                let _ = answer.send(ConnectionReport {
                    connected_unix_ms: self.connected_unix_ms,
                    traffic: Traffic {
                        unsent_bytes: effects.outbound.len() as u64,
                        ..self.inbox.carried.traffic()
                    },
                    ..machine.report()
                });
            }
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, now_ms: u64) -> Poll<()> {
        let (machine, effects) = (&mut self.machine, &mut self.effects);
        let last_count = self.last_count;
        let polled = self.unread.poll_read(&mut self.stream, cx, |bytes, memory| {
            // A read mostly brings as much as the last one.
            effects.commands.reserve(last_count);
            match memory {
                Some(frame) => machine.receive_frame(frame, now_ms, effects),
                None => machine.receive(bytes, now_ms, effects),
            }
        });
        polled.map(|brought| match brought {
            Ok(Brought::Bytes(bytes)) => self.inbox.carried.note_received(bytes),
            Ok(Brought::End) | Err(_) => self.end = End::Now,
        })
    }

    /// Lets the machine do what its deadline is for, and sets the alarm for the next one. A deadline that moved away is
    /// noticed when the old one comes: setting the timer anew for each frame would cost more than an idle wake.
    fn poll_time(&mut self, cx: &mut Context<'_>, now_ms: u64) -> Poll<()> {
        let mut ticked = false;
        loop {
            let machine_ms = self.machine.next_deadline();
            if !ticked && machine_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                self.machine.tick(now_ms, &mut self.effects);
                ticked = true;
                continue;
            }
            if let Some(Refusal { why, .. }) = self.refusal.take_if(|refusal| refusal.at_ms <= now_ms) {
                self.machine.authenticated(Err(why), now_ms, &mut self.effects);
                self.read_again(now_ms);
                ticked = true;
                continue;
            }
            let alarm = &mut self.alarm;
            if alarm.holds_buffers && alarm.active_ms + QUIET_MS <= now_ms && self.effects.outbound.is_empty()
            {
                alarm.holds_buffers = false;
                self.mail = Vec::new();
                self.effects.outbound = Outbound::default();
            }
            let quiet_ms = alarm.holds_buffers.then_some(alarm.active_ms + QUIET_MS);
            let refusal_ms = self.refusal.as_ref().map(|refusal| refusal.at_ms);
            let Some(next_ms) = machine_ms.into_iter().chain(quiet_ms).chain(refusal_ms).min() else { break };
            if alarm.at_ms > next_ms || alarm.at_ms <= now_ms {
                alarm.at_ms = next_ms.max(now_ms + 1);
                let wait = Duration::from_millis(alarm.at_ms - now_ms);
                alarm.sleep.as_mut().reset(Instant::now() + wait);
            }
            if alarm.sleep.as_mut().poll(cx).is_pending() {
                break;
            }
            // It rang earlier than a deadline that moved: set it to the new one.
            alarm.at_ms = now_ms;
        }
        if ticked { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Does everything the machine asked for: commands first, then requests, then bytes.
    fn carry_out(&mut self) {
        loop {
            self.send_commands();
            if self.effects.requests.is_empty() {
                break;
            }
            for request in std::mem::take(&mut self.effects.requests) {
                self.send_commands();
                self.perform(request);
            }
        }
        self.outbox.note_deliveries(&mut self.effects);
        if self.outbox.write(&mut self.stream, &mut self.effects.outbound).is_err() {
            self.end = End::Now;
        }
        self.inbox.carried.note_sent(self.outbox.written_bytes(), self.outbox.write_count());
        let drained_bytes = self.outbox.take_drained();
        if drained_bytes > 0
            && let Some(vhost) = &self.vhost
        {
            vhost.send(VhostMail::Drained(self.inbox.id, drained_bytes));
        }
    }

    fn send_commands(&mut self) {
        if self.effects.commands.is_empty() {
            return;
        }
        let commands = std::mem::take(&mut self.effects.commands);
        self.last_count = commands.len();
        let content_bytes = std::mem::take(&mut self.effects.command_bytes);
        let method_bytes = std::mem::take(&mut self.effects.method_bytes);
        let permits = content_bytes + method_bytes + commands.len() * size_of::<Envelope>();
        if let Some(vhost) = &self.vhost {
            self.inbox.take_permits(permits);
            vhost.send(VhostMail::Commands { connection: self.inbox.id, commands, permits });
        }
    }

    fn perform(&mut self, request: Request) {
        let now_ms = self.broker.clock.now_ms();
        match request {
            Request::Authenticate(login) => {
                if let Some(span) = &mut self.span {
                    span.login_begins(login.mechanism);
                }
                let (broker, peer, is_local) = (Arc::clone(&self.broker), self.peer, self.is_local);
                self.checking = Some(Box::pin(async move {
                    let result = broker.check_login(&login, &peer, is_local).await;
                    (login, result)
                }));
            }
            Request::RenewToken(token) => self.renew(token.expose(), now_ms),
            Request::OpenVhost { vhost, user } => {
                let report = self.machine.report();
                let connections_max = self.broker.config.connections_max;
                let logged_in = LoggedIn { user: Arc::clone(&user), token: self.token.clone() };
                let accounts = self.broker.accounts_of(&logged_in);
                let directory = &self.broker.directory;
                let opened = directory.open_vhost(self.inbox.id, &vhost, &user, connections_max, &accounts);
                let result = opened.map(|(opened, channels)| {
                    self.machine.count_channels_in(channels);
                    let name = rows::connection_name(&report).into();
                    if let Some(span) = &mut self.span {
                        span.opened(&report, &name);
                    }
                    let identity = Identity { name, user, about: events::about(&report) };
                    opened.send(VhostMail::Attach(Arc::clone(&self.inbox), identity));
                    self.vhost = Some(opened);
                });
                self.machine.vhost_opened(result, now_ms, &mut self.effects);
                self.read_again(now_ms);
            }
            Request::Detach => {
                if let Some(vhost) = &self.vhost {
                    vhost.send(VhostMail::Detach(self.inbox.id));
                }
            }
            Request::CloseSocket => {
                if self.end == End::No {
                    self.end = End::AfterWriting;
                }
            }
            Request::Log(line) => {
                if let Some(span) = &mut self.span {
                    span.said(&line);
                }
                if let Some(left_out) = self.broker.client_lines.admit(now_ms) {
                    if left_out > 0 {
                        warn!(count = left_out, "lines about clients were left out");
                    }
                    info!(connection = self.inbox.id.0, client = %self.peer.remote, "{}", line.escape_debug());
                }
            }
        }
        debug!(connection = self.inbox.id.0, client = %self.peer.remote, end = ?self.end, "carried out");
    }

    /// What came of a login. Who is refused too often hears so later.
    fn logged_in(&mut self, login: &Login, result: Result<LoggedIn, String>, now_ms: u64) {
        let events = self.broker.directory.events();
        // Of a token the user it is for, whatever name came with it.
        let user = result.as_ref().map_or(login.user.as_str(), |logged_in| &logged_in.user);
        events.tell_login(user, &self.machine.report(), result.is_ok());
        if let Some(span) = &mut self.span {
            span.login_ends(user, result.is_ok());
        }
        self.broker.login_counts.note(Door::Amqp, result.is_ok());
        let wait_ms = result.as_ref().err().map(|_| self.broker.note_refusal(self.peer.remote.ip()));
        match (result, wait_ms) {
            (Err(why), Some(wait_ms @ 1..)) => self.refusal = Some(Refusal { at_ms: now_ms + wait_ms, why }),
            (Err(why), _) => self.machine.authenticated(Err(why), now_ms, &mut self.effects),
            (Ok(LoggedIn { user, token }), _) => {
                if let Some(token) = &token {
                    self.machine.authorised(Arc::clone(token), self.broker.expires_ms(token));
                }
                self.token = token;
                self.machine.authenticated(Ok(user), now_ms, &mut self.effects);
            }
        }
        self.read_again(now_ms);
    }

    /// A token that is to go on for the one of the login.
    fn renew(&mut self, token: &str, now_ms: u64) {
        let result = self.broker.check_token(token);
        let result = result.map(|token| {
            let expires_ms = self.broker.expires_ms(&token);
            (token, expires_ms)
        });
        self.machine.renewed(result, now_ms, &mut self.effects);
    }

    fn read_again(&mut self, now_ms: u64) {
        let (machine, effects) = (&mut self.machine, &mut self.effects);
        self.unread.again(|bytes| machine.receive(bytes, now_ms, effects));
    }
}
