//! The workloads: who publishes and consumes what, and what is counted. Each message carries its publisher, its number and the time
//! it was sent, so a lost, doubled or reordered one is seen, whatever the speed.

use crate::client::{Client, Event, push_publish};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// One thing to measure.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) body_bytes: usize,
    pub(crate) messages: u64,
    /// `delivery_mode` 2, confirms and consumer acks; else transient, none of them.
    pub(crate) persistent: bool,
    /// Unconfirmed publishes allowed per publisher.
    pub(crate) window: u64,
    /// Publishers, each with a queue and a consumer of its own.
    pub(crate) pairs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Publish and consume at once.
    Through,
    /// One publisher, a fanout exchange, this many queues.
    Fanout(u64),
    /// Publish only.
    Fill,
    /// Consume only what a fill left.
    Drain,
    /// Publish and consume at a fixed rate, messages a second, and keep the latencies.
    Rate(u64),
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Messages a second: delivered ones where there are consumers, else confirmed ones.
    pub(crate) rate: f64,
    /// Publish to confirm and publish to delivery, µs, sorted. Only kept by [`Kind::Rate`] and window 1.
    pub(crate) confirm_us: Vec<u64>,
    pub(crate) deliver_us: Vec<u64>,
    /// Lost, doubled or reordered messages.
    pub(crate) wrong: u64,
}

const PREFETCH: u16 = 2000;
const ACK_EVERY: u64 = 200;
const STAMP_BYTES: usize = 16;

/// Runs a workload against a broker. Queues are made and removed, but for a fill's, which its drain removes.
pub(crate) fn run(address: SocketAddr, load: &Workload) -> io::Result<Outcome> {
    let mut setup = Client::connect(address)?;
    let queues = queue_names(load);
    if load.kind != Kind::Drain {
        for queue in &queues {
            setup.delete_queue(queue)?;
            setup.declare_queue(queue)?;
        }
    }
    let exchange = if matches!(load.kind, Kind::Fanout(_)) {
        setup.declare_fanout("bench-fanout", &queues)?;
        "bench-fanout"
    } else {
        ""
    };
    let epoch = Instant::now();
    let consumers = start_consumers(address, load, &queues, epoch)?;
    let begin = Instant::now();
    let publishers = start_publishers(address, load, exchange, &queues, epoch);
    let mut outcome = Outcome::default();
    for publisher in publishers {
        outcome.confirm_us.extend(join(publisher)?);
    }
    let published = begin.elapsed();
    let mut delivered = 0;
    for consumer in consumers {
        let seen = join(consumer)?;
        delivered += seen.count;
        outcome.wrong += seen.wrong;
        outcome.deliver_us.extend(seen.latencies_us);
    }
    let (count, elapsed) =
        if delivered > 0 { (delivered, begin.elapsed()) } else { (load.messages * load.pairs, published) };
    outcome.rate = count as f64 / elapsed.as_secs_f64();
    outcome.confirm_us.sort_unstable();
    outcome.deliver_us.sort_unstable();
    if load.kind != Kind::Fill {
        for queue in &queues {
            setup.delete_queue(queue)?;
        }
    }
    Ok(outcome)
}

fn queue_names(load: &Workload) -> Vec<String> {
    let count = match load.kind {
        Kind::Fanout(queues) => queues,
        Kind::Through | Kind::Fill | Kind::Drain | Kind::Rate(_) => load.pairs,
    };
    (0..count).map(|number| format!("bench-{number}")).collect()
}

fn join<T>(handle: thread::JoinHandle<io::Result<T>>) -> io::Result<T> {
    handle.join().map_err(|_| io::Error::other("a load thread panicked"))?
}

/// Counts unconfirmed publishes; the writer waits on it, the confirm reader frees it.
struct Window {
    open: Mutex<u64>,
    changed: Condvar,
}

impl Window {
    fn take(&self, wanted: u64, limit: u64) -> u64 {
        let Ok(mut open) = self.open.lock() else { return 0 };
        while *open >= limit {
            let Ok(woken) = self.changed.wait(open) else { return 0 };
            open = woken;
        }
        let taken = wanted.min(limit - *open);
        *open += taken;
        taken
    }

    fn free(&self, count: u64) {
        if let Ok(mut open) = self.open.lock() {
            *open -= count;
        }
        self.changed.notify_one();
    }
}

fn start_publishers(
    address: SocketAddr,
    load: &Workload,
    exchange: &'static str,
    queues: &[String],
    epoch: Instant,
) -> Vec<thread::JoinHandle<io::Result<Vec<u64>>>> {
    if load.kind == Kind::Drain {
        return Vec::new();
    }
    let pairs = if matches!(load.kind, Kind::Fanout(_)) { 1 } else { load.pairs };
    (0..pairs)
        .zip(queues)
        .map(|(_, queue)| {
            let (load, queue) = (load.clone(), queue.clone());
            let key = if exchange.is_empty() { queue } else { String::new() };
            thread::spawn(move || publish(address, &load, exchange, &key, epoch))
        })
        .collect()
}

/// Publishes everything and waits for all confirms. Returns confirm latencies in µs where they are kept.
fn publish(
    address: SocketAddr,
    load: &Workload,
    exchange: &str,
    key: &str,
    epoch: Instant,
) -> io::Result<Vec<u64>> {
    let mut client = Client::connect(address)?;
    let mut writer = client.writer()?;
    let window = Arc::new(Window { open: Mutex::new(0), changed: Condvar::new() });
    let keep = load.window == 1 || matches!(load.kind, Kind::Rate(_));
    let sent_at: Arc<Vec<AtomicU64>> =
        Arc::new((0..if keep { load.messages } else { 0 }).map(|_| AtomicU64::new(0)).collect());
    if load.persistent {
        client.confirm_select()?;
    }
    let reader = {
        let (window, sent_at) = (Arc::clone(&window), Arc::clone(&sent_at));
        let unconfirmed = if load.persistent { load.messages } else { 0 };
        thread::spawn(move || {
            let latencies = read_confirms(&mut client, &window, &sent_at, unconfirmed, epoch)?;
            Ok((client, latencies))
        })
    };
    let mut body = vec![b'x'; load.body_bytes.max(STAMP_BYTES)];
    let mut out = Vec::with_capacity(512 * 1024);
    let (mut sent, per_write) = (0, (65_536 / body.len() as u64).clamp(1, 128));
    while sent < load.messages {
        let mut count = per_write.min(load.messages - sent);
        if let Kind::Rate(rate) = load.kind {
            count = 1;
            let due = epoch + Duration::from_nanos(sent * 1_000_000_000 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        if load.persistent {
            count = window.take(count, load.window);
        }
        out.clear();
        for number in sent..sent + count {
            let stamp = match load.kind {
                // Measured from when it was due: a stalled broker must not hide the wait.
                Kind::Rate(rate) => number * 1_000_000_000 / rate,
                Kind::Through | Kind::Fanout(_) | Kind::Fill | Kind::Drain => {
                    epoch.elapsed().as_nanos() as u64
                }
            };
            if let Some(slot) = sent_at.get(number as usize) {
                slot.store(stamp, Ordering::Release);
            }
            body[..8].copy_from_slice(&number.to_le_bytes());
            body[8..STAMP_BYTES].copy_from_slice(&stamp.to_le_bytes());
            push_publish(&mut out, exchange, key, load.persistent, &body);
        }
        writer.write_all(&out)?;
        sent += count;
    }
    let (mut client, latencies) = join(reader)?;
    client.close_channel()?;
    Ok(latencies)
}

fn read_confirms(
    client: &mut Client,
    window: &Window,
    sent_at: &[AtomicU64],
    total: u64,
    epoch: Instant,
) -> io::Result<Vec<u64>> {
    // Bits of single confirms above `floor`, the highest number below which all are confirmed.
    let (mut floor, mut singles) = (0, std::collections::BTreeSet::new());
    let (mut done, mut latencies) = (0, Vec::with_capacity(sent_at.len()));
    while done < total {
        let Event::Confirm { tag, multiple } = client.next()? else { continue };
        let mut fresh = Vec::new();
        if multiple {
            fresh.extend((floor + 1..=tag).filter(|number| !singles.remove(number)));
            floor = floor.max(tag);
        } else {
            singles.insert(tag);
            fresh.push(tag);
            while singles.remove(&(floor + 1)) {
                floor += 1;
            }
        }
        let now = epoch.elapsed().as_nanos() as u64;
        for number in &fresh {
            if let Some(slot) = sent_at.get(*number as usize - 1) {
                latencies.push(now.saturating_sub(slot.load(Ordering::Acquire)) / 1000);
            }
        }
        done += fresh.len() as u64;
        window.free(fresh.len() as u64);
    }
    Ok(latencies)
}

struct Seen {
    count: u64,
    wrong: u64,
    latencies_us: Vec<u64>,
}

fn start_consumers(
    address: SocketAddr,
    load: &Workload,
    queues: &[String],
    epoch: Instant,
) -> io::Result<Vec<thread::JoinHandle<io::Result<Seen>>>> {
    if load.kind == Kind::Fill || load.window == 1 {
        return Ok(Vec::new());
    }
    let keep = matches!(load.kind, Kind::Rate(_));
    queues
        .iter()
        .map(|queue| {
            let mut client = Client::connect(address)?;
            client.consume(queue, if load.persistent { PREFETCH } else { 0 })?;
            let (total, acks) = (load.messages, load.persistent);
            Ok(thread::spawn(move || consume(client, total, acks, keep, epoch)))
        })
        .collect()
}

fn consume(mut client: Client, total: u64, acks: bool, keep: bool, epoch: Instant) -> io::Result<Seen> {
    let mut seen = Seen { count: 0, wrong: 0, latencies_us: Vec::new() };
    while seen.count < total {
        let Event::Deliver { tag, body } = client.next()? else { continue };
        let word = |at: usize| {
            body.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
        };
        if word(0) != seen.count {
            seen.wrong += 1;
        }
        if keep {
            seen.latencies_us.push((epoch.elapsed().as_nanos() as u64).saturating_sub(word(8)) / 1000);
        }
        seen.count += 1;
        if acks && (seen.count.is_multiple_of(ACK_EVERY) || seen.count == total || !client.has_buffered()?) {
            client.ack(tag)?;
        }
    }
    Ok(seen)
}
