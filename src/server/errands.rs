//! Looking at messages and moving them, for operators: the vhost says what there is, the log has what is not in memory.
//! A long move is many short orders, so that clients get their turns between them.

use super::broker::Broker;
use super::reads;
use crate::message::Message;
use crate::vhost::input::{AdminCommand, AdminReply};
use crate::vhost::views::{Look, Seen};
use std::sync::Arc;

/// A message that was looked at.
#[derive(Debug)]
pub struct Peeked {
    /// It was delivered before, and came back.
    pub redelivered: bool,
    /// The message; an error is a sentence for a person.
    pub message: Result<Arc<Message>, String>,
}

/// Why an errand was not done.
#[derive(Debug)]
pub enum ErrandError {
    /// There is no such vhost (any more).
    NoVhost,
    /// A sentence for a person.
    Refused(String),
}

impl Broker {
    /// The first `count` messages that wait in a queue, and nothing changes; see [`AdminCommand::Peek`] for the bounds.
    pub async fn peek(&self, vhost: &str, queue: &str, count: usize) -> Result<Vec<Peeked>, ErrandError> {
        let command = AdminCommand::Peek { queue: queue.into(), count };
        let (queue, entries) = match self.ask(vhost, command).await {
            Some(AdminReply::Peeked(queue, entries)) => (queue, entries),
            other => return Err(no_answer(other)),
        };
        let cold = entries.iter().filter(|entry| entry.message.is_none());
        let wanted: Vec<_> = cold.map(|entry| (entry.seq, entry.lsn, entry.record_bytes)).collect();
        let mut read = reads::bodies(self.directory.reader(), queue, wanted).await.into_iter();
        let mut from_disk =
            || read.next().map_or_else(|| Err("it was not read".to_owned()), |(_, message)| message);
        let peeked = entries.into_iter().map(|entry| Peeked {
            redelivered: entry.is_redelivered(),
            message: entry.message.map_or_else(&mut from_disk, Ok),
        });
        Ok(peeked.collect())
    }

    /// Moves the first `count` messages that wait in a queue (`None`: as many as wait now) to the end of another; answers
    /// how many went. Each is in one of the queues and only there, whatever happens.
    ///
    /// # Errors
    /// [`ErrandError::Refused`] if a queue is not there or takes no more; what was moved before stays moved.
    pub async fn move_messages(
        &self,
        vhost: &str,
        from: &str,
        to: &str,
        count: Option<u64>,
    ) -> Result<u64, ErrandError> {
        // Not for ever, if others publish meanwhile.
        let count = match count {
            Some(count) => count,
            None => self.ready_count(vhost, from).await?,
        };
        let mut moved = 0;
        while moved < count {
            let command = AdminCommand::Move { from: from.into(), to: to.into(), count: count - moved };
            match self.ask(vhost, command).await {
                Some(AdminReply::Removed(0)) => break,
                Some(AdminReply::Removed(more)) => moved += more,
                other => return Err(no_answer(other)),
            }
        }
        Ok(moved)
    }

    async fn ready_count(&self, vhost: &str, queue: &str) -> Result<u64, ErrandError> {
        let look = Look::Counts { queues: vec![queue.into()], exchanges: vec![], channels: Some(vec![]) };
        match self.look(vhost, look).await {
            Some(Seen::Counts { queues, .. }) => {
                Ok(queues.into_iter().flatten().map(|(_, ready, _)| ready).sum())
            }
            _ => Err(ErrandError::NoVhost),
        }
    }
}

fn no_answer(reply: Option<AdminReply>) -> ErrandError {
    match reply {
        Some(AdminReply::Refused(why)) => ErrandError::Refused(why),
        _ => ErrandError::NoVhost,
    }
}
