"""Where messages go beyond AMQP's own rules: alternates, copies, exchanges that choose; who may say so, and who may watch."""

import pika
import pytest

from tools import PERSISTENT, drain, queue, ready, refused, wait_until



def headers(**values):
    return pika.BasicProperties(headers=values, delivery_mode=2)


def test_what_nobody_takes_goes_to_the_alternate_exchange(channel):
    channel.exchange_declare("ae-rest", "fanout")
    channel.exchange_declare("ae", "direct", arguments={"alternate-exchange": "ae-rest"})
    rest, taken = queue(channel, "", ("ae-rest", ""), exclusive=True), queue(channel, "", ("ae", "k"), exclusive=True)
    channel.basic_publish("ae", "k", "taken", mandatory=True)
    channel.basic_publish("ae", "other", "rest", mandatory=True)
    assert (drain(channel, taken), drain(channel, rest)) == (["taken"], ["rest"])
    channel.queue_unbind(rest, "ae-rest", "")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("ae", "other", "back", mandatory=True)
    for name in ["ae", "ae-rest"]:
        channel.exchange_delete(name)


def test_copies_go_to_further_keys_and_blind_ones_are_not_shown(mortal, connect_mortal):
    channel = connect_mortal().channel()
    names = [queue(channel, name, durable=True) for name in ["cc-to", "cc-copy", "cc-blind"]]
    channel.confirm_delivery()
    channel.basic_publish("", "cc-to", "x", headers(CC=["cc-copy"], BCC=["cc-blind"], subject="s"))
    mortal.crash_and_restart()
    channel = connect_mortal().channel()
    for name in names:
        method, properties, body = channel.basic_get(name, auto_ack=True)
        assert (body, method.routing_key) == (b"x", "cc-to")
        assert properties.headers == {"CC": ["cc-copy"], "subject": "s"}
    with refused(406, 'invalid message: {unacceptable_type_in_header,"CC",longstr}'):
        channel.confirm_delivery()
        channel.basic_publish("", "cc-to", "x", headers(CC="cc-copy"))


def publish_keys(channel):
    """One transaction: one wait for the disk."""
    channel.tx_select()
    for key in range(300):
        channel.basic_publish("hashed", str(key), str(key), PERSISTENT)
    channel.tx_commit()


def test_a_consistent_hash_keeps_keys_together_and_spreads_them(mortal, connect_mortal):
    channel = connect_mortal().channel()
    channel.exchange_declare("hashed", "x-consistent-hash", durable=True)
    names = [queue(channel, f"hashed-{weight}", ("hashed", weight), durable=True) for weight in ["1", "1000", "2000"]]
    publish_keys(channel)
    before = [ready(channel, name) for name in names]
    assert sum(before) == 300 and before[1] > 50 and before[2] > 140, before
    mortal.crash_and_restart()
    channel = connect_mortal().channel()
    publish_keys(channel)
    assert [ready(channel, name) for name in names] == [2 * count for count in before]
    with refused(406, 'The binding key must be an integer: <<"heavy">>'):
        channel.queue_bind(names[0], "hashed", "heavy")


@pytest.mark.parametrize("kind", ["x-random", "x-local-random", "x-modulus-hash"])
def test_exchanges_that_choose_choose_one(channel, kind):
    channel.exchange_declare(kind, kind)
    names = [queue(channel, "", (kind, ""), exclusive=True) for _ in range(3)]
    for number in range(90):
        channel.basic_publish(kind, str(number), "x")
    counts = [ready(channel, name) for name in names]
    assert sum(counts) == 90 and min(counts) > 5, counts
    channel.exchange_delete(kind)


def test_a_recent_history_is_for_those_who_come_late(channel):
    channel.exchange_declare("news", "x-recent-history", arguments={"x-recent-history-length": 2})
    for body in ["old", "recent", "latest"]:
        channel.basic_publish("news", "", body)
    channel.basic_publish("news", "", "secret", headers(**{"x-recent-history-no-store": True}))
    late = queue(channel, "", ("news", ""), exclusive=True)
    assert drain(channel, late) == ["recent", "latest"]
    channel.exchange_delete("news")


def test_topic_permissions_restrict_keys(broker, connect, channel, user):
    channel.exchange_declare("tenants", "topic")
    name = queue(channel, "tenants", ("tenants", "#"))
    user("tenant", "secret", ".*", ".*", ".*")
    allow = ["set_topic_permissions", "-p", "behaviours", "tenant", "tenants"]
    assert 'on "tenants" for user "tenant" in vhost "behaviours"' in broker.ctl(*allow, "^{username}[.]", "^public[.]")
    listed = broker.ctl("list_topic_permissions", "-p", "behaviours", "-q")
    assert "tenant\ttenants\t^{username}[.]\t^public[.]" in listed
    own = connect("tenant", "secret").channel()
    own.confirm_delivery()
    own.basic_publish("tenants", "tenant.order", "own")
    own.queue_bind(name, "tenants", "public.*")
    with refused(403, "write access to topic 'other.order' in exchange 'tenants' in vhost 'behaviours' refused"):
        own.basic_publish("tenants", "other.order", "not own")
    own = connect("tenant", "secret").channel()
    with refused(403, "read access to topic '#' in exchange 'tenants' in vhost 'behaviours' refused"):
        own.queue_bind(name, "tenants", "#")
    broker.ctl("clear_topic_permissions", "-p", "behaviours", "tenant", "tenants")
    own = connect("tenant", "secret").channel()
    own.confirm_delivery()
    own.basic_publish("tenants", "other.order", "free")
    assert drain(channel, name) == ["own", "free"]
    channel.queue_delete(name)
    channel.exchange_delete("tenants")


def test_the_firehose_shows_what_passes(broker, connect, channel):
    copies = queue(channel, "", ("amq.rabbitmq.trace", "#"), exclusive=True)
    watched = queue(channel, "watched")
    assert "Trace enabled for vhost behaviours" in broker.ctl("trace_on", "-p", "behaviours")
    try:
        client = connect().channel()
        client.confirm_delivery()
        client.basic_publish("", watched, "body", pika.BasicProperties(message_id="m"))
        client.basic_get(watched, auto_ack=True)
        wait_until(lambda: ready(channel, copies) >= 2, channel.connection)
    finally:
        broker.ctl("trace_off", "-p", "behaviours")
    method, properties, body = channel.basic_get(copies, auto_ack=True)
    said = properties.headers
    assert (method.exchange, method.routing_key, body) == ("amq.rabbitmq.trace", "publish.", b"body")
    assert (said["exchange_name"], said["routing_keys"], said["routed_queues"]) == ("", [watched], [watched])
    assert (said["vhost"], said["user"], said["channel"]) == ("behaviours", "guest", 1)
    assert said["properties"]["message_id"] == "m" and "->" in said["connection"]
    method, properties, _ = channel.basic_get(copies, auto_ack=True)
    assert (method.routing_key, properties.headers["redelivered"]) == (f"deliver.{watched}", 0)
    channel.queue_delete(watched)


def test_the_event_exchange_tells_what_happens(mortal, connect_mortal):
    if mortal.is_rabbitmq:
        pytest.skip("a plugin of RabbitMQ's")
    channel = connect_mortal().channel()
    events = queue(channel, "", ("amq.rabbitmq.event", "#"), exclusive=True)
    mortal.ctl("add_vhost", "elsewhere")
    mortal.ctl("add_user", "eve", "secret")
    mortal.ctl("set_permissions", "-p", "elsewhere", "eve", ".*", ".*", ".*")
    with mortal.connect("elsewhere", "eve", "secret") as connection:
        connection.channel().queue_declare("far", exclusive=True)
    mortal.ctl("delete_user", "eve")
    mortal.ctl("delete_vhost", "elsewhere")
    told = []

    def all_told():
        while (got := channel.basic_get(events, auto_ack=True))[0]:
            assert got[2] == b"" and got[1].timestamp and got[1].headers["timestamp_in_ms"]
            told.append((got[0].routing_key, got[1].headers))
        return told and told[-1][0] == "vhost.deleted"

    wait_until(all_told, channel.connection)
    expected = [
        ("vhost.created", {"name": "elsewhere"}),
        ("user.created", {"name": "eve"}),
        ("permission.created", {"user": "eve", "vhost": "elsewhere", "write": ".*"}),
        ("user.authentication.success", {"name": "eve", "peer_host": "{127,0,0,1}"}),
        ("connection.created", {"user": "eve", "vhost": "elsewhere", "type": "network"}),
        ("channel.created", {"number": 1, "user": "eve"}),
        ("queue.created", {"name": "far", "vhost": "elsewhere", "exclusive": True, "user_who_performed_action": "eve"}),
        ("queue.deleted", {"name": "far", "user_who_performed_action": "eve"}),
        ("connection.closed", {}),
        ("user.deleted", {"name": "eve", "user_who_performed_action": "rmq-cli"}),
        ("vhost.deleted", {"name": "elsewhere"}),
    ]
    for key, said in expected:
        found = [event for event in told if event[0] == key and said.items() <= event[1].items()]
        assert found, f"{key} {said} is not in {told}"
