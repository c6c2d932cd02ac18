"""Who of several consumers is served, and what else RabbitMQ adds to consuming."""

import pika

from tools import collect, drain, queue, refused, wait_until


def test_the_highest_priority_is_served_while_it_can(connect, channel):
    queue(channel, "ranked", auto_delete=True)
    consumer = connect().channel()
    consumer.basic_qos(prefetch_count=1)
    low, high = [], []
    collect(consumer, "ranked", low)
    collect(consumer, "ranked", high, arguments={"x-priority": 10})
    for number in range(3):
        channel.basic_publish("", "ranked", str(number))
    wait_until(lambda: low and high, consumer.connection)
    assert [body for _, _, body in high] == [b"0"]
    consumer.basic_ack(high[0][0].delivery_tag)
    wait_until(lambda: len(high) == 2, consumer.connection)
    assert [body for _, _, body in low + high] == [b"1", b"0", b"2"]


def test_one_consumer_at_a_time_keeps_the_order_over_a_change(connect, channel):
    queue(channel, "single", auto_delete=True, arguments={"x-single-active-consumer": True})
    first, second = connect().channel(), connect().channel()
    one, other = [], []
    collect(first, "single", one)
    collect(second, "single", other)
    for number in range(10):
        channel.basic_publish("", "single", str(number))
    wait_until(lambda: len(one) == 10, first.connection, second.connection)
    assert not other
    first.basic_ack(one[3][0].delivery_tag, multiple=True)
    first.connection.close()
    wait_until(lambda: len(other) == 6, second.connection)
    assert [(body.decode(), method.redelivered) for method, _, body in other] == [
        (str(number), True) for number in range(4, 10)
    ]


def test_a_reply_needs_no_queue(connect, channel):
    queue(channel, "calls", auto_delete=True)
    server = connect().channel()

    def serve(server, method, properties, body):
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        server.basic_publish("", properties.reply_to, body.upper(), reply)

    server.basic_consume("calls", serve, auto_ack=True)
    caller, answers = connect().channel(), []
    collect(caller, "amq.rabbitmq.reply-to", answers, auto_ack=True)
    for number in range(3):
        request = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=str(number))
        caller.basic_publish("", "calls", f"call {number}", request)
    wait_until(lambda: len(answers) == 3, caller.connection, server.connection)
    got = [(properties.correlation_id, body) for _, properties, body in answers]
    assert got == [("0", b"CALL 0"), ("1", b"CALL 1"), ("2", b"CALL 2")]
    with refused(406, "reply consumer already set"):
        collect(caller, "amq.rabbitmq.reply-to", answers, auto_ack=True)


def test_priorities_are_kept_over_a_crash(mortal, connect_mortal):
    channel = connect_mortal().channel()
    channel.confirm_delivery()
    queue(channel, "urgent", durable=True, arguments={"x-max-priority": 9})
    for number in range(40):
        priority = pika.BasicProperties(delivery_mode=2, priority=number % 4 * 4)
        channel.basic_publish("", "urgent", str(number), priority)
    mortal.crash_and_restart()
    channel = connect_mortal().channel()
    # 8 and, above the highest, 12 which is 9.
    in_order = [number for level in (3, 2, 1, 0) for number in range(40) if number % 4 == level]
    assert drain(channel, "urgent") == [str(number) for number in in_order]
    channel.queue_delete("urgent")
