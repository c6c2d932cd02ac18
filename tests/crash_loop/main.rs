//! Kills the broker under load, again and again, and checks after each restart that it kept its word: every confirmed
//! message is there, in order, unchanged; no message whose ack was kept came back; nothing was invented; transactions
//! happened wholly or not at all; and that `wal verify` finds the store whole as each kill under load left it. Each round
//! kills twice: under load, and while the broker recovers.
//!
//! `scripts/crash-loop [--rounds N] [--seed S] [--broker PROGRAM]`. The seed fixes when the broker is killed and which
//! rounds empty the queues; what was under way in that moment is up to the machine.

#[path = "../support/process.rs"]
mod broker;
mod load;
mod model;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_lite::StreamExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use broker::{Broker, Program, free_port};
use load::{Shared, lock, queues};
use model::{Counts, Found, Model};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Numbers of one round: more than any round can use.
const ROUND_NUMBERS: u64 = 1 << 32;
/// The longest that the load runs, and that a recovery is left alone.
const LOAD_MS: u64 = 1500;
const RECOVERY_MS: u64 = 100;

struct Options {
    rounds: u64,
    seed: u64,
    program: Program,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Options { rounds, seed, program } = options()?;
    println!("crash-loop: {rounds} rounds, seed {seed}");
    let data_dir = tempfile::tempdir()?;
    let model: Shared = Arc::new(Mutex::new(Model::default()));
    let mut random = Random(seed);
    let mut broker = Broker::start(&program, data_dir.path(), free_port())?;
    for round in 1..=rounds {
        load_and_kill(&mut broker, round * ROUND_NUMBERS, &model, &mut random).await?;
        lock(&model).violations.extend(verify(&program, data_dir.path())?);
        broker = restart_twice(&broker, &program, data_dir.path(), &mut random).await?;
        check(&broker, &model, &mut random).await?;
        let violations = std::mem::take(&mut lock(&model).violations);
        if !violations.is_empty() {
            violations.iter().take(20).for_each(|violation| eprintln!("round {round}: {violation}"));
            eprintln!("{} violations; the store is kept in {}", violations.len(), data_dir.keep().display());
            return Err(format!("round {round} of seed {seed} failed").into());
        }
    }
    let Counts { sent, confirmed, acks_kept, found } = lock(&model).counts;
    let kills = 2 * rounds;
    println!(
        "crash-loop: {rounds} rounds, seed {seed}, {kills} kills: {sent} sent, {confirmed} confirmed, \
         {acks_kept} acks kept, {found} found again, 0 violations"
    );
    Ok(())
}

async fn load_and_kill(broker: &mut Broker, first: u64, model: &Shared, random: &mut Random) -> Result<()> {
    let (connection, channel) = load::open(&broker.url()).await?;
    load::declare(&channel).await?;
    connection.close(200, "".into()).await?;
    let (url, shared) = (broker.url(), Arc::clone(model));
    let running = tokio::spawn(async move { Box::pin(load::run(&url, &shared, first)).await });
    tokio::time::sleep(Duration::from_millis(random.below(LOAD_MS))).await;
    broker.kill()?;
    running.await?;
    Ok(())
}

/// What `wal verify` has against the store as the kill left it.
fn verify(program: &Program, data_dir: &Path) -> Result<Option<String>> {
    let Program::LedgerMq(path) = program else { return Ok(None) };
    let verify = Command::new(path).args(["wal", "verify", "--format", "json"]).arg(data_dir).output()?;
    let said = String::from_utf8_lossy(&verify.stdout);
    let verdict: serde_json::Value = serde_json::from_str(&said)?;
    let differences = verdict.get("differences").and_then(serde_json::Value::as_array);
    let is_whole = verdict.get("whole") == Some(&serde_json::Value::Bool(true))
        && differences.is_some_and(Vec::is_empty);
    Ok((!is_whole).then(|| format!("wal verify: {said}")))
}

/// Starts it, kills it while it recovers or just after, and starts it again.
async fn restart_twice(
    killed: &Broker,
    program: &Program,
    data_dir: &Path,
    random: &mut Random,
) -> Result<Broker> {
    let mut recovering = Broker::spawn(program, data_dir, killed.port())?;
    tokio::time::sleep(Duration::from_millis(random.below(RECOVERY_MS))).await;
    recovering.kill()?;
    Ok(Broker::start(program, data_dir, killed.port())?)
}

/// Reads every queue to its end. Now and then it acknowledges all, so that they empty; else all goes back.
async fn check(broker: &Broker, model: &Shared, random: &mut Random) -> Result<()> {
    let (connection, channel) = load::open(&broker.url()).await?;
    for queue in queues::ALL {
        let found = read_queue(&channel, queue, model).await?;
        lock(model).check(queue, &found);
    }
    lock(model).check_transactions();
    if random.below(3) == 0 {
        lock(model).all_ack_sent();
        channel.basic_ack(0, BasicAckOptions { multiple: true }).await?;
        load::answered_request(&channel).await?;
        lock(model).all_acks_kept();
    }
    connection.close(200, "".into()).await?;
    Ok(())
}

async fn read_queue(channel: &Channel, queue: &'static str, model: &Shared) -> Result<Vec<Found>> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    let mut deliveries = load::consumer(channel, queue).await?.take(declared.message_count() as usize);
    let mut all_found = Vec::new();
    while let Some(delivery) = deliveries.next().await {
        match load::read(&delivery?) {
            Ok(found) => all_found.push(found),
            Err(complaint) => lock(model).violations.push(format!("{queue}: {complaint}")),
        }
    }
    Ok(all_found)
}

fn options() -> Result<Options> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut options = Options {
        rounds: 20,
        seed: u64::from(now.subsec_nanos()),
        program: Program::LedgerMq(env!("CARGO_BIN_EXE_ledgermq").into()),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or("usage: crash-loop [--rounds N] [--seed S] [--broker PROGRAM]")?;
        match flag.as_str() {
            "--rounds" => options.rounds = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            "--broker" => options.program = Program::at(Path::new(&value)),
            unknown => return Err(format!("no such option: {unknown}").into()),
        }
    }
    Ok(options)
}

/// `SplitMix64`: small, and good enough to choose moments.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
