"""What publishers and consumers see while the broker is low on memory or disk."""

import pytest

from broker import OwnBroker, given_broker
from tools import collect, queue, wait_until


@pytest.mark.parametrize(
    "raise_alarm, clear_alarm, reason",
    [
        (["set_vm_memory_high_watermark", "0"], ["set_vm_memory_high_watermark", "0.5"], "low on memory"),
        (["set_disk_free_limit", "1000TB"], ["set_disk_free_limit", "1MB"], "low on disk"),
    ],
)
def test_publishers_wait_and_consumers_go_on(broker, connect, channel, raise_alarm, clear_alarm, reason):
    queue(channel, "alarm", auto_delete=True)
    # It never publishes, so it is never told.
    consumer, got, told = connect().channel(), [], []
    consumer.connection.add_on_connection_blocked_callback(lambda _, frame: told.append(("consumer", frame.method)))
    consumer.connection.add_on_connection_unblocked_callback(lambda _, frame: told.append(("consumer", frame.method)))
    publisher = connect()
    publisher.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    publisher.add_on_connection_unblocked_callback(lambda _, frame: told.append("unblocked"))
    publishing = publisher.channel()
    publishing.basic_publish("", "alarm", "before")
    collect(consumer, "alarm", got)
    wait_until(lambda: got, consumer.connection, publisher)
    try:
        broker.ctl(*raise_alarm)
        wait_until(lambda: told, publisher, consumer.connection)
        publishing.basic_publish("", "alarm", "meanwhile")
        publisher.process_data_events(0)
        consumer.basic_ack(got[0][0].delivery_tag)
        # Answered, so the publish before it would have been delivered.
        queue(consumer, "alarm", passive=True)
        assert [body for _, _, body in got] == [b"before"]
        assert told == [reason]
    finally:
        broker.ctl(*clear_alarm)
    wait_until(lambda: len(got) == 2 and len(told) == 2, publisher, consumer.connection)
    assert got[1][2] == b"meanwhile"
    assert told == [reason, "unblocked"]


@pytest.mark.skipif(given_broker() is not None, reason="a given broker is not started with flags")
def test_the_limit_of_free_disk_space_can_be_lowered_below_what_is_configured():
    """An operator who is out of space buys time, as rabbitmqctl lets them."""
    broker = OwnBroker("--disk-low-bytes", "1000000GiB")
    try:
        if broker.is_rabbitmq:
            pytest.skip("RabbitMQ takes no flags")
        connection, told = broker.connect(), []
        connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda _, frame: told.append("unblocked"))
        channel = connection.channel()
        queue(channel, "space")
        channel.basic_publish("", "space", "waits")
        wait_until(lambda: told == ["low on disk"], connection)
        broker.ctl("set_disk_free_limit", "1MB")
        wait_until(lambda: told == ["low on disk", "unblocked"], connection)
        wait_until(lambda: channel.basic_get("space", auto_ack=True)[2] == b"waits", connection)
        # And back up, as far as what is configured and beyond.
        broker.ctl("set_disk_free_limit", "1000TB")
        channel.basic_publish("", "space", "waits again")
        wait_until(lambda: told[2:] == ["low on disk"], connection)
    finally:
        broker.stop()
