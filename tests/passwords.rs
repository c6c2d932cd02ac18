//! Passwords as a running broker keeps them: what was kept in RabbitMQ's way is kept as argon2id after a good login, and
//! stays so. How hashes look is told in src/auth/password.rs.

#![expect(clippy::unwrap_used, reason = "a test: a failure ends it")]

#[path = "support/login.rs"]
mod login;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod served;

use login::{HEADER, dial, log_in, start};
use served::Served;
use std::io::Write;
use tempfile::tempdir;

const RABBITS: &str = "--password-hashing=rabbit_password_hashing_sha256";

fn answer(broker: &Served, user: &str, password: &str) -> String {
    let mut client = dial(broker.port);
    client.write_all(HEADER).unwrap();
    start(&mut client);
    log_in(&mut client, "PLAIN", format!("\0{user}\0{password}").as_bytes())
}

#[test]
fn s39_a_password_of_an_older_store_is_kept_as_argon2id_after_its_next_good_login() {
    let parent = tempdir().unwrap();
    let dir = parent.path().join("store");
    let broker = Served::start(&dir, &[RABBITS]);
    assert!(broker.ctl(&["add_user", "ann", "secret"]).status.success());
    assert_eq!(answer(&broker, "ann", "secret"), "tune");
    broker.signal("TERM");
    let said = broker.ended().said;
    assert!(!said.contains("kept as argon2id"), "not where RabbitMQ's way is wanted: {said}");

    let mut broker = Served::start(&dir, &[]);
    assert!(answer(&broker, "ann", "Secret").contains("ACCESS_REFUSED"));
    assert_eq!(answer(&broker, "ann", "secret"), "tune");
    let line = broker.wait_for_line("the password is now kept as argon2id");
    assert!(line.contains("ann"), "{line}");
    // Recognised from before, under its new hash.
    assert_eq!(answer(&broker, "ann", "secret"), "tune");
    broker.signal("KILL");
    broker.ended();

    let broker = Served::start(&dir, &[]);
    assert!(answer(&broker, "ann", "Secret").contains("ACCESS_REFUSED"));
    assert_eq!(answer(&broker, "ann", "secret"), "tune");
    assert_eq!(answer(&broker, "guest", "guest"), "tune");
    broker.signal("TERM");
    let said = broker.ended().said;
    let again = said.lines().find(|line| line.contains("kept as argon2id") && line.contains("ann"));
    assert_eq!(again, None, "once is enough");
}

#[test]
fn a_login_that_was_good_is_not_good_after_the_password_changed() {
    let parent = tempdir().unwrap();
    let broker = Served::start(&parent.path().join("store"), &[]);
    assert!(broker.ctl(&["add_user", "ann", "first"]).status.success());
    for _ in 0..2 {
        assert_eq!(answer(&broker, "ann", "first"), "tune");
    }
    assert!(broker.ctl(&["change_password", "ann", "second"]).status.success());
    assert!(answer(&broker, "ann", "first").contains("ACCESS_REFUSED"));
    assert_eq!(answer(&broker, "ann", "second"), "tune");
    assert!(broker.ctl(&["clear_password", "ann"]).status.success());
    assert!(answer(&broker, "ann", "second").contains("ACCESS_REFUSED"));
    assert!(answer(&broker, "ann", "").contains("ACCESS_REFUSED"), "no password is none to log in with");
    assert!(!broker.ctl(&["clear_password", "bob"]).status.success(), "there is no bob");
    assert!(broker.ctl(&["change_password", "ann", "second"]).status.success());
    assert_eq!(answer(&broker, "ann", "second"), "tune");
    assert!(broker.ctl(&["delete_user", "ann"]).status.success());
    assert!(answer(&broker, "ann", "second").contains("ACCESS_REFUSED"));
}
