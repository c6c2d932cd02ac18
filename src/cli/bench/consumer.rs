//! A consumer: one thread, one connection, one or several queues. Looks at every message as it lies in the buffer, counts what is
//! wrong with it, and acknowledges in batches.

use super::latency::Latencies;
use super::plan::Plan;
use super::seen::Seen;
use super::stamp::Incoming;
use super::state::State;
use crate::cli::client::connection::{CHANNEL, Connection, control};
use crate::cli::client::error::ClientError;
use crate::cli::client::wire::{Frame, Method, delivered, put_ack, put_short_string};

/// How long a batch of acknowledgements that is not full waits for more deliveries, ns.
const ACK_PATIENCE_NS: u64 = 2_000_000;
/// Longest consumer tag that is read as a number: queue numbers in decimal.
const TAG_DIGITS_MAX: usize = 9;

/// A consumer whose subscriptions stand.
pub(super) struct Consumer {
    connection: Connection,
    /// Its place in [`Consumed::seen`] for each queue of the run; the consumer tag is the queue's number.
    places: Vec<Option<usize>>,
    incoming: Incoming,
    current: Option<Current>,
    ack_every: u64,
    unacked: u64,
    last_tag: u64,
    outcome: Consumed,
}

/// The delivery whose content is coming.
#[derive(Clone, Copy)]
struct Current {
    place: usize,
    tag: u64,
    redelivered: bool,
}

/// What a consumer saw.
pub(super) struct Consumed {
    /// Its queues, in the order of `seen`.
    pub(super) queues: Vec<usize>,
    /// For each of its queues, what it saw of each publisher.
    pub(super) seen: Vec<Vec<Seen>>,
    pub(super) count: u64,
    pub(super) redelivered: u64,
    pub(super) damaged: u64,
    /// From due to delivery.
    pub(super) deliver_us: Latencies,
    /// When the last delivery came, by the clock, ns; 0: none did.
    pub(super) end_ns: u64,
}

impl Consumer {
    /// Subscribes to the queues of the consumer of that number.
    pub(super) fn new(plan: &Plan, number: usize, mut connection: Connection) -> Result<Self, ClientError> {
        let queues = plan.queues_of_consumer(number);
        let mut places = vec![None; plan.queues];
        for (place, queue) in queues.iter().enumerate() {
            if let Some(slot) = places.get_mut(*queue) {
                *slot = Some(place);
            }
        }
        if plan.ack_every > 0 && plan.prefetch > 0 {
            connection.call(Method::QOS, |out| {
                out.extend([0; 4]);
                out.extend(plan.prefetch.to_be_bytes());
                out.push(0);
            })?;
        }
        let mut consumer = Self {
            connection,
            places,
            incoming: Incoming::new(plan.size),
            current: None,
            // A batch larger than the prefetch would wait for deliveries that cannot come.
            ack_every: if plan.prefetch > 0 {
                plan.ack_every.min(u64::from(plan.prefetch))
            } else {
                plan.ack_every
            },
            unacked: 0,
            last_tag: 0,
            outcome: Consumed {
                seen: vec![vec![Seen::default(); plan.publishers]; queues.len()],
                queues,
                count: 0,
                redelivered: 0,
                damaged: 0,
                deliver_us: Latencies::new(),
                end_ns: 0,
            },
        };
        consumer.subscribe(plan)?;
        Ok(consumer)
    }

    fn subscribe(&mut self, plan: &Plan) -> Result<(), ClientError> {
        // Where messages wait already, those of the first queue come before the second's consume-ok; they stay in the input.
        for queue in &self.outcome.queues {
            let no_ack = if plan.ack_every == 0 { 0b10 } else { 0 };
            self.connection.send(Method::CONSUME, |out| {
                out.extend([0, 0]);
                put_short_string(out, &plan.queue_name(*queue));
                put_short_string(out, &queue.to_string());
                out.push(no_ack);
                out.extend([0; 4]);
            });
        }
        if plan.makes_queues {
            // Empty queues: the run begins when all have been answered.
            for _ in &self.outcome.queues {
                self.connection.answer_of(Method::CONSUME)?;
            }
        }
        Ok(())
    }

    /// Consumes until everything has come, or until it is told to leave.
    pub(super) fn run(mut self, state: &State) -> Result<Consumed, ClientError> {
        loop {
            self.connection.send_some()?;
            if self.connection.read_some()? {
                self.take_deliveries(state)?;
                continue;
            }
            if state.done().is_raised() {
                break;
            }
            let patience = (self.unacked > 0).then_some(ACK_PATIENCE_NS);
            let before_ns = state.clock.now_ns();
            self.connection.wait(Some(state.done()), patience)?;
            if self.unacked > 0 && state.clock.now_ns() - before_ns >= ACK_PATIENCE_NS {
                self.acknowledge();
            }
        }
        state.check()?;
        if self.unacked > 0 {
            self.acknowledge();
        }
        self.connection.close_channel()?;
        Ok(self.outcome)
    }

    fn acknowledge(&mut self) {
        put_ack(&mut self.connection.output.bytes, CHANNEL, self.last_tag);
        self.unacked = 0;
    }

    fn take_deliveries(&mut self, state: &State) -> Result<(), ClientError> {
        let now_ns = state.clock.now_ns();
        let came_us = state.stamp_us(now_ns);
        let before = self.outcome.count;
        while let Some(frame) = self.connection.input.next()? {
            let whole = match frame {
                Frame::Body(part) => self.incoming.part(part),
                Frame::Method(Method::DELIVER, fields) => {
                    let delivery = delivered(fields)?;
                    let place = queue_of(delivery.consumer_tag)
                        .and_then(|queue| self.places.get(queue).copied().flatten())
                        .ok_or_else(|| {
                            ClientError::Protocol("a delivery for an unknown consumer".to_owned())
                        })?;
                    self.current =
                        Some(Current { place, tag: delivery.tag, redelivered: delivery.redelivered });
                    false
                }
                Frame::Header { body_bytes, .. } => self.incoming.begin(body_bytes),
                Frame::Method(method, fields) => {
                    control(method, fields, &mut self.connection.output, &mut self.connection.held)?;
                    false
                }
                Frame::Heartbeat => false,
            };
            if whole && let Some(current) = self.current.take() {
                self.outcome.count += 1;
                self.outcome.redelivered += u64::from(current.redelivered);
                self.last_tag = current.tag;
                let seen = self.incoming.finish().and_then(|stamp| {
                    let by_publisher = self.outcome.seen.get_mut(current.place)?;
                    by_publisher
                        .get_mut(usize::from(stamp.publisher))?
                        .take(stamp.number, current.redelivered)
                        .then_some(stamp)
                });
                match seen {
                    Some(stamp) => {
                        self.outcome.deliver_us.record(u64::from(latency_us(came_us, stamp.due_us)));
                    }
                    None => self.outcome.damaged += 1,
                }
                if self.ack_every > 0 {
                    self.unacked += 1;
                    if self.unacked >= self.ack_every {
                        put_ack(&mut self.connection.output.bytes, CHANNEL, self.last_tag);
                        self.unacked = 0;
                    }
                }
            }
        }
        if self.outcome.count > before {
            self.outcome.end_ns = now_ns;
            state.count_deliveries(self.outcome.count - before);
        }
        Ok(())
    }
}

/// The queue's number from the consumer tag.
fn queue_of(consumer_tag: &[u8]) -> Option<usize> {
    if consumer_tag.is_empty() || consumer_tag.len() > TAG_DIGITS_MAX {
        return None;
    }
    consumer_tag
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0')))
}

/// Both times are modulo 2^32 µs. A message stamped after the time of this read (it came while others were looked at) is on time.
fn latency_us(came_us: u32, due_us: u32) -> u32 {
    let since = came_us.wrapping_sub(due_us);
    if since > u32::MAX / 2 { 0 } else { since }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumer_tags_are_numbers_of_queues() {
        for (tag, expected) in [
            (&b"0"[..], Some(0)),
            (b"12", Some(12)),
            (b"", None),
            (b"x", None),
            (b"1x", None),
            (b"1234567890", None),
        ] {
            assert_eq!(queue_of(tag), expected, "{tag:?}");
        }
    }

    #[test]
    fn latencies_survive_the_turn_of_the_clock() {
        for (now, due, expected) in [(10, 4, 6), (2, u32::MAX - 1, 4), (5, 5, 0), (5, 6, 0)] {
            assert_eq!(latency_us(now, due), expected, "{now} {due}");
        }
    }
}
