//! Bindings made, listed, taken away and routed by.

use super::*;
use crate::exchange::Chance;
use crate::protocol::properties::{Properties, PropertyList};
use crate::protocol::reply::ChannelCode;
use crate::protocol::value::Value;

const KINDS: [ExchangeKind; 4] =
    [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];

fn to(destination: u32) -> BoundTo<'static, u32> {
    let name = ["", "one", "two", "three"].get(destination as usize).copied().unwrap_or("more");
    BoundTo { destination, name, queue_type: Some("rabbit_classic_queue") }
}

fn routed(routes: &Routes<u32>, routing_key: &str, headers: &Table) -> Vec<u32> {
    routed_by_all(routes, &[routing_key], headers)
}

fn routed_by_all(routes: &Routes<u32>, keys: &[&str], headers: &Table) -> Vec<u32> {
    let bytes = PropertyList { headers: Some(headers.clone()), ..PropertyList::default() }.encode();
    let (routing_key, more_keys) = keys.split_first().unwrap();
    let chance = Chance::new(1);
    let label = Label { routing_key, more_keys, properties: Properties::new(&bytes), chance: &chance };
    let mut found = Vec::new();
    routes.route(&label, &mut |destination| found.push(destination));
    found.sort_unstable();
    found.dedup();
    found
}

fn table(number: i32) -> Table {
    Table::from_pairs(&[("n", Value::I32(number))])
}

#[test]
fn a_binding_exists_once() {
    for kind in KINDS {
        let mut routes = Routes::new(kind);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!(routes.bind(&a, &table(1), to(7)), Ok(true));
        assert_eq!(routes.bind(&a, &table(1), to(7)), Ok(false));
        assert_eq!(routes.bind(&a, &table(2), to(7)), Ok(true), "other arguments, other binding");
        assert_eq!(routes.bind(&b, &table(1), to(7)), Ok(true));
        assert_eq!(routes.bind(&a, &table(1), to(8)), Ok(true));
        assert_eq!((routes.len(), routes.bindings().count()), (4, 4), "{kind}");

        assert_eq!(routed(&routes, "a", &table(1)), [7, 8], "{kind}");
        assert!(routes.unbind("a", &table(1), 7));
        assert!(!routes.unbind("a", &table(1), 7));
        assert!(!routes.unbind("c", &table(1), 7) && !routes.unbind("a", &table(1), 9));
        assert!(routed(&routes, "a", &table(2)).contains(&7), "{kind}: the other arguments are still bound");
        assert!(routes.unbind("a", &table(2), 7) && routes.unbind("b", &table(1), 7));
        assert_eq!(routed(&routes, "a", &table(1)), [8], "{kind}");
        assert!(routes.unbind("a", &table(1), 8));
        assert!(routes.is_empty() && routed(&routes, "a", &table(1)).is_empty(), "{kind}");
    }
}

#[test]
fn a_destination_goes_with_all_its_bindings() {
    for kind in KINDS {
        let mut routes = Routes::new(kind);
        for key in ["a", "b"] {
            for destination in [7, 8] {
                routes.bind(&key.into(), &Table::default(), to(destination)).unwrap();
            }
        }
        let mut removed = routes.remove_destination(7);
        removed.sort_by(|one, other| one.0.cmp(&other.0));
        let keys: Vec<_> = removed.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys, ["a", "b"], "{kind}");
        assert_eq!(routes.remove_destination(7), []);
        assert_eq!(routed(&routes, "a", &Table::default()), [8], "{kind}");
        assert_eq!(routes.len(), 2);
    }
}

#[test]
fn bindings_are_listed_stretch_by_stretch_whatever_happens_between() {
    let mut routes = Routes::new(ExchangeKind::Direct);
    for destination in 1..=9 {
        for key in ["a", "b"] {
            routes.bind(&key.into(), &Table::default(), to(destination)).unwrap();
        }
    }
    routes.bind(&"b".into(), &table(1), to(2)).unwrap();
    let mut seen = Vec::new();
    let mut place = None;
    loop {
        let some = routes.bindings_behind(place.take(), 4);
        let Some(last) = some.last() else { break };
        place = Some((last.destination, Arc::clone(last.binding_key)));
        assert!(some.len() <= 5, "those with the last one's key come with it");
        seen.extend(some.iter().map(|route| (route.destination, route.binding_key.to_string())));
        // What comes and goes before and behind moves nothing else, and the place itself may go.
        let (here, key) = seen.last().unwrap().clone();
        routes.unbind(&key, &Table::default(), here);
        routes.remove_destination(here.saturating_sub(1));
        routes.bind(&"new".into(), &Table::default(), to(0)).unwrap();
    }
    let expected = (1..=9).flat_map(|to| ["a", "b"].map(|key| (to, key.to_owned())));
    let mut expected: Vec<_> = expected.collect();
    expected.insert(3, (2, "b".to_owned()));
    assert_eq!(seen, expected);
    assert_eq!(Routes::<u32>::new(ExchangeKind::Direct).bindings_behind(None, 4), []);
}

#[test]
fn the_bindings_to_a_destination_are_its_own() {
    let mut routes = Routes::new(ExchangeKind::Topic);
    for (key, destination) in [("a", 7), ("", 7), ("a", 8), ("z", 6)] {
        routes.bind(&key.into(), &Table::default(), to(destination)).unwrap();
    }
    let keys = |to| routes.bindings_to(to).map(|route| &**route.binding_key).collect::<Vec<_>>();
    assert_eq!((keys(7), keys(8), keys(9)), (vec!["", "a"], vec!["a"], vec![]));
}

#[test]
fn a_refused_binding_changes_nothing() {
    let mut routes = Routes::new(ExchangeKind::Headers);
    let strange = Table::from_pairs(&[("x-match", Value::text("some"))]);
    assert_eq!(routes.bind(&"".into(), &strange, to(1)).unwrap_err().code, ChannelCode::PreconditionFailed);
    assert!(routes.is_empty() && routes.bindings().next().is_none());
}

#[test]
fn every_key_is_routed_by() {
    for (kind, expected) in [
        (ExchangeKind::Direct, &[1, 2][..]),
        (ExchangeKind::Topic, &[1, 2]),
        (ExchangeKind::Fanout, &[1, 2, 3]),
    ] {
        let mut routes = Routes::new(kind);
        for (key, destination) in [("a", 1), ("b", 2), ("c", 3)] {
            routes.bind(&key.into(), &Table::default(), to(destination)).unwrap();
        }
        assert_eq!(routed_by_all(&routes, &["a", "b", "a", "d"], &Table::default()), expected, "{kind}");
    }
}

/// What every type that chooses one must do with its bindings, whatever it chooses.
#[test]
fn types_that_choose_one_choose_what_is_bound() {
    for kind in [
        ExchangeKind::ConsistentHash,
        ExchangeKind::ModulusHash,
        ExchangeKind::Random,
        ExchangeKind::LocalRandom,
    ] {
        let mut routes = Routes::new(kind);
        let key: Arc<str> = if kind == ExchangeKind::ConsistentHash { "1" } else { "" }.into();
        let none = Table::default();
        assert_eq!(routed(&routes, "a", &none), [0; 0], "{kind}");
        assert_eq!(routes.bind(&key, &none, to(1)), Ok(true));
        assert_eq!(routes.bind(&key, &none, to(1)), Ok(false));
        assert_eq!(routes.bind(&key, &table(1), to(1)), Ok(true));
        assert_eq!(routes.bind(&key, &none, to(2)), Ok(true));
        assert_eq!(routed(&routes, "a", &none).len(), 1, "{kind}");
        assert!(routes.unbind(&key, &none, 1) && routes.unbind(&key, &none, 2));
        assert_eq!(routed(&routes, "a", &none), [1], "{kind}: bound with other arguments");
        assert_eq!(routes.remove_destination(1), [(Arc::clone(&key), table(1))]);
        assert_eq!(routed(&routes, "a", &none), [0; 0], "{kind}");
        assert!(routes.is_empty());
    }
}

#[test]
fn bindings_that_mean_nothing_to_the_type_are_refused() {
    let refused = |kind, key: &str, to| {
        let mut routes = Routes::new(kind);
        let error = routes.bind(&key.into(), &Table::default(), to).unwrap_err();
        assert!(routes.is_empty() && error.code == ChannelCode::PreconditionFailed);
        error.explanation
    };
    assert_eq!(
        refused(ExchangeKind::ConsistentHash, "heavy", to(1)),
        "The binding key must be an integer: <<\"heavy\">>"
    );
    assert_eq!(refused(ExchangeKind::LocalRandom, "k", to(1)), "Non empty binding 'k' key not permitted");
    let quorum = BoundTo { queue_type: Some("rabbit_quorum_queue"), ..to(1) };
    assert_eq!(
        refused(ExchangeKind::LocalRandom, "", quorum),
        "Queue type rabbit_quorum_queue not valid for this exchange type"
    );
    let exchange = BoundTo { queue_type: None, ..to(1) };
    assert_eq!(refused(ExchangeKind::LocalRandom, "", exchange), "Destination not found");
    let both =
        Table::from_pairs(&[("hash-header", Value::text("h")), ("hash-property", Value::text("message_id"))]);
    assert!(Routes::<u32>::declared(ExchangeKind::ConsistentHash, &both).is_err());
    assert!(Routes::<u32>::declared(ExchangeKind::Direct, &both).is_ok());
}

#[test]
fn only_what_keys_decide_may_be_remembered() {
    let by_key = |kind| Routes::<u32>::new(kind).is_by_key();
    for kind in [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::ConsistentHash,
        ExchangeKind::ModulusHash,
    ] {
        assert!(by_key(kind), "{kind}");
    }
    for kind in [ExchangeKind::Headers, ExchangeKind::Random, ExchangeKind::LocalRandom] {
        assert!(!by_key(kind), "{kind}");
    }
    let header = Table::from_pairs(&[("hash-header", Value::text("h"))]);
    assert!(!Routes::<u32>::declared(ExchangeKind::ConsistentHash, &header).unwrap().is_by_key());
}
