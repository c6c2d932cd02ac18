//! Which queues of which vhosts are moved, from where to where: from the URIs, the options, and what the broker here says it has.

use super::Options;
use super::error::MoveError;
use crate::cli::addresses::reachable;
use crate::cli::client::target::Target;
use crate::cli::control::{ControlRequest, ControlResponse, Row};
use crate::cli::exit::Exit;
use crate::cli::rows::StatusReport;
use serde_json::Value;

/// The name our connections have at both brokers.
const CLIENT: &str = "ledgermq ctl move_messages";

/// Asks the broker here.
pub(in crate::cli) type Here<'a> = dyn Fn(&ControlRequest) -> Result<ControlResponse, String> + 'a;

/// A queue of a vhost of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) vhost: String,
    pub(super) queue: String,
}

/// See the file's head.
pub(super) struct Places {
    source: Target,
    target: Target,
    /// Of every vhost.
    all_vhosts: bool,
    /// Every queue here, else those that were named.
    pub(super) all_queues: bool,
    named: Vec<String>,
}

impl Places {
    /// From the source's URI and the options. `vhost` is that of the command, `/` if it names none. The user of the source is also the
    /// target's, unless the target's URI names another.
    pub(super) fn new(
        source: &str,
        vhost: &str,
        options: &Options,
        here: &Here<'_>,
    ) -> Result<Self, MoveError> {
        let usage = |text: String| MoveError::Other(text, Exit::Usage);
        let mut source = Target::parse(source).map_err(|text| usage(format!("source: {text}")))?;
        source.client = CLIENT;
        if vhost != "/" {
            vhost.clone_into(&mut source.vhost);
        }
        let mut target = match &options.target {
            Some(uri) => Target::parse(uri).map_err(|text| usage(format!("--target: {text}")))?,
            None => {
                let (host, port) = listener(here)?;
                Target {
                    host,
                    port,
                    user: source.user.clone(),
                    password: source.password.clone(),
                    ..Target::default()
                }
            }
        };
        target.client = CLIENT;
        if target.vhost == "/" {
            source.vhost.clone_into(&mut target.vhost);
        }
        for end in [&mut source, &mut target] {
            if let (Some(authorities), Some(given)) = (&mut end.authorities, &options.authorities) {
                authorities.clone_from(given);
            }
        }
        Ok(Self {
            source,
            target,
            all_vhosts: options.all_vhosts,
            all_queues: options.queues.is_empty(),
            named: options.queues.clone(),
        })
    }

    /// The vhosts whose queues are moved.
    pub(super) fn vhosts(&self, here: &Here<'_>) -> Result<Vec<String>, MoveError> {
        if !self.all_vhosts {
            return Ok(vec![self.source.vhost.clone()]);
        }
        let rows = rows(here, &ControlRequest::ListVhosts)?;
        Ok(rows.iter().map(|row| text(row, "name").to_owned()).collect())
    }

    /// Both brokers, at this vhost.
    pub(super) fn ends(&self, vhost: &str) -> (Target, Target) {
        let at = |end: &Target, name: &str| Target { vhost: name.to_owned(), ..end.clone() };
        let to = if self.all_vhosts { vhost } else { &self.target.vhost };
        (at(&self.source, vhost), at(&self.target, to))
    }

    /// The queues to move, and of some why they are not.
    pub(super) fn queues_of(
        &self,
        vhost: &str,
        here: &Here<'_>,
    ) -> Result<Vec<(Place, Option<&'static str>)>, MoveError> {
        let place = |queue: &str| Place { vhost: vhost.to_owned(), queue: queue.to_owned() };
        if !self.all_queues {
            return Ok(self.named.iter().map(|queue| (place(queue), None)).collect());
        }
        let rows = rows(here, &ControlRequest::ListQueues { vhost: self.ends(vhost).1.vhost })?;
        Ok(rows.iter().map(|row| (place(text(row, "name")), reason(row))).collect())
    }
}

/// Why a queue is left alone.
fn reason(row: &Row) -> Option<&'static str> {
    if text(row, "type") == "stream" {
        Some("a stream is not moved: reading does not empty it")
    } else if row.get("exclusive") == Some(&Value::Bool(true)) {
        Some("an exclusive queue is not moved: it goes with its connection")
    } else {
        None
    }
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

fn rows(here: &Here<'_>, request: &ControlRequest) -> Result<Vec<Row>, MoveError> {
    match here(request).map_err(|text| MoveError::Other(text, Exit::Unavailable))? {
        ControlResponse::Rows { rows } => Ok(rows),
        ControlResponse::Refused { message, .. } => Err(MoveError::Other(message, Exit::Data)),
        ControlResponse::Done
        | ControlResponse::Text { .. }
        | ControlResponse::Figures { .. }
        | ControlResponse::Removed { .. } => {
            Err(MoveError::Other("the broker is of another release".to_owned(), Exit::Unavailable))
        }
    }
}

/// Where the broker here takes plain AMQP.
fn listener(here: &Here<'_>) -> Result<(String, u16), MoveError> {
    let rows = rows(here, &ControlRequest::Status)?;
    let status = rows.into_iter().next().unwrap_or_default();
    let status: StatusReport = serde_json::from_value(Value::Object(status))
        .map_err(|_| MoveError::Other("the broker is of another release".to_owned(), Exit::Unavailable))?;
    let mut addresses = status.listeners.iter().filter(|(_, protocol)| protocol == "amqp");
    let address =
        addresses.find_map(|(address, _)| address.parse().ok()).map(reachable).ok_or_else(|| {
            MoveError::Other("the broker has no plain AMQP listener: give --target".to_owned(), Exit::Usage)
        })?;
    Ok((address.ip().to_string(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::rows::named;
    use serde_json::json;

    fn here(request: &ControlRequest) -> Result<ControlResponse, String> {
        Ok(match request {
            ControlRequest::Status => ControlResponse::Rows {
                rows: vec![
                    StatusReport {
                        listeners: vec![
                            ("[::]:5671".into(), "amqp/ssl".into()),
                            ("0.0.0.0:7000".into(), "amqp".into()),
                        ],
                        ..StatusReport::default()
                    }
                    .row(),
                ],
            },
            ControlRequest::ListVhosts => ControlResponse::Rows {
                rows: vec![named([("name", json!("/"))]), named([("name", json!("shop"))])],
            },
            ControlRequest::ListQueues { vhost } if vhost == "shop" => ControlResponse::Rows {
                rows: [("a", "classic", false), ("log", "stream", false), ("mine", "classic", true)]
                    .map(|(name, kind, exclusive)| {
                        named([("name", json!(name)), ("type", json!(kind)), ("exclusive", json!(exclusive))])
                    })
                    .to_vec(),
            },
            _ => return Err("nobody".to_owned()),
        })
    }

    #[test]
    fn the_target_is_the_broker_here_as_the_same_user() {
        let places = Places::new("amqp://eve:pw@old/shop", "/", &Options::default(), &here).unwrap();
        let (source, target) = places.ends("shop");
        assert_eq!((source.place(), source.vhost), ("old:5672".to_owned(), "shop".to_owned()));
        assert_eq!((target.place(), target.vhost), ("127.0.0.1:7000".to_owned(), "shop".to_owned()));
        assert_eq!((target.user, target.password), ("eve".to_owned(), "pw".to_owned()));
        assert_eq!(places.vhosts(&here).unwrap(), ["shop"]);
        let queues = places.queues_of("shop", &here).unwrap();
        let told: Vec<_> = queues.iter().map(|(place, reason)| (&*place.queue, reason.is_some())).collect();
        assert_eq!(told, [("a", false), ("log", true), ("mine", true)]);
    }

    #[test]
    fn all_vhosts_keep_their_names() {
        let options = Options { all_vhosts: true, ..Options::default() };
        let places = Places::new("amqp://old", "/", &options, &here).unwrap();
        assert_eq!(places.vhosts(&here).unwrap(), ["/", "shop"]);
        assert_eq!(places.ends("shop").1.vhost, "shop");
        assert!(places.queues_of("/", &here).is_err());
    }

    #[test]
    fn what_is_named_is_not_asked_for() {
        let options = Options {
            queues: vec!["q".to_owned()],
            target: Some("amqps://new/other".to_owned()),
            authorities: Some("/ca.pem".into()),
            ..Options::default()
        };
        let nobody = |_: &ControlRequest| Err("nobody".to_owned());
        let places = Places::new("amqp://old", "shop", &options, &nobody).unwrap();
        let (source, target) = places.ends("shop");
        assert_eq!((&*source.vhost, &*target.vhost, target.port), ("shop", "other", 5671));
        assert_eq!((source.authorities, target.authorities), (None, Some("/ca.pem".into())));
        assert_eq!(places.queues_of("shop", &nobody).unwrap().len(), 1);
        let error = Places::new("amqp://old", "/", &Options::default(), &nobody).err().unwrap();
        assert_eq!((error.to_string(), error.exit()), ("nobody".to_owned(), Exit::Unavailable));
        assert!(Places::new("http://old", "/", &options, &nobody).is_err());
    }
}
