"""Clients that mean ill, or do not mean anything: many, silent, deaf. Others must not notice, and memory stays bounded.

These are the attacks that need real sockets, many of them, or the memory of a real process; the others are in tests/security_rows.rs.
"""

import resource
import socket
import time

import pytest

from broker import given_broker
from flood import FULL, KIB, MIB, resident, seen, works, works_and_is_warm
from raw import HEADER, RawClient
from tools import PERSISTENT, drain, queue

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="the memory of a broker of our own is looked at")


@pytest.fixture(scope="module", autouse=True)
def many_sockets():
    """The tests hold thousands of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_those_who_say_nothing_cost_little_and_disturb_nobody(own):
    broker = own("--handshake-ms", "600000")
    works_and_is_warm(broker)
    before = resident(broker)
    count = 5000 if FULL else 2000
    silent = [socket.create_connection((broker.host, broker.port)) for _ in range(count)]
    # The header of each is answered: all of them have been accepted.
    for client in silent:
        client.sendall(HEADER)
    for client in silent:
        client.recv(1)
    began = time.monotonic()
    works(broker)
    seen("S2 a login, a publish and its confirm beside them", f"{time.monotonic() - began:.3f} s")
    seen("S2 memory for each", f"{(resident(broker) - before) / count / KIB:.1f} KiB")
    assert resident(broker) - before < count * 16 * KIB
    for client in silent:
        client.close()


def test_idle_connections_with_a_channel_are_small(own):
    broker = own()
    works_and_is_warm(broker)
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
    seen("S27 memory for 1,000 deaf consumers of 3 GB", f"{(resident(broker) - before) / MIB:.1f} MiB")
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
