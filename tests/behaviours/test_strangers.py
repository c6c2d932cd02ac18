"""Clients that mean ill, or do not mean anything: many, silent, deaf. Others must not notice, and memory stays bounded.

These are the attacks that need real sockets, many of them, or the memory of a real process; the others are in tests/security_rows.rs.
"""

import re
import resource
import socket
from pathlib import Path

import pika
import pytest

from broker import OwnBroker, given_broker
from raw import HEADER, RawClient
from tools import PERSISTENT, drain, queue

KIB, MIB = 1 << 10, 1 << 20

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="the memory of a broker of our own is looked at")


@pytest.fixture(scope="module", autouse=True)
def many_sockets():
    """The tests hold thousands of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def own():
    """own(*flags, under=…) starts a broker that nobody else uses."""
    brokers = []

    def own(*flags, **options):
        brokers.append(OwnBroker(*flags, **options))
        return brokers[-1]

    yield own
    for broker in brokers:
        broker.stop()


def resident(broker):
    """Bytes of memory that the broker's process holds."""
    pid = int((broker.data_dir / "LOCK").read_text())
    return int(re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) * KIB


def works(broker):
    """A client that means well logs in, publishes and gets its message."""
    with broker.connect() as connection:
        channel = connection.channel()
        queue(channel, "works", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "works", "message", PERSISTENT)
        assert drain(channel, "works") == ["message"]


def test_those_who_say_nothing_cost_little_and_disturb_nobody(own):
    broker = own("--handshake-ms", "600000")
    works(broker)
    before = resident(broker)
    count = 2000
    silent = [socket.create_connection((broker.host, broker.port)) for _ in range(count)]
    # The header of each is answered: all of them have been accepted.
    for client in silent:
        client.sendall(HEADER)
    for client in silent:
        client.recv(1)
    works(broker)
    assert resident(broker) - before < count * 16 * KIB
    for client in silent:
        client.close()


def test_idle_connections_with_a_channel_are_small(own):
    broker = own()
    works(broker)
    before = resident(broker)
    count = 1000
    clients = [RawClient(broker).log_in() for _ in range(count)]
    assert resident(broker) - before < count * 12 * KIB
    for client in clients:
        client.close()


def test_a_thousand_consumers_that_never_read_are_bounded(own):
    broker = own("--body-memory-bytes", "16MiB")
    publisher = broker.connect().channel()
    publisher.confirm_delivery()
    publisher.exchange_declare("news", "fanout", durable=True)
    count, body = 1000, "x" * (100 * KIB)
    deaf = []
    for number in range(count):
        queue(publisher, f"deaf-{number}", ("news", ""), durable=True)
        client = RawClient(broker, receive_bytes=4096).log_in()
        client.consume(f"deaf-{number}")
        deaf.append(client)
    before = resident(broker)
    for _ in range(30):
        publisher.basic_publish("news", "", body, PERSISTENT)
    # 3 GB are on their way; the log holds each message once, and what waits for sockets shares the body.
    works(broker)
    assert resident(broker) - before < 64 * MIB
    for client in deaf:
        client.close()


def test_a_flood_beyond_the_open_files_lets_others_be(own):
    broker = own(under=["prlimit", "--nofile=256"])
    connection = broker.connect()
    channel = connection.channel()
    queue(channel, "old", durable=True)
    channel.confirm_delivery()
    flood = [socket.create_connection((broker.host, broker.port)) for _ in range(400)]
    for number in range(100):
        channel.basic_publish("", "old", str(number), PERSISTENT)
    assert drain(channel, "old") == [str(number) for number in range(100)]
    for client in flood:
        client.close()
    # It recovers by itself: a new client gets in.
    works(broker)
    connection.close()


def test_the_password_is_in_nothing_the_broker_wrote(own, tmp_path):
    canary, log = "canary-7d1f0c", tmp_path / "log"
    broker = own(under=["bash", "-c", f'"$@" 2>&1 | tee {log}', "-"])
    broker.ctl("add_user", "bird", canary)
    broker.ctl("set_permissions", "bird", ".*", ".*", ".*")
    broker.connect(user="bird", password=canary).close()
    with pytest.raises(pika.exceptions.AMQPError):
        broker.connect(user="bird", password=canary + "-wrong")
    said = broker.ctl("list_users") + broker.ctl("list_connections", "user", "name") + broker.ctl("status")
    assert canary not in said
    broker.kill()
    assert "bird" in log.read_text() and canary not in log.read_text()
    holding = [path for path in broker.data_dir.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
    assert holding == []
