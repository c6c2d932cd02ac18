//! Every method a client may send, with fields of all kinds, as `amq-protocol` holds and writes them.

use amq_protocol::protocol::{
    AMQPClass, access, basic, channel, confirm, connection, exchange, gen_class, queue, tx,
};
use amq_protocol::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn short() -> impl Strategy<Value = ShortString> {
    prop_oneof![
        4 => "[a-z.]{0,12}".prop_map(|text| ShortString::from(text.as_str())),
        1 => "\\PC{0,60}".prop_map(|text| ShortString::from(text.as_str())),
        1 => Just(ShortString::from("x".repeat(255))),
    ]
}

fn long() -> impl Strategy<Value = LongString> {
    vec(any::<u8>(), 0..40).prop_map(LongString::from)
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        proptest::num::f32::NORMAL.prop_map(AMQPValue::Float),
        proptest::num::f64::NORMAL.prop_map(AMQPValue::Double),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        long().prop_map(AMQPValue::LongString),
        vec(any::<u8>(), 0..20).prop_map(|bytes| AMQPValue::ByteArray(ByteArray::from(bytes))),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| AMQPValue::FieldArray(FieldArray::from(values))),
            btree_map(short(), inner, 0..4).prop_map(|pairs| AMQPValue::FieldTable(FieldTable::from(pairs))),
        ]
    })
}

pub(crate) fn table() -> impl Strategy<Value = FieldTable> {
    btree_map(short(), value(), 0..6).prop_map(FieldTable::from)
}

fn bits() -> impl Strategy<Value = [bool; 5]> {
    any::<[bool; 5]>()
}

pub(crate) fn client_class() -> impl Strategy<Value = AMQPClass> {
    prop_oneof![
        connection_class().prop_map(AMQPClass::Connection),
        channel_class().prop_map(AMQPClass::Channel),
        short().prop_map(|realm| AMQPClass::Access(access::AMQPMethod::Request(access::Request {
            realm,
            exclusive: false,
            passive: false,
            active: false,
            write: false,
            read: false
        }))),
        exchange_class().prop_map(AMQPClass::Exchange),
        queue_class().prop_map(AMQPClass::Queue),
        basic_class().prop_map(AMQPClass::Basic),
        prop_oneof![
            Just(tx::AMQPMethod::Select(tx::Select {})),
            Just(tx::AMQPMethod::Commit(tx::Commit {})),
            Just(tx::AMQPMethod::Rollback(tx::Rollback {})),
        ]
        .prop_map(AMQPClass::Tx),
        any::<bool>()
            .prop_map(|nowait| AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait }))),
    ]
}

fn connection_class() -> impl Strategy<Value = connection::AMQPMethod> {
    use connection::AMQPMethod as Method;
    prop_oneof![
        (table(), short(), long(), short()).prop_map(|(client_properties, mechanism, response, locale)| {
            Method::StartOk(connection::StartOk { client_properties, mechanism, response, locale })
        }),
        long().prop_map(|response| Method::SecureOk(connection::SecureOk { response })),
        any::<(u16, u32, u16)>().prop_map(|(channel_max, frame_max, heartbeat)| {
            Method::TuneOk(connection::TuneOk { channel_max, frame_max, heartbeat })
        }),
        short().prop_map(|virtual_host| Method::Open(connection::Open { virtual_host })),
        (any::<u16>(), short(), any::<u16>(), any::<u16>()).prop_map(
            |(reply_code, reply_text, class_id, method_id)| {
                Method::Close(connection::Close { reply_code, reply_text, class_id, method_id })
            }
        ),
        Just(Method::CloseOk(connection::CloseOk {})),
        (long(), short()).prop_map(|(new_secret, reason)| {
            Method::UpdateSecret(connection::UpdateSecret { new_secret, reason })
        }),
    ]
}

fn channel_class() -> impl Strategy<Value = channel::AMQPMethod> {
    use channel::AMQPMethod as Method;
    prop_oneof![
        Just(Method::Open(channel::Open {})),
        any::<bool>().prop_map(|active| Method::Flow(channel::Flow { active })),
        any::<bool>().prop_map(|active| Method::FlowOk(channel::FlowOk { active })),
        (any::<u16>(), short(), any::<u16>(), any::<u16>()).prop_map(
            |(reply_code, reply_text, class_id, method_id)| {
                Method::Close(channel::Close { reply_code, reply_text, class_id, method_id })
            }
        ),
        Just(Method::CloseOk(channel::CloseOk {})),
    ]
}

fn exchange_class() -> impl Strategy<Value = exchange::AMQPMethod> {
    use exchange::AMQPMethod as Method;
    let ends = || (short(), short(), short(), any::<bool>(), table());
    prop_oneof![
        (short(), short(), bits(), table()).prop_map(
            |(exchange, kind, [passive, durable, auto_delete, internal, nowait], arguments)| {
                Method::Declare(exchange::Declare {
                    exchange,
                    kind,
                    passive,
                    durable,
                    auto_delete,
                    internal,
                    nowait,
                    arguments,
                })
            }
        ),
        (short(), bits()).prop_map(|(exchange, [if_unused, nowait, ..])| {
            Method::Delete(exchange::Delete { exchange, if_unused, nowait })
        }),
        ends().prop_map(|(destination, source, routing_key, nowait, arguments)| {
            Method::Bind(exchange::Bind { destination, source, routing_key, nowait, arguments })
        }),
        ends().prop_map(|(destination, source, routing_key, nowait, arguments)| {
            Method::Unbind(exchange::Unbind { destination, source, routing_key, nowait, arguments })
        }),
    ]
}

fn queue_class() -> impl Strategy<Value = queue::AMQPMethod> {
    use queue::AMQPMethod as Method;
    prop_oneof![
        (short(), bits(), table()).prop_map(
            |(queue, [passive, durable, exclusive, auto_delete, nowait], arguments)| {
                Method::Declare(queue::Declare {
                    queue,
                    passive,
                    durable,
                    exclusive,
                    auto_delete,
                    nowait,
                    arguments,
                })
            }
        ),
        (short(), short(), short(), any::<bool>(), table()).prop_map(
            |(queue, exchange, routing_key, nowait, arguments)| {
                Method::Bind(queue::Bind { queue, exchange, routing_key, nowait, arguments })
            }
        ),
        (short(), short(), short(), table()).prop_map(|(queue, exchange, routing_key, arguments)| {
            Method::Unbind(queue::Unbind { queue, exchange, routing_key, arguments })
        }),
        (short(), any::<bool>()).prop_map(|(queue, nowait)| Method::Purge(queue::Purge { queue, nowait })),
        (short(), bits()).prop_map(|(queue, [if_unused, if_empty, nowait, ..])| {
            Method::Delete(queue::Delete { queue, if_unused, if_empty, nowait })
        }),
    ]
}

fn basic_class() -> impl Strategy<Value = basic::AMQPMethod> {
    use basic::AMQPMethod as Method;
    prop_oneof![
        any::<(u16, bool)>()
            .prop_map(|(prefetch_count, global)| Method::Qos(basic::Qos { prefetch_count, global })),
        (short(), short(), bits(), table()).prop_map(
            |(queue, consumer_tag, [no_local, no_ack, exclusive, nowait, _], arguments)| {
                Method::Consume(basic::Consume {
                    queue,
                    consumer_tag,
                    no_local,
                    no_ack,
                    exclusive,
                    nowait,
                    arguments,
                })
            }
        ),
        (short(), any::<bool>())
            .prop_map(|(consumer_tag, nowait)| Method::Cancel(basic::Cancel { consumer_tag, nowait })),
        short().prop_map(|consumer_tag| Method::CancelOk(basic::CancelOk { consumer_tag })),
        (short(), short(), bits()).prop_map(|(exchange, routing_key, [mandatory, immediate, ..])| {
            Method::Publish(basic::Publish { exchange, routing_key, mandatory, immediate })
        }),
        (short(), any::<bool>()).prop_map(|(queue, no_ack)| Method::Get(basic::Get { queue, no_ack })),
        any::<(u64, bool)>()
            .prop_map(|(delivery_tag, multiple)| Method::Ack(basic::Ack { delivery_tag, multiple })),
        any::<(u64, bool)>()
            .prop_map(|(delivery_tag, requeue)| Method::Reject(basic::Reject { delivery_tag, requeue })),
        any::<(u64, bool, bool)>().prop_map(|(delivery_tag, multiple, requeue)| {
            Method::Nack(basic::Nack { delivery_tag, multiple, requeue })
        }),
        any::<bool>().prop_map(|requeue| Method::RecoverAsync(basic::RecoverAsync { requeue })),
        any::<bool>().prop_map(|requeue| Method::Recover(basic::Recover { requeue })),
    ]
}

pub(crate) fn generated(class: &AMQPClass) -> Vec<u8> {
    gen_class(class)(Vec::new().into()).expect("a vector takes everything").write
}
