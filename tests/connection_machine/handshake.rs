//! From the first byte to open-ok: who is let in, how, and what becomes of the others.

use crate::played::names;
use crate::support::machine::{CAPABLE, HEADER, Machine, accounts, start_ok};
use crate::support::wire;
use ledgermq::connection::{ConnectionConfig, Login, PeerCertificate, Request, TlsSession};
use ledgermq::protocol::reply::{ConnectionCode, ConnectionError};
use std::sync::Arc;

#[test]
fn a_client_is_led_from_header_to_open() {
    let mut machine = Machine::accepted();
    machine.send_bytes(HEADER);
    let heard = machine.heard();
    assert!(heard[0].starts_with("0 connection.start version-major=0 version-minor=9 server-properties={"));
    assert!(heard[0].ends_with("mechanisms=\"PLAIN AMQPLAIN\" locales=\"en_US\""), "{heard:?}");

    machine.send(0, &start_ok(CAPABLE, "guest"));
    let requests = machine.requests();
    let [Request::Authenticate(login)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((login.mechanism, &*login.user, &*login.password), ("PLAIN", "guest", "guest"));
    assert!(!format!("{login:?}").contains("password"));

    machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
    assert_eq!(machine.heard(), ["0 connection.tune channel-max=2047 frame-max=131072 heartbeat=60"]);
    machine.send(0, "connection.tune-ok channel-max=100 frame-max=4096 heartbeat=10");
    machine.send(0, "connection.open virtual-host=/");
    assert_eq!(machine.requests(), [Request::OpenVhost { vhost: "/".into(), user: "guest".into() }]);
    machine.connection.vhost_opened(Ok(()), 0, &mut machine.effects);
    assert_eq!(machine.heard(), ["0 connection.open-ok"]);

    let report = machine.connection.report();
    assert_eq!((report.state, report.frame_bytes_max, report.heartbeat_s), ("running", 4096, 10));
    assert_eq!(report.name.as_deref(), Some("test"));
    assert_eq!(report.client.as_deref(), Some("tester 1"));
}

#[test]
fn a_client_that_does_not_wait_for_answers_is_served_in_order() {
    let mut machine = Machine::accepted();
    let mut all = HEADER.to_vec();
    all.extend(wire::encode(0, &start_ok(CAPABLE, "guest")));
    all.extend(wire::encode(0, "connection.tune-ok channel-max=1 frame-max=0"));
    all.extend(wire::encode(0, "connection.open virtual-host=/"));
    all.extend(wire::encode(1, "channel.open"));
    machine.send_bytes(&all);
    assert!(!machine.connection.wants_input(), "the login is being checked");
    machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
    machine.send_bytes(b"");
    assert!(!machine.connection.wants_input(), "the vhost is being opened");
    machine.connection.vhost_opened(Ok(()), 0, &mut machine.effects);
    machine.send_bytes(b"");
    assert_eq!(names(&machine.commands()), ["OpenChannel"]);
    assert!(machine.unread.is_empty());
}

#[test]
fn other_protocols_are_told_ours_and_closed_at_once() {
    fn check(opening: &[u8]) {
        let mut machine = Machine::accepted();
        machine.send_bytes(opening);
        assert_eq!(machine.heard(), ["0 header [65, 77, 81, 80, 0, 0, 9, 1]"], "{opening:?}");
        assert_eq!(machine.requests(), [Request::CloseSocket]);
        assert!(!machine.connection.wants_input());
    }
    check(b"AMQP\x03\x01\x00\x00");
    check(b"AMQP\x01\x01\x08\x00");
    check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    check(b"\x16\x03\x01\x00\xa5\x01");
    check(b"\x00\x00\x00\x00\x00\x00\x00\x00");
}

#[test]
fn the_header_of_0_9_is_taken_for_0_9_1() {
    let mut machine = Machine::accepted();
    machine.send_bytes(b"AMQP\x01\x01\x00\x09");
    assert!(machine.heard()[0].starts_with("0 connection.start version-major=0 version-minor=9"));
}

#[test]
fn a_refused_login_is_answered_only_to_clients_that_understand() {
    let mut machine = Machine::accepted();
    machine.send_bytes(HEADER);
    machine.send(0, &start_ok(CAPABLE, "guest"));
    machine.heard();
    machine.connection.authenticated(Err("no".to_owned()), 0, &mut machine.effects);
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the \
                broker logfile.";
    assert_eq!(
        machine.heard(),
        [format!("0 connection.close reply-code=403 reply-text=\"{text}\" class-id=0 method-id=0")]
    );
    machine.requests();
    machine.send(0, "connection.close-ok");
    assert_eq!(machine.requests(), [Request::CloseSocket]);

    let mut silent = Machine::accepted();
    silent.send_bytes(HEADER);
    silent.send(0, &start_ok("{}", "guest"));
    silent.heard();
    silent.requests();
    silent.connection.authenticated(Err("no".to_owned()), 0, &mut silent.effects);
    assert!(silent.heard().is_empty());
    let deadline = silent.connection.next_deadline().unwrap();
    assert!(silent.requests().is_empty() && deadline >= 1000, "not at once: {deadline}");
    silent.connection.tick(deadline, &mut silent.effects);
    assert_eq!(silent.requests(), [Request::CloseSocket]);
}

#[test]
fn what_is_no_login_is_refused_like_a_wrong_password() {
    fn check(start_ok: &str) {
        let mut machine = Machine::accepted();
        machine.send_bytes(HEADER);
        machine.heard();
        machine.send(0, &format!("connection.start-ok client-properties={CAPABLE} {start_ok}"));
        let heard = machine.heard();
        assert!(heard[0].contains("reply-code=403") && heard[0].contains("Login was refused"), "{heard:?}");
        assert!(machine.requests().is_empty(), "nobody is asked");
    }
    check("mechanism=PLAIN response=\"\"");
    check("mechanism=PLAIN response=\"guest\"");
    check("mechanism=PLAIN response=\"\\x00guest\\x00\"");
    check("mechanism=PLAIN response=\"\\x00\\x00\"");
    check("mechanism=PLAIN response=\"\\x00a\\x00b\\x00c\"");
    check("mechanism=PLAIN response=\"other\\x00guest\\x00guest\"");
    check("mechanism=AMQPLAIN response=\"x\"");
    check("mechanism=\"\" response=\"\\x00guest\\x00guest\"");
    check("mechanism=ANONYMOUS response=\"\\x00guest\\x00guest\"");
    check("mechanism=EXTERNAL response=\"\"");
}

#[test]
fn a_certificate_logs_in_whom_it_names() {
    let mut machine = Machine::accepted();
    let certificate = PeerCertificate { user: Some("ann".to_owned()), ..PeerCertificate::default() };
    let session = TlsSession { certificate: Some(certificate), ..TlsSession::default() };
    machine.connection.secured(Arc::new(session));
    machine.send_bytes(HEADER);
    machine.send(
        0,
        &format!(
            "connection.start-ok client-properties={CAPABLE} mechanism=EXTERNAL response=bob locale=en_US"
        ),
    );
    let login = Login { mechanism: "EXTERNAL", user: "ann".to_owned(), password: String::new() };
    assert_eq!(machine.requests(), [Request::Authenticate(login)]);
    assert_eq!(machine.connection.report().mechanism, "EXTERNAL");
}

#[test]
fn only_mechanisms_that_are_switched_on_are_offered_and_taken() {
    let config = ConnectionConfig { mechanisms: vec!["AMQPLAIN", "EXTERNAL"], ..ConnectionConfig::default() };
    let mut machine = Machine::accepted_with(config, accounts());
    machine.send_bytes(HEADER);
    let heard = machine.heard();
    assert!(heard[0].ends_with("mechanisms=\"AMQPLAIN\" locales=\"en_US\""), "{heard:?}");
    machine.send(0, &start_ok(CAPABLE, "guest"));
    let heard = machine.heard();
    assert!(heard[0].contains("reply-code=403") && heard[0].contains("mechanism PLAIN"), "{heard:?}");
    assert!(machine.requests().iter().all(|request| !matches!(request, Request::Authenticate(_))));
}

#[test]
fn tuning_is_held_to_what_was_offered() {
    fn check(tune_ok: &str, expected: Option<&str>) {
        let mut machine = Machine::accepted();
        machine.send_bytes(HEADER);
        machine.send(0, &start_ok(CAPABLE, "guest"));
        machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
        machine.heard();
        machine.send(0, &format!("connection.tune-ok {tune_ok}"));
        let expected = expected.map(|text| {
            format!("0 connection.close reply-code=530 reply-text=\"NOT_ALLOWED - negotiated {text}\" class-id=10 method-id=30")
        });
        assert_eq!(machine.heard(), expected.into_iter().collect::<Vec<_>>(), "{tune_ok}");
    }
    check("channel-max=2047 frame-max=131072 heartbeat=60", None);
    check("channel-max=1 frame-max=4096 heartbeat=65535", None);
    check("channel-max=1 frame-max=0 heartbeat=0", None);
    check(
        "channel-max=0 frame-max=4096",
        Some("channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
    );
    check(
        "channel-max=2048 frame-max=4096",
        Some("channel_max = 2048 is higher than the maximum allowed value (2047)"),
    );
    check(
        "channel-max=1 frame-max=4095",
        Some("frame_max = 4095 is lower than the minimum allowed value (4096)"),
    );
    check(
        "channel-max=1 frame-max=131073",
        Some("frame_max = 131073 is higher than the maximum allowed value (131072)"),
    );
}

#[test]
fn a_vhost_that_cannot_be_opened_is_refused_with_its_reason() {
    let mut machine = Machine::accepted();
    machine.send_bytes(HEADER);
    machine.send(0, &start_ok(CAPABLE, "guest"));
    machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
    machine.send(0, "connection.tune-ok channel-max=1 frame-max=4096");
    machine.send(0, "connection.open virtual-host=nope");
    machine.heard();
    machine.requests();
    let error = ConnectionError::new(ConnectionCode::NotAllowed, "vhost nope not found");
    machine.connection.vhost_opened(Err(error), 0, &mut machine.effects);
    let text = "reply-code=530 reply-text=\"NOT_ALLOWED - vhost nope not found\" class-id=10 method-id=40";
    assert_eq!(machine.heard(), [format!("0 connection.close {text}")]);
    assert!(machine.requests().is_empty(), "nothing to detach");
}

#[test]
fn the_handshake_has_one_deadline_however_slowly_bytes_come() {
    let mut machine = Machine::accepted();
    machine.send_bytes(b"AMQ");
    machine.now_ms = 9_999;
    machine.send_bytes(b"P");
    assert_eq!(machine.connection.next_deadline(), Some(10_000));
    machine.connection.tick(9_999, &mut machine.effects);
    assert!(machine.requests().is_empty());
    machine.connection.tick(10_000, &mut machine.effects);
    assert_eq!(machine.requests(), [Request::CloseSocket]);
}

#[test]
fn a_vhost_opened_for_a_client_that_left_is_let_go_again() {
    let mut machine = Machine::accepted();
    machine.send_bytes(HEADER);
    machine.send(0, &start_ok(CAPABLE, "guest"));
    machine.connection.authenticated(Ok("guest".into()), 0, &mut machine.effects);
    machine.send(0, "connection.tune-ok channel-max=1 frame-max=4096");
    machine.send(0, "connection.open virtual-host=/");
    machine.requests();
    machine.connection.socket_closed(&mut machine.effects);
    assert!(machine.requests().is_empty());
    machine.connection.vhost_opened(Ok(()), 0, &mut machine.effects);
    assert_eq!(machine.requests(), [Request::Detach]);
}
