//! basic.ack, nack, reject and recover, and the tx class: what becomes of deliveries, at once or at commit.
//!
//! Settlements of one outcome that follow each other in a read become one command. In a transaction they are taken from
//! the tags at once and kept until commit; a rollback puts them back, still with this channel.
//!
//! A method that comes while a commit is under way waits for it in the vhost's order. (RabbitMQ answers 504 if the
//! commit happens to take time; clients that pipeline are better off here.)

use super::confirms::Confirms;
use super::deliveries::{Unacked, UnknownTag};
use super::{Context, Failure, Open, PublishMode};
use crate::protocol::method_id::MethodId;
use crate::protocol::reply::{ChannelCode, ChannelError, ConnectionCode, ConnectionError};
use crate::vhost::command::{ChannelKey, Command, Envelope, Outcome};
use ledgermq_storage::{QueueId, Seq};

impl Open {
    /// Settles what `tag` names, or keeps that for the commit.
    pub(super) fn settle(
        &mut self,
        key: ChannelKey,
        method: MethodId,
        settlement: Settlement,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Settlement { tag, multiple, outcome } = settlement;
        let taken = if let PublishMode::Transaction(kept) = &mut self.mode {
            let deliveries = run_of(kept, outcome);
            self.deliveries.settle(tag, multiple, |unacked| deliveries.push(unacked))
        } else {
            let deliveries = settle_command(key, method, outcome, cx);
            let taken = self
                .deliveries
                .settle(tag, multiple, |unacked| deliveries.push((unacked.queue, unacked.seq)));
            if deliveries.is_empty() {
                cx.out.commands.pop();
            }
            taken
        };
        taken.map_err(|UnknownTag(tag)| {
            ChannelError::new(ChannelCode::PreconditionFailed, format!("unknown delivery tag {tag}")).into()
        })
    }

    /// basic.recover and basic.recover-async.
    pub(super) fn recover(&mut self, requeue: bool, reply: bool) -> Result<Command, Failure> {
        if !requeue {
            return Err(ConnectionError::new(ConnectionCode::NotImplemented, "requeue=false").into());
        }
        let only = match self.mode {
            // What is settled in the transaction was taken from the tags: it stays, to be committed or brought back.
            PublishMode::Transaction(_) => Some(self.deliveries.unsettled().collect()),
            PublishMode::Plain | PublishMode::Confirm(_) => None,
        };
        self.deliveries.clear();
        Ok(Command::Recover { only, reply })
    }

    /// tx.select
    pub(super) fn tx_select(&mut self) -> Result<Command, Failure> {
        match self.mode {
            PublishMode::Confirm(_) => return Err(precondition("cannot switch from confirm to tx mode")),
            PublishMode::Plain => self.mode = PublishMode::Transaction(Vec::new()),
            PublishMode::Transaction(_) => {}
        }
        Ok(Command::TxSelect)
    }

    /// tx.commit
    pub(super) fn tx_commit(&mut self) -> Result<Command, Failure> {
        let PublishMode::Transaction(kept) = &mut self.mode else { return Err(not_transactional()) };
        let place = |unacked: Unacked| (unacked.queue, unacked.seq);
        let settles = std::mem::take(kept)
            .into_iter()
            .filter(|(_, deliveries)| !deliveries.is_empty())
            .map(|(outcome, deliveries)| (outcome, deliveries.into_iter().map(place).collect()))
            .collect();
        Ok(Command::TxCommit { settles })
    }

    /// tx.rollback
    pub(super) fn tx_rollback(&mut self) -> Result<Command, Failure> {
        let PublishMode::Transaction(kept) = &mut self.mode else { return Err(not_transactional()) };
        self.deliveries.restore(std::mem::take(kept).into_iter().flat_map(|(_, deliveries)| deliveries));
        Ok(Command::TxRollback)
    }

    /// confirm.select
    pub(super) fn confirm_select(&mut self, nowait: bool) -> Result<Command, Failure> {
        match self.mode {
            PublishMode::Transaction(_) => return Err(precondition("cannot switch from tx to confirm mode")),
            PublishMode::Plain => self.mode = PublishMode::Confirm(Confirms::default()),
            PublishMode::Confirm(_) => {}
        }
        Ok(Command::ConfirmSelect { nowait })
    }
}

/// Which deliveries, and what becomes of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settlement {
    pub(super) tag: u64,
    pub(super) multiple: bool,
    pub(super) outcome: Outcome,
}

/// `requeue` of basic.nack and basic.reject as an outcome.
pub(super) fn refused(requeue: bool) -> Outcome {
    if requeue { Outcome::Requeue } else { Outcome::Discard }
}

/// The list that takes deliveries of this outcome: the last one if it has the same, else a new one.
fn run_of(kept: &mut Vec<(Outcome, Vec<Unacked>)>, outcome: Outcome) -> &mut Vec<Unacked> {
    if kept.last().is_none_or(|(last, _)| *last != outcome) {
        kept.push((outcome, Vec::new()));
    }
    match kept.last_mut() {
        Some((_, deliveries)) => deliveries,
        None => unreachable!("a run was pushed if there was none"),
    }
}

/// The deliveries of the last command if it settles for this channel with this outcome, else of a new command.
fn settle_command<'a>(
    key: ChannelKey,
    method: MethodId,
    outcome: Outcome,
    cx: &'a mut Context<'_>,
) -> &'a mut Vec<(QueueId, Seq)> {
    let commands = &mut *cx.out.commands;
    let fits = matches!(commands.last(), Some(Envelope { channel, command: Command::Settle { outcome: last, .. }, .. })
        if *channel == key && *last == outcome);
    if !fits {
        commands.push(Envelope {
            channel: key,
            method,
            command: Command::Settle { outcome, deliveries: Vec::new() },
        });
    }
    match commands.last_mut() {
        Some(Envelope { command: Command::Settle { deliveries, .. }, .. }) => deliveries,
        _ => unreachable!("a settle was pushed if there was none"),
    }
}

fn precondition(text: &str) -> Failure {
    ChannelError::new(ChannelCode::PreconditionFailed, text).into()
}

fn not_transactional() -> Failure {
    precondition("channel is not transactional")
}
