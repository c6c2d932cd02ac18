//! The queues, exchanges and bindings of a run, made before it and removed after it.

use super::plan::Plan;
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::client::topology::{DURABLE, bind_queue, declare_exchange, delete_exchange, delete_queue};
use crate::cli::client::wire::{Method, put_pair, put_short_string, put_table};

/// Makes what the plan needs. Queues of an earlier run are deleted first: what is left in them is not of this one.
pub(super) fn make(connection: &mut Connection, plan: &Plan) -> Result<(), ClientError> {
    if !plan.makes_queues {
        return Ok(());
    }
    if let Some((exchange, kind)) = plan.exchange() {
        delete_exchange(connection, &exchange)?;
        declare_exchange(connection, &exchange, kind, DURABLE)?;
    }
    for queue in 0..plan.queues {
        let name = plan.queue_name(queue);
        delete_queue(connection, &name)?;
        declare_queue(connection, &name, &plan.queue_arguments)?;
    }
    let exchange = plan.exchange().map(|(exchange, _)| exchange).unwrap_or_default();
    for (queue, key) in plan.bindings() {
        bind_queue(connection, &plan.queue_name(queue), &exchange, &key)?;
    }
    Ok(())
}

/// Removes what [`make`] made.
pub(super) fn remove(connection: &mut Connection, plan: &Plan) -> Result<(), ClientError> {
    if !plan.deletes_queues {
        return Ok(());
    }
    for queue in 0..plan.queues {
        delete_queue(connection, &plan.queue_name(queue))?;
    }
    if let Some((exchange, _)) = plan.exchange() {
        delete_exchange(connection, &exchange)?;
    }
    Ok(())
}

/// Declares a durable queue.
fn declare_queue(
    connection: &mut Connection,
    name: &str,
    arguments: &[(String, String)],
) -> Result<(), ClientError> {
    ask_to_declare_queue(connection, name, arguments);
    connection.answer_of(Method::QUEUE_DECLARE).map(drop)
}

/// The same without waiting for the answer.
pub(super) fn ask_to_declare_queue(connection: &mut Connection, name: &str, arguments: &[(String, String)]) {
    connection.send(Method::QUEUE_DECLARE, |out| {
        out.extend([0, 0]);
        put_short_string(out, name);
        out.push(DURABLE);
        put_table(out, |out| arguments.iter().for_each(|(key, value)| put_pair(out, key, value)));
    });
}
