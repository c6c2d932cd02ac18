"""What the broker says and leaves: no password in anything it wrote, no line of the log that a client made up, no file for
others. And who is let in from where, and for how long.
"""

import os
import re
import signal
import socket
import stat
import time
import urllib.request
from pathlib import Path

import pika
import pytest

from broker import free_port, given_broker
from flood import seen, until, works
from raw import RawClient
from tools import gone, queue, refused, wait_until

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="what a broker of our own wrote is looked at")


def logging(own, path, *flags, **options):
    """A broker whose log goes to a file."""
    return own(*flags, under=["bash", "-c", f'"$@" 2>&1 | tee {path}', "-"], **options)


def process(broker):
    return int((broker.data_dir / "LOCK").read_text())


def test_s38_the_password_is_in_nothing_the_broker_wrote(own, tmp_path):
    canary, log, port = "canary-7d1f0c", tmp_path / "log", free_port()
    broker = logging(own, log, "--log-level", "trace", http=f"127.0.0.1:{port}")
    broker.ctl("add_user", "bird", canary)
    broker.ctl("set_permissions", "bird", ".*", ".*", ".*")
    connection = broker.connect(user="bird", password=canary)
    for password in [canary + "-wrong", "wrong-" + canary]:
        with refused(403):
            broker.connect(user="bird", password=password)
    broker.ctl("change_password", "bird", canary + "-again")
    broker.connect(user="bird", password=canary + "-again").close()
    said = "".join(
        broker.ctl(*command) for command in [
            ["list_users"], ["list_connections", "user", "name"], ["list_permissions"], ["status"],
            ["authenticate_user", "bird", canary + "-again"], ["list_user_permissions", "bird"],
        ]
    )
    said += urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    pid = Path(f"/proc/{process(broker)}")
    said += (pid / "cmdline").read_text() + (pid / "environ").read_text()
    assert "bird" in said and canary not in said
    # As if it had failed within: that leaves no core file either.
    os.kill(process(broker), signal.SIGABRT)
    broker.process.wait()
    with pytest.raises(pika.exceptions.AMQPError):
        connection.process_data_events(5)
    assert "bird" in log.read_text() and canary not in log.read_text()
    files = [path for path in broker.data_dir.rglob("*") if path.is_file()]
    assert files and [path for path in files if canary.encode() in path.read_bytes()] == []
    assert [path for path in Path.cwd().glob("core*") if canary.encode() in path.read_bytes()] == []


def test_s40_nothing_in_the_store_is_for_others(own):
    broker = own("--checkpoint-bytes", "1MiB")
    works(broker)
    with broker.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue(channel, "many", durable=True)
        for _ in range(20):
            channel.basic_publish("", "many", "x" * 100_000, pika.BasicProperties(delivery_mode=2))
    until(lambda: any(broker.data_dir.glob("index/*")), "the index is written")
    for path in [broker.data_dir, *broker.data_dir.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & 0o077 == 0, f"{path} has mode {mode:o}"


def test_s42_no_client_makes_up_a_line_of_the_log(own, tmp_path):
    log = tmp_path / "log"
    broker = logging(own, log)
    for user in ["eve\nforged line", "eve\r\nforged line", "eve\x1b[2Jforged line"]:
        client = RawClient(broker)
        client.ask_to_log_in(user, "x")
        assert client.read_method() == (10, 50)
        client.close()
    until(lambda: log.read_text().count("forged line") == 3, "the refusals are logged")
    text = log.read_text()
    assert not re.search(r"^forged line", text, re.M)
    assert "\x1b[2J" not in text and "eve\\n" in text.replace("\\\\n", "\\n")
    # Neither do names command the terminal of who lists them.
    properties = {"connection_name": "evil\n\x1b[31mred"}
    connection = pika.BlockingConnection(broker.parameters(client_properties=properties))
    listed = broker.ctl("list_connections", "name", "client_properties")
    assert "\x1b" not in listed
    connection.close()


@pytest.fixture
def doomed(broker):
    """A virtual host, and a user who may do all in it."""
    broker.ctl("delete_vhost", "doomed", check=False)
    broker.ctl("delete_user", "doomed", check=False)
    broker.ctl("add_vhost", "doomed")
    broker.ctl("add_user", "doomed", "doomed")
    broker.ctl("set_permissions", "-p", "doomed", "doomed", ".*", ".*", ".*")
    broker.ctl("set_permissions", "-p", "doomed", "guest", ".*", ".*", ".*")
    yield "doomed"
    broker.ctl("delete_vhost", "doomed", check=False)
    broker.ctl("delete_user", "doomed", check=False)


def test_s21_a_virtual_host_is_found_by_its_name_alone(broker, doomed):
    broker.connect(doomed).close()
    for name in ["", "//", "%2F", "%2f", "Doomed", "DOOMED", "doomed ", " doomed", "doomed/", "/doomed", "./doomed",
                 "doomed\0", "doomed\n", ".*", "*", "doomed.", "d\N{COMBINING DIAERESIS}oomed"]:
        with refused(530, "not found"):
            broker.connect(name)


def ended(connection):
    """Waits until the broker has closed a connection."""
    wait_until(lambda: not connection.is_open, connection)


def test_s21_a_virtual_host_that_goes_takes_its_connections_along(broker, doomed):
    connection = broker.connect(doomed)
    broker.ctl("delete_vhost", doomed)
    with refused(320, "vhost 'doomed' is deleted"):
        ended(connection)


def test_s24_a_user_who_goes_is_put_out_at_once(broker, doomed):
    connection = broker.connect(doomed, doomed, doomed)
    began = time.monotonic()
    broker.ctl("delete_user", doomed)
    with refused(320, "user 'doomed' is deleted"):
        ended(connection)
    seen("S24 from the order to delete a user to 320", f"{time.monotonic() - began:.2f} s")
    with refused(403):
        broker.connect(doomed, doomed, doomed)


def test_s24_rights_that_go_are_gone_at_once(broker, doomed):
    channel = broker.connect(doomed, doomed, doomed).channel()
    queue(channel, "q")
    cancelled = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume("q", lambda *_: None)
    broker.ctl("set_permissions", "-p", doomed, doomed, "^$", "^$", "^$")
    wait_until(lambda: cancelled, channel.connection)
    channel.confirm_delivery()
    with refused(403, "write access to exchange 'amq.default'"):
        channel.basic_publish("", "q", "x")
    broker.ctl("clear_permissions", "-p", doomed, doomed)
    with refused(320, "access to vhost 'doomed' revoked"):
        ended(channel.connection)


def test_s24_a_new_password_counts_from_the_next_login(broker, doomed):
    connection = broker.connect(doomed, doomed, doomed)
    broker.ctl("change_password", doomed, "another")
    queue(connection.channel(), "still-there")
    with refused(403):
        broker.connect(doomed, doomed, doomed)
    broker.connect(doomed, doomed, "another").close()
    connection.close()


def own_address():
    """An address of this machine that others could use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but the loopback one")
def test_s25_guest_is_let_in_from_this_machine_alone(own):
    broker = own(listen="0.0.0.0")
    works(broker)
    broker.ctl("add_user", "anna", "secret")
    broker.ctl("set_permissions", "anna", ".*", ".*", ".*")
    broker.host = own_address()
    with refused(403):
        broker.connect()
    broker.connect(user="anna", password="secret").close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_s25_the_loopback_address_is_one_in_ipv6_too(own):
    broker = own(listen="[::]")
    works(broker)
    broker.host = "::1"
    works(broker)
