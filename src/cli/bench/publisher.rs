//! A publisher: one thread, one connection. Fills a buffer with as many messages as its window, its rate and its quota allow,
//! writes it, reads confirms, and waits only when none of it can go on. Latency counts from the time a message was due, not
//! from when it could be written, so a broker that stalls does not hide the wait of the messages behind (no coordinated
//! omission).

use super::content::ContentTemplate;
use super::latency::Latencies;
use super::plan::Plan;
use super::stamp::Stamp;
use super::state::State;
use super::unconfirmed::Unconfirmed;
use crate::cli::client::connection::{CHANNEL, Connection, control};
use crate::cli::client::error::ClientError;
use crate::cli::client::wire::{Frame, Method, publish_method, settled};
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;

/// Bytes filled before a write; a single message may be larger.
const WRITE_BYTES: usize = 64 * 1024;
/// Timers of a paced publisher may be late by this, ns; the system's default of 50 µs would be part of each latency.
const TIMER_SLACK_NS: u64 = 1_000;
/// Without confirms nothing comes back; a look for a close every so many writes suffices.
const WRITES_PER_LOOK: u32 = 16;

/// A publisher that is connected.
pub(super) struct Publisher {
    number: u16,
    connection: Connection,
    routes: Vec<Route>,
    content: ContentTemplate,
    /// Bytes of the largest message with its frames.
    message_bytes_max: usize,
    unconfirmed: Option<Unconfirmed>,
    /// Free places of the window that are waited for, so that writes are batches.
    refill: u64,
    quota: Option<u64>,
    pace: Option<Pace>,
    /// The next message of each queue it publishes to.
    next_by_queue: Vec<u64>,
    turn: usize,
    outcome: Published,
}

/// A method frame, and the place of its queue's count.
struct Route {
    method: Vec<u8>,
    count: usize,
}

/// When the messages of a paced publisher are due.
struct Pace {
    first_ns: u64,
    step_ns: f64,
}

/// What a publisher did.
pub(super) struct Published {
    pub(super) publisher: usize,
    pub(super) sent: u64,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    pub(super) returned: u64,
    /// How often the broker asked it to pause.
    pub(super) held_count: u64,
    /// From due to confirm.
    pub(super) confirm_us: Latencies,
    /// When it was through, by the clock, ns.
    pub(super) end_ns: u64,
}

impl Pace {
    fn due_ns(&self, message: u64) -> u64 {
        self.first_ns + (message as f64 * self.step_ns) as u64
    }

    /// How many messages are due at that time, of all.
    fn due_by(&self, now_ns: u64) -> u64 {
        if now_ns < self.first_ns { 0 } else { ((now_ns - self.first_ns) as f64 / self.step_ns) as u64 + 1 }
    }
}

impl Publisher {
    /// Prepares the publisher of that number on a connection.
    pub(super) fn new(plan: &Plan, number: usize, mut connection: Connection) -> Result<Self, ClientError> {
        if plan.window > 0 {
            connection.call(Method::CONFIRM_SELECT, |out| out.push(0))?;
        }
        let exchange = plan.exchange().map(|(exchange, _)| exchange).unwrap_or_default();
        let content = ContentTemplate::new(CHANNEL, plan.size, plan.persistent, connection.frame_bytes_max);
        let mut queues: Vec<usize> = Vec::new();
        let mut routes = Vec::new();
        for route in plan.routes_of_publisher(number) {
            let count = queues.iter().position(|queue| *queue == route.queue).unwrap_or(queues.len());
            if count == queues.len() {
                queues.push(route.queue);
            }
            routes.push(Route { method: publish_method(CHANNEL, &exchange, &route.routing_key), count });
        }
        let longest = routes.iter().map(|route| route.method.len()).max().unwrap_or_default();
        let pace = plan.rate.map(|rate| {
            let step_ns = 1e9 * plan.publishers as f64 / rate;
            // Publishers take turns within a step. The first is due at the beginning, which is set when it runs.
            Pace { first_ns: (step_ns * number as f64 / plan.publishers as f64) as u64, step_ns }
        });
        Ok(Self {
            number: number as u16,
            connection,
            routes,
            message_bytes_max: longest + content.len(),
            content,
            unconfirmed: (plan.window > 0).then(|| Unconfirmed::new(plan.window)),
            refill: if pace.is_none() && plan.window >= 16 { plan.window / 8 } else { 1 },
            quota: plan.quota(number),
            pace,
            next_by_queue: vec![0; queues.len()],
            turn: 0,
            outcome: Published {
                publisher: number,
                sent: 0,
                confirmed: 0,
                nacked: 0,
                returned: 0,
                held_count: 0,
                confirm_us: Latencies::new(),
                end_ns: 0,
            },
        })
    }

    /// Publishes until the plan is fulfilled and everything is confirmed.
    pub(super) fn run(mut self, state: &State) -> Result<Published, ClientError> {
        if let Some(pace) = &mut self.pace {
            pace.first_ns += state.begin_ns;
            // Without it latencies are some 50 µs longer; nothing else depends on it.
            let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NS));
        }
        let mut writes = 0_u32;
        loop {
            state.check()?;
            self.connection.send_some()?;
            let now_ns = state.clock.now_ns();
            let mut goes_on = false;
            if !self.connection.has_unsent() && !self.is_over(now_ns, state) && !self.connection.held.is_on()
            {
                goes_on = self.fill(now_ns, state);
                self.connection.send_some()?;
            }
            let unsent = self.connection.has_unsent();
            if !unsent && self.is_over(now_ns, state) && self.open() == 0 {
                break;
            }
            if goes_on && !unsent {
                writes += 1;
                if self.unconfirmed.is_none() && !writes.is_multiple_of(WRITES_PER_LOOK) {
                    continue;
                }
            } else {
                self.connection.wait(Some(state.aborted()), self.next_turn_ns(state))?;
            }
            while self.connection.read_some()? {
                self.take_answers(state)?;
                if !self.connection.may_hold_back() {
                    break;
                }
            }
        }
        self.outcome.held_count = self.connection.held.count;
        if self.unconfirmed.is_none() {
            self.connection.close_channel()?;
        }
        self.outcome.end_ns = state.clock.now_ns();
        Ok(self.outcome)
    }

    fn open(&self) -> u64 {
        self.unconfirmed.as_ref().map_or(0, Unconfirmed::open)
    }

    /// Whether nothing more is to be published.
    fn is_over(&self, now_ns: u64, state: &State) -> bool {
        self.quota.is_some_and(|quota| self.outcome.sent >= quota) || now_ns >= state.deadline_ns
    }

    /// Messages that may be published now.
    fn budget(&self, now_ns: u64) -> u64 {
        let mut budget = self.quota.map_or(u64::MAX, |quota| quota - self.outcome.sent);
        if let Some(unconfirmed) = &self.unconfirmed {
            let room = unconfirmed.room();
            let waits = unconfirmed.open() > 0 && room < self.refill;
            budget = budget.min(if waits { 0 } else { room });
        }
        if let Some(pace) = &self.pace {
            budget = budget.min(pace.due_by(now_ns).saturating_sub(self.outcome.sent));
        }
        budget
    }

    /// Appends messages to the output. Returns whether more could follow at once.
    fn fill(&mut self, now_ns: u64, state: &State) -> bool {
        let mut budget = self.budget(now_ns);
        let first = self.outcome.sent;
        let out = &mut self.connection.output.bytes;
        while budget > 0 && (out.is_empty() || out.len() + self.message_bytes_max <= WRITE_BYTES) {
            let due_ns = self.pace.as_ref().map_or(now_ns, |pace| pace.due_ns(self.outcome.sent));
            let Some(route) = self.routes.get(self.turn) else { break };
            self.turn = if self.turn + 1 == self.routes.len() { 0 } else { self.turn + 1 };
            let Some(number) = self.next_by_queue.get_mut(route.count) else { break };
            out.extend_from_slice(&route.method);
            let stamp = Stamp { publisher: self.number, number: *number, due_us: state.stamp_us(due_ns) };
            self.content.put(out, stamp);
            *number += 1;
            if let Some(unconfirmed) = &mut self.unconfirmed {
                unconfirmed.published(due_ns);
            }
            self.outcome.sent += 1;
            budget -= 1;
        }
        state.published.fetch_add(self.outcome.sent - first, Ordering::Relaxed);
        budget > 0
    }

    /// How long there is nothing to do unless something comes, ns.
    fn next_turn_ns(&self, state: &State) -> Option<u64> {
        let now_ns = state.clock.now_ns();
        if self.is_over(now_ns, state) || self.connection.has_unsent() {
            return None;
        }
        let has_room = self.unconfirmed.as_ref().is_none_or(|unconfirmed| unconfirmed.room() > 0);
        let paced = self.pace.as_ref().filter(|_| has_room && !self.connection.held.is_on());
        let until = match (paced, state.deadline_ns) {
            (Some(pace), deadline_ns) => pace.due_ns(self.outcome.sent).min(deadline_ns),
            (None, u64::MAX) => return None,
            (None, deadline_ns) => deadline_ns,
        };
        Some(until.saturating_sub(now_ns))
    }

    fn take_answers(&mut self, state: &State) -> Result<(), ClientError> {
        let now_ns = state.clock.now_ns();
        let before = self.outcome.confirmed;
        while let Some(frame) = self.connection.input.next()? {
            // A returned message brings its content along; confirms are methods alone.
            let Frame::Method(method, fields) = frame else { continue };
            match method {
                Method::ACK | Method::NACK => {
                    let settled = settled(fields)?;
                    let Some(unconfirmed) = &mut self.unconfirmed else {
                        return Err(ClientError::Protocol("a confirm that nobody asked for".to_owned()));
                    };
                    let latencies = &mut self.outcome.confirm_us;
                    let is_ack = method == Method::ACK;
                    let each = |due_ns| {
                        if is_ack {
                            latencies.record(now_ns.saturating_sub(due_ns) / 1000);
                        }
                    };
                    let count = unconfirmed.settle(settled, each).map_err(ClientError::Protocol)?;
                    *(if is_ack { &mut self.outcome.confirmed } else { &mut self.outcome.nacked }) += count;
                }
                Method::RETURN => self.outcome.returned += 1,
                other => control(other, fields, &mut self.connection.output, &mut self.connection.held)?,
            }
        }
        state.confirmed.fetch_add(self.outcome.confirmed - before, Ordering::Relaxed);
        Ok(())
    }
}
