"""What pika sees of the broker: errors of a channel, cancellations, sizes of frames and messages, heartbeats, blocking, restarts."""

import datetime
import decimal

import pika
import pytest
from given import HOST, PORT, name, needs_restart, restart
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ChannelWrongStateError,
    ConnectionClosed,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def parameters(**options):
    return pika.ConnectionParameters(HOST, PORT, **options)


@pytest.fixture
def connection():
    with pika.BlockingConnection(parameters()) as connection:
        yield connection


@pytest.fixture
def channel(connection):
    return connection.channel()


def until(connection, what):
    """Lets the connection work until `what()` holds; pytest's caller has the time limit."""
    while not what():
        connection.process_data_events(time_limit=0.1)


def reason_of_close(connection, channel):
    """Why the broker closed this channel."""
    reasons = []
    channel._impl.add_on_close_callback(lambda _, reason: reasons.append(reason))
    until(connection, lambda: reasons)
    return reasons[0]


def test_an_error_closes_its_channel_and_nothing_else(connection):
    other = connection.channel()
    queue = other.queue_declare("", exclusive=True).method.queue
    for _ in range(20):
        channel = connection.channel()
        with pytest.raises(ChannelClosedByBroker) as error:
            channel.queue_declare(name("missing"), passive=True)
        assert error.value.reply_code == 404
        assert error.value.reply_text.startswith("NOT_FOUND - no queue 'missing-")
    other.basic_publish("", queue, b"still here")
    assert other.basic_get(queue, auto_ack=True)[2] == b"still here"


def test_a_channel_number_is_used_again_after_an_error(connection):
    for _ in range(5):
        channel = connection.channel(7)
        channel.basic_publish(name("missing"), "", b"")
        assert reason_of_close(connection, channel).reply_code == 404
        with pytest.raises(ChannelWrongStateError):
            channel.queue_declare("")
    channel = connection.channel(7)
    assert channel.queue_declare("", exclusive=True).method.queue.startswith("amq.gen-")


def test_what_was_delivered_on_a_failed_channel_comes_back(connection):
    queue = connection.channel().queue_declare("", exclusive=True).method.queue
    channel = connection.channel()
    channel.basic_publish("", queue, b"m")
    method, _, _ = next(channel.consume(queue))
    assert not method.redelivered
    channel.basic_ack(999)
    assert reason_of_close(connection, channel).reply_text == "PRECONDITION_FAILED - unknown delivery tag 999"
    method, _, body = connection.channel().basic_get(queue, auto_ack=True)
    assert method.redelivered and body == b"m"


@pytest.mark.parametrize("durable", [False, True])
def test_a_consumer_hears_that_its_queue_is_gone(connection, channel, durable):
    queue = name("cancelled")
    channel.queue_declare(queue, durable=durable, exclusive=not durable)
    told = []
    channel.add_on_cancel_callback(told.append)
    tag = channel.basic_consume(queue, lambda *_: None)
    connection.channel().queue_delete(queue)
    until(connection, lambda: told)
    assert told[0].method.consumer_tag == tag
    # The channel goes on.
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"on")
    assert channel.basic_get(queue, auto_ack=True)[2] == b"on"


def test_a_generator_of_messages_ends_when_its_queue_is_gone(connection, channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    other = connection.channel()
    other.confirm_delivery()
    other.basic_publish("", queue, b"last")
    bodies = []
    for _, _, body in channel.consume(queue, auto_ack=True):
        bodies.append(body)
        other.queue_delete(queue)
    assert bodies == [b"last"]


def test_an_unroutable_message_comes_back_before_its_confirm(channel):
    channel.confirm_delivery()
    with pytest.raises(UnroutableError) as error:
        channel.basic_publish("", name("nowhere"), b"body", pika.BasicProperties(message_id="m"), mandatory=True)
    (returned,) = error.value.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.properties.message_id, returned.body) == ("m", b"body")


@pytest.mark.parametrize("frame_max", [4096, 8192, 131072])
def test_bodies_of_every_length_around_a_frame(frame_max):
    with pika.BlockingConnection(parameters(frame_max=frame_max)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        payload = frame_max - 8
        lengths = [0, 1, payload - 1, payload, payload + 1, 2 * payload - 1, 2 * payload, 2 * payload + 1, 10 * payload]
        for length in lengths:
            body = bytes(i % 251 for i in range(length))
            channel.basic_publish("", queue, body)
            assert channel.basic_get(queue, auto_ack=True)[2] == body


def test_a_message_of_fifteen_mebibytes(channel):
    channel.confirm_delivery()
    queue = name("big")
    channel.queue_declare(queue, durable=True)
    body = bytes(range(256)) * (15 * 4096)
    channel.basic_publish("", queue, body, PERSISTENT)
    assert channel.basic_get(queue, auto_ack=True)[2] == body
    channel.queue_delete(queue)


def test_properties_and_headers_of_every_type(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    headers = {
        "true": True,
        "false": False,
        "byte": 1,
        "short": -300,
        "int": 70_000,
        "negative": -70_000,
        "long": 2**40,
        "very long": -(2**62),
        "text": "grüße",
        "bytes": b"\x00\xff",
        "decimal": decimal.Decimal("3.14"),
        "nothing": None,
        "time": datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
        "table": {"a": {"b": [1, "two", None, {"three": 3}]}},
        "empty table": {},
        "empty list": [],
        "list": [True, 2, "3"],
        "k" * 128: "a long key",
    }
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        priority=9,
        correlation_id="c" * 255,
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        user_id="guest",
        app_id="a",
        cluster_id="c",
    )
    channel.basic_publish("", queue, b"", sent)
    _, received, body = channel.basic_get(queue, auto_ack=True)
    assert body == b""
    for field in vars(sent):
        assert getattr(received, field) == getattr(sent, field), field


def test_acknowledging_several_at_once_and_putting_back(connection, channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    for number in range(10):
        channel.basic_publish("", queue, str(number).encode())
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(10)]
    channel.basic_ack(tags[2], multiple=True)
    channel.basic_nack(tags[5], multiple=True, requeue=False)
    channel.basic_nack(tags[9], multiple=True, requeue=True)
    left = [channel.basic_get(queue, auto_ack=True) for _ in range(4)]
    assert [(method.redelivered, body) for method, _, body in left] == [(True, b"6"), (True, b"7"), (True, b"8"), (True, b"9")]
    assert channel.basic_get(queue)[0] is None


def test_an_exclusive_consumer_is_alone(connection, channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    tag = channel.basic_consume(queue, lambda *_: None, exclusive=True)
    with pytest.raises(ChannelClosedByBroker) as error:
        connection.channel().basic_consume(queue, lambda *_: None)
    assert error.value.reply_code == 403
    channel.basic_cancel(tag)
    connection.channel().basic_consume(queue, lambda *_: None)


def test_a_heartbeat_of_one_second_keeps_an_idle_connection():
    with pika.BlockingConnection(parameters(heartbeat=1)) as connection:
        beats = connection._impl._heartbeat_checker
        assert beats is not None
        until(connection, lambda: beats._heartbeat_frames_received >= 4)
        assert connection.channel().queue_declare("", exclusive=True)


def test_a_silent_client_is_given_up():
    """A client that negotiated heartbeats of a second and sends none is closed, having been sent some itself."""
    connection = pika.BlockingConnection(parameters(heartbeat=1))
    connection._impl._heartbeat_checker.stop()
    connection._impl._heartbeat_checker = None
    frames = []
    process = connection._impl._process_frame
    connection._impl._process_frame = lambda frame: (frames.append(frame), process(frame))
    with pytest.raises(AMQPConnectionError):
        until(connection, lambda: False)
    assert any(isinstance(frame, pika.frame.Heartbeat) for frame in frames)


def test_refused_logins_say_why():
    with pytest.raises(ProbableAuthenticationError) as error:
        pika.BlockingConnection(parameters(credentials=pika.PlainCredentials("guest", "wrong")))
    assert "403" in str(error.value) and "Login was refused using authentication mechanism PLAIN" in str(error.value)
    with pytest.raises((ProbableAccessDeniedError, ConnectionClosedByBroker)) as error:
        pika.BlockingConnection(parameters(virtual_host="nowhere"))
    assert "530" in str(error.value) and "vhost nowhere not found" in str(error.value)


def test_channels_up_to_the_limit():
    with pika.BlockingConnection(parameters(channel_max=5)) as connection:
        channels = [connection.channel() for _ in range(5)]
        channels[2].close()
        assert connection.channel().channel_number == channels[2].channel_number
        with pytest.raises(ConnectionClosed) as error:
            connection.channel(6)
        assert error.value.reply_code == 530


@needs_restart
def test_publishers_are_told_that_the_disk_is_low_and_consumers_go_on():
    queue = name("blocked")
    with pika.BlockingConnection(parameters()) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True)
        channel.basic_publish("", queue, b"before", PERSISTENT)
    restart("--disk-low-bytes", "1024GiB")
    try:
        with pika.BlockingConnection(parameters()) as consumer:
            publisher = pika.BlockingConnection(parameters(blocked_connection_timeout=2))
            told = []
            publisher.add_on_connection_blocked_callback(lambda _, method: told.append(method.method.reason))
            publisher.channel().basic_publish("", queue, b"waits", PERSISTENT)
            until(publisher, lambda: told)
            assert told == ["low on disk"]
            channel = consumer.channel()
            method, _, body = channel.basic_get(queue)
            assert body == b"before"
            channel.basic_ack(method.delivery_tag)
            # The client's own patience ends.
            with pytest.raises(AMQPConnectionError):
                until(publisher, lambda: False)
    finally:
        restart()
    with pika.BlockingConnection(parameters()) as connection:
        connection.channel().queue_delete(queue)


@needs_restart
@pytest.mark.parametrize("how", [(), ("kill",)], ids=["stopped", "killed"])
def test_after_a_restart_a_client_finds_what_is_durable(how):
    queue, exchange, passing = name("durable"), name("exchange"), name("passing")
    connection = pika.BlockingConnection(parameters())
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare(exchange, "topic", durable=True)
    channel.queue_declare(queue, durable=True)
    channel.queue_declare(passing)
    channel.queue_bind(queue, exchange, "a.#")
    for number in range(50):
        channel.basic_publish(exchange, "a.b", str(number).encode(), PERSISTENT)
    restart(*how)
    with pytest.raises(AMQPConnectionError) as error:
        until(connection, lambda: False)
    if not how:
        assert isinstance(error.value, ConnectionClosedByBroker) and error.value.reply_code == 320
    with pika.BlockingConnection(parameters()) as connection:
        channel = connection.channel()
        with pytest.raises(ChannelClosedByBroker):
            connection.channel().queue_declare(passing, passive=True)
        assert [channel.basic_get(queue, auto_ack=True)[2] for _ in range(50)] == [str(n).encode() for n in range(50)]
        channel.basic_publish(exchange, "a.c", b"routed")
        assert channel.basic_get(queue, auto_ack=True)[2] == b"routed"
        channel.queue_delete(queue)
        channel.exchange_delete(exchange)
