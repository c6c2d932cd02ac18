//! Keys of bearer tokens that a server publishes: how the broker comes by them, keeps them, and what of a server that is
//! slow, dead or hostile reaches its clients. Whether a token is genuine is told in `tests/oauth.rs`.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/login.rs"]
mod login;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod served;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use login::{HEADER, dial, log_in, start};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::crypto::ring as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use served::Served;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::{TempDir, tempdir};

/// Who signs tokens, by the name that they give the key.
struct Signer {
    id: &'static str,
    key: Ed25519KeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, key: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap() }
    }

    fn token(&self) -> String {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"alg": "EdDSA", "kid": self.id});
        let claims = json!({"sub": "ann", "aud": "broker", "exp": now_s + 600, "scope": "broker.read:*/*"});
        let parts = [header, claims].map(|part: Value| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = parts.join(".");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes())))
    }
}

fn set(signers: &[&Signer]) -> String {
    let key = |signer: &&Signer| {
        let x = URL_SAFE_NO_PAD.encode(signer.key.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": signer.id, "use": "sig", "x": x})
    };
    json!({"keys": signers.iter().map(key).collect::<Vec<_>>()}).to_string()
}

/// What a server does with a request.
#[derive(Clone)]
enum Answer {
    Document(String),
    Redirect(String),
    /// Goes on until the other end has had enough.
    Endless,
    /// Never comes.
    Nothing,
}

/// A server of keys, with TLS or without.
struct KeyServer {
    url: String,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    /// Bytes that an endless answer was rid of.
    sent: Arc<AtomicUsize>,
}

impl KeyServer {
    fn start(tls: Option<Arc<ServerConfig>>, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = Self {
            url: format!("{scheme}://localhost:{port}"),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
            sent: Arc::default(),
        };
        let (answer, asked, sent) =
            (Arc::clone(&server.answer), Arc::clone(&server.asked), Arc::clone(&server.sent));
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let Ok(tcp) = tcp else { return };
                let (tls, answer, asked, sent) =
                    (tls.clone(), Arc::clone(&answer), Arc::clone(&asked), Arc::clone(&sent));
                thread::spawn(move || match tls {
                    None => respond(tcp, &answer, &asked, &sent),
                    Some(config) => {
                        let tls = ServerConnection::new(config).unwrap();
                        respond(StreamOwned::new(tls, tcp), &answer, &asked, &sent);
                    }
                });
            }
        });
        server
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn now_says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

fn respond(stream: impl Read + Write, answer: &Mutex<Answer>, asked: &AtomicUsize, sent: &AtomicUsize) {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if !matches!(stream.read_line(&mut request), Ok(1..)) {
            return;
        }
    }
    assert!(request.starts_with("GET /"), "{request}");
    let answer = answer.lock().unwrap().clone();
    asked.fetch_add(1, Ordering::SeqCst);
    let stream = stream.get_mut();
    match answer {
        Answer::Document(text) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = stream.write_all((head + &text).as_bytes());
            let _ = stream.flush();
        }
        Answer::Redirect(to) => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        }
        Answer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while stream.write_all(&[b' '; 4_096]).is_ok() {
                sent.fetch_add(4_096, Ordering::SeqCst);
            }
        }
        Answer::Nothing => {
            let _ = stream.read(&mut [0]);
        }
    }
}

/// A certificate for `localhost` that signs itself: the server's TLS, and whom to believe, PEM.
fn certificate() -> (Arc<ServerConfig>, String) {
    let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(ours.cert.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(ours.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (Arc::new(config), ours.cert.pem())
}

fn serve(flags: &[String]) -> (Served, TempDir) {
    let parent = tempdir().unwrap();
    let own = "--oauth-resource-server-id=broker";
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain([own]).collect();
    (Served::start(&parent.path().join("store"), &flags), parent)
}

fn by_url(server: &KeyServer) -> String {
    format!("--oauth-jwks-url={}/keys", server.url)
}

/// What the broker answers to this password.
fn connect(broker: &Served, user: &str, password: &str) -> String {
    let mut client: TcpStream = dial(broker.port);
    client.write_all(HEADER).unwrap();
    start(&mut client);
    log_in(&mut client, "PLAIN", format!("\0{user}\0{password}").as_bytes())
}

fn is_in(broker: &Served, signer: &Signer) -> bool {
    let answer = connect(broker, "anybody", &signer.token());
    assert!(answer == "tune" || answer.contains("ACCESS_REFUSED"), "{answer}");
    answer == "tune"
}

#[test]
fn keys_come_from_a_server_and_are_renewed_when_a_token_names_another() {
    let (tls, pem) = certificate();
    let parent = tempdir().unwrap();
    let ca = parent.path().join("ca.pem");
    fs::write(&ca, pem).unwrap();
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let server = KeyServer::start(Some(tls), Answer::Document(set(&[&old])));
    let (broker, _parent) =
        serve(&[by_url(&server), format!("--oauth-ca={}", ca.display()), "--oauth-retry-s=0".to_owned()]);
    assert!(is_in(&broker, &old));
    assert!(!is_in(&broker, &new), "nobody has that key");
    // Renewed: both are good for a while, then the old one goes.
    server.now_says(Answer::Document(set(&[&old, &new])));
    assert!(is_in(&broker, &new) && is_in(&broker, &old));
    // What cannot be read changes nothing.
    server.now_says(Answer::Document("{\"keys\":[]}".to_owned()));
    assert!(!is_in(&broker, &Signer::new("third")));
    assert!(is_in(&broker, &new) && is_in(&broker, &old));
    server.now_says(Answer::Document(set(&[&new])));
    assert!(!is_in(&broker, &Signer::new("third")), "it made the broker look");
    assert!(is_in(&broker, &new) && !is_in(&broker, &old));
}

#[test]
fn strangers_cannot_make_the_broker_ask_again_and_again() {
    let signer = Signer::new("one");
    let server = KeyServer::start(None, Answer::Document(set(&[&signer])));
    let (broker, _parent) = serve(&[by_url(&server), "--oauth-retry-s=3600".to_owned()]);
    assert!(!is_in(&broker, &Signer::new("other")), "now the first answer is there");
    assert!(is_in(&broker, &signer));
    let asked = server.asked();
    for _ in 0..3 {
        assert!(!is_in(&broker, &Signer::new("other")));
    }
    assert_eq!(server.asked(), asked);
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    let signer = Signer::new("one");
    let keys = KeyServer::start(None, Answer::Document(set(&[&signer])));
    let issuer = KeyServer::start(None, Answer::Nothing);
    let describe = |issuer: &str, keys: &str| {
        Answer::Document(json!({"issuer": issuer, "jwks_uri": format!("{keys}/keys")}).to_string())
    };
    issuer.now_says(describe("https://other.example", &keys.url));
    let flags = [format!("--oauth-issuer={}", issuer.url), "--oauth-retry-s=0".to_owned()];
    let (broker, _parent) = serve(&flags);
    assert!(!is_in(&broker, &signer), "somebody else's description");
    issuer.now_says(describe(&issuer.url, "http://keys.example"));
    assert!(!is_in(&broker, &signer), "keys of another machine are read over TLS only");
    assert_eq!(keys.asked(), 0);
    issuer.now_says(describe(&issuer.url, &keys.url));
    assert!(is_in(&broker, &signer));
}

#[test]
fn a_server_that_cannot_be_trusted_gives_no_keys() {
    let signer = Signer::new("one");
    let (tls, _) = certificate();
    let (_, others) = certificate();
    let parent = tempdir().unwrap();
    let ca = parent.path().join("ca.pem");
    fs::write(&ca, others).unwrap();
    let server = KeyServer::start(Some(tls), Answer::Document(set(&[&signer])));
    let flags = [by_url(&server), format!("--oauth-ca={}", ca.display()), "--oauth-retry-s=0".to_owned()];
    let (broker, _parent) = serve(&flags);
    assert!(!is_in(&broker, &signer));
    assert_eq!(server.asked(), 0, "nothing was asked of it");
}

#[test]
fn a_hostile_server_costs_its_own_logins_and_nothing_else() {
    let signer = Signer::new("one");
    let elsewhere = KeyServer::start(None, Answer::Document(set(&[&signer])));
    let server = KeyServer::start(None, Answer::Redirect(format!("{}/keys", elsewhere.url)));
    let (broker, _parent) = serve(&[by_url(&server), "--oauth-retry-s=0".to_owned()]);
    assert!(!is_in(&broker, &signer), "a redirect is not followed");
    assert_eq!(elsewhere.asked(), 0);
    server.now_says(Answer::Endless);
    assert!(!is_in(&broker, &signer), "a gigabyte is not read");
    let sent = server.sent.load(Ordering::SeqCst);
    assert!(sent < 64 << 20, "{sent}");
    // While one waits for an answer that never comes, others log in.
    server.now_says(Answer::Nothing);
    let asked = server.asked();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| is_in(&broker, &signer));
        while server.asked() == asked {
            thread::yield_now();
        }
        assert_eq!(connect(&broker, "guest", "guest"), "tune");
        assert!(!waiting.join().unwrap());
    });
    server.now_says(Answer::Document(set(&[&signer])));
    assert!(is_in(&broker, &signer), "and all is well");
}

#[test]
fn a_dead_server_stops_neither_the_start_nor_other_logins() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (broker, _parent) = serve(&[format!("--oauth-jwks-url=http://127.0.0.1:{port}/keys")]);
    assert!(!is_in(&broker, &Signer::new("one")));
    assert_eq!(connect(&broker, "guest", "guest"), "tune");
}
