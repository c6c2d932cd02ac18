//! Orders become payments, and payments become entries of a ledger. Three services run side by side, each with its own
//! connection; when the broker dies under them they connect again and go on. However often that happens, the ledger
//! ends with exactly the orders' total:
//!
//! - the shop sends an order again, under the same message id, until the broker confirms it;
//! - the till consumes an order and publishes its payment in one transaction: both happen or neither;
//! - the ledger acknowledges a payment once it is entered, and enters each message id once.
//!
//! `cargo run --example payments -- [ORDERS]`, with the broker's address in `AMQP_URL`.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, Event};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type OrderId = u64;
type Cents = u64;

/// Orders on their way to the broker, and messages on their way to a service.
const WINDOW: u16 = 100;
const PERSISTENT: u8 = 2;

#[tokio::main]
async fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(2000), |count| count.parse())?;
    let orders: BTreeMap<OrderId, Cents> = (1..=count).map(|id| (id, id * 7919 % 100_000 + 1)).collect();

    let mut shop = Shop { unconfirmed: orders.clone(), sent_again: 0 };
    let mut ledger = Ledger { expected: orders.len(), entries: HashMap::new(), repeated: 0 };
    let selling = async {
        while let Err(error) = shop.run().await {
            shop.sent_again += shop.unconfirmed.len().min(usize::from(WINDOW));
            pause_after("shop", &*error).await;
        }
    };
    let entering = async {
        while let Err(error) = ledger.run().await {
            pause_after("ledger", &*error).await;
        }
    };
    let charging = async {
        while let Err(error) = run_till().await {
            pause_after("till", &*error).await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(selling, entering) } => {}
        () = charging => {}
    }

    println!("ordered {} orders, {} cents", orders.len(), orders.values().sum::<Cents>());
    println!("entered {} orders, {} cents", ledger.entries.len(), ledger.entries.values().sum::<Cents>());
    println!("{} orders sent again, {} payments repeated", shop.sent_again, ledger.repeated);
    let exact = orders.iter().all(|(id, cents)| ledger.entries.get(id) == Some(cents));
    if !exact || ledger.entries.len() != orders.len() || ledger.repeated > shop.sent_again {
        return Err("the totals differ".into());
    }
    Ok(())
}

/// Takes orders and sends them to the queue `orders`.
struct Shop {
    unconfirmed: BTreeMap<OrderId, Cents>,
    sent_again: usize,
}

impl Shop {
    /// Sends all that is not confirmed yet, `WINDOW` orders at a time.
    async fn run(&mut self) -> Result<()> {
        connected(async |channel| {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            while !self.unconfirmed.is_empty() {
                let mut confirms = Vec::new();
                for (&id, &cents) in self.unconfirmed.iter().take(usize::from(WINDOW)) {
                    confirms.push((id, publish(&channel, "orders", id, cents).await?));
                }
                for (id, confirm) in confirms {
                    if confirm.await?.is_ack() {
                        self.unconfirmed.remove(&id);
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

/// Takes each order's money. Order and payment change places in one transaction, so a till that dies between them, or a
/// broker, neither loses an order nor charges it twice.
async fn run_till() -> Result<()> {
    connected(async |channel| {
        channel.tx_select().await?;
        let mut orders = consume(&channel, "orders").await?;
        while let Some(order) = orders.next().await {
            let order = order?;
            let (id, cents) = parse(&order)?;
            publish(&channel, "payments", id, cents).await?;
            order.ack(BasicAckOptions::default()).await?;
            channel.tx_commit().await?;
        }
        Err("the broker ended the till's consumer".into())
    })
    .await
}

/// Knows what was paid. A real one keeps its entries in a database, with the order's id as their key.
struct Ledger {
    expected: usize,
    entries: HashMap<OrderId, Cents>,
    /// Payments that came twice although they were not redelivered: there were two of them.
    repeated: usize,
}

impl Ledger {
    /// Enters payments until every order is paid.
    async fn run(&mut self) -> Result<()> {
        connected(async |channel| {
            let mut payments = consume(&channel, "payments").await?;
            while self.entries.len() < self.expected {
                let payment = payments.next().await.ok_or("the broker ended the ledger's consumer")??;
                self.enter(&payment)?;
                payment.ack(BasicAckOptions::default()).await?;
            }
            Ok(())
        })
        .await
    }

    fn enter(&mut self, payment: &Delivery) -> Result<()> {
        let (id, cents) = parse(payment)?;
        match self.entries.insert(id, cents) {
            None if self.entries.len().is_multiple_of(100) => println!("entered {}", self.entries.len()),
            Some(before) if before != cents => return Err(format!("order {id} changed its price").into()),
            Some(_) if !payment.redelivered => self.repeated += 1,
            None | Some(_) => {}
        }
        Ok(())
    }
}

/// Does a service's work on a channel of a new connection, until it is done or the connection breaks. Its work alone
/// would not always notice: what lapin was about to send in that moment is never answered.
async fn connected(work: impl AsyncFnOnce(Channel) -> Result<()>) -> Result<()> {
    let url = std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://127.0.0.1:5672/%2f".to_owned());
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let mut events = connection.events_listener();
    let broken = async {
        while let Some(event) = events.next().await {
            if let Event::Error(error) = event {
                return Err(error.into());
            }
        }
        Err("the connection is gone".into())
    };
    let working = async {
        let channel = connection.create_channel().await?;
        for queue in ["orders", "payments"] {
            channel
                .queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default())
                .await?;
        }
        work(channel).await
    };
    tokio::select! {
        done = working => done,
        broken = broken => broken,
    }
}

async fn consume(channel: &Channel, queue: &str) -> Result<Consumer> {
    channel.basic_qos(WINDOW, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    Ok(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?)
}

async fn publish(
    channel: &Channel,
    queue: &str,
    id: OrderId,
    cents: Cents,
) -> Result<lapin::PublisherConfirm> {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.to_string().as_str().into());
    let body = cents.to_string();
    let options = BasicPublishOptions::default();
    Ok(channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await?)
}

fn parse(delivery: &Delivery) -> Result<(OrderId, Cents)> {
    let id = delivery.properties.message_id().as_ref().ok_or("a message without its id")?;
    Ok((id.as_str().parse()?, std::str::from_utf8(&delivery.data)?.parse()?))
}

async fn pause_after(service: &str, error: &(dyn Error + Send + Sync)) {
    println!("{service} connects again: {error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
}
