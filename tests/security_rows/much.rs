//! Attacks by sheer amount, as one connection machine sees them: half-sent messages, channels of a user, commands that wait
//! behind an alarm, large tables on their way.

use crate::announce;
use crate::support::machine::{Machine, accounts};
use crate::support::wire;
use ledgermq::auth::Tally;
use ledgermq::connection::ConnectionConfig;
use ledgermq::fair_budget::FairBudget;
use ledgermq::limits::{
    ASSEMBLY_PATIENCE_MS, ASSEMBLY_TURN_MS, CHANNELS_PER_USER_MAX, LARGE_METHOD_BYTES, PARKED_BYTES_MAX,
};

const MIB: usize = 1 << 20;

/// A connection with channel 1 open whose half-received bodies count against `budget`.
fn machine_in(budget: &FairBudget) -> Machine {
    let config = ConnectionConfig { half_received: budget.clone(), ..ConnectionConfig::default() };
    let mut machine = Machine::accepted_with(config, accounts());
    machine.shake_hands(crate::support::machine::CAPABLE);
    machine.open_channel(1);
    machine
}

/// Begins a message of 15 MiB on channel 1 and sends so much of it.
fn send_half(machine: &mut Machine, bytes: usize) {
    machine.send_bytes(&announce(15 * MIB as u64));
    send_more(machine, bytes);
}

fn send_more(machine: &mut Machine, bytes: usize) {
    for _ in 0..bytes / 0x1_0000 {
        machine.send_bytes(&wire::frame(3, 1, &vec![0; 0x1_0000]));
    }
}

fn pass(machine: &mut Machine, ms: u64) {
    machine.now_ms += ms;
    machine.connection.tick(machine.now_ms, &mut machine.effects);
}

/// Three send 4 MiB each of messages they do not finish, where 10 MiB may be half-received: one of them is read on, the
/// others wait, and an honest client notices nothing.
#[test]
fn s14_half_sent_messages_of_all_connections_are_bounded() {
    let budget = FairBudget::new(10 * MIB);
    let [mut one, mut two, mut three] = std::array::from_fn(|_| machine_in(&budget));
    send_half(&mut one, 4 * MIB);
    send_half(&mut two, 4 * MIB);
    send_half(&mut three, 4 * MIB);
    assert!(three.connection.wants_input(), "the first that comes after the limit has the turn");
    send_more(&mut one, 0x1_0000);
    send_more(&mut two, 0x1_0000);
    assert!(!one.connection.wants_input() && !two.connection.wants_input());
    let due_ms = one.connection.next_deadline().unwrap();
    assert!(due_ms > 0, "it is looked at again");

    let mut honest = machine_in(&budget);
    for _ in 0..20 {
        honest.send_bytes(&announce(MIB as u64));
        send_more(&mut honest, MIB);
        assert!(honest.connection.wants_input());
    }
    assert_eq!(honest.commands().len(), 20, "its messages are on their way");

    // Who does not finish when it may has had its time; the next one has the turn.
    pass(&mut three, ASSEMBLY_TURN_MS);
    let said = three.heard();
    let text = format!(
        "0 connection.close reply-code=320 reply-text=\"CONNECTION_FORCED - {} bytes of unfinished messages, while those \
         of all connections come to more than {}\" class-id=0 method-id=0",
        4 * MIB,
        10 * MIB
    );
    assert_eq!(said, [text]);
    assert!(budget.used_bytes() < 9 * MIB, "what it held is gone");
    pass(&mut one, 50);
    pass(&mut two, 50);
    assert!(one.connection.wants_input() && two.connection.wants_input(), "there is room again");
}

#[test]
fn s14_who_waits_too_long_is_closed_and_nothing_is_left() {
    let budget = FairBudget::new(MIB);
    let [mut one, mut two] = std::array::from_fn(|_| machine_in(&budget));
    send_half(&mut one, MIB);
    send_half(&mut two, MIB);
    send_more(&mut one, 0x1_0000);
    assert!(two.connection.wants_input() && !one.connection.wants_input());
    pass(&mut one, ASSEMBLY_PATIENCE_MS - 1);
    assert!(one.heard().is_empty());
    pass(&mut one, 60);
    assert!(one.heard()[0].contains("reply-code=320"));
    drop(two);
    assert_eq!(budget.used_bytes(), 0);
}

/// A single client may always send the largest message there is.
#[test]
fn s14_one_at_a_time_finishes_however_much_it_is() {
    let budget = FairBudget::new(MIB);
    let [mut one, mut two] = std::array::from_fn(|_| machine_in(&budget));
    send_half(&mut one, 2 * MIB);
    send_half(&mut two, 2 * MIB);
    assert!(one.connection.wants_input() && !two.connection.wants_input());
    send_more(&mut one, 13 * MIB);
    assert_eq!(one.commands().len(), 1);
    pass(&mut two, 50);
    assert!(two.connection.wants_input(), "its turn has come");
    send_more(&mut two, 13 * MIB);
    assert_eq!(two.commands().len(), 1);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn s29_a_user_has_so_many_channels_unless_an_operator_says_otherwise() {
    let tally = Tally::default();
    let others: Vec<_> = (1..CHANNELS_PER_USER_MAX).map(|_| tally.take(None).unwrap()).collect();
    let mut machine = Machine::accepted();
    machine.connection.count_channels_in(tally.clone());
    machine.shake_hands(crate::support::machine::CAPABLE);
    machine.open_channel(1);
    machine.send(2, "channel.open");
    let text = format!(
        "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of \
         ({CHANNELS_PER_USER_MAX})"
    );
    assert!(machine.heard()[0].contains(&text));
    drop((others, machine));
    assert_eq!(tally.count(), 0);
}

/// A client that published once could otherwise have the broker keep whatever it sends afterwards, at the very moment
/// memory is low.
#[test]
fn s31_what_waits_behind_a_held_back_publish_is_bounded_too() {
    let mut machine = Machine::with_channel();
    machine.send(1, "basic.publish routing-key=q body=x");
    machine.commands();
    machine.connection.alarm(Some("low on memory"), 0, &mut machine.effects);
    machine.send(1, "basic.publish routing-key=q body=x");
    let mut sent = 0;
    while machine.connection.wants_input() {
        machine.send(1, "basic.qos prefetch-count=1");
        sent += 1;
        assert!(sent < PARKED_BYTES_MAX, "it is not bounded");
    }
    assert!(machine.commands().is_empty());
    machine.connection.alarm(None, 0, &mut machine.effects);
    assert_eq!(machine.commands().len(), sent + 1, "nothing is lost");
    assert!(machine.connection.wants_input());
}

/// Tables count on their way to the vhost, so a client that sends declarations faster than they are done is not read.
#[test]
fn s31_large_declarations_count_as_what_they_are() {
    let mut machine = Machine::with_channel();
    let text = "x".repeat(100_000);
    machine.send(1, &format!("queue.declare queue=q arguments={{a=\"{text}\"}}"));
    assert_eq!(machine.commands().len(), 1);
    assert!(machine.effects.method_bytes > 100_000);
    machine.effects.method_bytes = 0;
    machine.send(1, "queue.declare queue=q");
    assert_eq!(machine.effects.method_bytes, 0, "methods below {LARGE_METHOD_BYTES} bytes are not counted");
}
