"""Calls and replies over queues."""

import pika
import pytest

from tools import Worker, collect, drain, queue, ready, receive, wait_until


def serve(channel):
    """Answers pings: acknowledges, then replies through the default exchange, on the same channel."""
    def pong(channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        channel.basic_publish("", properties.reply_to, b"pong " + body,
                              pika.BasicProperties(correlation_id=properties.correlation_id))

    channel.exchange_declare("rpc", "direct")
    queue(channel, "ping", ("rpc", "ping"))
    channel.basic_consume("ping", pong)


def call(channel, reply_queue, body):
    channel.basic_publish("rpc", "ping", body, pika.BasicProperties(reply_to=reply_queue, correlation_id=body))


def test_s16_s60_a_reply_finds_its_caller(connect):
    server = connect()
    serve(server.channel())
    callers = [connect(), connect()]
    replies = [[], []]
    for caller, mine, name in zip(callers, replies, ["first", "second"]):
        channel = caller.channel()
        reply_queue = queue(channel, "", exclusive=True, auto_delete=True)
        collect(channel, reply_queue, mine, auto_ack=True)
        call(channel, reply_queue, name)
    wait_until(lambda: all(replies), server, *callers)
    assert [[(p.correlation_id, body) for _, p, body in mine] for mine in replies] == [
        [("first", b"pong first")], [("second", b"pong second")]]


def test_s66_a_reply_waits_until_its_caller_listens(connect, channel):
    server = connect()
    serve(server.channel())
    reply_queue = queue(channel, "", exclusive=True, auto_delete=True)
    call(channel, reply_queue, "early")
    wait_until(lambda: ready(channel, reply_queue) == 1, server)
    assert [body for _, _, body in receive(channel, reply_queue, 1)] == [b"pong early"]


def test_s67_a_crashed_servers_call_goes_to_another(connect, channel, url):
    channel.exchange_declare("rpc", "direct")
    queue(channel, "ping", ("rpc", "ping"))
    crashing = Worker(url, "ping")
    reply_queue = queue(channel, "", exclusive=True)
    call(channel, reply_queue, "task")
    assert crashing.next() == "task"
    crashing.crash()
    server = connect()
    serve(server.channel())
    wait_until(lambda: ready(channel, reply_queue) == 1, server)
    assert drain(channel, reply_queue) == ["pong task"]


def test_s68_calls_wait_for_a_server_and_replies_to_nobody_are_dropped(channel):
    queue(channel, "s68", durable=True)
    channel.basic_publish("", "s68", "waits")
    assert ready(channel, "s68") == 1
    channel.basic_publish("", "s68.gone", "dropped")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "s68.gone", "returned", mandatory=True)
