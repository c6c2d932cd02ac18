"""`ledgermq top`: one table for scripts, and the screen on a terminal of the test's own."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from broker import BINARY, ENVIRONMENT, given_broker
from tools import PERSISTENT

pytestmark = pytest.mark.skipif(given_broker() is not None, reason="the control socket of a given broker is not ours")


@pytest.fixture
def watched(own):
    broker = own()
    with broker.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for name, count in [("deep", 30), ("shallow", 2)]:
            channel.queue_declare(name, durable=True)
            for _ in range(count):
                channel.basic_publish("", name, b"x", PERSISTENT)
        yield broker


def environment(broker):
    return ENVIRONMENT | {"LEDGERMQ_DATA_DIR": str(broker.data_dir), "TERM": "xterm"}


def test_one_table_for_scripts(watched):
    said = subprocess.run(
        [BINARY, "top", "--once", "--interval", "1"], env=environment(watched), check=True, capture_output=True, text=True
    ).stdout
    assert re.search(r"^messages  32 ready, 0 unacknowledged, 0 unconfirmed; 2 queues$", said, re.M), said
    assert re.search(r"^clients   1 connections", said, re.M), said
    rows = [line.split() for line in said.splitlines()[-3:]]
    assert rows[0][:4] == ["vhost", "queue", "ready", "unacked"]
    assert [row[:4] for row in rows[1:]] == [["/", "deep", "30", "0"], ["/", "shallow", "2", "0"]]
    # What is not there is told, not waited for.
    done = subprocess.run([BINARY, "top", "--once", "--data-dir", "/nowhere"], capture_output=True, text=True)
    assert done.returncode == 69 and "no broker answers at /nowhere/ctl.sock" in done.stderr


def test_without_a_terminal_it_says_so(watched):
    done = subprocess.run([BINARY, "top"], env=environment(watched), capture_output=True, text=True)
    assert done.returncode == 64 and "--once" in done.stderr


def test_the_screen_obeys_keys(watched):
    process, terminal = pty.fork()
    if process == 0:
        os.execve(BINARY, [BINARY, "top", "--interval", "1"], environment(watched))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
    seen = ""

    def until(words):
        nonlocal seen
        while words not in seen:
            seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", " ", os.read(terminal, 65536).decode(errors="replace"))
        seen = seen.split(words, 1)[1]

    until("queues by depth")
    until("deep")
    # Only what changes on the screen is written.
    os.write(terminal, b"p")
    until("PAUSED")
    os.write(terminal, b"p/sha")
    until("filter: ")
    os.write(terminal, b"\r")
    os.write(terminal, b"q")
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
