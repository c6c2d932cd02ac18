//! Clients behind a proxy that speaks the PROXY protocol: who is believed, and what of it counts. How headers are read is
//! told in `src/server/proxy_header.rs`.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/login.rs"]
mod login;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod served;

use login::{HEADER, dial, log_in, start};
use served::Served;
use std::io::{Read, Write};
use std::net::TcpStream;
use tempfile::tempdir;

const GUEST: &[u8] = b"\0guest\0guest";
const BIRD: &[u8] = b"\0bird\0seed";

/// Sends a proxy's header and AMQP's behind it.
fn through_proxy(broker: &Served, header: &[u8]) -> TcpStream {
    let mut client = dial(broker.port);
    client.write_all(&[header, HEADER].concat()).unwrap();
    client
}

#[test]
fn s25_what_a_proxy_says_makes_nobody_local() {
    let parent = tempdir().unwrap();
    let broker = Served::start(&parent.path().join("store"), &["--proxy-protocol-from=127.0.0.0/8,fd00::/8"]);
    assert!(broker.ctl(&["add_user", "bird", "seed"]).status.success());
    let v2 = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
        &[127, 0, 0, 1, 127, 0, 0, 1],
        &[0xc3, 0x50, 0x16, 0x28],
    ]
    .concat();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [
        b"PROXY TCP4 127.0.0.1 127.0.0.1 50000 5672\r\n".as_slice(),
        b"PROXY TCP6 ::1 ::1 50000 5672\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 50000 5672\r\n",
        b"PROXY UNKNOWN\r\n",
        &v2,
        local,
    ] {
        let mut client = through_proxy(&broker, header);
        start(&mut client);
        let answer = log_in(&mut client, "PLAIN", GUEST);
        assert!(answer.contains("ACCESS_REFUSED"), "{header:?}: {answer}");
        let mut client = through_proxy(&broker, header);
        start(&mut client);
        assert_eq!(log_in(&mut client, "PLAIN", BIRD), "tune", "{header:?}");
    }
    let mut client = through_proxy(&broker, b"PROXY TCP4 203.0.113.7 10.0.0.1 50000 5672\r\n");
    start(&mut client);
    assert_eq!(log_in(&mut client, "PLAIN", BIRD), "tune");
    let listed = broker.ctl(&["-q", "list_connections", "peer_host", "peer_port", "port"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("203.0.113.7\t50000\t5672"), "operators see the client: {listed}");
}

#[test]
fn s25_only_listed_proxies_are_believed() {
    let parent = tempdir().unwrap();
    let ended = |client: &mut TcpStream| {
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said);
        said
    };
    let elsewhere = Served::start(&parent.path().join("elsewhere"), &["--proxy-protocol-from=10.9.8.0/24"]);
    let mut client = through_proxy(&elsewhere, b"PROXY TCP4 203.0.113.7 10.0.0.1 50000 5672\r\n");
    assert_eq!(ended(&mut client), HEADER, "it is no AMQP");
    let mut client = through_proxy(&elsewhere, b"");
    start(&mut client);
    assert_eq!(log_in(&mut client, "PLAIN", GUEST), "tune");

    let mut here = Served::start(&parent.path().join("here"), &["--proxy-protocol-from=127.0.0.1"]);
    let mut client = through_proxy(&here, b"");
    client.write_all(&[0; 8]).unwrap();
    assert_eq!(ended(&mut client), b"", "a proxy without a header is closed");
    here.wait_for_line("no PROXY header");
    let mut silent = dial(here.port);
    silent.write_all(b"PROXY TCP4 203.").unwrap();
    here.wait_for_line("took too long over its PROXY header");
    assert_eq!(ended(&mut silent), b"");
}

#[test]
fn s25_the_http_side_believes_its_own_list_of_proxies() {
    let parent = tempdir().unwrap();
    let flags = ["--http-proxy-protocol-from=127.0.0.1"];
    let broker = Served::start(&parent.path().join("store"), &flags);
    assert!(broker.ctl(&["add_user", "bird", "seed"]).status.success());
    assert!(broker.ctl(&["set_user_tags", "bird", "management"]).status.success());
    let ask = |header: &str, login: &str| {
        let mut client = dial(broker.http_port);
        // In one piece: who brings no header is closed at the first bytes, and a second piece would find nobody.
        let request = format!(
            "{header}GET /api/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n"
        );
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let (guest, bird) = ("Z3Vlc3Q6Z3Vlc3Q=", "YmlyZDpzZWVk");
    for header in
        ["PROXY TCP4 203.0.113.7 10.0.0.1 50000 80\r\n", "PROXY TCP4 127.0.0.1 127.0.0.1 50000 80\r\n"]
    {
        assert_eq!(ask(header, bird), "HTTP/1.1 200 OK", "{header}");
        assert_eq!(ask(header, guest), "HTTP/1.1 401 Unauthorized", "{header}");
    }
    assert_eq!(ask("", bird), "", "a header must come");
}
