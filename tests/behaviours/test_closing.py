"""Connections that an administrator closes: their clients hear why."""

import pytest

from conftest import VHOST
from tools import refused, wait_until


@pytest.fixture
def named(broker):
    """named(NAME) connects under that name, named(NAME, VHOST, USER, PASSWORD) elsewhere or as another user."""
    connections = []

    def named(name, vhost=VHOST, *credentials):
        properties = {"connection_name": name}
        connections.append(broker.connect(vhost, *credentials, client_properties=properties))
        return connections[-1]

    yield named
    for connection in connections:
        if connection.is_open:
            connection.close()


def pid(broker, name):
    """What an administrator calls the connection."""
    listed = broker.ctl("list_connections", "-s", "pid", "user_provided_name")
    return dict(reversed(line.split("\t")) for line in listed.splitlines())[name]


def hears(connection, text):
    """The client is told to go, with 320 and this text."""
    with refused(320, f"CONNECTION_FORCED - {text}"):
        wait_until(lambda: connection.is_closed, connection)


def test_the_client_of_a_closed_connection_hears_why(broker, named):
    victim, other = named("victim"), named("other")
    victim.channel().queue_declare("theirs", exclusive=True)
    number = pid(broker, "victim")
    assert f"Closing connection {number}, reason: too curious..." in broker.ctl("close_connection", number, "too curious")
    hears(victim, "too curious")
    channel = other.channel()
    channel.queue_declare("theirs", exclusive=True)
    # It is gone, which is what was asked for.
    broker.ctl("close_connection", number, "again")
    channel.queue_delete("theirs")


def test_a_pid_is_not_any_word(broker):
    assert "not-a-pid" in broker.ctl("close_connection", "not-a-pid", "why", check=False)


def test_a_long_explanation_is_cut_to_fit_its_frame(broker, named):
    victim = named("victim")
    broker.ctl("close_connection", pid(broker, "victim"), "x" * 300)
    hears(victim, "x" * 200)


def test_all_connections_of_a_virtual_host_are_closed(broker, named):
    elsewhere = named("elsewhere", "/")
    first, second = named("first"), named("second")
    said = broker.ctl("close_all_connections", "-p", VHOST, "--per-connection-delay", "10", "moving house")
    assert f"Closing all connections in vhost {VHOST}, reason: moving house..." in said
    assert "Closed 2 connections" in said
    for connection in first, second:
        hears(connection, "moving house")
    assert elsewhere.channel().is_open


def test_so_many_connections_are_closed_and_no_more(broker, named):
    both = [named("first"), named("second")]
    said = broker.ctl("close_all_connections", "-p", VHOST, "--limit", "1", "too many")
    assert f"Closing 1 connections in vhost {VHOST}, reason: too many..." in said
    assert "Closed 1 connections" in said
    with refused(320, "CONNECTION_FORCED - too many"):
        wait_until(lambda: not all(connection.is_open for connection in both), *both)
    assert "Closed 1 connections" in broker.ctl("close_all_connections", "-p", VHOST, "and the rest")
    hears(next(connection for connection in both if connection.is_open), "and the rest")


def test_all_connections_of_a_user_are_closed(broker, user, named):
    user("eve", "secret", ".*", ".*", ".*")
    guests, eves = named("guest's"), named("eve's", VHOST, "eve", "secret")
    said = broker.ctl("close_all_user_connections", "eve", "no such thing here")
    assert "Closing connections of user eve, reason: no such thing here..." in said
    hears(eves, "no such thing here")
    assert guests.channel().is_open


def test_all_connections_of_the_broker_are_closed(mortal):
    connections = [mortal.connect(), mortal.connect()]
    said = mortal.ctl("close_all_connections", "--global", "good night")
    assert "(across all vhosts), reason: good night..." in said or "(across all virtual hosts)" in said
    assert "Closed 2 connections" in said
    for connection in connections:
        hears(connection, "good night")
