//! The command line of `ledgermq bench`: workloads, what they may be told, and what they do when they are told nothing.

use super::lanes::Until;
use super::plan::{Extent, Plan, Routing};
use crate::cli::client::error::ClientError;
use crate::cli::client::target::Target;
use clap::{Args, Subcommand};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Every message carries its publisher, its number and a check. What is lost, doubled, reordered or damaged is counted, and ends \
the program with 65. Other codes: 64 bad options, 69 no broker there or a silent one, 70 the broker refused, 74 a connection \
failed.

Latencies count from the time a message was due, so a broker that stalls does not hide the wait behind it. Figures compare \
within one machine and the same minutes only; `scripts/bench --compare` runs brokers in turns.";

/// `ledgermq bench`.
#[derive(Debug, Args)]
#[command(about = "Measures a broker (any that speaks AMQP 0-9-1) and checks that nothing is lost", after_help = AFTER_HELP)]
pub(super) struct Options {
    #[command(subcommand)]
    pub(super) workload: Workload,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub(super) enum Workload {
    /// Publishes and consumes as fast as it goes
    Throughput(Run<Traffic>),
    /// Publishes at a fixed rate and reports percentiles of publish to confirm and publish to delivery
    Latency(Run<Paced>),
    /// One publisher, a fanout exchange, a copy for each of many queues
    Fanout(Run<Traffic>),
    /// Publishes through a topic exchange with many bindings
    Topic(Run<Topical>),
    /// Many publishers, each of which waits for every confirm
    Waiting(Run<Traffic>),
    /// Fills queues while nobody consumes, then drains them
    Backlog(Run<Backlog>),
    /// Opens connections with a channel each and leaves them idle
    Connections(Run<Connections>),
    /// Clients that connect, open a channel and leave, as fast as it goes
    Storm(Run<Storm>),
    /// Declares durable queues and deletes them
    Declare(Run<Declare>),
}

/// A workload with what all workloads take.
#[derive(Debug, Args)]
pub(super) struct Run<T: Args> {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) own: T,
}

/// Which broker, and how the outcome is told.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// The broker: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// with TLS
    #[arg(long, value_name = "URI", conflicts_with_all = ["host", "port", "user", "password", "vhost"])]
    pub(super) uri: Option<String>,
    /// Who may sign its certificate, in amqps:// [default: the authorities of the system]
    #[arg(long, value_name = "FILE", requires = "uri")]
    pub(super) cacert: Option<PathBuf>,
    /// Its host [default: 127.0.0.1]
    #[arg(long)]
    pub(super) host: Option<String>,
    /// Its port [default: 5672]
    #[arg(long)]
    pub(super) port: Option<u16>,
    /// User [default: guest]
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Password [default: guest]
    #[arg(long)]
    pub(super) password: Option<String>,
    /// Virtual host [default: /]
    #[arg(long)]
    pub(super) vhost: Option<String>,
    /// The broker's process, for its processor time and memory: a number, or `auto` for whoever listens on the port here
    #[arg(long, value_name = "PID")]
    pub(super) broker_pid: Option<String>,
    /// Seconds without any progress after which what is missing counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) patience: u64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// No line a second on the terminal
    #[arg(long)]
    pub(super) quiet: bool,
    /// What the names of queues and exchanges begin with; those of an earlier run are deleted
    #[arg(long, default_value = "bench")]
    pub(super) prefix: String,
    /// An argument of the queues, such as x-queue-type=quorum; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) queue_argument: Vec<(String, String)>,
}

/// Who publishes and consumes what.
#[derive(Debug, Args)]
pub(super) struct Traffic {
    /// Publishers, each with a connection and a thread [default: 1; waiting: 64]
    #[arg(long)]
    publishers: Option<usize>,
    /// Consumers, likewise [default: 1; fanout: one for each queue]
    #[arg(long)]
    consumers: Option<usize>,
    /// Queues, which publishers and consumers share out among themselves [default: 1; fanout: 10]
    #[arg(long)]
    queues: Option<usize>,
    /// Bytes of a body, at least 16
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    size: usize,
    /// Messages, all publishers together
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds")]
    messages: Option<u64>,
    /// Seconds to publish for [default: 10; backlog: 1,000,000 messages]
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Transient messages; without this they are persistent
    #[arg(long)]
    transient: bool,
    /// Unconfirmed publishes of each publisher; 0: no confirms [default: 1000; latency: 100,000; waiting: 1]
    #[arg(long, value_name = "COUNT")]
    window: Option<u64>,
    /// Unacknowledged deliveries of each consumer
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    prefetch: u16,
    /// Deliveries acknowledged at once
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    ack_every: u64,
    /// Consume without acknowledgements
    #[arg(long, conflicts_with_all = ["ack_every", "prefetch"])]
    auto_ack: bool,
}

/// Traffic at a fixed rate.
#[derive(Debug, Args)]
pub(super) struct Paced {
    /// Messages a second, all publishers together
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5000.0, value_parser = seconds)]
    rate: f64,
    #[command(flatten)]
    traffic: Traffic,
}

/// Traffic through a topic exchange.
#[derive(Debug, Args)]
pub(super) struct Topical {
    /// Bindings, spread over the queues; each message goes by one of them
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    bindings: usize,
    /// Through a direct exchange instead, with the keys themselves bound: what patterns cost beside it
    #[arg(long)]
    direct: bool,
    #[command(flatten)]
    traffic: Traffic,
}

/// A backlog.
#[derive(Debug, Args)]
pub(super) struct Backlog {
    /// Fill only; the queues stay
    #[arg(long, conflicts_with = "only_drain")]
    pub(super) only_fill: bool,
    /// Drain only what an --only-fill with the same options has left
    #[arg(long)]
    pub(super) only_drain: bool,
    #[command(flatten)]
    traffic: Traffic,
}

/// Idle connections.
#[derive(Debug, Args)]
pub(super) struct Connections {
    /// How many
    #[arg(long, default_value_t = 1000)]
    pub(super) count: u64,
    /// How many are being opened at a time
    #[arg(long, default_value_t = 8, value_parser = lanes)]
    pub(super) at_a_time: usize,
    /// Seconds they are held for
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = not_negative)]
    pub(super) hold: f64,
}

/// Connections that come and go.
#[derive(Debug, Args)]
pub(super) struct Storm {
    /// Connections in all
    #[arg(long, conflicts_with = "seconds")]
    count: Option<u64>,
    /// Seconds to go on for [default: 10]
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Clients at a time
    #[arg(long, default_value_t = 8, value_parser = lanes)]
    pub(super) at_a_time: usize,
}

/// Queues.
#[derive(Debug, Args)]
pub(super) struct Declare {
    /// How many
    #[arg(long, default_value_t = 1000)]
    pub(super) count: u64,
    /// Connections that share the work
    #[arg(long, default_value_t = 1, value_parser = lanes)]
    pub(super) at_a_time: usize,
    /// Declarations that each sends before it waits for their answers
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=WINDOW))]
    pub(super) window: u64,
    /// Leave them there
    #[arg(long)]
    pub(super) keep: bool,
}

const SECONDS: f64 = 10.0;
const BACKLOG_MESSAGES: u64 = 1_000_000;
const FANOUT_QUEUES: usize = 10;
const WAITING_PUBLISHERS: usize = 64;
const WINDOW: u64 = 1000;
const PACED_WINDOW: u64 = 100_000;
const LANES_MAX: usize = 1024;

impl Workload {
    /// Its name, and what all workloads take.
    pub(super) fn common(&self) -> (&'static str, &Common) {
        match self {
            Self::Throughput(run) => ("throughput", &run.common),
            Self::Latency(run) => ("latency", &run.common),
            Self::Fanout(run) => ("fanout", &run.common),
            Self::Topic(run) => ("topic", &run.common),
            Self::Waiting(run) => ("waiting", &run.common),
            Self::Backlog(run) => ("backlog", &run.common),
            Self::Connections(run) => ("connections", &run.common),
            Self::Storm(run) => ("storm", &run.common),
            Self::Declare(run) => ("declare", &run.common),
        }
    }

    /// The plan of a workload of publishers and consumers; `None` for the others.
    pub(super) fn plan(&self) -> Option<Plan> {
        let plan = match self {
            Self::Throughput(run) => run.own.plan(&run.common),
            Self::Latency(run) => {
                let traffic = &run.own.traffic;
                let window = traffic.window.unwrap_or(PACED_WINDOW);
                Plan { rate: Some(run.own.rate), window, ..traffic.plan(&run.common) }
            }
            Self::Fanout(run) => {
                let queues = run.own.queues.unwrap_or(FANOUT_QUEUES);
                let consumers = run.own.consumers.unwrap_or(queues);
                Plan { routing: Routing::Fanout, queues, consumers, ..run.own.plan(&run.common) }
            }
            Self::Topic(run) => {
                let routing = Routing::Bound { bindings: run.own.bindings, direct: run.own.direct };
                Plan { routing, ..run.own.traffic.plan(&run.common) }
            }
            Self::Waiting(run) => {
                let publishers = run.own.publishers.unwrap_or(WAITING_PUBLISHERS);
                Plan { publishers, window: run.own.window.unwrap_or(1), ..run.own.plan(&run.common) }
            }
            Self::Backlog(run) => {
                let traffic = &run.own.traffic;
                let extent = match (traffic.messages, traffic.seconds) {
                    (None, Some(seconds)) => Extent::Seconds(seconds),
                    (messages, _) => Extent::Messages(messages.unwrap_or(BACKLOG_MESSAGES)),
                };
                Plan { extent, ..traffic.plan(&run.common) }
            }
            Self::Connections(_) | Self::Storm(_) | Self::Declare(_) => return None,
        };
        Some(plan)
    }
}

impl Traffic {
    fn plan(&self, common: &Common) -> Plan {
        Plan {
            publishers: self.publishers.unwrap_or(1),
            consumers: self.consumers.unwrap_or(1),
            queues: self.queues.unwrap_or(1),
            routing: Routing::Direct,
            extent: match self.messages {
                Some(messages) => Extent::Messages(messages),
                None => Extent::Seconds(self.seconds.unwrap_or(SECONDS)),
            },
            size: self.size,
            persistent: !self.transient,
            window: self.window.unwrap_or(WINDOW),
            rate: None,
            prefetch: self.prefetch,
            ack_every: if self.auto_ack { 0 } else { self.ack_every },
            queue_arguments: common.queue_argument.clone(),
            prefix: common.prefix.clone(),
            makes_queues: true,
            deletes_queues: true,
        }
    }
}

impl Storm {
    /// When it is over.
    pub(super) fn until(&self) -> Until {
        match self.count {
            Some(count) => Until::Count(count),
            None => Until::Seconds(self.seconds.unwrap_or(SECONDS)),
        }
    }
}

impl Common {
    /// Which broker, as whom.
    pub(super) fn target(&self) -> Result<Target, ClientError> {
        if let Some(uri) = &self.uri {
            let mut target =
                Target::parse(uri).map_err(|text| ClientError::Usage(format!("--uri: {text}")))?;
            if let (Some(authorities), Some(given)) = (&mut target.authorities, &self.cacert) {
                authorities.clone_from(given);
            }
            return Ok(target);
        }
        let default = Target::default();
        Ok(Target {
            host: self.host.clone().unwrap_or(default.host),
            port: self.port.unwrap_or(default.port),
            user: self.user.clone().unwrap_or(default.user),
            password: self.password.clone().unwrap_or(default.password),
            vhost: self.vhost.clone().unwrap_or(default.vhost),
            ..Target::default()
        })
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("KEY=VALUE is expected".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    not_negative(text)
        .and_then(|number| if number > 0.0 { Ok(number) } else { Err("it must be more than 0".to_owned()) })
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("a number from 0 to a billion is expected".to_owned()),
    }
}

fn lanes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=LANES_MAX) => Ok(number),
        Ok(_) | Err(_) => Err(format!("a number from 1 to {LANES_MAX} is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn workload(words: &str) -> Result<Workload, String> {
        let grammar = Options::augment_args(clap::Command::new("bench"));
        let matches = grammar.try_get_matches_from(words.split(' ')).map_err(|error| error.to_string())?;
        Ok(Options::from_arg_matches(&matches).map_err(|error| error.to_string())?.workload)
    }

    fn plan(words: &str) -> Plan {
        workload(words).unwrap().plan().unwrap()
    }

    #[test]
    fn workloads_know_what_to_do_when_told_nothing() {
        let all = plan("bench throughput");
        assert_eq!((all.publishers, all.consumers, all.queues, all.window), (1, 1, 1, 1000));
        assert!(all.persistent && all.extent == Extent::Seconds(10.0) && all.ack_every == 100);
        let latency = plan("bench latency");
        assert_eq!((latency.rate, latency.window), (Some(5000.0), 100_000));
        let fanout = plan("bench fanout");
        assert_eq!((fanout.queues, fanout.consumers, fanout.routing), (10, 10, Routing::Fanout));
        assert_eq!(plan("bench fanout --queues 3").consumers, 3);
        let waiting = plan("bench waiting");
        assert_eq!((waiting.publishers, waiting.window), (64, 1));
        assert_eq!(plan("bench backlog").extent, Extent::Messages(1_000_000));
        assert_eq!(plan("bench topic").routing, Routing::Bound { bindings: 1000, direct: false });
        assert_eq!(
            plan("bench topic --direct --bindings 7").routing,
            Routing::Bound { bindings: 7, direct: true }
        );
        assert!(workload("bench storm").unwrap().plan().is_none());
    }

    #[test]
    fn what_is_told_counts() {
        let all = plan(
            "bench throughput --messages 7 --transient --window 0 --auto-ack --queue-argument x-queue-type=quorum",
        );
        assert!(!all.persistent);
        assert_eq!((all.extent, all.window, all.ack_every), (Extent::Messages(7), 0, 0));
        assert_eq!(all.queue_arguments, [("x-queue-type".to_owned(), "quorum".to_owned())]);
        let run = workload("bench storm --uri amqp://eve:pw@mq/shop --count 3").unwrap();
        let target = run.common().1.target().unwrap();
        assert_eq!((&*target.user, &*target.vhost, &*target.place()), ("eve", "shop", "mq:5672"));
        let run = workload("bench throughput --uri amqps://mq --cacert /own.pem").unwrap();
        let target = run.common().1.target().unwrap();
        assert_eq!((&*target.place(), target.authorities), ("mq:5671", Some("/own.pem".into())));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for words in [
            "bench throughput --messages 5 --seconds 5",
            "bench throughput --seconds 0",
            "bench throughput --uri amqp://mq --port 1",
            "bench throughput --queue-argument quorum",
            "bench throughput --auto-ack --prefetch 5",
            "bench latency --rate 0",
            "bench storm --at-a-time 0",
            "bench declare --window 0",
            "bench backlog --only-fill --only-drain",
            "bench connections --hold -1",
            "bench throughput --cacert /own.pem",
        ] {
            assert!(workload(words).is_err(), "{words}");
        }
        let run = workload("bench storm --uri http://mq").unwrap();
        assert!(run.common().1.target().unwrap_err().to_string().starts_with("--uri: "));
    }
}
