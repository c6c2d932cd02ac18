//! The HTTP API of a RabbitMQ with its management plugin: vhosts to work in, and what its operators do. One request a
//! connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgermq::definitions::PolicyDefinition;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::users;

/// How long an answer may take: making a vhost starts its message stores, many at the same time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where a RabbitMQ is managed, as user `guest`. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Management {
    pub(crate) address: String,
}

impl Management {
    /// Makes a vhost in which the users of users.rs have their rights.
    pub(crate) fn make_vhost(&self, vhost: &str) {
        self.done("PUT", &format!("/api/vhosts/{}", escaped(vhost)), &json!({}));
        self.done("POST", "/api/definitions", &users::rights(vhost));
    }

    /// Deletes a vhost and all in it, if it is there.
    pub(crate) fn delete_vhost(&self, vhost: &str) {
        let path = format!("/api/vhosts/{}", escaped(vhost));
        let (status, said) =
            self.request("DELETE", &path, &Value::Null).expect("RabbitMQ answers its operator");
        assert!((200..300).contains(&status) || status == 404, "DELETE {path}: {status} {said}");
    }

    /// Sets a policy; answers `done`, or why it was refused.
    pub(crate) fn set_policy(&self, vhost: &str, policy: &PolicyDefinition) -> String {
        let Ok(definition) = serde_json::from_str::<Value>(&policy.definition) else {
            return "refused: no JSON".to_owned();
        };
        let body = json!({
            "pattern": policy.pattern,
            "apply-to": policy.apply_to.name(),
            "priority": policy.priority,
            "definition": definition,
        });
        answered(self.request("PUT", &policy_path(vhost, &policy.name), &body))
    }

    /// Removes a policy; answers `done`, or why it was refused.
    pub(crate) fn clear_policy(&self, vhost: &str, name: &str) -> String {
        answered(self.request("DELETE", &policy_path(vhost, name), &Value::Null))
    }

    fn done(&self, verb: &str, path: &str, body: &Value) {
        let (status, said) = self.request(verb, path, body).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!((200..300).contains(&status), "{verb} {path}: {status} {said}");
    }

    /// Asks, and again while a busy RabbitMQ closes the connection without an answer: each request may be made twice.
    fn request(&self, verb: &str, path: &str, body: &Value) -> io::Result<(u16, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.request_once(verb, path, body) {
                Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(500)),
                answered => return answered,
            }
        }
    }

    fn request_once(&self, verb: &str, path: &str, body: &Value) -> io::Result<(u16, String)> {
        let mut socket = TcpStream::connect(&self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let login = STANDARD.encode("guest:guest");
        write!(
            socket,
            "{verb} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {login}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        status.map(|status| (status, body)).ok_or_else(|| io::Error::other(format!("no answer: {answer}")))
    }
}

fn policy_path(vhost: &str, name: &str) -> String {
    format!("/api/policies/{}/{}", escaped(vhost), escaped(name))
}

fn answered(answer: io::Result<(u16, String)>) -> String {
    let (status, body) = answer.expect("RabbitMQ answers its operator");
    if (200..300).contains(&status) {
        return "done".to_owned();
    }
    if status == 404 {
        // What its command line says.
        return "refused: Parameter does not exist".to_owned();
    }
    let reason = serde_json::from_str::<Value>(&body).ok();
    let reason = reason.as_ref().and_then(|body| body["reason"].as_str()).unwrap_or(&body);
    // It is escaped for web pages.
    let reason =
        reason.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    format!("refused: {}", reason.trim())
}

fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
