//! What it costs to find the destinations of a message, by exchange type and number of bindings.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ledgermq::exchange::{BoundTo, Chance, ExchangeKind, Label, Routes};
use ledgermq::protocol::properties::{Properties, PropertyList};
use ledgermq::protocol::table::Table;
use ledgermq::protocol::value::Value;
use std::hint::black_box;

const SIZES: [u32; 3] = [1, 100, 10_000];

fn bound(kind: ExchangeKind, count: u32, binding: impl Fn(u32) -> (String, Table)) -> Routes<u32> {
    let mut routes = Routes::new(kind);
    for destination in 0..count {
        let (key, arguments) = binding(destination);
        let name = format!("queue-{destination}");
        let to = BoundTo { destination, name: &name, queue_type: Some("rabbit_classic_queue") };
        routes.bind(&key.into(), &arguments, to).expect("a binding that is allowed");
    }
    routes
}

fn route(routes: &Routes<u32>, label: &Label<'_>) -> u64 {
    let mut found = 0;
    routes.route(black_box(label), &mut |destination| {
        found += u64::from(destination) + 1;
    });
    found
}

fn group(criterion: &mut Criterion, name: &str, routing_key: &str, make: impl Fn(u32) -> Routes<u32>) {
    let headers = Table::from_pairs(&[("region", Value::text("r7")), ("size", Value::I32(3))]);
    let properties = PropertyList { headers: Some(headers), ..PropertyList::default() }.encode();
    let chance = Chance::new(1);
    let properties = Properties::new(&properties);
    let label = Label { routing_key, more_keys: &[], properties, chance: &chance };
    let mut group = criterion.benchmark_group(name);
    for size in SIZES {
        let routes = make(size);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| black_box(route(&routes, &label)));
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    group(criterion, "direct/one match", "key.0", |size| {
        bound(ExchangeKind::Direct, size, |number| (format!("key.{number}"), Table::default()))
    });
    group(criterion, "fanout/all match", "any", |size| {
        bound(ExchangeKind::Fanout, size, |_| (String::new(), Table::default()))
    });
    group(criterion, "topic/one exact match", "stock.eur.s0.tick", |size| {
        bound(ExchangeKind::Topic, size, |number| (format!("stock.eur.s{number}.tick"), Table::default()))
    });
    group(criterion, "topic/one pattern match", "stock.eur.s0.tick", |size| {
        bound(ExchangeKind::Topic, size, |number| (format!("#.s{number}.*"), Table::default()))
    });
    group(criterion, "topic/three words, ten thousand others", "shop0.till0.sold", |size| {
        bound(ExchangeKind::Topic, size, |number| {
            (format!("shop{}.till{}.sold", number / 100, number % 100), Table::default())
        })
    });
    group(criterion, "consistent hash", "order-4711", |size| {
        bound(ExchangeKind::ConsistentHash, size, |_| ("1".to_owned(), Table::default()))
    });
    let hostile_key = ["a"; 120].join(".");
    group(criterion, "topic/hostile patterns, no match", &hostile_key, |size| {
        bound(ExchangeKind::Topic, size, |number| (format!("#.a.#.a.*.#.a.#.b{number}"), Table::default()))
    });
    group(criterion, "headers/one match", "", |size| {
        bound(ExchangeKind::Headers, size, |number| {
            let region = format!("r{}", number + 7);
            (String::new(), Table::from_pairs(&[("region", Value::text(&region)), ("size", Value::I32(3))]))
        })
    });
}

criterion_group!(routing, benches);
criterion_main!(routing);
