//! Exchanges, queues and bindings as the tools declare and delete them.

use super::connection::Connection;
use super::error::ClientError;
use super::wire::{Method, put_short_string};

/// Durable: the bit of queue.declare and exchange.declare.
pub(in crate::cli) const DURABLE: u8 = 0b10;
/// It goes with its last binding, or with its last consumer: the bit of exchange.declare.
pub(in crate::cli) const AUTO_DELETE: u8 = 0b100;

/// Declares an exchange of this type, with these bits.
pub(in crate::cli) fn declare_exchange(
    connection: &mut Connection,
    name: &str,
    kind: &str,
    bits: u8,
) -> Result<(), ClientError> {
    let fields = |out: &mut Vec<u8>| {
        out.extend([0, 0]);
        put_short_string(out, name);
        put_short_string(out, kind);
        out.push(bits);
        out.extend([0; 4]);
    };
    connection.call(Method::EXCHANGE_DECLARE, fields).map(drop)
}

/// Deletes an exchange; one that is not there is no error (RabbitMQ and its likes).
pub(in crate::cli) fn delete_exchange(connection: &mut Connection, name: &str) -> Result<(), ClientError> {
    delete(connection, Method::EXCHANGE_DELETE, name)
}

/// Deletes a queue with what is in it; one that is not there is no error (RabbitMQ and its likes).
pub(in crate::cli) fn delete_queue(connection: &mut Connection, name: &str) -> Result<(), ClientError> {
    delete(connection, Method::QUEUE_DELETE, name)
}

fn delete(connection: &mut Connection, method: Method, name: &str) -> Result<(), ClientError> {
    let fields = |out: &mut Vec<u8>| {
        out.extend([0, 0]);
        put_short_string(out, name);
        out.push(0);
    };
    connection.call(method, fields).map(drop)
}

/// Binds a queue, without arguments.
pub(in crate::cli) fn bind_queue(
    connection: &mut Connection,
    queue: &str,
    exchange: &str,
    key: &str,
) -> Result<(), ClientError> {
    let fields = |out: &mut Vec<u8>| {
        out.extend([0, 0]);
        put_short_string(out, queue);
        put_short_string(out, exchange);
        put_short_string(out, key);
        out.push(0);
        out.extend([0; 4]);
    };
    connection.call(Method::QUEUE_BIND, fields).map(drop)
}
