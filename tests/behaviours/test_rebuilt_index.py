"""The index beside the log is a copy: removed by hand, in part or as a whole, the next start makes it anew."""

import shutil

import pika
import pytest

from tools import PATIENCE_S, PERSISTENT, drain, queue, ready, wait_until

# A few segments of 4 MiB.
FILLING = b"." * 4000
COUNT = 2500


def persistent(**properties):
    return pika.BasicProperties(delivery_mode=2, **properties)


def numbers(channel, name):
    return [int(body.split(".")[0]) for body in drain(channel, name)]


def stream_numbers(connection, name, count):
    channel = connection.channel()
    channel.basic_qos(prefetch_count=500)
    found = []
    arguments = {"x-stream-offset": "first"}
    for method, _, body in channel.consume(name, arguments=arguments, inactivity_timeout=PATIENCE_S):
        assert method is not None, f"only {len(found)} messages of the stream came"
        found.append(int(body.split(b".")[0]))
        channel.basic_ack(method.delivery_tag)
        if len(found) == count:
            break
    channel.cancel()
    return found


@pytest.mark.parametrize("removed", [["index"], ["index", "ckpt"], ["index", "ckpt", "wal/*.idx"]])
def test_every_kind_of_queue_is_the_same_with_a_rebuilt_index(mortal, connect_mortal, removed):
    if mortal.is_rabbitmq:
        pytest.skip("its store has other files")
    connection = connect_mortal()
    channel = connection.channel()
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    kinds = {
        "plain": {},
        "ranked": {"x-max-priority": 9},
        "counted": {"x-queue-type": "quorum"},
        "kept": {"x-queue-type": "stream"},
        "short": {"x-max-length": 10, **dead},
        "brief": {"x-message-ttl": 1, **dead},
        "dead": {},
        "later": {},
    }
    for name, arguments in kinds.items():
        channel.queue_delete(name)
        queue(channel, name, durable=True, arguments=arguments)
    channel.exchange_delete("delays")
    channel.exchange_declare("delays", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    channel.queue_bind("later", "delays")
    channel.exchange_declare("all", "fanout", durable=True)
    for name in ["plain", "ranked", "counted", "kept"]:
        channel.queue_bind(name, "all")
    for number in range(COUNT):
        channel.basic_publish("all", "", f"{number}.".encode() + FILLING, persistent(priority=number % 10))
    # Who waits for these waits for those before as well.
    channel.confirm_delivery()
    for number in range(30):
        channel.basic_publish("", "short", f"{number}.", PERSISTENT)
        channel.basic_publish("", "brief", f"{number}.", PERSISTENT)
        delay = {"x-delay": 3000 + 100 * (number % 7)}
        channel.basic_publish("delays", "", f"{number}.", persistent(headers=delay))
    # Every second one of some goes.
    gone = {}
    for name in ["plain", "ranked", "counted"]:
        taken = [channel.basic_get(name) for _ in range(100)]
        gone[name] = {int(body.split(b".")[0]) for _, _, body in taken[::2]}
        for method, _, _ in taken[::2]:
            channel.basic_ack(method.delivery_tag)
    wait_until(lambda: ready(channel, "dead") == 50, connection)

    mortal.kill()
    for pattern in removed:
        for path in mortal.data_dir.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    mortal.start()

    connection = connect_mortal()
    channel = connection.channel()
    left = {name: [number for number in range(COUNT) if number not in gone[name]] for name in gone}
    assert numbers(channel, "plain") == left["plain"]
    assert numbers(channel, "ranked") == sorted(left["ranked"], key=lambda number: -(number % 10))
    # A quorum queue hands out two urgent messages, of priority 5 or more, before one of the others.
    counted = numbers(channel, "counted")
    for are_urgent in [True, False]:
        of_kind = [[n for n in of if (n % 10 >= 5) == are_urgent] for of in [counted, left["counted"]]]
        assert of_kind[0] == of_kind[1]
    assert stream_numbers(connection, "kept", COUNT) == list(range(COUNT))
    assert numbers(channel, "short") == list(range(20, 30))
    assert sorted(numbers(channel, "dead")) == sorted([*range(20), *range(30)])
    assert numbers(channel, "brief") == []
    wait_until(lambda: ready(channel, "later") == 30, connection)
    assert sorted(numbers(channel, "later")) == list(range(30))
