//! The bindings of one exchange as a source, and the table of its type that routes by them.
//! Owns the identity of bindings: (destination, binding key, arguments) exists at most once, and the order in which
//! arguments were written does not matter. The tables below see a key only when it is new for its destination.
//! Invariant: the table holds exactly what `bindings` holds.

use super::ExchangeKind;
use super::direct::DirectTable;
use super::fanout::FanoutTable;
use super::hash::{HashTable, Hashed, Weight};
use super::headers::{HeadersPattern, HeadersTable};
use super::label::Label;
use super::pick::{Pick, PickTable};
use super::refusals::precondition;
use super::topic::TopicTable;
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

/// What the vhost calls a destination: small, and equal only to itself.
pub trait DestinationId: Copy + Eq + Hash {}

impl<D: Copy + Eq + Hash> DestinationId for D {}

/// What a new binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundTo<'a, D> {
    /// The vhost's number for it.
    pub destination: D,
    /// Its name.
    pub name: &'a str,
    /// RabbitMQ's name for the type of the queue; `None` if it is an exchange.
    pub queue_type: Option<&'static str>,
}

/// One binding of an exchange, for listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a, D> {
    /// Where it leads.
    pub destination: D,
    /// Binding key.
    pub binding_key: &'a Arc<str>,
    /// Arguments.
    pub arguments: &'a Table,
}

/// The bindings of one exchange, ready to route by.
#[derive(Debug)]
pub struct Routes<D> {
    bindings: HashMap<D, Keys>,
    binding_count: usize,
    table: RoutingTable<D>,
}

/// The binding keys of one destination, each with the arguments it was bound with (nearly always one empty table).
type Keys = HashMap<Arc<str>, Vec<Table>>;

#[derive(Debug)]
enum RoutingTable<D> {
    Direct(DirectTable<D>),
    /// Also that of a recent history.
    Fanout(FanoutTable<D>),
    Topic(TopicTable<D>),
    Headers(HeadersTable<D>),
    ConsistentHash(HashTable<D>),
    /// Also that of a modulus.
    Random(PickTable<D>),
    LocalRandom(PickTable<D>),
}

/// What a table makes of a binding, checked before anything is changed.
enum Checked {
    Key,
    Pattern(HeadersPattern),
    Weight(Weight),
}

impl<D: DestinationId> Routes<D> {
    /// No bindings yet, and no arguments.
    pub fn new(kind: ExchangeKind) -> Self {
        let table = match kind {
            ExchangeKind::Direct => RoutingTable::Direct(DirectTable::default()),
            // A delayed one is made by `declared`, of the type that its arguments name.
            ExchangeKind::Fanout | ExchangeKind::RecentHistory | ExchangeKind::Delayed => {
                RoutingTable::Fanout(FanoutTable::default())
            }
            ExchangeKind::Topic => RoutingTable::Topic(TopicTable::default()),
            ExchangeKind::Headers => RoutingTable::Headers(HeadersTable::default()),
            ExchangeKind::ConsistentHash => RoutingTable::ConsistentHash(HashTable::new(Hashed::RoutingKey)),
            ExchangeKind::ModulusHash => RoutingTable::Random(PickTable::new(Pick::Modulus)),
            ExchangeKind::Random => RoutingTable::Random(PickTable::new(Pick::Chance)),
            ExchangeKind::LocalRandom => RoutingTable::LocalRandom(PickTable::new(Pick::Chance)),
        };
        Self { bindings: HashMap::new(), binding_count: 0, table }
    }

    /// No bindings yet; routes as the arguments of the declaration say.
    ///
    /// # Errors
    /// 406 if they mean nothing to this type of exchange.
    pub fn declared(kind: ExchangeKind, arguments: &Table) -> Result<Self, ChannelError> {
        if kind == ExchangeKind::Delayed {
            return Self::declared(delayed_kind(arguments)?, arguments);
        }
        let mut routes = Self::new(kind);
        if kind == ExchangeKind::ConsistentHash {
            routes.table = RoutingTable::ConsistentHash(HashTable::new(Hashed::parse(arguments)?));
        }
        Ok(routes)
    }

    /// Adds a binding; `false` if it was there already.
    ///
    /// # Errors
    /// 406 if the key or the arguments mean nothing to this type of exchange; nothing is changed then.
    pub fn bind(
        &mut self,
        binding_key: &Arc<str>,
        arguments: &Table,
        to: BoundTo<'_, D>,
    ) -> Result<bool, ChannelError> {
        let BoundTo { destination, name, .. } = to;
        let checked = self.check(binding_key, arguments, &to)?;
        let keys = self.bindings.entry(destination).or_default();
        let new_destination = keys.is_empty();
        let new_key = match keys.entry(Arc::clone(binding_key)) {
            Entry::Vacant(entry) => {
                entry.insert(vec![arguments.clone()]);
                true
            }
            Entry::Occupied(mut entry) => {
                if entry.get().iter().any(|known| known == arguments) {
                    return Ok(false);
                }
                entry.get_mut().push(arguments.clone());
                false
            }
        };
        self.binding_count += 1;
        match (&mut self.table, checked) {
            (RoutingTable::Direct(table), _) if new_key => table.insert(binding_key, destination),
            (RoutingTable::Topic(table), _) if new_key => table.insert(binding_key, destination),
            (RoutingTable::Fanout(table), _) if new_destination => table.insert(destination),
            (RoutingTable::Headers(table), Checked::Pattern(pattern)) => {
                table.extend([(pattern, destination)]);
            }
            (RoutingTable::ConsistentHash(table), Checked::Weight(weight)) => {
                table.insert(weight, destination, name);
            }
            (RoutingTable::Random(table) | RoutingTable::LocalRandom(table), _) => {
                table.insert(binding_key, arguments, destination, name);
            }
            (
                RoutingTable::Direct(_)
                | RoutingTable::Topic(_)
                | RoutingTable::Fanout(_)
                | RoutingTable::Headers(_)
                | RoutingTable::ConsistentHash(_),
                Checked::Key | Checked::Pattern(_) | Checked::Weight(_),
            ) => {}
        }
        Ok(true)
    }

    /// Whether a binding means something to this type of exchange.
    ///
    /// # Errors
    /// 406 if the key or the arguments mean nothing to it.
    pub fn accepts(
        &self,
        binding_key: &str,
        arguments: &Table,
        to: &BoundTo<'_, D>,
    ) -> Result<(), ChannelError> {
        self.check(binding_key, arguments, to).map(drop)
    }

    fn check(
        &self,
        binding_key: &str,
        arguments: &Table,
        to: &BoundTo<'_, D>,
    ) -> Result<Checked, ChannelError> {
        match &self.table {
            RoutingTable::Headers(_) => HeadersPattern::parse(arguments).map(Checked::Pattern),
            RoutingTable::ConsistentHash(_) => Weight::parse(binding_key).map(Checked::Weight),
            RoutingTable::LocalRandom(_) if !binding_key.is_empty() => {
                Err(precondition(format!("Non empty binding '{binding_key}' key not permitted")))
            }
            RoutingTable::LocalRandom(_) => match to.queue_type {
                Some("rabbit_classic_queue") => Ok(Checked::Key),
                Some(other) => {
                    Err(precondition(format!("Queue type {other} not valid for this exchange type")))
                }
                None => Err(precondition("Destination not found".to_owned())),
            },
            RoutingTable::Direct(_)
            | RoutingTable::Fanout(_)
            | RoutingTable::Topic(_)
            | RoutingTable::Random(_) => Ok(Checked::Key),
        }
    }

    /// Whether this is bound.
    pub fn contains(&self, binding_key: &str, arguments: &Table, destination: D) -> bool {
        let tables = self.bindings.get(&destination).and_then(|keys| keys.get(binding_key));
        tables.is_some_and(|tables| tables.iter().any(|known| known == arguments))
    }

    /// Removes a binding; `false` if there was none.
    pub fn unbind(&mut self, binding_key: &str, arguments: &Table, destination: D) -> bool {
        let Some(keys) = self.bindings.get_mut(&destination) else { return false };
        let Some(tables) = keys.get_mut(binding_key) else { return false };
        let Some(position) = tables.iter().position(|known| known == arguments) else {
            return false;
        };
        tables.swap_remove(position);
        self.binding_count -= 1;
        let key_gone = tables.is_empty();
        if key_gone {
            keys.remove(binding_key);
        }
        let destination_gone = keys.is_empty();
        if destination_gone {
            self.bindings.remove(&destination);
        }
        match &mut self.table {
            RoutingTable::Direct(table) if key_gone => table.remove(binding_key, destination),
            RoutingTable::Topic(table) if key_gone => table.remove(binding_key, destination),
            RoutingTable::Fanout(table) if destination_gone => table.remove(destination),
            RoutingTable::Headers(table) => table.remove(arguments, destination),
            RoutingTable::ConsistentHash(table) => {
                // What is bound has a key that is a weight.
                Weight::parse(binding_key).into_iter().for_each(|weight| table.remove(weight, destination));
            }
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => {
                table.remove(binding_key, arguments, destination);
            }
            RoutingTable::Direct(_) | RoutingTable::Topic(_) | RoutingTable::Fanout(_) => {}
        }
        true
    }

    /// Removes every binding to a destination that goes away; returns what was bound, as (binding key, arguments).
    pub fn remove_destination(&mut self, destination: D) -> Vec<(Arc<str>, Table)> {
        let Some(keys) = self.bindings.remove(&destination) else { return Vec::new() };
        match &mut self.table {
            RoutingTable::Direct(table) => keys.keys().for_each(|key| table.remove(key, destination)),
            RoutingTable::Topic(table) => keys.keys().for_each(|key| table.remove(key, destination)),
            RoutingTable::Fanout(table) => table.remove(destination),
            RoutingTable::Headers(table) => table.remove_destination(destination),
            RoutingTable::ConsistentHash(table) => table.remove_destination(destination),
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => {
                table.remove_destination(destination);
            }
        }
        let removed: Vec<_> = keys
            .into_iter()
            .flat_map(|(key, tables)| tables.into_iter().map(move |arguments| (Arc::clone(&key), arguments)))
            .collect();
        self.binding_count -= removed.len();
        removed
    }

    /// Emits the destinations of a message; the same one possibly more than once.
    pub fn route(&self, label: &Label<'_>, out: &mut impl FnMut(D)) {
        match &self.table {
            RoutingTable::Direct(table) => label.keys().for_each(|key| table.route(key, out)),
            RoutingTable::Fanout(table) => table.route(out),
            RoutingTable::Topic(table) => label.keys().for_each(|key| table.route(key, out)),
            RoutingTable::Headers(table) => table.route(label.properties, out),
            RoutingTable::ConsistentHash(table) => table.route(label, out),
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => table.route(label, out),
        }
    }

    /// Whether the keys of a message alone decide: the same keys will go the same way as long as nothing is bound or
    /// unbound.
    pub fn is_by_key(&self) -> bool {
        match &self.table {
            RoutingTable::Direct(_) | RoutingTable::Fanout(_) | RoutingTable::Topic(_) => true,
            RoutingTable::Headers(_) => false,
            RoutingTable::ConsistentHash(table) => table.is_by_key(),
            RoutingTable::Random(table) | RoutingTable::LocalRandom(table) => table.is_by_key(),
        }
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.binding_count == 0
    }

    /// Number of bindings.
    pub fn len(&self) -> usize {
        self.binding_count
    }

    /// Every binding, in no particular order.
    pub fn bindings(&self) -> impl Iterator<Item = Route<'_, D>> {
        self.bindings.iter().flat_map(|(&destination, keys)| {
            keys.iter().flat_map(move |(binding_key, tables)| {
                tables.iter().map(move |arguments| Route { destination, binding_key, arguments })
            })
        })
    }
}

/// The type that routes what a delayed exchange lets go. Source: RabbitMQ `rabbit_exchange_type_delayed_message:validate`.
fn delayed_kind(arguments: &Table) -> Result<ExchangeKind, ChannelError> {
    let kind = arguments.get("x-delayed-type").and_then(|value| value.as_str());
    match kind.and_then(ExchangeKind::from_name) {
        Some(ExchangeKind::Delayed) => Err(precondition(
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'".to_owned(),
        )),
        Some(kind) => Ok(kind),
        None => Err(precondition(
            "Invalid argument, 'x-delayed-type' must be an existing exchange type".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
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
            assert!(
                routed(&routes, "a", &table(2)).contains(&7),
                "{kind}: the other arguments are still bound"
            );
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
    fn a_refused_binding_changes_nothing() {
        let mut routes = Routes::new(ExchangeKind::Headers);
        let strange = Table::from_pairs(&[("x-match", Value::text("some"))]);
        assert_eq!(
            routes.bind(&"".into(), &strange, to(1)).unwrap_err().code,
            ChannelCode::PreconditionFailed
        );
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
        let both = Table::from_pairs(&[
            ("hash-header", Value::text("h")),
            ("hash-property", Value::text("message_id")),
        ]);
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
}
