//! The bindings of one exchange as a source, and the table of its type that routes by them.
//! Owns the identity of bindings: (destination, binding key, arguments) exists at most once, and the order in which
//! arguments were written does not matter. The tables below see a key only when it is new for its destination.
//! Invariant: the table holds exactly what `bindings` holds.

use super::ExchangeKind;
use super::direct::DirectTable;
use super::fanout::FanoutTable;
use super::headers::{HeadersPattern, HeadersTable};
use super::topic::{self, TopicTable};
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

/// What the vhost calls a destination: small, and equal only to itself.
pub trait DestinationId: Copy + Eq + Hash {}

impl<D: Copy + Eq + Hash> DestinationId for D {}

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
    Fanout(FanoutTable<D>),
    Topic(TopicTable<D>),
    Headers(HeadersTable<D>),
}

impl<D: DestinationId> Routes<D> {
    /// No bindings yet.
    pub fn new(kind: ExchangeKind) -> Self {
        let table = match kind {
            ExchangeKind::Direct => RoutingTable::Direct(DirectTable::default()),
            ExchangeKind::Fanout => RoutingTable::Fanout(FanoutTable::default()),
            ExchangeKind::Topic => RoutingTable::Topic(TopicTable::default()),
            ExchangeKind::Headers => RoutingTable::Headers(HeadersTable::default()),
        };
        Self { bindings: HashMap::new(), binding_count: 0, table }
    }

    /// Adds a binding; `false` if it was there already.
    ///
    /// # Errors
    /// 406 if the key or the arguments mean nothing to this type of exchange; nothing is changed then.
    pub fn bind(
        &mut self,
        binding_key: &Arc<str>,
        arguments: &Table,
        destination: D,
    ) -> Result<bool, ChannelError> {
        let pattern = match &self.table {
            RoutingTable::Topic(_) => {
                topic::check(binding_key)?;
                None
            }
            RoutingTable::Headers(_) => Some(HeadersPattern::parse(arguments)?),
            RoutingTable::Direct(_) | RoutingTable::Fanout(_) => None,
        };
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
        match &mut self.table {
            RoutingTable::Direct(table) if new_key => table.insert(binding_key, destination),
            RoutingTable::Topic(table) if new_key => table.insert(binding_key, destination),
            RoutingTable::Fanout(table) if new_destination => table.insert(destination),
            RoutingTable::Headers(table) => table.extend(pattern.map(|pattern| (pattern, destination))),
            RoutingTable::Direct(_) | RoutingTable::Topic(_) | RoutingTable::Fanout(_) => {}
        }
        Ok(true)
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
        }
        let removed: Vec<_> = keys
            .into_iter()
            .flat_map(|(key, tables)| tables.into_iter().map(move |arguments| (Arc::clone(&key), arguments)))
            .collect();
        self.binding_count -= removed.len();
        removed
    }

    /// Emits the destinations of a message; the same one possibly more than once. `headers` is called only if the type
    /// of the exchange looks at them.
    pub fn route(&self, routing_key: &str, headers: impl FnOnce() -> Table, out: &mut impl FnMut(D)) {
        match &self.table {
            RoutingTable::Direct(table) => table.route(routing_key, out),
            RoutingTable::Fanout(table) => table.route(out),
            RoutingTable::Topic(table) => table.route(routing_key, out),
            RoutingTable::Headers(table) => table.route(headers, out),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::reply::ChannelCode;
    use crate::protocol::value::Value;

    const KINDS: [ExchangeKind; 4] =
        [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];

    fn routed(routes: &Routes<u32>, routing_key: &str, headers: &Table) -> Vec<u32> {
        let mut found = Vec::new();
        routes.route(routing_key, || headers.clone(), &mut |destination| found.push(destination));
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
            assert_eq!(routes.bind(&a, &table(1), 7), Ok(true));
            assert_eq!(routes.bind(&a, &table(1), 7), Ok(false));
            assert_eq!(routes.bind(&a, &table(2), 7), Ok(true), "other arguments, other binding");
            assert_eq!(routes.bind(&b, &table(1), 7), Ok(true));
            assert_eq!(routes.bind(&a, &table(1), 8), Ok(true));
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
                    routes.bind(&key.into(), &Table::default(), destination).unwrap();
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
        assert_eq!(routes.bind(&"".into(), &strange, 1).unwrap_err().code, ChannelCode::PreconditionFailed);
        assert!(routes.is_empty() && routes.bindings().next().is_none());
        let mut routes = Routes::new(ExchangeKind::Topic);
        let key = ["#"; 9].join(".").into();
        assert_eq!(
            routes.bind(&key, &Table::default(), 1).unwrap_err().code,
            ChannelCode::PreconditionFailed
        );
        assert!(routes.is_empty());
    }

    #[test]
    fn headers_are_decoded_only_where_they_count() {
        for kind in [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic] {
            let mut routes = Routes::new(kind);
            routes.bind(&"a".into(), &Table::default(), 1).unwrap();
            let mut found = 0;
            routes.route("a", || panic!("{kind} looks at headers"), &mut |_| found += 1);
            assert_eq!(found, 1);
        }
        let nothing_bound = Routes::<u32>::new(ExchangeKind::Headers);
        nothing_bound.route("a", || panic!("nothing to compare with"), &mut |_| {});
    }
}
