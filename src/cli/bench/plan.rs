//! Who publishes what to which queue, and who consumes from it: the plan of a run, made from its options before anything is
//! connected. Pure. Every publisher numbers its messages by queue, so that a queue can be held against the plan.

use super::stamp::STAMP_BYTES;
use crate::cli::client::error::ClientError;

/// Most publishers or consumers of a run: each is a thread.
const THREADS_MAX: usize = 4096;
/// Most queues of a run.
const QUEUES_MAX: usize = 100_000;
/// Most pairs of publisher and queue one consumer keeps counts for.
const PAIRS_MAX: usize = 4_000_000;
/// Largest body, bytes.
const SIZE_MAX: usize = 512 * 1024 * 1024;
/// Most unconfirmed publishes of a publisher.
const WINDOW_MAX: u64 = 1 << 24;

/// How messages reach their queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routing {
    /// Through the default exchange, by the queue's name.
    Direct,
    /// Through a fanout exchange: each message to every queue.
    Fanout,
    /// Through a topic exchange with this many bindings, each message by one of them; or through a direct one, each key bound as
    /// it is.
    Bound { bindings: usize, direct: bool },
}

/// When a publisher has published enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extent {
    /// After this many messages, all publishers together.
    Messages(u64),
    /// After this time.
    Seconds(f64),
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) publishers: usize,
    pub(super) consumers: usize,
    pub(super) queues: usize,
    pub(super) routing: Routing,
    pub(super) extent: Extent,
    /// Bytes of a body.
    pub(super) size: usize,
    pub(super) persistent: bool,
    /// Unconfirmed publishes of each publisher; 0: no confirms.
    pub(super) window: u64,
    /// Messages a second of all publishers together; `None`: as fast as it goes.
    pub(super) rate: Option<f64>,
    /// Unacknowledged deliveries of each consumer.
    pub(super) prefetch: u16,
    /// Deliveries acknowledged at once; 0: none are.
    pub(super) ack_every: u64,
    /// Arguments of the queues.
    pub(super) queue_arguments: Vec<(String, String)>,
    /// What the names of queues and exchanges begin with.
    pub(super) prefix: String,
    /// Whether the queues are made anew at the start, and whether they are deleted at the end.
    pub(super) makes_queues: bool,
    pub(super) deletes_queues: bool,
}

/// A key to publish with, and the queue it leads to (queue 0 stands for all queues of a fanout).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) routing_key: String,
    pub(super) queue: usize,
}

/// The key of a message that goes by this binding.
fn bound_key(binding: usize) -> String {
    format!("bench.any.{binding}.key")
}

impl Plan {
    /// Refuses what cannot be run.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        let refuse = |text: String| Err(ClientError::Usage(text));
        let most = |count: usize, max: usize, what: &str| {
            if count > max { refuse(format!("{what}: {count} are more than {max}")) } else { Ok(()) }
        };
        most(self.publishers, THREADS_MAX, "--publishers")?;
        most(self.consumers, THREADS_MAX, "--consumers")?;
        most(self.queues, QUEUES_MAX, "--queues")?;
        most(self.size, SIZE_MAX, "--size")?;
        most(self.window as usize, WINDOW_MAX as usize, "--window")?;
        if self.size < STAMP_BYTES {
            return refuse(format!("--size: a body is at least {STAMP_BYTES} bytes, to tell what it is"));
        }
        if self.queues == 0 || self.publishers + self.consumers == 0 {
            return refuse("there must be a queue, and somebody to use it".to_owned());
        }
        if matches!(self.routing, Routing::Bound { bindings, .. } if bindings < self.queues) {
            return refuse("--bindings: each queue needs one".to_owned());
        }
        most(self.queues.div_ceil(self.consumers.max(1)) * self.publishers, PAIRS_MAX, "publishers x queues")
    }

    /// The queues of a consumer: its share of them, or one that it shares.
    pub(super) fn queues_of_consumer(&self, consumer: usize) -> Vec<usize> {
        share(consumer, self.consumers, self.queues)
    }

    /// The keys a publisher uses in turn.
    pub(super) fn routes_of_publisher(&self, publisher: usize) -> Vec<Route> {
        match self.routing {
            Routing::Fanout => vec![Route { routing_key: String::new(), queue: 0 }],
            Routing::Direct => share(publisher, self.publishers, self.queues)
                .into_iter()
                .map(|queue| Route { routing_key: self.queue_name(queue), queue })
                .collect(),
            Routing::Bound { bindings, .. } => share(publisher, self.publishers, bindings)
                .into_iter()
                .map(|binding| Route { routing_key: bound_key(binding), queue: binding % self.queues })
                .collect(),
        }
    }

    /// Queue and binding key of each binding.
    pub(super) fn bindings(&self) -> Vec<(usize, String)> {
        match self.routing {
            Routing::Direct => Vec::new(),
            Routing::Fanout => (0..self.queues).map(|queue| (queue, String::new())).collect(),
            Routing::Bound { bindings, direct } => {
                let key = |binding| if direct { bound_key(binding) } else { format!("bench.*.{binding}.#") };
                (0..bindings).map(|binding| (binding % self.queues, key(binding))).collect()
            }
        }
    }

    /// The exchange and its type; the default exchange needs none.
    pub(super) fn exchange(&self) -> Option<(String, &'static str)> {
        match self.routing {
            Routing::Direct => None,
            Routing::Fanout => Some((format!("{}-fanout", self.prefix), "fanout")),
            Routing::Bound { direct: false, .. } => Some((format!("{}-topic", self.prefix), "topic")),
            Routing::Bound { direct: true, .. } => Some((format!("{}-direct", self.prefix), "direct")),
        }
    }

    /// The name of a queue.
    pub(super) fn queue_name(&self, queue: usize) -> String {
        format!("{}-{queue}", self.prefix)
    }

    /// How many messages a publisher sends; `None` if time decides.
    pub(super) fn quota(&self, publisher: usize) -> Option<u64> {
        match self.extent {
            Extent::Seconds(_) => None,
            Extent::Messages(all) => {
                let publishers = self.publishers.max(1) as u64;
                Some(all / publishers + u64::from((publisher as u64) < all % publishers))
            }
        }
    }

    /// How many of a publisher's first `sent` messages went to each queue it publishes to. What a fanout's queue 0 got, all got.
    pub(super) fn sent_by_queue(&self, publisher: usize, sent: u64) -> Vec<(usize, u64)> {
        let routes = self.routes_of_publisher(publisher);
        let turns = routes.len().max(1) as u64;
        let mut by_queue: Vec<(usize, u64)> = Vec::new();
        for (turn, route) in routes.iter().enumerate() {
            let count = sent / turns + u64::from((turn as u64) < sent % turns);
            match by_queue.iter_mut().find(|(queue, _)| *queue == route.queue) {
                Some((_, sum)) => *sum += count,
                None => by_queue.push((route.queue, count)),
            }
        }
        if self.routing == Routing::Fanout {
            by_queue = (0..self.queues).map(|queue| (queue, sent)).collect();
        }
        by_queue
    }
}

/// The things of `all` that belong to one of `holders`: every so manieth, or one that several hold.
fn share(holder: usize, holders: usize, all: usize) -> Vec<usize> {
    if holders >= all { vec![holder % all] } else { (holder..all).step_by(holders).collect() }
}

#[cfg(test)]
pub(super) fn sample() -> Plan {
    Plan {
        publishers: 1,
        consumers: 1,
        queues: 1,
        routing: Routing::Direct,
        extent: Extent::Messages(10),
        size: 16,
        persistent: true,
        window: 100,
        rate: None,
        prefetch: 100,
        ack_every: 10,
        queue_arguments: Vec::new(),
        prefix: "bench".to_owned(),
        makes_queues: true,
        deletes_queues: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_its_publishers_and_consumers() {
        for (publishers, consumers, queues) in [(1, 1, 1), (8, 8, 8), (2, 3, 7), (9, 5, 2), (1, 4, 3)] {
            let plan = Plan { publishers, consumers, queues, ..sample() };
            let mut published: Vec<usize> = (0..publishers)
                .flat_map(|publisher| plan.routes_of_publisher(publisher))
                .map(|route| route.queue)
                .collect();
            let mut consumed: Vec<usize> =
                (0..consumers).flat_map(|consumer| plan.queues_of_consumer(consumer)).collect();
            for queues_used in [&mut published, &mut consumed] {
                queues_used.sort_unstable();
                queues_used.dedup();
                assert_eq!(*queues_used, (0..queues).collect::<Vec<_>>(), "{publishers} {consumers}");
            }
        }
    }

    #[test]
    fn what_was_sent_is_known_queue_by_queue() {
        let plan = Plan { queues: 3, ..sample() };
        assert_eq!(plan.sent_by_queue(0, 10), [(0, 4), (1, 3), (2, 3)]);
        let plan = Plan { routing: Routing::Fanout, ..plan };
        assert_eq!(plan.sent_by_queue(0, 10), [(0, 10), (1, 10), (2, 10)]);
        let plan = Plan { routing: Routing::Bound { bindings: 5, direct: false }, queues: 2, ..plan };
        // Bindings 0, 2, 4 lead to queue 0, the others to queue 1.
        assert_eq!(plan.sent_by_queue(0, 7), [(0, 4), (1, 3)]);
        assert_eq!(plan.bindings()[3], (1, "bench.*.3.#".to_owned()));
        let plan = Plan { routing: Routing::Bound { bindings: 5, direct: true }, ..plan };
        assert_eq!(plan.bindings()[3], (1, plan.routes_of_publisher(0)[3].routing_key.clone()));
    }

    #[test]
    fn quotas_add_up() {
        let plan = Plan { publishers: 3, extent: Extent::Messages(11), ..sample() };
        assert_eq!([0, 1, 2].map(|publisher| plan.quota(publisher)), [Some(4), Some(4), Some(3)]);
        let plan = Plan { extent: Extent::Seconds(1.0), ..plan };
        assert_eq!(plan.quota(0), None);
    }

    #[test]
    fn plans_that_cannot_be_run_are_refused() {
        let refused = |plan: Plan, words: &str| {
            let error = plan.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        assert!(sample().check().is_ok());
        refused(Plan { size: 15, ..sample() }, "at least 16 bytes");
        refused(Plan { queues: 0, ..sample() }, "there must be a queue");
        refused(Plan { publishers: 5000, ..sample() }, "--publishers: 5000 are more than 4096");
        refused(
            Plan { routing: Routing::Bound { bindings: 1, direct: false }, queues: 2, ..sample() },
            "each queue needs one",
        );
        refused(Plan { publishers: 4096, queues: 100_000, ..sample() }, "publishers x queues");
    }
}
