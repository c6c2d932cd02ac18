//! From the protocol header to open-ok: each step waits for one method and consumes the one before it. A method out of
//! turn ends the connection and moves nothing.
//!
//! ```text
//! header ► start … start-ok ► (login) ► tune … tune-ok, open ► (vhost) ► open-ok
//! ```
//!
//! Whether a login or a vhost is good is decided by others; while they think, nothing is read.
//! Source: AMQP 0-9-1 §2.2.4; texts and limits: RabbitMQ's `rabbit_reader`.

use super::running::Running;
use super::{Connection, ConnectionEffects, Fatal, Login, Request, Stage};
use crate::limits::{FRAME_BYTES_MIN, REFUSED_LOGIN_MS};
use crate::protocol::client_method::{ClientMethod, Secret};
use crate::protocol::method_id::MethodId;
use crate::protocol::protocol_header::{AMQP_0_9_1, Opening, PROTOCOL_HEADER_BYTES, opening};
use crate::protocol::reply::{ConnectionCode, ConnectionError};
use crate::protocol::sasl;
use crate::protocol::server_method::ServerMethod;
use crate::protocol::server_properties::{ClientCapabilities, Identity, server_properties};
use crate::protocol::table::Table;
use std::sync::Arc;

/// What the handshake waits for.
#[derive(Debug)]
pub(super) enum Handshake {
    AwaitHeader,
    AwaitStartOk,
    /// The driver checks the login made with this mechanism.
    Authenticating(&'static str),
    AwaitTuneOk(Arc<str>),
    AwaitOpen(Arc<str>, Tuned),
    /// The driver opens the vhost.
    OpeningVhost(Arc<str>, Tuned),
    /// The login was refused and its silence is nearly over.
    Refused,
}

/// What connection.tune-ok settled beside the frame size and the heartbeat, which hold from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuned {
    pub(super) channels_max: u16,
}

impl Handshake {
    /// What RabbitMQ calls this step.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::AwaitHeader | Self::AwaitStartOk | Self::Refused => "starting",
            Self::Authenticating(_) => "securing",
            Self::AwaitTuneOk(_) => "tuning",
            Self::AwaitOpen(..) | Self::OpeningVhost(..) => "opening",
        }
    }

    /// Whether bytes can be handled now.
    pub(super) fn listens(&self) -> bool {
        !matches!(self, Self::Authenticating(_) | Self::OpeningVhost(..))
    }
}

impl Connection {
    /// Looks at the protocol header. Returns how many bytes it took; 0 if it is incomplete.
    pub(super) fn protocol_header(&mut self, input: &[u8], out: &mut ConnectionEffects) -> usize {
        let what = match opening(input) {
            Opening::Incomplete => return 0,
            Opening::Amqp => {
                self.start(out);
                return PROTOCOL_HEADER_BYTES;
            }
            Opening::OtherAmqp => "another version of AMQP",
            Opening::Http => "HTTP",
            Opening::Tls => "TLS",
            Opening::Unknown => "no AMQP",
        };
        out.requests.push(Request::Log(format!("{} opened with {what}", self.peer)));
        out.outbound.buffer().extend_from_slice(&AMQP_0_9_1);
        self.close_socket(out);
        input.len()
    }

    fn start(&mut self, out: &mut ConnectionEffects) {
        let config = &self.config;
        let identity = Identity {
            product: &config.product,
            version: &config.version,
            cluster_name: &config.cluster_name,
        };
        let start = ServerMethod::ConnectionStart {
            server_properties: &server_properties(identity),
            mechanisms: &self.mechanisms().collect::<Vec<_>>().join(" "),
            locales: "en_US",
        };
        out.outbound.method(0, &start);
        self.step_to(Handshake::AwaitStartOk);
    }

    /// What this client may log in with.
    fn mechanisms(&self) -> impl Iterator<Item = &'static str> {
        let is_certified = self.certified_user().is_some();
        self.config.mechanisms.iter().copied().filter(move |name| is_certified || *name != sasl::EXTERNAL)
    }

    /// A method on channel 0 before open-ok.
    pub(super) fn handshake_method(
        &mut self,
        method: ClientMethod<'_>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let cause = method.id();
        let Stage::Handshake { step, .. } = &mut self.stage else { return Ok(()) };
        match (std::mem::replace(step, Handshake::Refused), method) {
            (
                Handshake::AwaitStartOk,
                ClientMethod::ConnectionStartOk {
                    client_properties,
                    mechanism,
                    response: Secret(response),
                    locale: _,
                },
            ) => self.start_ok(&client_properties, mechanism, response, now_ms, out),
            (
                Handshake::AwaitTuneOk(user),
                ClientMethod::ConnectionTuneOk { channel_max, frame_bytes_max, heartbeat_s },
            ) => {
                self.tune_ok(channel_max, frame_bytes_max).map_err(|error| (error, CONNECTION_TUNE))?;
                self.heartbeat.start(heartbeat_s, now_ms);
                self.step_to(Handshake::AwaitOpen(user, Tuned { channels_max: channel_max }));
            }
            (Handshake::AwaitOpen(user, tuned), ClientMethod::ConnectionOpen { vhost }) => {
                let vhost: Arc<str> = vhost.into();
                self.client.vhost = Some(Arc::clone(&vhost));
                out.requests.push(Request::OpenVhost { vhost, user: Arc::clone(&user) });
                self.step_to(Handshake::OpeningVhost(user, tuned));
            }
            (Handshake::AwaitOpen(..), ClientMethod::ConnectionClose { .. }) => {
                out.outbound.method(0, &ServerMethod::ConnectionCloseOk);
                self.linger(now_ms);
            }
            (step, _) => {
                let error = out_of_turn(step.name());
                self.step_to(step);
                return Err((error, cause));
            }
        }
        Ok(())
    }

    fn start_ok(
        &mut self,
        client_properties: &Table,
        mechanism: &str,
        response: &[u8],
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) {
        self.client.capabilities = ClientCapabilities::of(client_properties);
        let text = |name| Some(client_properties.get(name)?.as_str()?.to_owned());
        self.client.name = text("connection_name");
        self.client.properties = client_properties.clone();
        self.client.product = text("product").map(|product| match text("version") {
            Some(version) => format!("{product} {version}"),
            None => product,
        });
        let known = self.mechanisms().find(|known| *known == mechanism);
        if let (Some(sasl::EXTERNAL), Some(user)) = (known, self.certified_user()) {
            // What the client says of itself does not count: the certificate does.
            let (user, password) = (user.to_owned(), String::new());
            self.client.mechanism = sasl::EXTERNAL;
            out.requests.push(Request::Authenticate(Login { mechanism: sasl::EXTERNAL, user, password }));
            return self.step_to(Handshake::Authenticating(sasl::EXTERNAL));
        }
        match (known, sasl::parse(mechanism, response)) {
            (Some(mechanism), Ok(credentials)) => {
                self.client.mechanism = mechanism;
                let (user, password) = (credentials.user.to_owned(), credentials.password.to_owned());
                out.requests.push(Request::Authenticate(Login { mechanism, user, password }));
                self.step_to(Handshake::Authenticating(mechanism));
            }
            (_, refused) => {
                let why = format!("no login: {:?}", refused.err());
                self.refuse_login(mechanism, &why, now_ms, out);
            }
        }
    }

    /// The answer to [`Request::Authenticate`]: the user's name; an error is a reason for the log, the client learns none.
    pub fn authenticated(
        &mut self,
        result: Result<Arc<str>, String>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) {
        let Stage::Handshake { step: Handshake::Authenticating(mechanism), .. } = self.stage else { return };
        match result {
            Ok(user) => {
                self.client.user = Some(Arc::clone(&user));
                let tune = ServerMethod::ConnectionTune {
                    channel_max: self.config.channels_max,
                    frame_bytes_max: self.config.frame_bytes_max,
                    heartbeat_s: self.config.heartbeat_s,
                };
                out.outbound.method(0, &tune);
                self.step_to(Handshake::AwaitTuneOk(user));
            }
            Err(why) => self.refuse_login(mechanism, &why, now_ms, out),
        }
    }

    /// Only a client that says it understands gets an answer; any other finds its socket closed after a while.
    fn refuse_login(&mut self, mechanism: &str, why: &str, now_ms: u64, out: &mut ConnectionEffects) {
        out.requests.push(Request::Log(format!("{} login refused: {why}", self.peer)));
        if self.client.capabilities.authentication_failure_close {
            let text = format!(
                "Login was refused using authentication mechanism {mechanism}. \
                 For details see the broker logfile."
            );
            let error = ConnectionError::new(ConnectionCode::AccessRefused, text);
            self.fail(&error, MethodId::default(), now_ms, out);
        } else {
            self.stage = Stage::Lingering { deadline_ms: now_ms + REFUSED_LOGIN_MS };
        }
    }

    fn tune_ok(&mut self, channels_max: u16, frame_bytes_max: u32) -> Result<(), ConnectionError> {
        let config = &self.config;
        // No limit is taken as ours: clients that say so follow what connection.tune said.
        let frame_bytes_max = if frame_bytes_max == 0 { config.frame_bytes_max } else { frame_bytes_max };
        negotiated("frame_max", frame_bytes_max, FRAME_BYTES_MIN, config.frame_bytes_max)?;
        negotiated("channel_max", channels_max.into(), 1, config.channels_max.into())?;
        self.frame_bytes_max = frame_bytes_max;
        Ok(())
    }

    /// The answer to [`Request::OpenVhost`]; an error (530 `vhost v not found`, …, 541) is what the client reads.
    pub fn vhost_opened(
        &mut self,
        result: Result<(), ConnectionError>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) {
        let opened = match &mut self.stage {
            Stage::Handshake { step, .. } => match std::mem::replace(step, Handshake::Refused) {
                Handshake::OpeningVhost(user, tuned) => Some((user, tuned)),
                other => {
                    *step = other;
                    None
                }
            },
            _ => None,
        };
        let Some((user, tuned)) = opened else {
            // The socket went, or patience ended, while the vhost was being opened: it must be let go again.
            if result.is_ok() {
                out.requests.push(Request::Detach);
            }
            return;
        };
        match result {
            Ok(()) => {
                out.outbound.method(0, &ServerMethod::ConnectionOpenOk);
                self.heartbeat.sent(now_ms);
                let vhost = self.client.vhost.clone().unwrap_or_default();
                self.stage = Stage::Running(Box::new(Running::new(self, user, vhost, tuned)));
            }
            Err(error) => self.fail(&error, CONNECTION_OPEN, now_ms, out),
        }
    }

    fn step_to(&mut self, next: Handshake) {
        if let Stage::Handshake { step, .. } = &mut self.stage {
            *step = next;
        }
    }
}

/// A method that is not due in this state of the handshake. (RabbitMQ closes the socket without a word.)
pub(super) fn out_of_turn(state: &str) -> ConnectionError {
    ConnectionError::new(
        ConnectionCode::CommandInvalid,
        format!("unexpected method in connection state {state}"),
    )
}

fn negotiated(field: &str, value: u32, min: u32, max: u32) -> Result<(), ConnectionError> {
    let unlimited = if value == 0 { " (no limit)" } else { "" };
    let (relation, bound, limit) = if value != 0 && value < min {
        ("lower", "minimum", min)
    } else if max != 0 && (value == 0 || value > max) {
        ("higher", "maximum", max)
    } else {
        return Ok(());
    };
    let text = format!(
        "negotiated {field} = {value}{unlimited} is {relation} than the {bound} allowed value ({limit})"
    );
    Err(ConnectionError::new(ConnectionCode::NotAllowed, text))
}

const CONNECTION_TUNE: MethodId = MethodId { class: 10, method: 30 };
const CONNECTION_OPEN: MethodId = MethodId { class: 10, method: 40 };
