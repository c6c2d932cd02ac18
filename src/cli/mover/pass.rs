//! One consumer at the source, from its first delivery until nothing is left for it: deliveries become publishes, confirms become
//! acknowledgements, and in between both sockets are waited for together. The source is read only while the target takes what
//! comes, so memory stays small whatever the messages are.

use super::confirmed::Confirmed;
use super::drain::{Ends, Outcome, TAG, Terms, ask_for, ready};
use super::error::{End, MoveError};
use super::progress::Progress;
use super::relay::Relay;
use crate::cli::client::connection::{CHANNEL, control, wait_for};
use crate::cli::client::error::ClientError;
use crate::cli::client::wire::{Frame, Method, delivered, put_ack, put_method, put_short_string, settled};
use rustix::event::{PollFd, PollFlags};

/// Bytes that wait for the target, above which the source is not read.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// How often a source that gives nothing is asked how much it has, ns.
const ASK_EVERY_NS: u64 = 100_000_000;
/// How long it may give nothing although it has something, ns.
const GIVES_NOTHING_NS: u64 = 20_000_000_000;
/// How long both may be silent while something is owed, unless the target has said that it is blocked, s.
const SILENCE_S: u64 = 120;
const SECOND_NS: u64 = 1_000_000_000;

/// See the file's head.
pub(super) struct Pass<'a, 't> {
    ends: &'a mut Ends,
    queue: &'a str,
    terms: &'a Terms<'t>,
    progress: &'a mut Progress,
    outcome: &'a mut Outcome,
    relay: Relay,
    confirmed: Confirmed,
    /// What the source was told to forget: all up to here.
    acknowledged: u64,
    /// Why no more is moved, once what is under way is settled.
    trouble: Option<&'static str>,
    /// How many messages the source has given when it has given all it said it had.
    expected: u64,
    /// Messages taken when the source was asked what is left, while it owes the answer.
    asked: Option<u64>,
    asked_ns: u64,
    /// When any frame came last, and when a message did, ns.
    frame_ns: u64,
    given_ns: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Consuming,
    /// The consumer was told to end; what comes until it does is still moved.
    Cancelling,
    /// Nothing more is to come.
    Over,
}

impl<'a, 't> Pass<'a, 't> {
    /// For a source whose consumer is on its way, and a target that confirms.
    pub(super) fn new(
        ends: &'a mut Ends,
        queue: &'a str,
        exchange: &str,
        terms: &'a Terms<'t>,
        progress: &'a mut Progress,
        outcome: &'a mut Outcome,
    ) -> Self {
        let now_ns = terms.clock.now_ns();
        Self {
            relay: Relay::new(exchange, ends.target.frame_bytes_max),
            ends,
            queue,
            terms,
            progress,
            expected: outcome.remaining,
            outcome,
            confirmed: Confirmed::default(),
            acknowledged: 0,
            trouble: None,
            asked: None,
            asked_ns: now_ns,
            frame_ns: now_ns,
            given_ns: now_ns,
            stage: Stage::Consuming,
        }
    }

    /// Moves until the source says that it is empty, or until it was interrupted and everything taken is settled.
    pub(super) fn run(mut self) -> Result<(), MoveError> {
        let ended = self.run_to_the_end();
        self.outcome.moved += self.acknowledged;
        self.outcome.redelivered += self.relay.redelivered();
        ended
    }

    fn run_to_the_end(&mut self) -> Result<(), MoveError> {
        loop {
            self.ends.source.send_some().map_err(MoveError::at(End::Source))?;
            self.ends.target.send_some().map_err(MoveError::at(End::Target))?;
            let given_before = self.relay.taken();
            let came = self.read_confirms()? | self.read_deliveries()?;
            let now_ns = self.terms.clock.now_ns();
            if self.relay.taken() > given_before {
                self.given_ns = now_ns;
            }
            let blocked = self.ends.target.held.is_on();
            self.progress.at(self.outcome.moved + self.acknowledged, blocked, now_ns);
            if came {
                self.frame_ns = now_ns;
                continue;
            }
            if self.stage == Stage::Consuming && (self.trouble.is_some() || self.terms.interrupt.is_raised())
            {
                self.cancel();
                continue;
            }
            if self.is_settled() {
                if self.stage == Stage::Over {
                    return self.settle_rest();
                }
                if self.ask(now_ns) {
                    continue;
                }
                self.check_that_something_is_given(now_ns)?;
            } else if !blocked && now_ns - self.frame_ns > SILENCE_S * SECOND_NS {
                let while_doing = "with messages under way".to_owned();
                let silent = ClientError::Silent { while_doing, seconds: SILENCE_S };
                return Err(MoveError::Connection(End::Target, silent));
            }
            self.wait()?;
        }
    }

    /// Whether all that was taken is confirmed or refused.
    fn is_settled(&self) -> bool {
        self.relay.is_between() && self.confirmed.count() == self.relay.taken()
    }

    /// Behind a message that was refused, others may have been confirmed.
    fn settle_rest(&mut self) -> Result<(), MoveError> {
        for tag in self.confirmed.above() {
            put_method(&mut self.ends.source.output.bytes, CHANNEL, Method::ACK, |out| {
                out.extend(tag.to_be_bytes());
                out.push(0);
            });
        }
        self.outcome.moved += self.confirmed.above().len() as u64;
        self.trouble.map_or(Ok(()), |text| Err(MoveError::Queue(text.to_owned())))
    }

    fn cancel(&mut self) {
        self.stage = Stage::Cancelling;
        put_method(&mut self.ends.source.output.bytes, CHANNEL, Method::CANCEL, |out| {
            put_short_string(out, TAG);
            out.push(0);
        });
    }

    /// Asks the source what is left, if it is time to.
    fn ask(&mut self, now_ns: u64) -> bool {
        let is_time = self.relay.taken() >= self.expected || now_ns - self.asked_ns >= ASK_EVERY_NS;
        if self.stage != Stage::Consuming || self.asked.is_some() || !is_time {
            return false;
        }
        (self.asked, self.asked_ns) = (Some(self.relay.taken()), now_ns);
        ask_for(&mut self.ends.source, self.queue);
        true
    }

    /// The answer: how many messages are ready. Those that were given before it was made up are no longer among them.
    fn told(&mut self, count: u64) {
        let nothing_came = self.asked.take() == Some(self.relay.taken()) && self.relay.is_between();
        self.outcome.remaining = count;
        // Looked at again on a channel of its own before the queue counts as empty.
        self.expected = self.relay.taken() + count.max(1);
        if count == 0 && nothing_came && self.stage == Stage::Consuming {
            self.stage = Stage::Over;
        }
    }

    fn check_that_something_is_given(&self, now_ns: u64) -> Result<(), MoveError> {
        if now_ns - self.given_ns < GIVES_NOTHING_NS {
            return Ok(());
        }
        Err(MoveError::Queue(format!(
            "source: {} messages wait there and none is given: it is a stream, or another consumer alone may have them",
            self.outcome.remaining
        )))
    }

    fn wait(&self) -> Result<(), MoveError> {
        let Ends { source, target } = &*self.ends;
        let signal = self.terms.interrupt.descriptor();
        // Once it was obeyed it would wake us for ever.
        let heeds = if self.stage == Stage::Consuming { PollFlags::IN } else { PollFlags::empty() };
        let has_room = target.unsent_bytes() <= UNSENT_BYTES_MAX;
        let mut ready = [source.interest(has_room), target.interest(true), PollFd::new(&signal, heeds)];
        wait_for(&mut ready, Some(ASK_EVERY_NS)).map_err(|error| MoveError::Connection(End::Source, error))
    }

    /// Whether anything came from the target.
    fn read_confirms(&mut self) -> Result<bool, MoveError> {
        let wrong = MoveError::at(End::Target);
        let (mut came, mut is_gone) = (false, false);
        // A message that is returned is confirmed after that: nothing behind is looked at.
        while !is_gone {
            let target = &mut self.ends.target;
            match target.input.next().map_err(&wrong)? {
                Some(Frame::Method(Method::ACK, fields)) => {
                    self.confirmed.take(settled(fields).map_err(&wrong)?);
                }
                Some(Frame::Method(Method::NACK, fields)) => {
                    self.confirmed.refuse(settled(fields).map_err(&wrong)?);
                    self.trouble =
                        Some("target: messages were refused: the queue is full and rejects what comes");
                }
                Some(Frame::Method(Method::RETURN, _)) => is_gone = true,
                Some(Frame::Method(method, fields)) => {
                    control(method, fields, &mut target.output, &mut target.held).map_err(&wrong)?;
                }
                Some(Frame::Header { .. } | Frame::Body(_) | Frame::Heartbeat) => {}
                None => {
                    if !target.read_some().map_err(&wrong)? {
                        break;
                    }
                    came = true;
                }
            }
        }
        if self.confirmed.floor() > self.acknowledged {
            self.acknowledged = self.confirmed.floor();
            put_ack(&mut self.ends.source.output.bytes, CHANNEL, self.acknowledged);
        }
        if is_gone {
            return Err(MoveError::Queue("target: the queue was deleted while messages came".to_owned()));
        }
        Ok(came)
    }

    /// Whether anything came from the source, as far as the target has room for it.
    fn read_deliveries(&mut self) -> Result<bool, MoveError> {
        let wrong = MoveError::at(End::Source);
        let mut came = false;
        while self.ends.target.unsent_bytes() <= UNSENT_BYTES_MAX {
            let source = &mut self.ends.source;
            let out = &mut self.ends.target.output.bytes;
            match source.input.next().map_err(&wrong)? {
                Some(Frame::Body(part)) => self.relay.body(part, out).map_err(&wrong)?,
                Some(Frame::Method(Method::DELIVER, fields)) => {
                    let delivery = delivered(fields).map_err(&wrong)?;
                    self.relay.deliver(&delivery, out).map_err(&wrong)?;
                }
                Some(Frame::Header { body_bytes, properties }) => {
                    self.relay.header(body_bytes, properties, out).map_err(&wrong)?;
                }
                Some(Frame::Method(Method::QUEUE_DECLARE_OK, fields)) => {
                    let count = ready(fields).map_err(&wrong)?;
                    self.told(count);
                }
                Some(Frame::Method(Method::CANCEL_OK, _)) => self.stage = Stage::Over,
                Some(Frame::Method(Method::CANCEL, _)) => {
                    let text =
                        "source: the consumer was cancelled: the queue is gone, or moves to another node";
                    return Err(MoveError::Queue(text.to_owned()));
                }
                Some(Frame::Method(method, fields)) => {
                    control(method, fields, &mut source.output, &mut source.held).map_err(&wrong)?;
                }
                Some(Frame::Heartbeat) => {}
                None => {
                    if !source.read_some().map_err(&wrong)? {
                        break;
                    }
                    came = true;
                }
            }
        }
        Ok(came)
    }
}
