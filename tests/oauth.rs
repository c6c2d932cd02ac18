//! Logins by bearer token, as clients meet them: the built binary with a key of the test's own.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/login.rs"]
mod login;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod served;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use login::{HEADER, dial, frame, log_in, start};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use served::Served;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::{TempDir, tempdir};

struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn keys(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string()
    }

    fn token(&self, user: &str, seconds: u64, scope: &str) -> String {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"sub": user, "aud": "broker", "exp": now_s + seconds, "scope": scope});
        let parts =
            [json!({"alg": "EdDSA"}), claims].map(|part: Value| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = parts.join(".");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes())))
    }
}

fn serve(signer: &Signer) -> (Served, TempDir) {
    serve_with(signer, &[])
}

fn serve_with(signer: &Signer, more: &[&str]) -> (Served, TempDir) {
    let parent = tempdir().unwrap();
    let keys = parent.path().join("keys.json");
    fs::write(&keys, signer.keys()).unwrap();
    let flags = [format!("--oauth-keys={}", keys.display()), "--oauth-resource-server-id=broker".to_owned()];
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    (Served::start(&parent.path().join("store"), &flags), parent)
}

fn connect(broker: &Served, password: &str) -> (TcpStream, String) {
    let mut client = dial(broker.port);
    client.write_all(HEADER).unwrap();
    start(&mut client);
    let answer = log_in(&mut client, "PLAIN", format!("\0anybody\0{password}").as_bytes());
    (client, answer)
}

/// Opens vhost `/`; what the broker answers.
fn open(client: &mut TcpStream) -> Vec<u8> {
    let frames = [
        b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0\xce".as_slice(),
        b"\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce",
    ];
    client.write_all(&frames.concat()).unwrap();
    frame(client).unwrap()
}

#[test]
fn a_token_logs_in_until_it_ends() {
    let signer = Signer::new();
    let (broker, _parent) = serve(&signer);
    let (mut client, answer) = connect(&broker, &signer.token("ann", 5, "broker.read:*/*"));
    assert_eq!(answer, "tune");
    assert_eq!(open(&mut client).get(..4), Some(&[0, 10, 0, 41][..]), "connection.open-ok");
    let listed = broker.ctl(&["-q", "list_connections", "user"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("ann"), "{listed:?}");
    let closed = frame(&mut client).unwrap();
    let closed = String::from_utf8_lossy(&closed);
    assert!(closed.contains("CONNECTION_FORCED - credential expired"), "{closed}");
}

#[test]
fn s25_a_token_makes_nobody_local() {
    let signer = Signer::new();
    let (broker, _parent) = serve_with(&signer, &["--proxy-protocol-from=127.0.0.1"]);
    for (user, may) in [("ann", true), ("guest", false)] {
        let mut client = dial(broker.port);
        client.write_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 50000 5672\r\n").unwrap();
        client.write_all(HEADER).unwrap();
        start(&mut client);
        let token = signer.token(user, 60, "broker.read:*/*");
        let answer = log_in(&mut client, "PLAIN", format!("\0anybody\0{token}").as_bytes());
        assert_eq!(answer == "tune", may, "{user}: {answer}");
    }
}

#[test]
fn what_is_not_signed_for_us_does_not_log_in() {
    let signer = Signer::new();
    let (broker, _parent) = serve(&signer);
    let genuine = signer.token("ann", 60, "broker.read:*/*");
    let (message, _) = genuine.rsplit_once('.').unwrap();
    for token in [
        Signer::new().token("ann", 60, "broker.read:*/*"),
        signer.token("ann", 0, "broker.read:*/*"),
        format!("{message}.AAAA"),
        format!("{message}."),
    ] {
        let (_, answer) = connect(&broker, &token);
        assert!(answer.contains("ACCESS_REFUSED"), "{answer}");
    }
    // Without scopes about the vhost there is nothing to open.
    let (mut client, answer) = connect(&broker, &signer.token("ann", 60, "broker.tag:administrator"));
    assert_eq!(answer, "tune");
    let refused = String::from_utf8_lossy(&open(&mut client)).into_owned();
    assert!(refused.contains("access to vhost '/' refused for user 'ann'"), "{refused}");
    // Passwords are passwords.
    assert!(connect(&broker, "guest").1.contains("ACCESS_REFUSED"), "anybody has no password");
}

#[test]
fn http_takes_tokens_too() {
    let signer = Signer::new();
    let (broker, _parent) = serve(&signer);
    let status = |token: &str, path: &str| {
        let mut stream = dial(broker.http_port);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let monitoring = signer.token("ann", 60, "broker.tag:monitoring");
    let nobody = signer.token("ann", 60, "broker.read:*/*");
    assert_eq!(status(&monitoring, "/api/vhosts"), "200");
    assert_eq!(status(&monitoring, "/api/users"), "401", "for administrators");
    assert_eq!(status(&nobody, "/api/vhosts"), "401", "no tag");
    assert_eq!(status(&Signer::new().token("ann", 60, "broker.tag:administrator"), "/api/vhosts"), "401");
}

#[test]
fn s38_tokens_are_in_nothing_it_writes() {
    let signer = Signer::new();
    let (broker, _parent) = serve_with(&signer, &["--log-level=trace"]);
    let good = signer.token("ann", 60, "broker.read:*/*");
    let (mut client, answer) = connect(&broker, &good);
    assert_eq!(answer, "tune");
    open(&mut client);
    // connection.update-secret, refused: signed by nobody we know.
    let bad = Signer::new().token("ann", 60, "broker.read:*/*");
    let length = u32::try_from(bad.len()).unwrap().to_be_bytes();
    let method = [b"\0\x0a\0\x46", length.as_slice(), bad.as_bytes(), b"\x03why"].concat();
    let head = [b"\x01\0\0".as_slice(), &u32::try_from(method.len()).unwrap().to_be_bytes()].concat();
    client.write_all(&[&head, &method, &b"\xce"[..]].concat()).unwrap();
    let closed = String::from_utf8_lossy(&frame(&mut client).unwrap()).into_owned();
    assert!(closed.contains("New secret was refused by one of the backends"), "{closed}");
    assert!(connect(&broker, &bad).1.contains("ACCESS_REFUSED"));
    broker.signal("TERM");
    let said = broker.ended().said;
    assert!(said.contains("signature is wrong"), "{said}");
    for token in [good, bad] {
        for part in token.split('.').skip(1) {
            assert!(!said.contains(part), "{said}");
        }
    }
}
