//! Logins that a directory decides, with a real one: `OpenLDAP`'s slapd as an unprivileged process of the test's own. Left
//! out, with a word about it, where slapd is missing (Debian: `apt-get install slapd`).

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/login.rs"]
mod login;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod served;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use login::{HEADER, dial, frame, log_in, start};
use served::Served;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::{TempDir, tempdir};

const SLAPD: &str = "/usr/sbin/slapd";
const SCHEMA: &str = "/etc/ldap/schema";

/// What the directory holds: people, and groups that name them.
const ENTRIES: &str = "\
dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n
dn: ou=people,dc=example\nobjectClass: organizationalUnit\nou: people\n
dn: ou=groups,dc=example\nobjectClass: organizationalUnit\nou: groups\n
dn: uid=ann,ou=people,dc=example\nobjectClass: inetOrgPerson\nuid: ann\ncn: Ann\nsn: A\nmail: ann@example\nuserPassword: secret\n
dn: uid=bob,ou=people,dc=example\nobjectClass: inetOrgPerson\nuid: bob\ncn: Bob\nsn: B\nmail: twin@example\nuserPassword: hidden\n
dn: uid=eve,ou=people,dc=example\nobjectClass: inetOrgPerson\nuid: eve\ncn: Eve\nsn: E\nmail: twin@example\nuserPassword: sly\n
dn: uid=broker,dc=example\nobjectClass: inetOrgPerson\nuid: broker\ncn: Broker\nsn: B\nuserPassword: service\n
dn: cn=orders-users,ou=groups,dc=example\nobjectClass: groupOfNames\ncn: orders-users\nmember: uid=ann,ou=people,dc=example\n
dn: cn=admins,ou=groups,dc=example\nobjectClass: groupOfNames\ncn: admins\nmember: uid=bob,ou=people,dc=example\n
";

/// A directory that runs.
struct Directory {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Directory {
    /// `None` where there is no slapd.
    fn start(dir: &Path, with_tls: bool) -> Option<Self> {
        if !Path::new(SLAPD).exists() || !Path::new(SCHEMA).exists() {
            eprintln!("left out: {SLAPD} is not installed");
            return None;
        }
        fs::create_dir_all(dir.join("db")).unwrap();
        let shown = dir.display();
        let schemas =
            ["core", "cosine", "inetorgperson"].map(|name| format!("include {SCHEMA}/{name}.schema\n"));
        let tls = if with_tls {
            let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            fs::write(dir.join("cert.pem"), ours.cert.pem()).unwrap();
            fs::write(dir.join("key.pem"), ours.signing_key.serialize_pem()).unwrap();
            // Passwords over TLS only.
            format!(
                "TLSCertificateFile {shown}/cert.pem\nTLSCertificateKeyFile {shown}/key.pem\n\
                 security simple_bind=128\n"
            )
        } else {
            String::new()
        };
        let rest = format!(
            "pidfile {shown}/pid\nargsfile {shown}/args\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             database mdb\nmaxsize 10485760\nsuffix dc=example\ndirectory {shown}/db\n\
             access to attrs=userPassword by anonymous auth by * none\naccess to * by users read by * none\n"
        );
        let config = [schemas.concat(), tls, rest].concat();
        fs::write(dir.join("slapd.conf"), config).unwrap();
        fs::write(dir.join("entries.ldif"), ENTRIES).unwrap();
        let file = |name: &str| dir.join(name).display().to_string();
        let added = Command::new(SLAPD)
            .args(["-T", "add", "-f", &file("slapd.conf"), "-l", &file("entries.ldif")])
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(SLAPD)
            .args(["-d", "0", "-f", &file("slapd.conf"), "-h", &format!("ldap://127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut directory = Self { child, port, dir: dir.to_owned() };
        // It says nowhere that it is ready, but its port does.
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(directory.child.try_wait().unwrap().is_none(), "slapd ended");
            std::thread::yield_now();
        }
        Some(directory)
    }
}

/// The settings of a directory whose users are known by their names.
fn flags(directory: &Directory, more: &[&str]) -> Vec<String> {
    let own = [
        "--auth-backends=ldap,internal".to_owned(),
        "--ldap-servers=localhost".to_owned(),
        format!("--ldap-port={}", directory.port),
        "--ldap-user-dn-pattern=uid=${username},ou=people,dc=example".to_owned(),
        "--ldap-group-base=ou=groups,dc=example".to_owned(),
        "--ldap-vhost-access={in_group, \"cn=${vhost}-users,ou=groups,dc=example\"}".to_owned(),
        "--ldap-resource-access={for, [{permission, read, {constant, true}}]}".to_owned(),
        "--ldap-tags=[{administrator, {in_group, \"cn=admins,ou=groups,dc=example\"}}]".to_owned(),
    ];
    let name = |flag: &str| flag.split_once('=').map(|(name, _)| name.to_owned());
    let is_said = |flag: &String| more.iter().any(|said| name(said) == name(flag));
    let own = own.into_iter().filter(|flag| !is_said(flag));
    own.chain(more.iter().map(|flag| (*flag).to_owned())).collect()
}

fn serve(flags: &[String]) -> (Served, TempDir) {
    let parent = tempdir().unwrap();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let broker = Served::start(&parent.path().join("store"), &flags);
    assert!(broker.ctl(&["add_vhost", "orders"]).status.success());
    (broker, parent)
}

fn connect(broker: &Served, user: &str, password: &str) -> (TcpStream, String) {
    let mut client = dial(broker.port);
    client.write_all(HEADER).unwrap();
    start(&mut client);
    let answer = log_in(&mut client, "PLAIN", format!("\0{user}\0{password}").as_bytes());
    (client, answer)
}

fn is_in(broker: &Served, user: &str, password: &str) -> bool {
    let (_, answer) = connect(broker, user, password);
    let standard = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN";
    assert!(answer == "tune" || answer.contains(standard), "{user}: {answer}");
    answer == "tune"
}

/// Opens a vhost as this user; what the broker answers.
fn open(broker: &Served, user: &str, password: &str, vhost: &str) -> String {
    opened(broker, user, password, vhost).1
}

fn opened(broker: &Served, user: &str, password: &str, vhost: &str) -> (TcpStream, String) {
    let (mut client, answer) = connect(broker, user, password);
    assert_eq!(answer, "tune", "{user}");
    let tune_ok = b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0\xce".to_vec();
    let name = [&[vhost.len() as u8][..], vhost.as_bytes()].concat();
    let open = [&b"\0\x0a\0\x28"[..], &name, b"\0\0"].concat();
    let frame_of = [&[1, 0, 0, 0, 0, 0, open.len() as u8][..], &open, b"\xce"].concat();
    client.write_all(&[tune_ok, frame_of].concat()).unwrap();
    let answer = frame(&mut client).unwrap();
    let is_open = answer.starts_with(&[0, 10, 0, 41]);
    (client, if is_open { "open".to_owned() } else { String::from_utf8_lossy(&answer).into_owned() })
}

fn http_status(broker: &Served, user: &str, password: &str, path: &str) -> String {
    let mut client = dial(broker.http_port);
    let login = STANDARD.encode(format!("{user}:{password}"));
    write!(
        client,
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn session_status(broker: &Served, user: &str, password: &str) -> String {
    let mut client = dial(broker.http_port);
    let body = serde_json::json!({"username": user, "password": password}).to_string();
    let head = format!(
        "POST /api/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}",
        body.len()
    );
    write!(client, "{head}\r\nContent-Type: application/json\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_directory_says_who_it_is_and_its_groups_what_he_may() {
    let home = tempdir().unwrap();
    let Some(directory) = Directory::start(home.path(), false) else { return };
    let (broker, _parent) = serve(&flags(&directory, &[]));
    assert!(is_in(&broker, "ann", "secret") && is_in(&broker, "bob", "hidden"));
    for (user, password) in [("ann", "Secret"), ("ann", "hidden"), ("nobody", "secret"), ("ann", "")] {
        assert!(!is_in(&broker, user, password), "{user} {password}");
    }
    // Who is in the vhost's group gets in; who is in another does not.
    assert_eq!(open(&broker, "ann", "secret", "orders"), "open");
    assert!(open(&broker, "ann", "secret", "/").contains("access to vhost '/' refused for user 'ann'"));
    assert!(open(&broker, "bob", "hidden", "orders").contains("refused for user 'bob'"));
    // Tags are the directory's as well.
    assert_eq!(http_status(&broker, "bob", "hidden", "/api/users"), "200");
    assert_eq!(http_status(&broker, "ann", "secret", "/api/users"), "401");
    // The page's sessions have the rights of users that are kept here, so nobody else gets one.
    assert!(broker.ctl(&["add_user", "ann", "another"]).status.success());
    assert!(broker.ctl(&["set_user_tags", "ann", "administrator"]).status.success());
    assert_eq!(session_status(&broker, "ann", "secret"), "401");
    assert_eq!(session_status(&broker, "guest", "guest"), "200");
    // The users that are kept here are asked next.
    assert!(is_in(&broker, "guest", "guest"));
    assert_eq!(open(&broker, "guest", "guest", "/"), "open");
}

#[test]
fn s8_no_name_becomes_a_part_of_a_question() {
    let home = tempdir().unwrap();
    let Some(directory) = Directory::start(home.path(), false) else { return };
    let (broker, _parent) = serve(&flags(&directory, &[]));
    for user in ["ann,ou=people,dc=example", "ann+uid=bob", "*", "ann\\2c", "", "#ann"] {
        assert!(!is_in(&broker, user, "secret"), "{user}");
    }
    let by_mail = flags(
        &directory,
        &[
            "--ldap-user-dn-pattern=${username}",
            "--ldap-dn-lookup-attribute=mail",
            "--ldap-dn-lookup-base=ou=people,dc=example",
            "--ldap-bind=uid=broker,dc=example",
            "--ldap-bind-password=service",
        ],
    );
    let (broker, _parent) = serve(&by_mail);
    assert!(is_in(&broker, "ann@example", "secret"), "looked up by another attribute");
    assert!(!is_in(&broker, "ann@example", "hidden"));
    for user in ["*", "ann*", "*)(uid=ann", "ann@example)(mail=*", "ann", "(mail=ann@example)"] {
        assert!(!is_in(&broker, user, "secret"), "{user}");
    }
    assert!(!is_in(&broker, "twin@example", "hidden"), "two entries: it is not known who is meant");
}

#[test]
fn the_directory_may_say_who_and_the_broker_what() {
    let home = tempdir().unwrap();
    let Some(directory) = Directory::start(home.path(), false) else { return };
    let (broker, _parent) = serve(&flags(&directory, &["--auth-backends=ldap/internal"]));
    assert!(!is_in(&broker, "ann", "secret"), "not one of ours");
    assert!(broker.ctl(&["add_user", "ann", "of-no-use"]).status.success());
    assert!(broker.ctl(&["set_permissions", "ann", ".*", ".*", ".*"]).status.success());
    assert!(is_in(&broker, "ann", "secret"));
    assert!(
        !is_in(&broker, "ann", "of-no-use") && !is_in(&broker, "guest", "guest"),
        "only the directory is asked"
    );
    assert_eq!(open(&broker, "ann", "secret", "/"), "open");
    assert!(open(&broker, "ann", "secret", "orders").contains("refused for user 'ann'"));
}

#[test]
fn passwords_go_over_tls_if_that_is_wanted() {
    let home = tempdir().unwrap();
    let Some(directory) = Directory::start(home.path(), true) else { return };
    let ca = format!("--ldap-ca={}", directory.dir.join("cert.pem").display());
    let (broker, _parent) = serve(&flags(&directory, &["--ldap-security=starttls", &ca]));
    assert!(is_in(&broker, "ann", "secret") && !is_in(&broker, "ann", "wrong"));
    // Somebody else's certificate: no password is sent there.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = home.path().join("other.pem");
    fs::write(&file, other.cert.pem()).unwrap();
    let ca = format!("--ldap-ca={}", file.display());
    let (broker, _parent) = serve(&flags(&directory, &["--ldap-security=starttls", &ca]));
    assert!(!is_in(&broker, "ann", "secret") && is_in(&broker, "guest", "guest"));
    let (broker, _parent) = serve(&flags(&directory, &[]));
    assert!(!is_in(&broker, "ann", "secret"), "this directory takes no password without TLS");
}

#[test]
fn a_new_secret_leaves_a_directorys_login_as_it_is() {
    let parent = tempdir().unwrap();
    let Some(directory) = Directory::start(parent.path(), false) else { return };
    let (broker, _store) = serve(&flags(&directory, &[]));
    let (mut client, answer) = opened(&broker, "ann", "secret", "orders");
    assert_eq!(answer, "open");
    let update_secret = b"\0\x0a\0\x46\0\0\0\x06secret\x07renewal";
    let head = [1, 0, 0, 0, 0, 0, update_secret.len() as u8];
    client.write_all(&[&head[..], update_secret, b"\xce"].concat()).unwrap();
    let answer = frame(&mut client).unwrap();
    assert_eq!(answer, [0, 10, 0, 71], "connection.update-secret-ok: {}", String::from_utf8_lossy(&answer));
}

#[test]
fn without_its_directory_the_broker_serves_its_own_users() {
    let home = tempdir().unwrap();
    let Some(directory) = Directory::start(home.path(), false) else { return };
    let (broker, _parent) = serve(&flags(&directory, &[]));
    let (forgetful, _parent) = serve(&flags(&directory, &["--ldap-cache-s=0"]));
    assert!(is_in(&broker, "ann", "secret") && is_in(&forgetful, "ann", "secret"));
    drop(directory);
    assert!(!is_in(&forgetful, "ann", "secret") && is_in(&forgetful, "guest", "guest"));
    assert!(is_in(&broker, "ann", "secret"), "a good login is remembered for a while");
    assert!(!is_in(&broker, "ann", "wrong") && is_in(&broker, "guest", "guest"));
}

/// What broken and hostile directories answer: whole conversations, whatever was asked.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let bound = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec();
    let entry = b"\x30\x0d\x02\x01\x02\x64\x08\x04\x04cn=x\x30\x00".to_vec();
    let then = |more: &[u8]| [&bound[..], more].concat();
    vec![
        ("nothing", vec![]),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("an empty message", b"\x30\x00".to_vec()),
        ("an empty message within one", b"\x30\x02\x30\x00".to_vec()),
        ("a number and nothing else", b"\x30\x03\x02\x01\x01".to_vec()),
        ("controls and nothing else", b"\x30\x02\xa0\x00".to_vec()),
        (
            "controls that are none",
            b"\x30\x0e\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\x80\x00".to_vec(),
        ),
        (
            "controls without names",
            b"\x30\x10\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x02\x30\x00".to_vec(),
        ),
        ("a number that is a text", b"\x30\x0c\x04\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec()),
        ("a result that is empty", b"\x30\x05\x02\x01\x01\x61\x00".to_vec()),
        ("a result that is primitive", b"\x30\x05\x02\x01\x01\x41\x00".to_vec()),
        ("a code that is a text", b"\x30\x0c\x02\x01\x01\x61\x07\x04\x01\x00\x04\x00\x04\x00".to_vec()),
        ("a code without bytes", b"\x30\x0b\x02\x01\x01\x61\x06\x0a\x00\x04\x00\x04\x00".to_vec()),
        ("a code below zero", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\xff\x04\x00\x04\x00".to_vec()),
        (
            "texts that are none",
            b"\x30\x10\x02\x01\x01\x61\x0b\x0a\x01\x00\x04\x02\xff\xfe\x04\x02\xff\xfe\x00".to_vec(),
        ),
        ("an operation that there is not", b"\x30\x05\x02\x01\x01\x7e\x00".to_vec()),
        ("a request", b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00".to_vec()),
        ("that it leaves", b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00".to_vec()),
        ("the end of a search", b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec()),
        ("an answer to something else", b"\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec()),
        ("lengths beyond memory", b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("lengths that are not said", b"\x30\x80\x02\x01\x01".to_vec()),
        ("half an answer", bound.iter().copied().take(8).collect()),
        ("messages in messages", [0x30, 0x84, 0, 0, 0xf0, 0].repeat(20_000)),
        ("a long line", vec![b'x'; 1 << 20]),
        ("a bind, and an entry without a name", then(b"\x30\x05\x02\x01\x02\x64\x00")),
        ("a bind, and an entry whose name is a list", then(b"\x30\x09\x02\x01\x02\x64\x04\x30\x00\x30\x00")),
        ("a bind, and entries without end", then(&entry.repeat(5_000))),
        ("a bind, and hints without end", then(&b"\x30\x05\x02\x01\x02\x73\x00".repeat(5_000))),
    ]
}

#[test]
fn a_directory_that_answers_nonsense_ends_nothing_but_the_login() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut kinds = nonsense();
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut state = seed;
    for _ in 0..25 {
        let mut bytes = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        // Mostly something that begins as a message does.
        let begin: &[u8] = if bytes() < 64 { b"" } else { b"\x30\x20\x02\x01\x01\x61\x1b" };
        let length = bytes();
        kinds.push(("random bytes", [begin, &(0..length).map(|_| bytes()).collect::<Vec<_>>()].concat()));
    }
    let (next, says) = std::sync::mpsc::channel::<Vec<u8>>();
    let directory = std::thread::spawn(move || {
        while let Ok(said) = says.recv() {
            let (mut client, _) = listener.accept().unwrap();
            // Who is cut off in the middle of it has heard enough.
            let _ = client.write_all(&said);
            let _ = client.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut client, &mut std::io::sink());
        }
    });
    let servers = [
        "--auth-backends=internal,ldap",
        "--ldap-servers=127.0.0.1",
        &format!("--ldap-port={port}"),
        "--ldap-user-dn-pattern=uid=${username},dc=example",
        "--ldap-group-base=dc=example",
        "--ldap-vhost-access={in_group, \"cn=x\"}",
        "--ldap-cache-s=0",
    ]
    .map(str::to_owned);
    // Who is refused ten times waits for further answers: see `limits::REFUSED_FREE_MAX`.
    for kinds in kinds.chunks(9) {
        let (broker, _parent) = serve(&servers);
        for (kind, said) in kinds {
            next.send(said.clone()).unwrap();
            assert!(!is_in(&broker, "ann", "secret"), "{kind}: {said:02x?}");
        }
        assert!(is_in(&broker, "guest", "guest"), "others are served");
        assert_eq!(open(&broker, "guest", "guest", "/"), "open");
        broker.signal("TERM");
        let ended = broker.ended();
        assert_eq!(ended.code, Some(0), "it ends as it should: {}", ended.said);
        assert!(!ended.said.contains("panicked"), "{}", ended.said);
        assert!(ended.said.contains("the directory did not decide a login"), "{}", ended.said);
    }
    drop(next);
    directory.join().unwrap();
}
