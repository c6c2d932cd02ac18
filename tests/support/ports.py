"""Ports for brokers that tests and benchmarks start."""

import random
import socket

GIVEN = set()


def free_port():
    """A port that nobody has, each time another one: below those that the system gives to clients' sockets, so that none of these
    takes it before the broker listens there."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if port not in GIVEN and probe.connect_ex(("127.0.0.1", port)) != 0:
                GIVEN.add(port)
                return port
