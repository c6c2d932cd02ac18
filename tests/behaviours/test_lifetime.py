"""The life of messages and queues: dead letters, time to live, limits. Times are short, and waited for, not measured."""

import pika
import pytest

from tools import PERSISTENT, collect, drain, gone, queue, ready, receive, refused, wait_until


def letters_to(name, **more):
    """Arguments of a queue whose dead letters go to another."""
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name} | more


def deaths(properties):
    """Its history, newest first."""
    return [(death["reason"], death["queue"], death["count"]) for death in properties.headers["x-death"]]


@pytest.fixture
def dead(channel):
    name = queue(channel, "dead", durable=True)
    yield name
    channel.connection.channel().queue_delete(name)


@pytest.fixture
def work(channel):
    """work(arguments) declares a durable queue that goes with the test."""

    def work(**arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        return queue(channel, "work", durable=True, arguments=letters_to("dead") | arguments)

    yield work
    channel.connection.channel().queue_delete("work")


def test_a_rejected_message_becomes_a_dead_letter_with_its_history(channel, dead, work):
    work()
    headers = pika.BasicProperties(headers={"order": 5}, expiration="600000", message_id="m", delivery_mode=2)
    channel.basic_publish("", "work", "bad", headers)
    channel.basic_publish("", "work", "good", headers)
    for method, _, body in receive(channel, "work", 2):
        if body == b"bad":
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)
    [(_, properties, body)] = receive(channel, dead, 1)
    assert body == b"bad"
    assert (properties.message_id, properties.expiration, properties.headers["order"]) == ("m", None, 5)
    [death] = properties.headers["x-death"]
    time = death.pop("time")
    assert time.year > 2000
    assert death == {
        "original-expiration": "600000", "count": 1, "reason": "rejected", "queue": "work", "exchange": "",
        "routing-keys": ["work"],
    }
    assert properties.headers["x-first-death-reason"] == "rejected"
    assert ready(channel, "work") == 0


def test_a_retry_after_a_while_counts_its_rounds(channel, work):
    """The pattern of many applications: reject, wait in a queue without consumers, work again, give up after three."""
    work(**{"x-dead-letter-routing-key": "work.wait"})
    queue(channel, "work.wait", durable=True, arguments=letters_to("work", **{"x-message-ttl": 50}))
    channel.basic_publish("", "work", "job", PERSISTENT)
    rounds = []
    for method, properties, _ in channel.consume("work", inactivity_timeout=20):
        assert method, "the job came back"
        rounds.append(deaths(properties) if properties.headers else [])
        if len(rounds) == 3:
            channel.basic_ack(method.delivery_tag)
            break
        channel.basic_reject(method.delivery_tag, requeue=False)
    channel.cancel()
    channel.queue_delete("work.wait")
    assert rounds == [
        [],
        [("expired", "work.wait", 1), ("rejected", "work", 1)],
        [("expired", "work.wait", 2), ("rejected", "work", 2)],
    ]


def test_messages_expire_by_their_queue_or_their_own_word(channel, dead, work):
    work(x_message_ttl=100)
    channel.basic_publish("", "work", "queue's")
    channel.basic_publish("", "work", "own", pika.BasicProperties(expiration="1"))
    got = []
    collect(channel, dead, got, auto_ack=True)
    wait_until(lambda: len(got) == 2, channel.connection)
    assert sorted(body for _, _, body in got) == [b"own", b"queue's"]
    assert all(deaths(properties) == [("expired", "work", 1)] for _, properties, _ in got)
    assert ready(channel, "work") == 0


def test_without_time_a_message_is_for_a_waiting_consumer_or_for_nobody(channel):
    name = queue(channel, "", exclusive=True, arguments={"x-message-ttl": 0})
    channel.basic_publish("", name, "for nobody")
    got = []
    collect(channel, name, got, auto_ack=True)
    channel.basic_publish("", name, "for somebody")
    wait_until(lambda: got, channel.connection)
    assert [body for _, _, body in got] == [b"for somebody"]


def test_bad_expirations_are_refused(connect):
    for expiration in ["soon", "-1", "1.5", str(315_360_000_001)]:
        channel = connect().channel()
        channel.confirm_delivery()
        with refused(406, "invalid expiration"):
            channel.basic_publish("", "any", "", pika.BasicProperties(expiration=expiration))


def test_an_unused_queue_goes(connect, channel):
    queue(channel, "lease", arguments={"x-expires": 300})
    consumer = collect(channel, "lease", [])
    connection = connect()
    wait_until(lambda: not gone(connect, "lease"), connection)
    channel.basic_cancel(consumer)
    # Asking uses it; so nobody does for longer than it waits.
    connection.sleep(0.6)
    assert gone(connect, "lease")


def test_a_full_queue_lets_the_oldest_go(channel, dead, work):
    work(x_max_length=3)
    for number in range(10):
        channel.basic_publish("", "work", str(number))
    assert ready(channel, "work") == 3
    assert drain(channel, "work") == ["7", "8", "9"]
    letters = receive(channel, dead, 7, auto_ack=True)
    assert [body.decode() for _, _, body in letters] == list("0123456")
    assert deaths(letters[0][1]) == [("maxlen", "work", 1)]


def test_a_full_queue_may_refuse_and_the_others_have_the_message(connect, channel):
    channel.confirm_delivery()
    full = queue(channel, "", ("amq.fanout", ""), exclusive=True, arguments={
        "x-max-length": 1, "x-overflow": "reject-publish",
    })
    other = queue(channel, "", ("amq.fanout", ""), exclusive=True)
    channel.basic_publish("amq.fanout", "", "taken")
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("amq.fanout", "", "refused")
    assert drain(channel, full) == ["taken"]
    assert drain(channel, other) == ["taken", "refused"]
    channel.basic_publish("amq.fanout", "", "taken again")
    transacting = connect().channel()
    transacting.tx_select()
    transacting.basic_publish("amq.fanout", "", "refused")
    with refused(406, "partial tx completion"):
        transacting.tx_commit()


def test_a_message_that_comes_back_too_often_leaves(channel, dead, work):
    work(x_queue_type="quorum", x_delivery_limit=2)
    channel.basic_publish("", "work", "poison", PERSISTENT)
    counts = []

    def reject(channel, method, properties, _):
        counts.append((properties.headers or {}).get("x-delivery-count", 0))
        channel.basic_reject(method.delivery_tag, requeue=True)

    channel.basic_consume("work", reject)
    got = []
    collect(channel, dead, got, auto_ack=True)
    wait_until(lambda: got, channel.connection)
    assert counts == [0, 1, 2]
    assert deaths(got[0][1]) == [("delivery_limit", "work", 1)]


def test_dead_letters_need_rights_to_their_exchange(broker, connect, channel):
    broker.ctl("add_user", "undertaker", "spade")
    broker.ctl("set_permissions", "-p", "behaviours", "undertaker", "^mine", "^mine", "^mine")
    try:
        channel = connect("undertaker", "spade").channel()
        with refused(403, "write access to exchange 'theirs' in vhost 'behaviours' refused for user 'undertaker'"
                     if not broker_is_old(channel) else "access to exchange 'theirs'"):
            queue(channel, "mine", exclusive=True, arguments={"x-dead-letter-exchange": "theirs"})
    finally:
        broker.ctl("delete_user", "undertaker")


def broker_is_old(channel):
    """RabbitMQ 3 does not name the kind of access."""
    properties = channel.connection._impl.server_properties
    return properties["product"] == "RabbitMQ" and properties["version"].startswith("3.")


def test_dead_letters_survive_a_crash(mortal, connect_mortal):
    """What was confirmed is in the old place or in the new one, once, whenever the broker dies."""
    channel = connect_mortal().channel()
    queue(channel, "graves", durable=True)
    queue(channel, "living", durable=True, arguments=letters_to("graves"))
    channel.confirm_delivery()
    for number in range(200):
        channel.basic_publish("", "living", str(number), PERSISTENT)
    taken = receive(channel, "living", 200)
    for method, _, _ in taken[:100]:
        channel.basic_reject(method.delivery_tag, requeue=False)
    # It answers once the rejections are written.
    assert ready(channel, "graves") == 100
    last = taken[-1][0].delivery_tag
    channel.basic_nack(last, multiple=True, requeue=False)
    mortal.crash_and_restart()
    channel = connect_mortal().channel()
    living, dead_ones = drain(channel, "living"), drain(channel, "graves")
    assert sorted(map(int, living + dead_ones)) == list(range(200))
    assert set(map(str, range(100))) <= set(dead_ones)


def test_time_to_live_goes_on_over_a_restart(mortal, connect_mortal):
    channel = connect_mortal().channel()
    queue(channel, "graves.timed", durable=True)
    queue(channel, "timed", durable=True, arguments=letters_to("graves.timed", **{"x-message-ttl": 1500}))
    channel.confirm_delivery()
    channel.basic_publish("", "timed", "expires", PERSISTENT)
    mortal.crash_and_restart()
    channel = connect_mortal().channel()
    [(_, properties, _)] = receive(channel, "graves.timed", 1)
    assert deaths(properties) == [("expired", "timed", 1)]
    assert ready(channel, "timed") == 0


def test_a_delayed_message_waits_even_while_the_broker_is_down(mortal, connect_mortal):
    """RabbitMQ needs a plugin for it, and keeps what waits outside of its replicated queues."""
    if mortal.is_rabbitmq:
        pytest.skip("not without its plugin")
    channel = connect_mortal().channel()
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    queue(channel, "reminders", ("later", "remind"), durable=True)
    channel.confirm_delivery()
    for text, ms in [("second", 1500), ("first", 1000), ("at once", 0)]:
        properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": ms})
        channel.basic_publish("later", "remind", text, properties, mandatory=True)
    [(method, _, body)] = receive(channel, "reminders", 1)
    assert body == b"at once"
    channel.basic_ack(method.delivery_tag)
    # It answers once the acknowledgement is written.
    assert ready(channel, "reminders") == 0
    mortal.crash_and_restart()
    got = receive(connect_mortal().channel(), "reminders", 2)
    assert [(body, properties.headers["x-delay"]) for _, properties, body in got] == [
        (b"first", -1000), (b"second", -1500),
    ]
