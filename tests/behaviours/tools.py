"""Steps that many tests take."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pika
import pytest

PERSISTENT = pika.BasicProperties(delivery_mode=2)
PATIENCE_S = 20


def queue(channel, name, *bindings, **options):
    """Declares a queue and binds it: queue(channel, "critical", ("alerts", "critical.*")). Returns its name."""
    name = channel.queue_declare(name, **options).method.queue
    for exchange, key, *arguments in bindings:
        channel.queue_bind(name, exchange, key, *arguments)
    return name


def ready(channel, name):
    """How many messages wait in a queue."""
    return channel.queue_declare(name, passive=True).method.message_count


def drain(channel, name):
    """Pulls all bodies that wait in a queue."""
    bodies = []
    while (got := channel.basic_get(name, auto_ack=True))[0]:
        bodies.append(got[2].decode())
    return bodies


def receive(channel, name, count, **options):
    """Consumes that many messages and settles none; the consumer is cancelled, the rest goes back."""
    got = []
    for message in channel.consume(name, inactivity_timeout=PATIENCE_S, **options):
        assert message[0], f"{name}: only {len(got)} of {count} messages came"
        got.append(message)
        if len(got) == count:
            break
    channel.cancel()
    return got


def collect(channel, name, into, **options):
    """Starts a consumer that appends (method, properties, body) to a list."""
    return channel.basic_consume(name, lambda _, *message: into.append(message), **options)


def wait_until(condition, *connections):
    """Lets connections read until the condition holds."""
    for _ in range(PATIENCE_S * 100):
        for connection in connections:
            connection.process_data_events(0.01 / len(connections))
        if condition():
            return
    raise AssertionError("it did not happen")


@contextmanager
def refused(code, text=""):
    """The broker closes the channel, or the connection, with this code and words of this text."""
    with pytest.raises(pika.exceptions.AMQPError) as raised:
        yield
    # At login pika keeps code and text only in its words.
    assert f"({code}" in str(raised.value), raised.value
    assert text in str(raised.value), raised.value


def gone(connect, queue):
    """Whether a queue is missing; asks on a connection of its own, since the answer closes the channel."""
    try:
        connect().channel().queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404, error
        return True
    return False


WORKER = """
import sys, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
def work(channel, method, properties, body):
    print(body.decode(), flush=True)
channel.basic_consume(sys.argv[2], work)
channel.start_consuming()
"""


class Worker:
    """A consumer as a process, which prints what it gets, acknowledges nothing, and can be killed."""

    def __init__(self, url, queue):
        command = [sys.executable, "-c", WORKER, url, queue]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def next(self):
        return self._process.stdout.readline().strip()

    def crash(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def run(*command, **environment):
    """Runs a client written in another language; returns what it printed."""
    environment = {name: str(value) for name, value in environment.items()}
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
