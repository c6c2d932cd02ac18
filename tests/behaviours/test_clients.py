"""Clients of several languages understand each other through the broker, byte by byte."""

import pika
import pytest

from broker import ROOT
from tools import queue, receive, run

HERE = ROOT / "tests" / "behaviours"


@pytest.mark.parametrize("language", [["php", HERE / "echo.php"], ["node", HERE / "echo.js"]])
def test_s17_what_another_language_passes_on_is_unchanged(channel, url, language):
    """Python publishes, the other consumes and publishes again, Python compares."""
    queue(channel, "s17.there")
    queue(channel, "s17.back")
    sent = pika.BasicProperties(
        content_type="text/plain", content_encoding="latin-1", delivery_mode=2, priority=7, correlation_id="42",
        reply_to="s17", message_id="ü", timestamp=1_700_000_000, type="echo", app_id="tests",
        headers={"text": "grün", "number": 1 << 40, "small": -1, "yes": True, "nested": {"list": ["a", 2]}},
    )
    bodies = [bytes(range(256)) * 1000, b"", "snowman ☃".encode()]
    for body in bodies:
        channel.basic_publish("", "s17.there", body, sent)
    run(*language, AMQP_URL=url, COUNT=len(bodies))
    got = receive(channel, "s17.back", len(bodies), auto_ack=True)
    assert [body for _, _, body in got] == bodies
    assert [vars(properties) for _, properties, _ in got] == [vars(sent)] * len(bodies)
