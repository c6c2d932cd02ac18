//! Reading what a client sends. By hand throughout: a general parser would copy each string and turn argument tables
//! into maps that lose order and type letters. Checks shape only, and every table to its last pair; nothing is copied
//! but tables that hold something. Knows which numbers are a client's to send, not when.
//! Source: AMQP 0-9-1 §1.3-1.8; answers to what cannot be read: RabbitMQ's `rabbit_framing`, `rabbit_reader`.

use super::client_method::{ClientMethod, Secret};
use super::frame::{METHOD, Octets, unknown_frame};
use super::method_id::MethodId;
use super::reply::{ConnectionCode, ConnectionError};
use super::table::Table;
use super::wire::{Reader, WireError};

impl<'a> ClientMethod<'a> {
    /// Reads the payload of a method frame. Methods only a server sends, and numbers nobody knows, are refused; see
    /// [`MethodId::of`] for what to name in the reply.
    pub fn decode(payload: &'a [u8]) -> Result<Self, ConnectionError> {
        let mut reader = Reader::new(payload);
        let (Ok(class), Ok(number)) = (reader.short(), reader.short()) else {
            return Err(unknown_frame(METHOD, payload));
        };
        // Passwords stay out of reply texts, which are logged.
        let shown = if class == 10 { &[] } else { reader.rest() };
        let read = match class {
            60 => basic(number, &mut reader),
            10 => connection(number, &mut reader),
            20 => channel(number, &mut reader),
            30 => access(number, &mut reader),
            40 => exchange(number, &mut reader),
            50 => queue(number, &mut reader),
            85 => confirm(number, &mut reader),
            90 => Ok(transaction(number)),
            _ => Ok(None),
        };
        match read {
            Ok(Some(method)) if reader.rest().is_empty() => Ok(method),
            Ok(Some(_)) => Err(cannot_decode(WireError::Trailing, shown)),
            Ok(None) => Err(ConnectionError::new(ConnectionCode::CommandInvalid, "unimplemented method")),
            Err(error) => Err(cannot_decode(error, shown)),
        }
    }
}

/// A method, or `None` for a number that is not a client's to send.
type Read<'a> = Result<Option<ClientMethod<'a>>, WireError>;

fn basic<'a>(number: u16, fields: &mut Reader<'a>) -> Read<'a> {
    Ok(Some(match number {
        40 => {
            fields.short()?;
            let exchange = fields.short_string()?;
            let routing_key = fields.short_string()?;
            let bits = fields.octet()?;
            ClientMethod::BasicPublish {
                exchange,
                routing_key,
                mandatory: Reader::bit(bits, 0),
                immediate: Reader::bit(bits, 1),
            }
        }
        80 => ClientMethod::BasicAck {
            delivery_tag: fields.long_long()?,
            multiple: Reader::bit(fields.octet()?, 0),
        },
        90 => ClientMethod::BasicReject {
            delivery_tag: fields.long_long()?,
            requeue: Reader::bit(fields.octet()?, 0),
        },
        120 => {
            let delivery_tag = fields.long_long()?;
            let bits = fields.octet()?;
            ClientMethod::BasicNack {
                delivery_tag,
                multiple: Reader::bit(bits, 0),
                requeue: Reader::bit(bits, 1),
            }
        }
        70 => {
            fields.short()?;
            ClientMethod::BasicGet { queue: fields.short_string()?, no_ack: Reader::bit(fields.octet()?, 0) }
        }
        10 => ClientMethod::BasicQos {
            prefetch_size: fields.long()?,
            prefetch_count: fields.short()?,
            global: Reader::bit(fields.octet()?, 0),
        },
        20 => consume(fields)?,
        30 => ClientMethod::BasicCancel {
            consumer_tag: fields.short_string()?,
            nowait: Reader::bit(fields.octet()?, 0),
        },
        31 => ClientMethod::BasicCancelOk { consumer_tag: fields.short_string()? },
        100 => ClientMethod::BasicRecoverAsync { requeue: Reader::bit(fields.octet()?, 0) },
        110 => ClientMethod::BasicRecover { requeue: Reader::bit(fields.octet()?, 0) },
        _ => return Ok(None),
    }))
}

fn consume<'a>(fields: &mut Reader<'a>) -> Result<ClientMethod<'a>, WireError> {
    fields.short()?;
    let queue = fields.short_string()?;
    let consumer_tag = fields.short_string()?;
    let bits = fields.octet()?;
    Ok(ClientMethod::BasicConsume {
        queue,
        consumer_tag,
        no_local: Reader::bit(bits, 0),
        no_ack: Reader::bit(bits, 1),
        exclusive: Reader::bit(bits, 2),
        nowait: Reader::bit(bits, 3),
        arguments: table(fields)?,
    })
}

fn connection<'a>(number: u16, fields: &mut Reader<'a>) -> Read<'a> {
    Ok(Some(match number {
        11 => ClientMethod::ConnectionStartOk {
            client_properties: table(fields)?,
            mechanism: fields.short_string()?,
            response: Secret(fields.long_string()?),
            locale: fields.short_string()?,
        },
        21 => ClientMethod::ConnectionSecureOk { response: Secret(fields.long_string()?) },
        31 => ClientMethod::ConnectionTuneOk {
            channel_max: fields.short()?,
            frame_bytes_max: fields.long()?,
            heartbeat_s: fields.short()?,
        },
        40 => {
            let vhost = fields.short_string()?;
            // Capabilities and insist, which nobody reads since AMQP 0-9-1.
            fields.short_string()?;
            fields.octet()?;
            ClientMethod::ConnectionOpen { vhost }
        }
        50 => {
            let (reply_code, reply_text, cause) = close(fields)?;
            ClientMethod::ConnectionClose { reply_code, reply_text, cause }
        }
        51 => ClientMethod::ConnectionCloseOk,
        70 => ClientMethod::ConnectionUpdateSecret {
            new_secret: Secret(fields.long_string()?),
            reason: fields.short_string()?,
        },
        _ => return Ok(None),
    }))
}

fn channel<'a>(number: u16, fields: &mut Reader<'a>) -> Read<'a> {
    Ok(Some(match number {
        10 => {
            fields.short_string()?;
            ClientMethod::ChannelOpen
        }
        20 => ClientMethod::ChannelFlow { active: Reader::bit(fields.octet()?, 0) },
        21 => ClientMethod::ChannelFlowOk { active: Reader::bit(fields.octet()?, 0) },
        40 => {
            let (reply_code, reply_text, cause) = close(fields)?;
            ClientMethod::ChannelClose { reply_code, reply_text, cause }
        }
        41 => ClientMethod::ChannelCloseOk,
        _ => return Ok(None),
    }))
}

fn access<'a>(number: u16, fields: &mut Reader<'a>) -> Read<'a> {
    if number != 10 {
        return Ok(None);
    }
    let realm = fields.short_string()?;
    fields.octet()?;
    Ok(Some(ClientMethod::AccessRequest { realm }))
}

fn exchange<'a>(number: u16, fields: &mut Reader<'a>) -> Read<'a> {
    if !matches!(number, 10 | 20 | 30 | 40) {
        return Ok(None);
    }
    fields.short()?;
    Ok(Some(match number {
        10 => {
            let exchange = fields.short_string()?;
            let kind = fields.short_string()?;
            let bits = fields.octet()?;
            ClientMethod::ExchangeDeclare {
                exchange,
                kind,
                passive: Reader::bit(bits, 0),
                durable: Reader::bit(bits, 1),
                auto_delete: Reader::bit(bits, 2),
                internal: Reader::bit(bits, 3),
                nowait: Reader::bit(bits, 4),
                arguments: table(fields)?,
            }
        }
        20 => {
            let exchange = fields.short_string()?;
            let bits = fields.octet()?;
            ClientMethod::ExchangeDelete {
                exchange,
                if_unused: Reader::bit(bits, 0),
                nowait: Reader::bit(bits, 1),
            }
        }
        _ => {
            let destination = fields.short_string()?;
            let source = fields.short_string()?;
            let routing_key = fields.short_string()?;
            let nowait = Reader::bit(fields.octet()?, 0);
            let arguments = table(fields)?;
            if number == 30 {
                ClientMethod::ExchangeBind { destination, source, routing_key, nowait, arguments }
            } else {
                ClientMethod::ExchangeUnbind { destination, source, routing_key, nowait, arguments }
            }
        }
    }))
}

fn queue<'a>(number: u16, fields: &mut Reader<'a>) -> Read<'a> {
    if !matches!(number, 10 | 20 | 30 | 40 | 50) {
        return Ok(None);
    }
    fields.short()?;
    let queue = fields.short_string()?;
    Ok(Some(match number {
        10 => {
            let bits = fields.octet()?;
            ClientMethod::QueueDeclare {
                queue,
                passive: Reader::bit(bits, 0),
                durable: Reader::bit(bits, 1),
                exclusive: Reader::bit(bits, 2),
                auto_delete: Reader::bit(bits, 3),
                nowait: Reader::bit(bits, 4),
                arguments: table(fields)?,
            }
        }
        20 => ClientMethod::QueueBind {
            queue,
            exchange: fields.short_string()?,
            routing_key: fields.short_string()?,
            nowait: Reader::bit(fields.octet()?, 0),
            arguments: table(fields)?,
        },
        30 => ClientMethod::QueuePurge { queue, nowait: Reader::bit(fields.octet()?, 0) },
        40 => {
            let bits = fields.octet()?;
            ClientMethod::QueueDelete {
                queue,
                if_unused: Reader::bit(bits, 0),
                if_empty: Reader::bit(bits, 1),
                nowait: Reader::bit(bits, 2),
            }
        }
        _ => ClientMethod::QueueUnbind {
            queue,
            exchange: fields.short_string()?,
            routing_key: fields.short_string()?,
            arguments: table(fields)?,
        },
    }))
}

fn confirm<'a>(number: u16, fields: &mut Reader<'a>) -> Read<'a> {
    if number != 10 {
        return Ok(None);
    }
    Ok(Some(ClientMethod::ConfirmSelect { nowait: Reader::bit(fields.octet()?, 0) }))
}

fn transaction<'a>(number: u16) -> Option<ClientMethod<'a>> {
    match number {
        10 => Some(ClientMethod::TxSelect),
        20 => Some(ClientMethod::TxCommit),
        30 => Some(ClientMethod::TxRollback),
        _ => None,
    }
}

fn close<'a>(fields: &mut Reader<'a>) -> Result<(u16, &'a str, MethodId), WireError> {
    let reply_code = fields.short()?;
    let reply_text = fields.short_string()?;
    Ok((reply_code, reply_text, MethodId::new(fields.short()?, fields.short()?)))
}

fn table(fields: &mut Reader<'_>) -> Result<Table, WireError> {
    fields.table().map(Table::trusted)
}

/// RabbitMQ answers 501 and shows the fields; where it drops the connection without a word (tables it cannot read),
/// 502 says why.
fn cannot_decode(error: WireError, fields: &[u8]) -> ConnectionError {
    match error {
        WireError::Truncated | WireError::Trailing => {
            let shown = Octets::numbers(fields);
            ConnectionError::new(ConnectionCode::FrameError, format!("cannot decode {shown}"))
        }
        WireError::Utf8 => ConnectionError::new(ConnectionCode::FrameError, error.to_string()),
        WireError::FieldType(_) | WireError::Depth | WireError::Pairs | WireError::PropertyFlags => {
            ConnectionError::new(ConnectionCode::SyntaxError, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::value::Value;

    fn refused(payload: &[u8], expected: &str) {
        let error = ClientMethod::decode(payload).expect_err("refused");
        assert_eq!(error.to_string(), expected, "{payload:?}");
    }

    #[test]
    fn reads_a_publish() {
        let payload = b"\0\x3c\0\x28\0\0\x06orders\x03new\x01";
        let method = ClientMethod::decode(payload).unwrap();
        assert_eq!(
            method,
            ClientMethod::BasicPublish {
                exchange: "orders",
                routing_key: "new",
                mandatory: true,
                immediate: false
            }
        );
        assert_eq!(Some(method.id()), MethodId::of(payload));
    }

    #[test]
    fn reads_a_declare_with_arguments() {
        let payload = b"\0\x32\0\x0a\0\0\x01q\x12\0\0\0\x13\x0dx-message-ttlI\0\0\x03\xe8";
        let ClientMethod::QueueDeclare { queue, durable, nowait, passive, arguments, .. } =
            ClientMethod::decode(payload).unwrap()
        else {
            panic!("a queue.declare");
        };
        assert_eq!((queue, durable, nowait, passive), ("q", true, true, false));
        assert_eq!(arguments.get("x-message-ttl"), Some(Value::I32(1000)));
    }

    #[test]
    fn refuses_as_rabbitmq_does() {
        refused(b"\0", "501 FRAME_ERROR - type 1, all octets = <<0>>: unknown_frame");
        refused(b"\0\x3c\0\x50\0\0\0\0\0", "501 FRAME_ERROR - cannot decode <<0,0,0,0,0>>");
        let trailing = b"\0\x3c\0\x50\0\0\0\0\0\0\0\x01\0\x09";
        refused(trailing, "501 FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,1,0,9>>");
        refused(b"\0\x32\0\x1e\0\0\x01\xff\0", "501 FRAME_ERROR - Malformed UTF-8 in shortstr");
        refused(b"\0\x3c\0\x3c", "503 COMMAND_INVALID - unimplemented method");
        refused(b"\0\x3d\0\x0a", "503 COMMAND_INVALID - unimplemented method");
        let bad_letter = b"\0\x32\0\x0a\0\0\x01q\0\0\0\0\x03\x01aZ";
        refused(bad_letter, "502 SYNTAX_ERROR - unknown field type 'Z'");
    }

    #[test]
    fn debug_hides_what_logs_in() {
        let payload = b"\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0f\0guest\0hunter22\x05en_US";
        let shown = format!("{:?}", ClientMethod::decode(payload).unwrap());
        assert!(shown.contains("PLAIN") && !shown.contains("104, 117"), "{shown}");
        refused(&payload[..payload.len() - 1], "501 FRAME_ERROR - cannot decode <<>>");
    }

    #[test]
    fn no_length_makes_it_panic() {
        for class in [10_u16, 20, 30, 40, 50, 60, 85, 90, 0, 65_535] {
            for number in 0..=130_u16 {
                for length in 0..32 {
                    for filler in [0, 1, 0xFF] {
                        let mut payload = [class.to_be_bytes(), number.to_be_bytes()].concat();
                        payload.resize(4 + length, filler);
                        let _ = ClientMethod::decode(&payload);
                    }
                }
            }
        }
    }
}
