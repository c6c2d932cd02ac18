//! Logins by token: what they allow, when they end, and how a client has one go on.

use crate::support::machine::{CAPABLE, HEADER, Machine, start_ok};
use ledgermq::auth::{Secret, Token};
use ledgermq::connection::Request;
use std::sync::Arc;

const ENDS_MS: u64 = 40_000;

fn token(user: &str, scopes: &[&str]) -> Arc<Token> {
    Arc::new(Token::new(user.into(), 0, "broker.", scopes.iter().copied()).unwrap())
}

/// An open connection of a token's bearer, with channel 1.
fn bearer(scopes: &[&str]) -> Machine {
    let mut machine = Machine::accepted();
    machine.send_bytes(HEADER);
    machine.send(0, &start_ok(CAPABLE, "token"));
    machine.connection.authorised(token("ann", scopes), ENDS_MS);
    machine.connection.authenticated(Ok("ann".into()), 0, &mut machine.effects);
    machine.send(0, "connection.tune-ok channel-max=2047 frame-max=131072");
    machine.send(0, "connection.open virtual-host=/");
    machine.connection.vhost_opened(Ok(()), 0, &mut machine.effects);
    machine.heard();
    machine.effects.requests.clear();
    machine.open_channel(1);
    machine
}

fn refusal(access: &str) -> String {
    format!(
        "1 channel.close reply-code=403 reply-text=\"ACCESS_REFUSED - {access} access to queue 'secret' in vhost '/' \
         refused for user 'ann'\" class-id=60 method-id=70"
    )
}

#[test]
fn a_bearer_may_do_what_the_token_says_though_nobody_is_called_so() {
    let mut machine = bearer(&["broker.read:%2F/orders"]);
    machine.send(1, "basic.get queue=orders");
    assert_eq!(machine.commands().len(), 1);
    machine.send(1, "basic.get queue=secret");
    assert_eq!(machine.heard(), [refusal("read")]);
}

#[test]
fn a_token_that_ends_ends_its_connection() {
    let mut machine = bearer(&["broker.read:*/*"]);
    assert!(machine.connection.next_deadline().is_some_and(|at_ms| at_ms <= ENDS_MS));
    machine.connection.tick(ENDS_MS - 1, &mut machine.effects);
    assert!(machine.heard().iter().all(|said| !said.contains("connection.close")));
    machine.connection.tick(ENDS_MS, &mut machine.effects);
    assert_eq!(
        machine.heard(),
        [
            "0 connection.close reply-code=320 reply-text=\"CONNECTION_FORCED - credential expired\" class-id=0 method-id=0"
        ]
    );
}

#[test]
fn a_new_token_goes_on_for_the_old_one_with_its_own_rights() {
    let mut machine = bearer(&["broker.read:*/*"]);
    machine.send(0, "connection.update-secret new-secret=newer reason=y");
    assert_eq!(machine.requests(), [Request::RenewToken(Secret::new("newer"))]);
    let newer = token("ann", &["broker.read:*/orders"]);
    machine.connection.renewed(Ok((newer, 2 * ENDS_MS)), 0, &mut machine.effects);
    assert_eq!(machine.heard(), ["0 connection.update-secret-ok"]);
    machine.send(1, "basic.get queue=secret");
    assert_eq!(machine.heard(), [refusal("read")]);
    assert!(machine.connection.next_deadline().is_some_and(|at_ms| at_ms > 0));
}

#[test]
fn a_new_token_that_is_not_good_or_somebody_elses_ends_the_connection() {
    let others = token("bob", &["broker.read:*/*"]);
    for result in [Err("the token is over".to_owned()), Ok((others, 2 * ENDS_MS))] {
        let mut machine = bearer(&["broker.read:*/*"]);
        machine.send(0, "connection.update-secret new-secret=newer reason=y");
        machine.connection.renewed(result, 0, &mut machine.effects);
        assert_eq!(
            machine.heard(),
            [
                "0 connection.close reply-code=530 reply-text=\"NOT_ALLOWED - New secret was refused by one of the backends\" \
              class-id=10 method-id=70"
            ]
        );
    }
}

#[test]
fn changes_of_users_do_not_touch_a_bearer() {
    let mut machine = bearer(&["broker.read:*/orders"]);
    let accounts = Arc::new(crate::support::machine::accounts());
    machine.connection.accounts_changed(accounts, 0, &mut machine.effects);
    assert_eq!(machine.heard(), Vec::<String>::new());
    machine.send(1, "basic.get queue=orders");
    assert_eq!(machine.commands().len(), 1);
}
