"""What the tests are given: a broker for all, a virtual host that is theirs, connections that are closed for them."""

from contextlib import suppress

import pika
import pytest

from broker import OwnBroker, given_broker

VHOST = "behaviours"


@pytest.fixture(scope="session")
def broker():
    """The broker that all tests share; nobody kills it."""
    broker = given_broker() or OwnBroker()
    broker.ctl("delete_vhost", VHOST, check=False)
    broker.ctl("add_vhost", VHOST)
    broker.ctl("set_permissions", "-p", VHOST, "guest", ".*", ".*", ".*")
    yield broker
    broker.ctl("delete_vhost", VHOST)
    broker.stop()


@pytest.fixture(scope="module")
def mortal():
    """A broker that tests may kill; guests use its virtual host `/`."""
    if given_broker():
        pytest.skip("a given broker is not killed")
    # Small segments: the broker prepares some ahead of their use.
    broker = OwnBroker("--segment-bytes", "4MiB", "--message-bytes-max", "1MiB")
    yield broker
    broker.stop()


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


@pytest.fixture
def connect(broker):
    """connect() opens a connection, connect(user, password) another user's."""
    connections = []

    def connect(*credentials, **options):
        connections.append(broker.connect(VHOST, *credentials, **options))
        return connections[-1]

    yield connect
    close(connections)


@pytest.fixture
def connect_mortal(mortal):
    """The same for the broker that may die."""
    connections = []

    def connect(**options):
        connections.append(mortal.connect(**options))
        return connections[-1]

    yield connect
    close(connections)


def close(connections):
    for connection in connections:
        with suppress(pika.exceptions.AMQPError):  # closed by the test, or dead with its broker
            connection.close()


@pytest.fixture
def channel(connect):
    """A channel whose publishes return when the broker has them, so that what follows may count on them."""
    channel = connect().channel()
    channel.confirm_delivery()
    return channel


@pytest.fixture
def url(broker):
    return broker.url(VHOST)


@pytest.fixture
def user(broker):
    """user(NAME, PASSWORD, configure, write, read) makes a user of the tests' virtual host."""
    names = []

    def user(name, password, *permissions):
        broker.ctl("delete_user", name, check=False)
        said = [broker.ctl("add_user", name, password)]
        said.append(broker.ctl("set_permissions", "-p", VHOST, name, *permissions))
        names.append(name)
        return said

    yield user
    for name in names:
        broker.ctl("delete_user", name)
