//! What this codec has read, as `amq-protocol` would have read it: so that the two can be compared.

use amq_protocol::protocol::{AMQPClass, access, basic, channel, confirm, connection, exchange, queue, tx};
use amq_protocol::types::{AMQPValue, DecimalValue, FieldTable};
use ledgermq::protocol::client_method::{ClientMethod, Secret};
use ledgermq::protocol::table::Fields;
use ledgermq::protocol::value::Value;

pub(crate) fn their_value(value: Value<'_>) -> AMQPValue {
    match value {
        Value::Bool(v) => AMQPValue::Boolean(v),
        Value::I8(v) => AMQPValue::ShortShortInt(v),
        Value::U8(v) => AMQPValue::ShortShortUInt(v),
        Value::I16(v) => AMQPValue::ShortInt(v),
        Value::U16(v) => AMQPValue::ShortUInt(v),
        Value::I32(v) => AMQPValue::LongInt(v),
        Value::U32(v) => AMQPValue::LongUInt(v),
        Value::I64(v) => AMQPValue::LongLongInt(v),
        Value::F32(v) => AMQPValue::Float(v),
        Value::F64(v) => AMQPValue::Double(v),
        Value::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale, value }),
        Value::LongString(v) => AMQPValue::LongString(v.into()),
        Value::Binary(v) => AMQPValue::ByteArray(v.into()),
        Value::Array(v) => AMQPValue::FieldArray(v.iter().map(their_value).collect::<Vec<_>>().into()),
        Value::Table(v) => AMQPValue::FieldTable(their_table(v)),
        Value::Timestamp(v) => AMQPValue::Timestamp(v),
        Value::Void => AMQPValue::Void,
    }
}

pub(crate) fn their_table(fields: Fields<'_>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields.iter() {
        table.insert(name.into(), their_value(value));
    }
    table
}

/// What we read, as the other codec would have read it.
pub(crate) fn their_class(method: &ClientMethod<'_>) -> AMQPClass {
    match method {
        ClientMethod::ConnectionStartOk { .. }
        | ClientMethod::ConnectionSecureOk { .. }
        | ClientMethod::ConnectionTuneOk { .. }
        | ClientMethod::ConnectionOpen { .. }
        | ClientMethod::ConnectionClose { .. }
        | ClientMethod::ConnectionCloseOk
        | ClientMethod::ConnectionUpdateSecret { .. } => AMQPClass::Connection(their_connection(method)),
        ClientMethod::ChannelOpen => AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})),
        &ClientMethod::ChannelFlow { active } => {
            AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active }))
        }
        &ClientMethod::ChannelFlowOk { active } => {
            AMQPClass::Channel(channel::AMQPMethod::FlowOk(channel::FlowOk { active }))
        }
        &ClientMethod::ChannelClose { reply_code, reply_text, cause } => {
            AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
                reply_code,
                reply_text: reply_text.into(),
                class_id: cause.class,
                method_id: cause.method,
            }))
        }
        ClientMethod::ChannelCloseOk => AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})),
        &ClientMethod::AccessRequest { realm } => {
            // The rights asked for are not read: everybody gets them.
            AMQPClass::Access(access::AMQPMethod::Request(access::Request {
                realm: realm.into(),
                exclusive: false,
                passive: false,
                active: false,
                write: false,
                read: false,
            }))
        }
        ClientMethod::ExchangeDeclare { .. }
        | ClientMethod::ExchangeDelete { .. }
        | ClientMethod::ExchangeBind { .. }
        | ClientMethod::ExchangeUnbind { .. } => AMQPClass::Exchange(their_exchange(method)),
        ClientMethod::QueueDeclare { .. }
        | ClientMethod::QueueBind { .. }
        | ClientMethod::QueueUnbind { .. }
        | ClientMethod::QueuePurge { .. }
        | ClientMethod::QueueDelete { .. } => AMQPClass::Queue(their_queue(method)),
        ClientMethod::TxSelect => AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})),
        ClientMethod::TxCommit => AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})),
        ClientMethod::TxRollback => AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {})),
        &ClientMethod::ConfirmSelect { nowait } => {
            AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait }))
        }
        _ => AMQPClass::Basic(their_basic(method)),
    }
}

fn their_connection(method: &ClientMethod<'_>) -> connection::AMQPMethod {
    use connection::AMQPMethod as Method;
    match *method {
        ClientMethod::ConnectionStartOk {
            ref client_properties,
            mechanism,
            response: Secret(response),
            locale,
        } => Method::StartOk(connection::StartOk {
            client_properties: their_table(client_properties.fields()),
            mechanism: mechanism.into(),
            response: response.into(),
            locale: locale.into(),
        }),
        ClientMethod::ConnectionSecureOk { response: Secret(response) } => {
            Method::SecureOk(connection::SecureOk { response: response.into() })
        }
        ClientMethod::ConnectionTuneOk { channel_max, frame_bytes_max, heartbeat_s } => {
            Method::TuneOk(connection::TuneOk {
                channel_max,
                frame_max: frame_bytes_max,
                heartbeat: heartbeat_s,
            })
        }
        ClientMethod::ConnectionOpen { vhost } => {
            Method::Open(connection::Open { virtual_host: vhost.into() })
        }
        ClientMethod::ConnectionClose { reply_code, reply_text, cause } => Method::Close(connection::Close {
            reply_code,
            reply_text: reply_text.into(),
            class_id: cause.class,
            method_id: cause.method,
        }),
        ClientMethod::ConnectionCloseOk => Method::CloseOk(connection::CloseOk {}),
        ClientMethod::ConnectionUpdateSecret { new_secret: Secret(new_secret), reason } => {
            Method::UpdateSecret(connection::UpdateSecret {
                new_secret: new_secret.into(),
                reason: reason.into(),
            })
        }
        ref other => panic!("{other:?} is not of the connection class"),
    }
}

fn their_exchange(method: &ClientMethod<'_>) -> exchange::AMQPMethod {
    use exchange::AMQPMethod as Method;
    match *method {
        ClientMethod::ExchangeDeclare {
            exchange,
            kind,
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            ref arguments,
        } => Method::Declare(exchange::Declare {
            exchange: exchange.into(),
            kind: kind.into(),
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            arguments: their_table(arguments.fields()),
        }),
        ClientMethod::ExchangeDelete { exchange, if_unused, nowait } => {
            Method::Delete(exchange::Delete { exchange: exchange.into(), if_unused, nowait })
        }
        ClientMethod::ExchangeBind { destination, source, routing_key, nowait, ref arguments } => {
            Method::Bind(exchange::Bind {
                destination: destination.into(),
                source: source.into(),
                routing_key: routing_key.into(),
                nowait,
                arguments: their_table(arguments.fields()),
            })
        }
        ClientMethod::ExchangeUnbind { destination, source, routing_key, nowait, ref arguments } => {
            Method::Unbind(exchange::Unbind {
                destination: destination.into(),
                source: source.into(),
                routing_key: routing_key.into(),
                nowait,
                arguments: their_table(arguments.fields()),
            })
        }
        ref other => panic!("{other:?} is not of the exchange class"),
    }
}

fn their_queue(method: &ClientMethod<'_>) -> queue::AMQPMethod {
    use queue::AMQPMethod as Method;
    match *method {
        ClientMethod::QueueDeclare {
            queue,
            passive,
            durable,
            exclusive,
            auto_delete,
            nowait,
            ref arguments,
        } => Method::Declare(queue::Declare {
            queue: queue.into(),
            passive,
            durable,
            exclusive,
            auto_delete,
            nowait,
            arguments: their_table(arguments.fields()),
        }),
        ClientMethod::QueueBind { queue, exchange, routing_key, nowait, ref arguments } => {
            Method::Bind(queue::Bind {
                queue: queue.into(),
                exchange: exchange.into(),
                routing_key: routing_key.into(),
                nowait,
                arguments: their_table(arguments.fields()),
            })
        }
        ClientMethod::QueueUnbind { queue, exchange, routing_key, ref arguments } => {
            Method::Unbind(queue::Unbind {
                queue: queue.into(),
                exchange: exchange.into(),
                routing_key: routing_key.into(),
                arguments: their_table(arguments.fields()),
            })
        }
        ClientMethod::QueuePurge { queue, nowait } => {
            Method::Purge(queue::Purge { queue: queue.into(), nowait })
        }
        ClientMethod::QueueDelete { queue, if_unused, if_empty, nowait } => {
            Method::Delete(queue::Delete { queue: queue.into(), if_unused, if_empty, nowait })
        }
        ref other => panic!("{other:?} is not of the queue class"),
    }
}

fn their_basic(method: &ClientMethod<'_>) -> basic::AMQPMethod {
    use basic::AMQPMethod as Method;
    match *method {
        ClientMethod::BasicQos { prefetch_size, prefetch_count, global } => {
            assert_eq!(prefetch_size, 0, "the other codec always writes 0");
            Method::Qos(basic::Qos { prefetch_count, global })
        }
        ClientMethod::BasicConsume {
            queue,
            consumer_tag,
            no_local,
            no_ack,
            exclusive,
            nowait,
            ref arguments,
        } => Method::Consume(basic::Consume {
            queue: queue.into(),
            consumer_tag: consumer_tag.into(),
            no_local,
            no_ack,
            exclusive,
            nowait,
            arguments: their_table(arguments.fields()),
        }),
        ClientMethod::BasicCancel { consumer_tag, nowait } => {
            Method::Cancel(basic::Cancel { consumer_tag: consumer_tag.into(), nowait })
        }
        ClientMethod::BasicCancelOk { consumer_tag } => {
            Method::CancelOk(basic::CancelOk { consumer_tag: consumer_tag.into() })
        }
        ClientMethod::BasicPublish { exchange, routing_key, mandatory, immediate } => {
            Method::Publish(basic::Publish {
                exchange: exchange.into(),
                routing_key: routing_key.into(),
                mandatory,
                immediate,
            })
        }
        ClientMethod::BasicGet { queue, no_ack } => Method::Get(basic::Get { queue: queue.into(), no_ack }),
        ClientMethod::BasicAck { delivery_tag, multiple } => {
            Method::Ack(basic::Ack { delivery_tag, multiple })
        }
        ClientMethod::BasicReject { delivery_tag, requeue } => {
            Method::Reject(basic::Reject { delivery_tag, requeue })
        }
        ClientMethod::BasicNack { delivery_tag, multiple, requeue } => {
            Method::Nack(basic::Nack { delivery_tag, multiple, requeue })
        }
        ClientMethod::BasicRecoverAsync { requeue } => Method::RecoverAsync(basic::RecoverAsync { requeue }),
        ClientMethod::BasicRecover { requeue } => Method::Recover(basic::Recover { requeue }),
        ref other => panic!("{other:?} is not of the basic class"),
    }
}
