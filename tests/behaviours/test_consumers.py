"""Who of several consumers is served, and what else RabbitMQ adds to consuming."""

from tools import collect, queue, wait_until


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
