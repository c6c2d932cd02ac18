"""Messages between producers and consumers: sharing, acknowledging, waiting, getting lost on nobody."""

import threading

import pika

from tools import PERSISTENT, Worker, collect, drain, queue, ready, receive, wait_until


def test_s01_many_producers_many_consumers(connect, channel):
    queue(channel, "s01")
    got = []
    consumers = [connect() for _ in range(3)]
    for consumer in consumers:
        collect(consumer.channel(), "s01", got, auto_ack=True)
    for producer in range(3):
        publisher = connect().channel()
        for number in range(20):
            publisher.basic_publish("", "s01", f"{producer} {number}")
    wait_until(lambda: len(got) >= 60, *consumers)
    assert sorted(body.decode() for _, _, body in got) == sorted(f"{p} {n}" for p in range(3) for n in range(20))


def test_s02_s41_a_crashed_consumers_message_goes_to_another(channel, url):
    queue(channel, "s02")
    channel.basic_publish("", "s02", "work")
    worker = Worker(url, "s02")
    assert worker.next() == "work"
    worker.crash()
    [(method, _, body)] = receive(channel, "s02", 1)
    assert (body, method.redelivered) == (b"work", True)


def test_s03_messages_wait_for_a_slow_consumer(connect, channel):
    queue(channel, "s03")
    slow = connect().channel()
    slow.basic_qos(prefetch_count=1)
    got = []
    collect(slow, "s03", got)
    for number in range(1000):
        channel.basic_publish("", "s03", str(number))
    wait_until(lambda: got, slow.connection)
    assert len(got) == 1
    assert ready(channel, "s03") == 999
    slow.connection.close()
    assert drain(channel, "s03") == [str(number) for number in range(1000)]


def test_s04_s67_consumers_of_a_queue_take_turns_and_more_may_join(connect, channel):
    queue(channel, "s04")
    consumers, got = [], []

    def join():
        consumers.append(connect())
        got.append([])
        collect(consumers[-1].channel(), "s04", got[-1], auto_ack=True)

    def shares(count):
        before = [len(mine) for mine in got]
        for number in range(count):
            channel.basic_publish("", "s04", str(number))
        wait_until(lambda: sum(map(len, got)) == sum(before) + count, *consumers)
        return [len(mine) - old for mine, old in zip(got, before)]

    join()
    join()
    assert shares(10) == [5, 5]
    join()
    assert shares(9) == [3, 3, 3]


def test_s06_every_quote_arrives_once_and_in_order_while_it_is_fresh(connect, channel):
    """None is lost. How fast they are is measured by scripts/bench; here they only may not wait for each other."""
    queue(channel, "s06")
    consumer = connect()
    got = []
    collect(consumer.channel(), "s06", got, auto_ack=True)
    for number in range(500):
        channel.basic_publish("", "s06", str(number))
        wait_until(lambda: len(got) > number, consumer)
    assert [int(body) for _, _, body in got] == list(range(500))


def test_s09_push_and_pull(channel):
    queue(channel, "s09")
    channel.basic_publish("", "s09", "pulled")
    channel.basic_publish("", "s09", "pushed")
    method, _, body = channel.basic_get("s09", auto_ack=True)
    assert (body, method.message_count) == (b"pulled", 1)
    [(_, _, body)] = receive(channel, "s09", 1, auto_ack=True)
    assert body == b"pushed"
    assert channel.basic_get("s09") == (None, None, None)


def test_s15_asynchronous_connections(broker, url):
    """Continuation-passing style: every step starts the next in its callback."""
    got = []

    def on_open(connection):
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel):
        channel.queue_declare("s15", callback=lambda _: on_declared(channel))

    def on_declared(channel):
        channel.basic_consume("s15", on_message)
        channel.basic_publish("", "s15", "asynchronous")

    def on_message(channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        got.append(body)
        channel.connection.close()

    connection = pika.SelectConnection(
        pika.URLParameters(url), on_open, on_close_callback=lambda connection, _: connection.ioloop.stop()
    )
    connection.ioloop.start()
    assert got == [b"asynchronous"]


def test_s21_publishing_without_confirms_needs_no_answer(connect):
    channel = connect().channel()
    queue(channel, "s21")
    for number in range(1000):
        channel.basic_publish("", "s21", str(number))
    assert drain(channel, "s21") == [str(number) for number in range(1000)]


def test_s23_many_connections(connect, channel):
    queue(channel, "s23")
    idle = [connect() for _ in range(100)]
    for connection in idle:
        connection.channel().basic_publish("", "s23", "here")
    wait_until(lambda: ready(channel, "s23") == 100, channel.connection)
    assert all(connection.is_open for connection in idle)


def test_s39_two_consumers_on_one_channel_by_tag(channel):
    got = []
    for name in ["critical", "rate_limit"]:
        queue(channel, f"s39.{name}")
        assert collect(channel, f"s39.{name}", got, consumer_tag=name) == name
        channel.basic_publish("", f"s39.{name}", name)
    wait_until(lambda: len(got) == 2, channel.connection)
    assert sorted((method.consumer_tag, body.decode()) for method, _, body in got) == [
        ("critical", "critical"), ("rate_limit", "rate_limit")]
    assert sorted(method.delivery_tag for method, _, _ in got) == [1, 2]
    for method, _, _ in got:
        channel.basic_ack(method.delivery_tag)
    channel.basic_cancel("critical")
    channel.basic_publish("", "s39.critical", "nobody listens")
    channel.basic_publish("", "s39.rate_limit", "still there")
    wait_until(lambda: len(got) == 3, channel.connection)
    assert got[2][0].consumer_tag == "rate_limit"
    assert ready(channel, "s39.critical") == 1


def test_s40_s65_properties_and_body_arrive_unchanged(channel):
    sent = pika.BasicProperties(
        content_type="application/json", content_encoding="utf-8", delivery_mode=2, priority=3, correlation_id="c",
        reply_to="amq.gen-x", expiration="60000", message_id="m", timestamp=1_700_000_000, type="t", user_id="guest",
        app_id="a", headers={"text": "ü", "number": -5, "yes": True, "nothing": None, "list": [1, {"deep": "x"}]},
    )
    queue(channel, "s40")
    body = bytes(range(256)) * 1000
    channel.basic_publish("", "s40", body, sent)
    _, received, got = channel.basic_get("s40", auto_ack=True)
    assert got == body
    assert vars(received) == vars(sent)


def test_s42_one_at_a_time_only_with_prefetch_one(connect, channel):
    queue(channel, "s42")
    for number in range(5):
        channel.basic_publish("", "s42", str(number))
    one = connect().channel()
    one.basic_qos(prefetch_count=1)
    got = []
    collect(one, "s42", got)
    for number in range(5):
        wait_until(lambda: got, one.connection)
        assert [body for _, _, body in got] == [b"%d" % number]
        assert ready(channel, "s42") == 4 - number
        one.basic_ack(got.pop()[0].delivery_tag)

    for number in range(5):
        channel.basic_publish("", "s42", str(number))
    collect(connect().channel(), "s42", got)
    wait_until(lambda: ready(channel, "s42") == 0, channel.connection)


def test_s52_closing_right_after_publishing_loses_nothing(connect, channel):
    queue(channel, "s52", durable=True)
    for number in range(20):
        connection = connect()
        publisher = connection.channel()
        publisher.basic_publish("", "s52", str(number), PERSISTENT)
        publisher.close()
        connection.close()
    assert drain(channel, "s52") == [str(number) for number in range(20)]


def test_s53_a_consumer_may_cancel_itself_in_its_callback(channel):
    got = []

    def work(channel, method, properties, body):
        got.append(body)
        channel.basic_ack(method.delivery_tag)
        if body == b"quit":
            channel.basic_cancel(method.consumer_tag)

    queue(channel, "s53")
    for body in ["picture", "quit"]:
        channel.basic_publish("", "s53", body)
    channel.basic_consume("s53", work)
    channel.start_consuming()
    assert got == [b"picture", b"quit"]
    channel.basic_publish("", "s53", "too late")
    assert ready(channel, "s53") == 1
    channel.close()


def test_s44_tcp_holds_a_publisher_back_and_nothing_is_lost(connect, channel):
    """More than all buffers on the way hold, from a publisher that only writes, to a consumer that starts late."""
    queue(channel, "s44")
    count, body = 3000, b"x" * 30_000

    def publish():
        connection = connect()
        publisher = connection.channel()
        for number in range(count):
            publisher.basic_publish("", "s44", b"%d " % number + body)
        connection.close()

    publisher = threading.Thread(target=publish)
    publisher.start()
    numbers = [int(body.split()[0]) for _, _, body in receive(channel, "s44", count, auto_ack=True)]
    publisher.join()
    assert numbers == list(range(count))
