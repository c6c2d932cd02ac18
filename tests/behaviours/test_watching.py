"""Observers are told what RabbitMQ tells them: the same things happen to ours and to a RabbitMQ, where one is
installed; keys and headers of all events, and all copies of the firehose, are compared. What differs is listed here."""

import re
from pathlib import Path

import pika
import pytest

from broker import BINARY, OwnBroker
from tools import queue, wait_until

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Where RabbitMQ names a process of its own, ours has the name of a connection or channel.
PROCESSES = {"pid", "owner_pid", "channel", "connection", "node"}
# What RabbitMQ alone tells: parameters (which ours has none of), whom a policy governs, how a vhost starts and stops.
ONLY_RABBITMQ = {"parameter.set", "parameter.cleared", "queue.policy.updated", "queue.policy.cleared", "vhost.down"}
# Headers of which one of them has more, by key of the event.
HEADERS_APART = {
    # RabbitMQ 4 tells the type of a queue; 3.10 does not yet.
    "queue.created": {"type"},
    # What goes with another thing is told as the deed of who removed that.
    "queue.deleted": {"type", "user_who_performed_action"},
    "binding.deleted": {"user_who_performed_action"},
    "connection.created": {
        "client_properties", "channel_max", "connected_at", "auth_mechanism", "ssl_hash", "ssl_cipher",
        "ssl_key_exchange", "ssl_protocol", "peer_cert_validity", "peer_cert_issuer", "peer_cert_subject",
    },
    "connection.closed": {"client_properties"},
    "user.authentication.success": {"auth_mechanism"},
    "user.authentication.failure": {"auth_mechanism", "error"},
    # Of all topic permissions of a user, ours are told one by one.
    "topic.permission.deleted": {"exchange"},
    "vhost.created": {"tags", "description", "cluster_state", "tracing", "metadata", "default_queue_type"},
}
LAST = "vhost.deleted"


@pytest.fixture(scope="module")
def both():
    """Ours and RabbitMQ."""
    if not RABBITMQ.exists() or BINARY == RABBITMQ:
        pytest.skip("there is no RabbitMQ to compare with")
    brokers = [OwnBroker(), OwnBroker(binary=RABBITMQ, plugins=["rabbitmq_event_exchange"])]
    yield brokers
    for broker in brokers:
        broker.stop()


def plain(value, name=""):
    """A header's value with its type, without what no two brokers have in common."""
    if isinstance(value, dict):
        # RabbitMQ 4 says of the last death what 3.10 says of the first.
        return {key: plain(inner, key) for key, inner in value.items() if not key.startswith("x-last-death")}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if name in PROCESSES and isinstance(value, (str, bytes)):
        return "a process" if value else "none"
    if isinstance(value, str):
        return re.sub(r"amq\.[a-z]+-[\w-]+", "amq.*", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:*", value))
    if name.endswith("port") or name.startswith("timestamp") or name in ("connected_at", "time"):
        return type(value).__name__
    return f"{value} {type(value).__name__}"


def told(channel, name, last):
    """Takes all messages until the last one is there: (key, headers, body)."""
    found = []

    def all_told():
        while (got := channel.basic_get(name, auto_ack=True))[0]:
            found.append((got[0].routing_key, got[1], got[2]))
        return any(key == last for key, *_ in found)

    wait_until(all_told, channel.connection)
    return found


def happenings(broker):
    """Everything of which there are events, in the vhost `elsewhere`, as user `eve`."""
    watcher = broker.connect().channel()
    events = queue(watcher, "", ("amq.rabbitmq.event", "#"), exclusive=True)
    ctl = broker.ctl
    ctl("add_vhost", "elsewhere")
    ctl("add_user", "eve", "secret")
    ctl("set_user_tags", "eve", "monitoring", "management")
    ctl("change_password", "eve", "other")
    ctl("set_permissions", "-p", "elsewhere", "eve", ".*", "w.*", ".*")
    ctl("set_permissions", "-p", "elsewhere", "eve", ".*", ".*", ".*")
    ctl("set_topic_permissions", "-p", "elsewhere", "eve", "amq.topic", "^a", "^b")
    ctl("clear_topic_permissions", "-p", "elsewhere", "eve")
    with pytest.raises(pika.exceptions.AMQPError):
        broker.connect("elsewhere", "eve", "wrong")
    with broker.connect("elsewhere", "eve", "other", client_properties={"connection_name": "hers"}) as connection:
        topology(connection)
        consumers(connection)
    ctl("set_policy", "-p", "elsewhere", "--priority", "3", "--apply-to", "queues", "p", "^q", '{"max-length":5}')
    ctl("clear_policy", "-p", "elsewhere", "p")
    ctl("set_operator_policy", "-p", "elsewhere", "o", "^q", '{"max-length":5}')
    ctl("clear_operator_policy", "-p", "elsewhere", "o")
    ctl("set_vhost_limits", "-p", "elsewhere", '{"max-queues":50}')
    ctl("clear_vhost_limits", "-p", "elsewhere")
    ctl("set_user_limits", "eve", '{"max-channels":50}')
    ctl("clear_user_limits", "eve", "all")
    ctl("clear_permissions", "-p", "elsewhere", "eve")
    ctl("delete_user", "eve")
    ctl("delete_vhost", "elsewhere")
    found = told(watcher, events, LAST)
    watcher.connection.close()
    return found


def topology(connection):
    """Queues, exchanges and bindings come and go."""
    channel = connection.channel()
    channel.exchange_declare("e", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"})
    channel.exchange_declare("e", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"})
    channel.exchange_declare("f", "fanout", auto_delete=True, internal=True)
    channel.queue_declare("q", durable=True, arguments={"x-max-length": 5, "x-message-ttl": 100_000})
    channel.queue_declare("q", durable=True, arguments={"x-max-length": 5, "x-message-ttl": 100_000})
    channel.queue_declare("hers", exclusive=True)
    channel.queue_declare("brief", auto_delete=True)
    channel.queue_bind("q", "e", "a.*", {"x": 1})
    channel.queue_bind("q", "e", "a.*", {"x": 1})
    channel.queue_bind("hers", "e", "#")
    channel.exchange_bind("e", "f", "k")
    channel.exchange_bind("e", "amq.direct", "k")
    channel.queue_unbind("q", "e", "a.*", {"x": 1})
    channel.exchange_unbind("e", "amq.direct", "k")
    channel.exchange_unbind("e", "f", "k")
    channel.queue_bind("q", "e", "b")
    channel.queue_delete("q")
    channel.exchange_delete("e")
    channel.close()


def consumers(connection):
    """Consumers come and go: cancelled, with their queue, with their channel, with their connection."""
    channel = connection.channel(7)
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=5)

    def ignore(*_):
        """Nothing is published."""

    channel.basic_consume("q", ignore, consumer_tag="one", exclusive=True)
    channel.basic_cancel("one")
    channel.basic_consume("q", ignore, consumer_tag="two", auto_ack=True, arguments={"x-priority": 3})
    channel.queue_delete("q")
    channel.queue_declare("q")
    channel.basic_consume("brief", ignore, consumer_tag="three")
    channel.basic_cancel("three")
    channel.basic_consume("q", ignore, consumer_tag="four")
    channel.close()
    connection.channel().basic_consume("hers", ignore, consumer_tag="five")


def concerns(key, said):
    """Whether an event is about what was done, and not about the watcher or what every vhost has."""
    if said.get("vhost") == "/" or said.get("user_who_performed_action") == "guest":
        return False
    if key.startswith("exchange.") and (said["name"] == "" or said["name"].startswith("amq.")):
        return False
    # RabbitMQ tells of the connection that failed to log in, and again of consumers that went with their queue.
    failed = key == "connection.closed" and "user_provided_name" not in said
    again = key == "consumer.deleted" and "user_who_performed_action" not in said
    return not failed and not again


def events_of(broker):
    """What was told, by key: headers in the order of their texts."""
    by_key = {}
    for key, properties, body in happenings(broker):
        assert properties.delivery_mode == 2 and properties.timestamp and body == b""
        assert properties.headers["timestamp_in_ms"]
        if concerns(key, properties.headers):
            by_key.setdefault(key, []).append(plain(properties.headers))
    return by_key


def test_the_same_events(both):
    ours, theirs = (events_of(broker) for broker in both)
    problems = []
    for key in sorted((ours | theirs).keys() - ONLY_RABBITMQ):
        apart = HEADERS_APART.get(key, set())

        def told(events, apart=apart):
            """All but what differs, in an order of its own: things that go together go in any order."""
            kept = [{name: said[name] for name in sorted(said) if name not in apart} for said in events]
            return sorted(map(str, kept))

        left, right = told(ours.get(key, [])), told(theirs.get(key, []))
        if left != right:
            lines = "".join(f"\n  ours      {said}" for said in left) + "".join(f"\n  RabbitMQ  {said}" for said in right)
            problems.append(f"{key}{lines}")
    assert not problems, "\n" + "\n".join(problems)


def passes(broker):
    """Messages of every kind pass while the firehose is on."""
    channel = broker.connect().channel()
    channel.confirm_delivery()
    copies = queue(channel, "", ("amq.rabbitmq.trace", "#"), exclusive=True)
    client = broker.connect().channel(3)
    client.confirm_delivery()
    queue(client, "q1", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q2"})
    queue(client, "q2", ("amq.topic", "a.#"))
    queue(client, "q3")
    everything = pika.BasicProperties(
        "text/plain", "gzip", {"a": 1, "b": "x", "CC": ["q2"], "BCC": ["q3"]}, 2, 5, "correlation", "reply", "100000",
        "message", 99, "type", "guest", "app", "cluster",
    )
    broker.ctl("trace_on")
    try:
        client.basic_publish("", "q1", "plain")
        client.basic_publish("", "q1", "all", everything)
        client.basic_publish("amq.topic", "a.b", "")
        client.basic_publish("amq.fanout", "nowhere", "lost")
        method, _, _ = client.basic_get("q1")
        client.basic_reject(method.delivery_tag, requeue=True)
        method, _, _ = client.basic_get("q1")
        # A dead letter is published by nobody.
        client.basic_reject(method.delivery_tag, requeue=False)
        client.basic_get("q2", auto_ack=True)
        wait_until(lambda: client.queue_declare("q2", passive=True).method.message_count == 2, client.connection)
        for _ in client.consume("q2", auto_ack=True, inactivity_timeout=0.2):
            if client.get_waiting_message_count() == 0:
                break
        client.cancel()
        client.basic_publish("", "q1", "last")
        client.basic_publish("amq.direct", "end", "")
        found = told(channel, copies, "publish.amq.direct")
    finally:
        broker.ctl("trace_off")
    client.queue_delete("q1")
    client.queue_delete("q2")
    client.queue_delete("q3")
    client.connection.close()
    channel.connection.close()
    return found


def test_the_same_copies(both):
    ours, theirs = (
        [(key, plain(properties.headers), properties.delivery_mode, body) for key, properties, body in passes(broker)]
        for broker in both
    )
    # Publishes and deliveries come from different processes of RabbitMQ, in no order.
    for kind in ("publish.", "deliver."):
        left, right = ([copy for copy in one if copy[0].startswith(kind)] for one in (ours, theirs))
        assert left == right
