"""A disk whose sync fails: the broker confirms nothing more, stops with 74, and the next start has all it confirmed.

The failure is injected into the system call of the real binary (Debian's strace); simulated disks fail in storage/tests.
"""

import shutil

import pika
import pytest

from broker import OwnBroker, given_broker
from tools import PERSISTENT, drain, queue

IO_ERROR = 74
# Syncs that succeed: the start takes some, each confirmed message one more.
GOOD_SYNCS = 300

pytestmark = [
    pytest.mark.skipif(given_broker() is not None, reason="a given broker's disk is not made to fail"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]


@pytest.fixture
def failing():
    """A broker whose disk fails after a while."""
    inject = f"inject=fdatasync:error=EIO:when={GOOD_SYNCS}+"
    broker = OwnBroker(under=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject])
    yield broker
    broker.stop()


def test_a_failed_sync_is_final_and_nothing_confirmed_is_lost(failing):
    connection = failing.connect()
    channel = connection.channel()
    queue(channel, "money", durable=True)
    channel.confirm_delivery()
    confirmed = []
    with pytest.raises(pika.exceptions.AMQPError):
        for number in range(10 * GOOD_SYNCS):
            channel.basic_publish("", "money", str(number), PERSISTENT)
            confirmed.append(str(number))
    assert failing.process.wait() == IO_ERROR
    assert confirmed

    failing.under = []
    failing.start()
    channel = failing.connect().channel()
    kept = drain(channel, "money")
    # The one whose confirm never came may be there as well.
    assert kept[: len(confirmed)] == confirmed
    assert len(kept) <= len(confirmed) + 1
