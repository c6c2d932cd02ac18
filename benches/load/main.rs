//! The load program behind `scripts/bench`: runs the same workloads against LedgerMQ and, where it is installed, RabbitMQ, in
//! interleaved rounds, and prints medians, ratios, processor time per message and peak memory. Figures of one run may be compared
//! with each other, never with those of another machine or another day.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a measuring program: offsets are its own, and a mistake ends the run"
)]

mod broker;
mod client;
mod workload;

use broker::{Broker, Product};
use clap::Parser;
use serde_json::json;
use std::io;
use std::path::PathBuf;
use workload::{Kind, Workload};

/// Side-by-side load.
#[derive(Parser)]
struct Options {
    /// The LedgerMQ binary.
    #[arg(long, default_value = "target/release/ledgermq")]
    binary: PathBuf,
    /// Rounds; each runs every workload once against every broker.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Small counts: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Brokers to run; one that is not installed is left out.
    #[arg(long, value_delimiter = ',', default_value = "ledgermq,rabbitmq")]
    brokers: Vec<String>,
    /// Only workloads whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Directory for the stores: a real disk.
    #[arg(long, default_value = "target")]
    scratch: PathBuf,
    /// Write all figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Ignored: `cargo bench` passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One run of one workload against one broker.
#[derive(Clone, Debug, Default)]
struct Figures {
    rate: f64,
    cpu_us: f64,
    peak_mib: u64,
    confirm_us: [u64; 3],
    deliver_us: [u64; 3],
    ready_s: f64,
    disk_mib: u64,
    wrong: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.scratch)?;
    let products: Vec<Product> =
        options.brokers.iter().filter_map(|name| Product::find(name, &options.binary)).collect();
    let loads: Vec<Workload> =
        workloads(options.quick).into_iter().filter(|load| load.name.contains(&options.only)).collect();
    let mut results = vec![vec![Vec::new(); products.len()]; loads.len()];
    for round in 1..=options.rounds {
        for (load, by_product) in loads.iter().zip(&mut results) {
            for (product, figures) in products.iter().zip(by_product) {
                let measured = measure(product, load, &options)?;
                eprintln!("round {round}: {:<28} {:<9} {:>10.0}/s", load.name, product.name(), measured.rate);
                figures.push(measured);
            }
        }
    }
    let medians: Vec<Vec<Figures>> =
        results.iter().map(|by_product| by_product.iter().map(|runs| median(runs)).collect()).collect();
    print_table(&products, &loads, &medians);
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&as_json(&products, &loads, &medians))?)?;
    }
    let wrong: u64 = results.iter().flatten().flatten().map(|run| run.wrong).sum();
    if wrong > 0 {
        return Err(io::Error::other(format!("{wrong} messages were lost, doubled or reordered")));
    }
    Ok(())
}

fn workloads(quick: bool) -> Vec<Workload> {
    let scale = |messages: u64| if quick { (messages / 100).max(50) } else { messages };
    let through = |name, body_bytes, messages: u64, persistent| Workload {
        name,
        kind: Kind::Through,
        body_bytes,
        messages: scale(messages),
        persistent,
        window: 1000,
        pairs: 1,
    };
    let base = through("", 1024, 200_000, true);
    vec![
        through("persistent 16 B", 16, 1_000_000, true),
        through("persistent 1 KiB", 1024, 400_000, true),
        through("persistent 64 KiB", 65_536, 20_000, true),
        through("transient 16 B", 16, 2_000_000, false),
        through("transient 1 KiB", 1024, 600_000, false),
        through("transient 64 KiB", 65_536, 20_000, false),
        Workload { name: "window 1, 1 KiB", window: 1, messages: scale(5_000), ..base.clone() },
        Workload { name: "8 pairs, 8 queues, 1 KiB", pairs: 8, messages: scale(60_000), ..base.clone() },
        Workload { name: "fanout to 10, 100 B", kind: Kind::Fanout(10), body_bytes: 100, ..base.clone() },
        Workload { name: "5,000/s, 1 KiB", kind: Kind::Rate(5_000), messages: scale(50_000), ..base.clone() },
        Workload { name: "backlog 1 M x 1 KiB", kind: Kind::Fill, messages: scale(1_000_000), ..base },
    ]
}

fn measure(product: &Product, load: &Workload, options: &Options) -> io::Result<Figures> {
    let mut broker = Broker::start(product, &options.scratch)?;
    if !broker::reachable(broker.address) {
        return Err(io::Error::other("the broker does not listen"));
    }
    broker.take_peak_mib();
    let cpu_before = broker.cpu_seconds();
    let outcome = workload::run(broker.address, load)?;
    let count = match load.kind {
        Kind::Fanout(queues) => load.messages * queues,
        Kind::Through | Kind::Fill | Kind::Drain | Kind::Rate(_) => load.messages * load.pairs,
    };
    let mut figures = Figures {
        rate: outcome.rate,
        cpu_us: (broker.cpu_seconds() - cpu_before) * 1e6 / count as f64,
        peak_mib: broker.take_peak_mib(),
        confirm_us: percentiles(&outcome.confirm_us),
        deliver_us: percentiles(&outcome.deliver_us),
        wrong: outcome.wrong,
        ..Figures::default()
    };
    if load.kind == Kind::Fill {
        figures.disk_mib = broker.disk_mib();
        figures.ready_s = broker.kill_and_restart()?.as_secs_f64();
        let drained = workload::run(broker.address, &Workload { kind: Kind::Drain, ..load.clone() })?;
        figures.wrong += drained.wrong;
        // A drain's rate goes where a fill has no other use for the field.
        figures.deliver_us[0] = drained.rate as u64;
    }
    Ok(figures)
}

fn percentiles(sorted: &[u64]) -> [u64; 3] {
    [0.5, 0.99, 0.999].map(|part| {
        let at = (sorted.len() as f64 * part) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    })
}

/// The run with the median rate, with the median of each figure beside it.
fn median(runs: &[Figures]) -> Figures {
    let middle = |field: &dyn Fn(&Figures) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let three =
        |field: &dyn Fn(&Figures) -> [u64; 3]| [0, 1, 2].map(|i| middle(&|run| field(run)[i] as f64) as u64);
    Figures {
        rate: middle(&|run| run.rate),
        cpu_us: middle(&|run| run.cpu_us),
        peak_mib: middle(&|run| run.peak_mib as f64) as u64,
        confirm_us: three(&|run| run.confirm_us),
        deliver_us: three(&|run| run.deliver_us),
        ready_s: middle(&|run| run.ready_s),
        disk_mib: middle(&|run| run.disk_mib as f64) as u64,
        wrong: runs.iter().map(|run| run.wrong).sum(),
    }
}

fn print_table(products: &[Product], loads: &[Workload], medians: &[Vec<Figures>]) {
    println!("| workload | broker | messages/s | ratio | CPU µs/message | peak MiB | notes |");
    println!("|---|---|--:|--:|--:|--:|---|");
    for (load, by_product) in loads.iter().zip(medians) {
        for (product, figures) in products.iter().zip(by_product) {
            let ratio = by_product.last().map_or(1.0, |last| figures.rate / last.rate);
            println!(
                "| {} | {} | {:.0} | {ratio:.1} | {:.1} | {} | {} |",
                load.name,
                product.name(),
                figures.rate,
                figures.cpu_us,
                figures.peak_mib,
                notes(load, figures)
            );
        }
    }
}

fn notes(load: &Workload, figures: &Figures) -> String {
    let three = |[p50, p99, p999]: [u64; 3]| format!("{p50}/{p99}/{p999} µs");
    match load.kind {
        Kind::Fill => format!(
            "ready {:.2} s after kill -9, drain {}/s, {} MiB on disk",
            figures.ready_s, figures.deliver_us[0], figures.disk_mib
        ),
        Kind::Rate(_) => format!(
            "confirm p50/p99/p99.9 {}, delivery {}",
            three(figures.confirm_us),
            three(figures.deliver_us)
        ),
        Kind::Through if load.window == 1 => format!("confirm p50/p99/p99.9 {}", three(figures.confirm_us)),
        Kind::Through | Kind::Fanout(_) | Kind::Drain => String::new(),
    }
}

fn as_json(products: &[Product], loads: &[Workload], medians: &[Vec<Figures>]) -> serde_json::Value {
    let rows = loads.iter().zip(medians).flat_map(|(load, by_product)| {
        products.iter().zip(by_product).map(|(product, figures)| {
            json!({
                "workload": load.name, "broker": product.name(), "messages_per_s": figures.rate,
                "cpu_us_per_message": figures.cpu_us, "peak_rss_mib": figures.peak_mib,
                "confirm_us": figures.confirm_us, "deliver_us": figures.deliver_us,
                "ready_after_kill_s": figures.ready_s, "disk_mib": figures.disk_mib, "wrong": figures.wrong,
            })
        })
    });
    json!(rows.collect::<Vec<_>>())
}
