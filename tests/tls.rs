//! TLS as clients and strangers meet it: the built binary with certificates made for the test, clients that do as they
//! should, and those that do not. What pika sees of it is told in `tests/behaviours/test_tls.py`.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/login.rs"]
mod login;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod served;

use login::{HEADER, dial, frame, log_in, start};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use served::Served;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// Who signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str) -> Signed {
        self.sign_until(name, 2099)
    }

    fn sign_until(&self, name: &str, year: i32) -> Signed {
        let mut params = CertificateParams::new(["localhost".to_owned(), format!("{name}.example")]).unwrap();
        params.distinguished_name = named(name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Example");
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A broker with TLS, and what clients need to know of it.
struct Secure {
    broker: Served,
    port: u16,
    https_port: u16,
    dir: PathBuf,
    authority: Authority,
    _parent: TempDir,
}

impl Secure {
    fn start(flags: &[&str]) -> Self {
        let parent = tempdir().unwrap();
        let dir = parent.path().to_owned();
        let authority = Authority::new("authority");
        place(&dir, &authority.sign("broker"));
        fs::write(dir.join("ca.pem"), &authority.pem).unwrap();
        let (port, https_port) = (free_port(), free_port());
        let path = |name: &str| dir.join(name).display().to_string();
        let own = [
            format!("--tls-listen=127.0.0.1:{port}"),
            format!("--https-listen=127.0.0.1:{https_port}"),
            format!("--tls-cert={}", path("cert.pem")),
            format!("--tls-key={}", path("key.pem")),
            format!("--tls-ca={}", path("ca.pem")),
        ];
        let flags: Vec<&str> = own.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        let broker = Served::start(&dir.join("store"), &flags);
        Self { broker, port, https_port, dir, authority, _parent: parent }
    }

    fn connect(&self, client: Option<&Signed>) -> io::Result<Stream> {
        self.connect_with(client, &[TLS13, TLS12])
    }

    fn connect_with(
        &self,
        client: Option<&Signed>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<Stream> {
        shake_hands(self.port, &self.authority, client, versions)
    }
}

/// What the broker reads; replaced as a whole, as tools that renew certificates do.
fn place(dir: &Path, signed: &Signed) {
    for (name, text) in [("key.pem", &signed.key), ("cert.pem", &signed.certificate)] {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn shake_hands(
    port: u16,
    trusted: &Authority,
    client: Option<&Signed>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        Some(Signed { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            // A resolver is not asked whether the key is the certificate's: thieves have only the certificate.
            let certified = CertifiedKey::new(chain, ring::sign::any_supported_type(&key).unwrap());
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
        None => builder.with_no_client_auth(),
    };
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let tcp = dial(port);
    let mut stream = StreamOwned::new(tls, tcp);
    // In TLS 1.3 a client has shaken hands before the broker looked at its certificate: what it says first tells.
    stream.write_all(HEADER)?;
    Ok(stream)
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Whether the broker hung up, in whatever way, instead of letting the client in.
fn is_refused(connected: io::Result<Stream>) -> bool {
    connected.and_then(|mut stream| frame(&mut stream)).is_err()
}

#[test]
fn s32_tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let secure = Secure::start(&[]);
    for version in [TLS12, TLS13] {
        let mut stream = secure.connect_with(None, &[version]).unwrap();
        let start = start(&mut stream);
        assert!(start.contains("PLAIN AMQPLAIN") && !start.contains("EXTERNAL"), "{start:?}");
        assert_eq!(log_in(&mut stream, "PLAIN", b"\0guest\0guest"), "tune");
    }
    for minor in [0_u8, 1, 2] {
        // SSL 3.0, TLS 1.0, TLS 1.1
        let hello =
            [&[3, minor][..], &[7; 32], &[0], &[0, 6, 0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f], &[1, 0]].concat();
        let message = [&[1, 0, 0, u8::try_from(hello.len()).unwrap()], &hello[..]].concat();
        let record = [&[22, 3, minor, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
        let mut tcp = dial(secure.port);
        tcp.write_all(&record).unwrap();
        let mut said = Vec::new();
        let _ = tcp.read_to_end(&mut said);
        assert_eq!(said.first(), Some(&21), "an alert, and the end: {said:?}");
    }
}

#[test]
fn s1_who_speaks_the_other_protocol_is_told_so_and_closed() {
    let secure = Secure::start(&[]);
    // Plain AMQP and HTTP to the port of TLS.
    for opening in [HEADER, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        for port in [secure.port, secure.https_port] {
            let mut tcp = dial(port);
            tcp.write_all(opening).unwrap();
            let mut said = Vec::new();
            let _ = tcp.read_to_end(&mut said);
            assert_eq!(said.first(), Some(&21), "an alert, and the end: {said:?}");
        }
    }
    // TLS to the port of plain AMQP.
    assert!(is_refused(shake_hands(secure.broker.port, &secure.authority, None, &[TLS13])));
    start(&mut secure.connect(None).unwrap());
}

#[test]
fn s32_with_mutual_tls_only_good_certificates_get_in() {
    let secure = Secure::start(&["--tls-verify=verify_peer", "--tls-fail-if-no-peer-cert=true"]);
    let stranger = Authority::new("stranger");
    let namesake = Authority::new("authority");
    for version in [TLS12, TLS13] {
        let refused = |client: Option<&Signed>| is_refused(secure.connect_with(client, &[version]));
        assert!(refused(None), "no certificate");
        assert!(refused(Some(&stranger.sign("client"))), "of another authority");
        assert!(refused(Some(&namesake.sign("client"))), "of another authority of the same name");
        assert!(refused(Some(&secure.authority.sign_until("client", 2021))), "expired");
        let good = secure.authority.sign("client");
        let others_key = Signed { key: secure.authority.sign("client").key, ..good.clone() };
        assert!(refused(Some(&others_key)), "somebody else's certificate");
        let mut stream = secure.connect_with(Some(&good), &[version]).unwrap();
        assert!(start(&mut stream).contains("EXTERNAL"));
    }
}

#[test]
fn external_logs_in_whom_the_certificate_names() {
    let secure = Secure::start(&["--tls-verify=verify_peer", "--ssl-cert-login-from=common_name"]);
    for user in ["teller", "auditor"] {
        assert!(secure.broker.ctl(&["add_user", user, "unused"]).status.success());
    }
    let teller = secure.authority.sign("teller");
    let log_in_with = |client: Option<&Signed>, mechanism, response| {
        let mut stream = secure.connect(client).unwrap();
        let offered = start(&mut stream).contains("EXTERNAL");
        (offered, log_in(&mut stream, mechanism, response))
    };
    assert_eq!(log_in_with(Some(&teller), "EXTERNAL", b""), (true, "tune".to_owned()));
    // What the client says of itself does not count.
    assert_eq!(log_in_with(Some(&teller), "EXTERNAL", b"auditor"), (true, "tune".to_owned()));
    let listed = secure.broker.ctl(&["-q", "list_connections", "user", "ssl"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!listed.contains("auditor"), "{listed}");
    // It may log in by password all the same.
    assert_eq!(log_in_with(Some(&teller), "PLAIN", b"\0guest\0guest"), (true, "tune".to_owned()));
    // Without a certificate there is nothing to log in with, and nothing is offered.
    let (offered, answer) = log_in_with(None, "EXTERNAL", b"teller");
    assert!(!offered && answer.contains("ACCESS_REFUSED"), "{answer}");
    // A certificate of somebody who is no user.
    let (offered, answer) = log_in_with(Some(&secure.authority.sign("nobody")), "EXTERNAL", b"");
    assert!(offered && answer.contains("ACCESS_REFUSED"), "{answer}");
    // A plain connection.
    let mut plain = dial(secure.broker.port);
    plain.write_all(HEADER).unwrap();
    assert!(!start(&mut plain).contains("EXTERNAL"));
    let answer = log_in(&mut plain, "EXTERNAL", b"teller");
    assert!(answer.contains("ACCESS_REFUSED"), "{answer}");
}

#[test]
fn certificates_are_renewed_under_a_running_broker() {
    let mut secure = Secure::start(&[]);
    let serial_of = |stream: &Stream| stream.conn.peer_certificates().unwrap()[0].to_vec();
    let mut before = secure.connect(None).unwrap();
    start(&mut before);
    place(&secure.dir, &secure.authority.sign("renewed"));
    secure.broker.signal("HUP");
    secure.broker.wait_for_line("certificates were read again");
    let mut after = secure.connect(None).unwrap();
    start(&mut after);
    assert_ne!(serial_of(&before), serial_of(&after));
    assert_eq!(log_in(&mut before, "PLAIN", b"\0guest\0guest"), "tune", "the old connection lives on");
    // Without a signal, by looking; and what cannot be used changes nothing.
    fs::write(secure.dir.join("cert.pem"), "no certificate").unwrap();
    secure.broker.wait_for_line("certificates cannot be used");
    assert_eq!(serial_of(&secure.connect(None).unwrap()), serial_of(&after));
    place(&secure.dir, &secure.authority.sign("renewed again"));
    secure.broker.wait_for_line("certificates were read again");
    assert_ne!(serial_of(&secure.connect(None).unwrap()), serial_of(&after));
}

#[test]
fn s2_handshakes_that_do_not_end_are_ended() {
    let mut secure = Secure::start(&[]);
    let silent = dial(secure.port);
    let mut dribbling = dial(secure.port);
    dribbling.write_all(&[22, 3, 1]).unwrap();
    for _ in 0..2 {
        secure.broker.wait_for_line("took too long over its TLS handshake");
    }
    for mut tcp in [silent, dribbling] {
        let mut said = Vec::new();
        let _ = tcp.read_to_end(&mut said);
        assert!(said.is_empty(), "closed: {said:?}");
    }
    start(&mut secure.connect(None).unwrap());
}

#[test]
fn http_is_served_over_tls_too() {
    let secure = Secure::start(&[]);
    assert!(ask(&secure, "/api/health/checks/alarms").starts_with("HTTP/1.1 200 "));
}

#[test]
fn monitors_hear_when_the_certificate_ends() {
    // It ends with the year 2098.
    let secure = Secure::start(&[]);
    let check = |within: &str| ask(&secure, &format!("/api/health/checks/certificate-expiration/{within}"));
    assert!(check("10/years").contains(r#"{"status":"ok"}"#));
    for within in ["100/years", "1200/months", "5218/weeks", "36525/days"] {
        let answer = check(within);
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Certificates expiring"), "{answer}");
        assert!(
            answer.contains(&format!(r#""port":{}"#, secure.port)) && answer.contains("amqp/ssl"),
            "{answer}"
        );
    }
    assert!(check("1/fortnights").starts_with("HTTP/1.1 400 "));
}

/// The answer to a `GET` of `guest` over TLS.
fn ask(secure: &Secure, path: &str) -> String {
    let mut stream = shake_http(secure);
    let login = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{login}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn shake_http(secure: &Secure) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(secure.authority.pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    StreamOwned::new(tls, dial(secure.https_port))
}

#[test]
fn what_cannot_work_is_said_before_anything_is_opened() {
    let parent = tempdir().unwrap();
    let store = parent.path().join("store");
    let port = format!("--tls-listen=127.0.0.1:{}", free_port());
    for (flags, expected) in [
        (vec![&*port], "tls_listen and https_listen need tls_cert and tls_key"),
        (vec![&*port, "--tls-cert=/nowhere.pem", "--tls-key=/nowhere.pem"], "/nowhere.pem cannot be read"),
        (
            vec![&*port, "--tls-cert=/nowhere.pem", "--tls-key=/nowhere.pem", "--tls-verify=verify_peer"],
            "tls_verify = verify_peer needs tls_ca",
        ),
    ] {
        let ended = Served::run_to_end(&store, &flags);
        assert_eq!(ended.code, Some(64), "{}", ended.said);
        assert!(ended.said.contains(expected), "{}", ended.said);
    }
}

#[test]
fn operators_hear_in_time_that_a_certificate_ends() {
    let secure = Secure::start(&[]);
    let check = |within: &str, status: &str| {
        let answer = ask(&secure, &format!("/api/health/checks/certificate-expiration/{within}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{within}: {answer}");
        answer
    };
    // Until 2099.
    for within in ["1/days", "3/weeks", "12/MONTHS", "10/years"] {
        check(within, "200");
    }
    let told = check("100/years", "503");
    for expected in [
        "\"status\":\"failed\"",
        "\"reason\":\"Certificates expiring\"",
        "\"protocol\":\"amqp/ssl\"",
        "\"protocol\":\"https\"",
        "\"certfile_expires_on\":[\"2099-01-01T00:00:00Z\"]",
        "cert.pem",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(check("x/days", "400").contains("Invalid expiration value."));
    assert!(check("1/hours", "400").contains("Time unit not recognised."));
}

#[test]
fn the_command_line_tells_of_certificates_too() {
    let secure = Secure::start(&[]);
    let ctl = |line: &str| secure.broker.ctl(&line.split(' ').collect::<Vec<_>>());
    let good = ctl("-q check_certificate_expiration --within 10 --unit years");
    assert_eq!(String::from_utf8(good.stdout).unwrap(), "No certificates are expiring within 10 years.\n");
    let bad = ctl("check_certificate_expiration --within 100 --unit years");
    assert_eq!(bad.status.code(), Some(69));
    let told = String::from_utf8(bad.stderr).unwrap();
    let (port, https_port) = (secure.port, secure.https_port);
    for expected in [
        format!("port: {port}, protocol: amqp/ssl, file: "),
        format!("port: {https_port}, protocol: https, file: "),
        "cert.pem, expires on: 2099-01-01T00:00:00Z\n".to_owned(),
    ] {
        assert!(told.contains(&expected), "{expected}: {told}");
    }
    let shown = String::from_utf8(ctl("certificates").stdout).unwrap();
    let certificate = fs::read_to_string(secure.dir.join("cert.pem")).unwrap().replace('\r', "");
    assert!(shown.contains(&certificate), "{shown}");
    assert!(shown.contains(&secure.authority.pem.replace('\r', "")), "{shown}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
}
