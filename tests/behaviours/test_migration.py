"""docs/migrate-from-rabbitmq.md, walked with a real RabbitMQ: every command is taken from the page. And what its promise says of
those that die on the way.

Only the place differs: ports that are free, the brokers' own directories.
"""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pika
import pytest

from broker import BINARY, ENVIRONMENT, ROOT, given_broker
from tools import PATIENCE_S, ready

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

pytestmark = [
    pytest.mark.skipif(given_broker() is not None, reason="the walk is between brokers of our own"),
    pytest.mark.skipif(not RABBITMQ.exists(), reason="no RabbitMQ is installed to come from"),
]


@pytest.fixture
def old(own):
    return own(binary=RABBITMQ)


@pytest.fixture
def new(own):
    return own()


class Walk:
    """The page's commands, in order, on a machine where both brokers are reached."""

    def __init__(self, old, new, place):
        text = (ROOT / "docs" / "migrate-from-rabbitmq.md").read_text()
        self._blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
        self._old, self._new, self._place = old, new, place
        # The names of the page's programs, each with its own broker.
        programs = place / "bin"
        programs.mkdir()
        (programs / "ledgermq").symlink_to(BINARY)
        ctl = "\n".join(f"export {name}='{value}'" for name, value in old._environment.items() if "RABBIT" in name)
        (programs / "rabbitmqctl").write_text(f"#!/bin/sh\n{ctl}\nHOME={old.data_dir} exec {old._ctl[0]} \"$@\"\n")
        (programs / "rabbitmqctl").chmod(0o755)
        self.environment = ENVIRONMENT | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "LEDGERMQ_DATA_DIR": str(new.data_dir),
        }

    def next(self, words, code=0):
        """Runs the next block, which holds these words and ends with this code; returns what it printed."""
        block = self._blocks.pop(0)
        assert words in block, block
        exported = re.search(r"^export (\w+)=(.*)$", block, re.M)
        if exported:
            self.environment[exported[1]] = exported[2]
        block = block.replace("@old.example", f"@127.0.0.1:{self._old.port}")
        block = block.replace('@127.0.0.1"', f'@127.0.0.1:{self._new.port}"')
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self._place, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )
        assert done.returncode == code, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    def until(self, words, is_reached):
        """Does the next step again and again, until what it prints is so."""
        block, deadline = self._blocks[0], time.monotonic() + PATIENCE_S
        while not is_reached(printed := self.next(words)):
            assert time.monotonic() < deadline, printed
            self._blocks.insert(0, block)

    def is_over(self):
        return not self._blocks


PROPERTIES = [
    dict(delivery_mode=2),
    dict(),
    dict(delivery_mode=1, content_type="text/plain", content_encoding="gzip"),
    dict(delivery_mode=2, priority=7, correlation_id="c-1", reply_to="answers", message_id="m-1"),
    dict(delivery_mode=2, timestamp=1_795_000_000, type="order", app_id="shop", expiration="86400000"),
    dict(
        delivery_mode=2,
        headers={
            "z": "last first", "a": 1, "nested": {"list": [1, "two", None, True, {"deep": -5}], "bytes": b"\x00\xff"},
            "large": 2**40, "decimal": Decimal("2.5"), "é": "ü",
        },
    ),
    dict(delivery_mode=2, headers={"CC": ["mail"]}),
]


def seen(properties):
    """What a consumer sees of properties, once they were moved."""
    fields = {name: value for name, value in vars(properties).items() if value is not None}
    return fields | {"delivery_mode": 2}


def fill(connection):
    """Messages of all kinds; returns what each queue holds, in order: (routing key, properties, body)."""
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare("shop", "topic", durable=True)
    channel.exchange_declare("dead", "fanout", durable=True)
    queues = {
        "orders": {}, "mail": {"x-max-priority": 9}, "payments": {"x-queue-type": "quorum"}, "graveyard": {},
        "short": {"x-message-ttl": 1, "x-dead-letter-exchange": "dead"}, "empty": {},
    }
    for name, arguments in queues.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    channel.queue_declare("log", durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_bind("orders", "shop", "order.#")
    channel.queue_bind("graveyard", "dead", "")

    expected = {name: [] for name in ("orders", "mail", "payments")}

    def publish(exchange, key, queue, number):
        properties = pika.BasicProperties(**PROPERTIES[number % len(PROPERTIES)])
        body = b"%d " % number + os.urandom(number % 900)
        if number == 6:
            body *= 400  # of many frames
        channel.basic_publish(exchange, key, body, properties)
        expected[queue].append((key, seen(properties), body))

    # A CC that no binding matches: it means nothing until somebody publishes the message to the default exchange.
    for number in range(3000):
        publish("shop", f"order.{number % 3}", "orders", number)
    for number in range(700):
        if number % len(PROPERTIES) != len(PROPERTIES) - 1:
            publish("", "mail", "mail", number)
            publish("", "payments", "payments", number)
    for number in range(100):
        channel.basic_publish("", "short", b"dead %d" % number, pika.BasicProperties(delivery_mode=2))
    channel.basic_publish("", "log", b"of a stream")
    while ready(channel, "graveyard") < 100:
        connection.process_data_events(0.05)
    # The letters' headers are RabbitMQ's own.
    expected["graveyard"] = take(connection, "graveyard", 100, leave=True)
    # A queue with priorities gives the urgent ones first.
    expected["mail"].sort(key=lambda message: -message[1].get("priority", 0))
    return expected


def take(connection, queue, count, leave=False):
    """That many messages of a queue, in order."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=0 if not leave else count)
    got = []
    if count:
        for message in channel.consume(queue, inactivity_timeout=PATIENCE_S):
            assert message[0], f"{queue}: only {len(got)} of {count} messages came"
            method, properties, body = message
            got.append((method.routing_key, seen(properties), body))
            if len(got) == count:
                break
        if not leave:
            channel.basic_ack(method.delivery_tag, multiple=True)
    channel.close()
    return got


def is_urgent(message):
    return message[1].get("priority", 0) > 4


def check(connection, expected):
    for queue, messages in expected.items():
        assert ready(connection.channel(), queue) == len(messages), queue
        found = take(connection, queue, len(messages))
        if queue == "payments":
            # A quorum queue of RabbitMQ 4, as of ours, gives those of a priority above 4 first; each kind keeps its order.
            found, messages = (sorted(some, key=is_urgent, reverse=True) for some in (found, messages))
        for number, (moved, was) in enumerate(zip(found, messages)):
            assert moved == was, f"{queue}, message {number}"


def test_the_walk(old, new, tmp_path):
    walk = Walk(old, new, tmp_path)
    old.ctl("add_vhost", "shop")
    old.ctl("add_user", "app", "secret of app")
    old.ctl("set_permissions", "-p", "shop", "app", ".*", ".*", ".*")
    old.ctl("set_policy", "-p", "shop", "limit", "^orders$", '{"max-length":100000}', "--apply-to", "queues")
    app = ("shop", "app", "secret of app")
    with old.connect(*app) as connection:
        expected = fill(connection)

    walk.next("set_user_tags mover impersonator")
    walk.next("export_definitions")
    assert "shop" in walk.next("import_definitions")
    shown = new.ctl("list_queues", "-p", "shop", "name", "type", "policy", "--formatter", "csv")
    assert '"orders","classic","limit"' in shown and '"payments","quorum",""' in shown and '"log","stream",""' in shown

    # 3: publishers are here by now; they may publish what was theirs to publish.
    with new.connect(*app) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("shop", "order.new", b"from a publisher that has moved", mandatory=True)
        assert take(connection, "orders", 1)[0][0] == "order.new"
    assert "guest" not in walk.next("list_connections")

    # 4
    moved = walk.next("move_messages", code=65)  # there is a stream
    rows = dict(line.split("\t", 2)[1:] for line in moved.splitlines() if line.startswith("shop\t"))
    for queue, messages in expected.items():
        redelivered = len(messages) if queue == "graveyard" else 0  # looked at above
        assert rows[queue] == f"{len(messages)}\t{redelivered}\t0\t", moved
    assert "a stream is not moved" in rows["log"]
    assert "empty" not in rows and "short" not in rows

    # 5: RabbitMQ counts quorum queues every few seconds.
    walk.until("list_queues", lambda left: all(re.search(rf"^{queue}\t0\t0$", left, re.M) for queue in expected))
    with new.connect(*app) as connection:
        check(connection, expected)
        # The passing exchanges are gone.
        for name in ("shop", "/"):
            assert "ledgermq.move" not in new.ctl("list_exchanges", "-p", name)
        channel = connection.channel()
        channel.confirm_delivery()
        # A message of the new broker's, to go back with.
        channel.basic_publish("shop", "order.back", b"from here", pika.BasicProperties(delivery_mode=2))

    back = walk._blocks.pop()
    walk.next("delete_user mover")
    assert "mover" not in new.ctl("list_users")

    # Going back, for which the user is needed once more.
    new.ctl("import_definitions", str(tmp_path / "definitions.json"))
    walk._blocks.append(back)
    walk.next("--target", code=65)
    assert walk.is_over()
    with old.connect(*app) as connection:
        assert take(connection, "orders", 1) == [("order.back", {"delivery_mode": 2}, b"from here")]


COUNT = 4000


@pytest.fixture
def under_way(old, new):
    """under_way() starts a move of many numbered messages and returns it half way through."""
    with old.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("numbers", durable=True)
        channel.confirm_delivery()
        for number in range(COUNT):
            channel.basic_publish("", "numbers", b"%d" % number, pika.BasicProperties(delivery_mode=2))
    with new.connect() as connection:
        connection.channel().queue_declare("numbers", durable=True)

    def start(*flags):
        return subprocess.Popen(
            [BINARY, "ctl", "move_messages", f"amqp://127.0.0.1:{old.port}", "--prefetch", "10", *flags],
            env=ENVIRONMENT | {"LEDGERMQ_DATA_DIR": str(new.data_dir)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def under_way():
        mover = start()
        with new.connect() as connection:
            channel = connection.channel()
            while ready(channel, "numbers") < COUNT // 10:
                assert mover.poll() is None, mover.communicate()
        return mover

    under_way.start = start
    return under_way


def moved(broker):
    """The numbers that are at a broker, in order."""
    with broker.connect() as connection:
        count = ready(connection.channel(), "numbers")
        return [int(body) for _, _, body in take(connection, "numbers", count)]


def is_complete(numbers, doubled):
    """All came, in order but for copies, of which there are no more than were under way."""
    assert sorted(set(numbers)) == list(range(COUNT))
    assert list(dict.fromkeys(numbers)) == list(range(COUNT))
    copies = sum(count - 1 for count in Counter(numbers).values())
    assert copies <= doubled, copies


def test_a_mover_that_is_killed_is_run_again(under_way, old, new):
    mover = under_way()
    mover.kill()
    mover.communicate()
    with old.connect() as connection:
        assert ready(connection.channel(), "numbers") > 0, "it was killed on the way"
    again = under_way.start()
    said, _ = again.communicate()
    assert again.returncode == 0, said
    is_complete(moved(new), 10)
    assert moved(old) == []


def test_when_the_target_is_killed_the_source_has_the_rest(under_way, old, new):
    mover = under_way()
    new.kill()
    _, said = mover.communicate()
    assert mover.returncode == 74, said
    assert "target: the broker closed the socket" in said or "target: the connection failed" in said
    assert "Nothing is lost: run it again to go on." in said
    new.start()
    again = under_way.start()
    said, _ = again.communicate()
    assert again.returncode == 0, said
    is_complete(moved(new), 10)


def test_when_the_source_is_killed_the_move_goes_on_after_it(under_way, old, new):
    mover = under_way()
    old.kill()
    _, said = mover.communicate()
    assert mover.returncode == 74 and "source: " in said, said
    old.start()
    again = under_way.start()
    said, errors = again.communicate()
    assert again.returncode == 0, said + errors
    # Acknowledgements that RabbitMQ had not written down yet are forgotten with it.
    numbers = moved(new)
    assert sorted(set(numbers)) == list(range(COUNT))


def test_an_interrupted_move_doubles_nothing(under_way, old, new):
    mover = under_way()
    mover.send_signal(signal.SIGINT)
    said, errors = mover.communicate()
    assert mover.returncode == 1 and "Ending in good order" in errors
    count = int(said.splitlines()[-1].split("\t")[2])
    here, there = moved(new), moved(old)
    assert here == list(range(count)) and there == list(range(count, COUNT))
