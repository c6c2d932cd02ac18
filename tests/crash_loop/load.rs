//! The load: publishers that wait for confirms, consumers that acknowledge, transactions that publish to two queues and
//! that move messages from one to another. Each task tells the model what it is about to do and what was answered, and
//! ends when its connection breaks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, Error, Event, ExchangeKind,
    PublisherConfirm, Result,
};

use super::model::{Found, Model};

/// The queues, all durable.
pub(crate) mod queues {
    /// Through the default exchange.
    pub(crate) const DIRECT: &str = "crash.direct";
    /// Both through one fanout exchange.
    pub(crate) const FANOUT: [&str; 2] = ["crash.fanout-1", "crash.fanout-2"];
    /// Both filled by one transaction.
    pub(crate) const TX_LEFT: &str = "crash.tx-left";
    pub(crate) const TX_RIGHT: &str = "crash.tx-right";
    /// Filled from `TX_LEFT`, by transactions that acknowledge there and publish here.
    pub(crate) const TX_MOVED: &str = "crash.tx-moved";
    pub(crate) const ALL: [&str; 6] = [DIRECT, FANOUT[0], FANOUT[1], TX_LEFT, TX_RIGHT, TX_MOVED];
}

const EXCHANGE: &str = "crash.fanout";
const PERSISTENT: u8 = 2;
/// Messages a transaction publishes to each of its two queues.
pub(crate) const TRANSACTION_LEN: u64 = 3;
/// Unconfirmed messages of a publisher, and unacknowledged ones of a consumer.
const WINDOW: u16 = 200;
/// Acks between two answered requests of a consumer.
const ACKS: usize = 37;

/// The model, shared by the tasks.
pub(crate) type Shared = Arc<Mutex<Model>>;

/// The model, whatever became of a task that had it.
pub(crate) fn lock(model: &Shared) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Declares all that the load uses.
pub(crate) async fn declare(channel: &Channel) -> Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Fanout, durable, FieldTable::default()).await?;
    for queue in queues::ALL {
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
    }
    for queue in queues::FANOUT {
        let options = QueueBindOptions::default();
        channel.queue_bind(queue.into(), EXCHANGE.into(), "".into(), options, FieldTable::default()).await?;
    }
    Ok(())
}

/// Runs everything until the broker dies. Numbers start at `first`, which must be above all of earlier runs.
pub(crate) async fn run(url: &str, model: &Shared, first: u64) {
    let results = tokio::join!(
        publish(url, model, "", queues::DIRECT, &[queues::DIRECT], first),
        publish(url, model, EXCHANGE, "", &queues::FANOUT, first),
        consume(url, model, queues::DIRECT),
        consume(url, model, queues::FANOUT[0]),
        publish_transactions(url, model, first.next_multiple_of(TRANSACTION_LEN)),
        move_messages(url, model),
    );
    // They run until the connection breaks; a channel that the broker closed is our mistake or its.
    let errors: [Error; 6] = results.into();
    for error in errors {
        if let lapin::ErrorKind::ProtocolError(error) = error.kind() {
            lock(model).violations.push(format!("the broker refused: {error}"));
        }
    }
}

/// A channel, and the connection that lives as long as it is kept.
pub(crate) async fn open(url: &str) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// The number of a message and its flag, if the body is what was published under that number.
pub(crate) fn read(delivery: &Delivery) -> std::result::Result<Found, String> {
    let number = delivery.data.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    match number {
        Some(number) if delivery.data == body(number) => {
            Ok(Found { number, redelivered: delivery.redelivered })
        }
        Some(_) | None => Err(format!("a body of {} bytes was damaged", delivery.data.len())),
    }
}

/// The number, then bytes that depend on it; now and then more than a frame.
fn body(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(251) { 200_000 } else { number * 37 % 2000 };
    let filling = (0..len).map(|index| (number + index) as u8);
    number.to_be_bytes().into_iter().chain(filling).collect()
}

/// Bounds what a consumer of the channel holds. Once the broker answers it knows all acks that were sent before.
pub(crate) async fn answered_request(channel: &Channel) -> Result<()> {
    channel.basic_qos(WINDOW, BasicQosOptions::default()).await
}

/// Works on a new connection until that breaks; yields what broke it.
async fn until_error(url: &str, work: impl AsyncFnOnce(Channel) -> Result<()>) -> Error {
    let (connection, channel) = match open(url).await {
        Ok(opened) => opened,
        Err(error) => return error,
    };
    let mut events = connection.events_listener();
    // The work alone would not always notice: what lapin was about to send in that moment is never answered.
    let broken = async {
        while let Some(event) = events.next().await {
            if let Event::Error(error) = event {
                return error;
            }
        }
        gone()
    };
    tokio::select! {
        Err(error) = work(channel) => error,
        error = broken => error,
    }
}

fn gone() -> Error {
    lapin::ErrorKind::InvalidChannelState(lapin::ChannelState::Closed, "it ended by itself").into()
}

async fn publish(
    url: &str,
    model: &Shared,
    exchange: &str,
    key: &str,
    queues: &[&'static str],
    first: u64,
) -> Error {
    let mut waiting: VecDeque<(u64, PublisherConfirm)> = VecDeque::new();
    let error = until_error(url, async |channel| {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        for number in first.. {
            for queue in queues {
                lock(model).sent(queue, number);
            }
            waiting.push_back((number, send(&channel, exchange, key, number).await?));
            if waiting.len() >= usize::from(WINDOW)
                && let Some((number, confirm)) = waiting.pop_front()
            {
                confirmed(model, queues, number, confirm).await?;
            }
        }
        Ok(())
    })
    .await;
    // Some confirms may have come that nobody looked at yet.
    for (number, confirm) in waiting {
        let _unknown = confirmed(model, queues, number, confirm).await;
    }
    error
}

async fn confirmed(
    model: &Shared,
    queues: &[&'static str],
    number: u64,
    confirm: PublisherConfirm,
) -> Result<()> {
    if confirm.await?.is_ack() {
        for queue in queues {
            lock(model).confirmed(queue, number);
        }
    }
    Ok(())
}

async fn send(channel: &Channel, exchange: &str, key: &str, number: u64) -> Result<PublisherConfirm> {
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.into(), options, &body(number), properties).await
}

/// A consumer without bound, unless the channel has a prefetch.
pub(crate) async fn consumer(channel: &Channel, queue: &str) -> Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await
}

/// Tells the model of a delivery; yields its number.
fn note(model: &Shared, queue: &'static str, delivery: &Delivery) -> Option<u64> {
    match read(delivery) {
        Ok(found) => {
            lock(model).delivered(queue, found);
            Some(found.number)
        }
        Err(complaint) => {
            lock(model).violations.push(format!("{queue}: {complaint}"));
            None
        }
    }
}

async fn consume(url: &str, model: &Shared, queue: &'static str) -> Error {
    until_error(url, async |channel| {
        answered_request(&channel).await?;
        let mut deliveries = consumer(&channel, queue).await?;
        let mut acked = Vec::new();
        while let Some(delivery) = deliveries.next().await {
            let delivery = delivery?;
            let Some(number) = note(model, queue, &delivery) else { continue };
            lock(model).ack_sent(queue, number);
            delivery.ack(BasicAckOptions::default()).await?;
            acked.push(number);
            if acked.len() == ACKS {
                answered_request(&channel).await?;
                for number in acked.drain(..) {
                    lock(model).ack_kept(queue, number);
                }
            }
        }
        Err(gone())
    })
    .await
}

async fn publish_transactions(url: &str, model: &Shared, first: u64) -> Error {
    let both = [queues::TX_LEFT, queues::TX_RIGHT];
    until_error(url, async |channel| {
        channel.tx_select().await?;
        for start in (first..).step_by(TRANSACTION_LEN as usize) {
            for number in start..start + TRANSACTION_LEN {
                for queue in both {
                    lock(model).sent(queue, number);
                    send(&channel, "", queue, number).await?;
                }
            }
            channel.tx_commit().await?;
            for number in start..start + TRANSACTION_LEN {
                for queue in both {
                    lock(model).confirmed(queue, number);
                }
            }
        }
        Ok(())
    })
    .await
}

async fn move_messages(url: &str, model: &Shared) -> Error {
    until_error(url, async |channel| {
        channel.tx_select().await?;
        answered_request(&channel).await?;
        let mut deliveries = consumer(&channel, queues::TX_LEFT).await?;
        while let Some(delivery) = deliveries.next().await {
            let delivery = delivery?;
            let Some(number) = note(model, queues::TX_LEFT, &delivery) else { continue };
            lock(model).sent(queues::TX_MOVED, number);
            send(&channel, "", queues::TX_MOVED, number).await?;
            lock(model).ack_sent(queues::TX_LEFT, number);
            delivery.ack(BasicAckOptions::default()).await?;
            channel.tx_commit().await?;
            lock(model).ack_kept(queues::TX_LEFT, number);
            lock(model).confirmed(queues::TX_MOVED, number);
        }
        Err(gone())
    })
    .await
}
