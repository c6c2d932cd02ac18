"""For tests of what many or hostile clients cost a broker of our own: its memory, whether it still serves others, figures.

LEDGERMQ_FULL=1 makes these tests as large as docs/security.md says (minutes, and best with a release build: LEDGERMQ_BIN);
`scripts/behaviours -s -k "floods or strangers or tls"` prints the figures.
"""

import os
import re
import time
from pathlib import Path

from tools import PERSISTENT, drain, queue

KIB, MIB = 1 << 10, 1 << 20
FULL = bool(os.environ.get("LEDGERMQ_FULL"))
PATIENCE_S = 60


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


def works_and_is_warm(broker):
    """The same, and the broker holds what it takes once, whatever its clients do: the database of its index, some 22 MiB that
    come with the first checkpoint."""
    works(broker)
    database = broker.data_dir / "index" / "db"
    until(lambda: database.exists() and database.stat().st_size > 0, "the first checkpoint")


def seen(what, figure):
    """A figure for docs/security.md."""
    print(f"seen: {what}: {figure}")


def until(condition, what):
    """Waits until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"it never came to be: {what}"
        time.sleep(0.02)
