"""Streams: messages stay when they are read, everybody reads from a place of their own, the oldest go by size."""

from datetime import datetime, timedelta, timezone

import pika
import pytest

from broker import OwnBroker, given_broker
from tools import PERSISTENT, collect, queue, ready, refused, wait_until

STREAM = {"x-queue-type": "stream"}


def offsets(messages):
    return [properties.headers["x-stream-offset"] for _, properties, _ in messages]


def bodies(messages):
    return [body.decode() for _, _, body in messages]


def read(connection, name, count, offset, settle="basic_ack", prefetch=100, **more):
    """Reads that many messages from an offset; `settle` names what is done with each."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=prefetch)
    got = []

    def take(_, method, properties, body):
        got.append((method, properties, body))
        if settle:
            getattr(channel, settle)(method.delivery_tag)

    channel.basic_consume(name, take, arguments={"x-stream-offset": offset} | more)
    wait_until(lambda: len(got) >= count, connection)
    channel.close()
    return got[:count]


@pytest.fixture
def numbers(channel):
    """A stream of the numbers 0 to 99."""
    queue(channel, "numbers", durable=True, arguments=STREAM)
    for number in range(100):
        channel.basic_publish("", "numbers", str(number), PERSISTENT if number % 2 else None)
    yield "numbers"
    channel.queue_delete("numbers")


def test_reading_takes_nothing_away(connect, numbers):
    for _ in range(2):
        got = read(connect(), numbers, 100, "first")
        assert bodies(got) == [str(number) for number in range(100)]
        assert offsets(got) == list(range(100))
        assert not any(method.redelivered for method, _, _ in got)


@pytest.mark.parametrize(
    "offset, first",
    [("first", 0), (0, 0), (57, 57), (-1, 0), ("1h", 0), (datetime.now(timezone.utc) - timedelta(days=1), 0)],
)
def test_consumers_begin_where_they_say(connect, numbers, offset, first):
    assert offsets(read(connect(), numbers, 3, offset)) == [first, first + 1, first + 2]


@pytest.mark.parametrize("offset", ["next", 100, datetime.now(timezone.utc) + timedelta(days=1)])
def test_consumers_may_wait_for_what_is_to_come(connect, channel, numbers, offset):
    connection = connect()
    waiting = connection.channel()
    waiting.basic_qos(prefetch_count=10)
    got = []
    collect(waiting, numbers, got, arguments={"x-stream-offset": offset})
    channel.basic_publish("", numbers, "100")
    wait_until(lambda: got, connection)
    assert offsets(got) == [100]


def test_last_is_the_newest_message(connect, numbers):
    assert offsets(read(connect(), numbers, 1, "last")) == [99]


def test_credit_comes_back_and_a_consumer_never_holds_more(connect, numbers):
    connection = connect()
    channel = connection.channel()
    channel.basic_qos(prefetch_count=3)
    got = []
    collect(channel, numbers, got, arguments={"x-stream-offset": "first"})
    wait_until(lambda: len(got) == 3, connection)
    channel.queue_declare(numbers, passive=True)  # a round trip: nothing more is on its way
    assert len(got) == 3
    channel.basic_ack(got[-1][0].delivery_tag, multiple=True)
    wait_until(lambda: len(got) == 6, connection)
    assert offsets(got) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("settle", ["basic_nack", "basic_reject"])
def test_every_settlement_is_credit_and_nothing_else(broker, connect, numbers, settle):
    if getattr(broker, "is_rabbitmq", False) or given_broker():
        pytest.xfail("RabbitMQ before 4.0 closes the connection with 540")
    assert offsets(read(connect(), numbers, 20, "first", settle, prefetch=2)) == list(range(20))


def test_several_consumers_on_one_channel_read_on_their_own(connect, numbers):
    connection = connect()
    channel = connection.channel()
    channel.basic_qos(prefetch_count=50)
    one, other = [], []
    collect(channel, numbers, one, arguments={"x-stream-offset": "first"})
    collect(channel, numbers, other, arguments={"x-stream-offset": 10}, exclusive=True)
    wait_until(lambda: len(one) == 50 and len(other) == 50, connection)
    assert (offsets(one), offsets(other)) == (list(range(50)), list(range(10, 60)))


def test_a_filter_is_exact(connect, channel):
    if given_broker():
        pytest.xfail("RabbitMQ filters by chunk, and not at all before 3.13")
    queue(channel, "filtered", durable=True, arguments=STREAM)
    for number in range(30):
        value = ["red", "green", None][number % 3]
        headers = {"x-stream-filter-value": value} if value else None
        channel.basic_publish("", "filtered", str(number), pika.BasicProperties(headers=headers))
    red = read(connect(), "filtered", 10, "first", **{"x-stream-filter": "red"})
    assert offsets(red) == list(range(0, 30, 3))
    wanted = {"x-stream-filter": ["green", "blue"], "x-stream-match-unfiltered": True}
    assert offsets(read(connect(), "filtered", 20, "first", **wanted)) == [n for n in range(30) if n % 3]
    channel.queue_delete("filtered")


def test_what_a_stream_refuses(connect, numbers):
    for code, text, ask in [
        (540, "basic.get not supported by stream queues", lambda it: it.basic_get(numbers)),
        (540, "queue.purge not supported by stream queues", lambda it: it.queue_purge(numbers)),
        (406, "consumer prefetch count is not set for", lambda it: it.basic_consume(numbers, print)),
        (406, "invalid property 'non-durable'", lambda it: it.queue_declare("brief", arguments=STREAM)),
        (
            406,
            "of queue type rabbit_stream_queue",
            lambda it: it.queue_declare("short", durable=True, arguments=STREAM | {"x-max-length": 5}),
        ),
    ]:
        channel = connect().channel()
        with refused(code, text):
            ask(channel)
    channel = connect().channel()
    channel.basic_qos(prefetch_count=1)
    with refused(540, "automatic acknowledgement not supported by stream"):
        channel.basic_consume(numbers, print, auto_ack=True)
    channel = connect().channel()
    channel.basic_qos(prefetch_count=1)
    with refused(406, "invalid_stream_offset_arg"):
        channel.basic_consume(numbers, print, arguments={"x-stream-offset": "5"})


@pytest.mark.parametrize("end", [OwnBroker.crash_and_restart, OwnBroker.stop_and_restart])
def test_offsets_and_retention_outlive_the_broker(mortal, connect_mortal, end):
    name = f"kept-{end.__name__}"
    channel = connect_mortal().channel()
    limits = {"x-max-length-bytes": 200_000, "x-stream-max-segment-size-bytes": 20_000}
    queue(channel, name, durable=True, arguments=STREAM | limits)
    channel.confirm_delivery()
    for number in range(1000):
        channel.basic_publish("", name, f"{number}".ljust(1000))
    kept = ready(channel, name)
    assert 100 < kept < 300
    end(mortal)

    channel = connect_mortal().channel()
    channel.confirm_delivery()
    assert ready(channel, name) == kept
    assert offsets(read(connect_mortal(), name, 1, "first")) == [1000 - kept]
    assert offsets(read(connect_mortal(), name, 1, 0)) == [1000 - kept]
    channel.basic_publish("", name, "one more")
    got = read(connect_mortal(), name, 1, 1000)
    assert (offsets(got), bodies(got)) == ([1000], ["one more"])
